"""Long measurements that go on where they stopped: each result is a line of a file as soon as it is there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import minicnn
from minicnn._utils.types import PathLike, Progress
from minicnn.errors import ImageError
from minicnn.io.digest import digest_image, digest_network
from minicnn.network import Network

__all__ = ["digest", "map_with_checkpoint"]


def map_with_checkpoint(
    path: PathLike | None,
    count: int,
    measure: Callable[[int], dict[str, Any]],
    progress: Progress = iter,
) -> list[dict[str, Any]]:
    """Results of ``measure`` for 0 to ``count`` - 1; those of an earlier run are read from its file.

    Parameters
    ----------
    path : of the file, whose name should hold a ``digest`` of all that decides the results; None keeps nothing
    count : int
    measure : function of a number that returns values for JSON
    progress : wraps the list of numbers that are left

    Raises
    ------
    ImageError
        If the file can't be written.

    Examples
    --------
    >>> map_with_checkpoint(None, 3, lambda n: {"square": n * n})
    [{'square': 0}, {'square': 1}, {'square': 4}]

    """
    path = None if path is None else Path(path)
    rows = {} if path is None else _read_rows(path)
    for number in progress([n for n in range(count) if n not in rows]):
        # each row is on the disk before the next is measured, so that a run that is cut off loses one at most
        rows[number] = measure(number)
        if path is not None:
            _append_row(path, number, rows[number])
    return [rows[number] for number in range(count)]


def digest(net: Network, images: Iterable[Any], *settings: Any) -> str:
    """Return a digest of version, network, device, preprocessing, pictures and whatever else decides a result."""
    origin = digest_network(net)
    version = [minicnn.__version__, *(origin[name] for name in ("sha256", "device", "preprocess"))]
    # whatever decides a result is in the file's name: rows of other weights, pictures or settings are never read
    everything = [version, [digest_image(image)["sha256"] for image in images], *settings]
    return hashlib.sha256(json.dumps(everything).encode()).hexdigest()[:12]


def _append_row(path: Path, number: int, row: dict[str, Any]) -> None:
    try:
        with open(path, "a", encoding="utf-8") as file:
            # the line break comes first, in case an earlier run left its last line unfinished
            file.write("\n" + json.dumps({"number": number, "row": row}))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ImageError(f"{path}: can't be written ({error.strerror or error})") from error


def _read_rows(path: Path) -> dict[int, dict[str, Any]]:
    """Results of an earlier run; a last line that was cut off is left out."""
    rows = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            # a line that was cut off is no JSON, and its picture is measured again
            continue
        rows[entry["number"]] = entry["row"]
    return rows
