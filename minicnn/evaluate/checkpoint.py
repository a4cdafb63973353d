"""Long measurements that go on where they stopped: each result is a line of a file as soon as it is there."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import minicnn
from minicnn._utils.types import PathLike, Progress
from minicnn.errors import DeviceError, ImageError, MinicnnError
from minicnn.evaluate.dataset import Example, Skip
from minicnn.evaluate.datasets.annotation import Skipped
from minicnn.io.digest import digest_image, digest_network
from minicnn.network import Network

__all__ = [
    "Checkpoint",
    "append_row",
    "digest",
    "digest_example",
    "map_with_checkpoint",
    "measure_examples",
    "read_rows",
]

Row: TypeAlias = dict[str, Any]


class Checkpoint(NamedTuple):
    """How a measurement of many pictures is kept, followed and forgiven.

    Attributes
    ----------
    folder : where each picture's result is kept, or None
    name : str, of the measurement; the file is ``<name>-<digest of net and settings>.jsonl``
    progress : wraps the list of pictures that are left
    skip : called with each picture that can't be measured, and why; None: the error is raised

    """

    folder: PathLike | None
    name: str
    progress: Progress = iter
    skip: Skip | None = None


def measure_examples(
    net: Network, examples: Sequence[Example], settings: Any, measure: Callable[[Example], Row], how: Checkpoint
) -> tuple[list[Example], list[Row]]:
    """Measure each picture; results of an earlier run with the same net and settings are read from its file.

    A result belongs to its picture's content and labels: with more pictures, or once a broken one is mended, only
    those are measured.  Warnings name their picture, and are in its row under "warnings".

    Returns
    -------
    measured, rows : the examples that could be measured, and the row of each

    Raises
    ------
    MinicnnError
        If no picture could be measured, or, without ``how.skip``, one could not.

    """
    left_out: dict[int, str] = {}

    def measure_number(number: int) -> Row:
        image = examples[number].image
        with _naming_warnings(image.name) as messages:
            row = measure(examples[number])
        return {**row, "warnings": messages}

    def skip(number: int, error: MinicnnError) -> None:
        if how.skip is None:
            raise error
        left_out[number] = str(error)
        how.skip(Skipped(str(examples[number].image), str(error)))

    keys, path = None, None
    if how.folder is not None:
        keys = [digest_example(example) for example in examples]
        path = Path(how.folder) / f"{how.name}-{digest(net, [], settings)}.jsonl"
    rows = map_with_checkpoint(path, len(examples), measure_number, how.progress, keys, skip)
    if not rows and examples:
        raise MinicnnError(f"none of {len(examples)} pictures could be measured; the first: {left_out[0]}")
    return [e for n, e in enumerate(examples) if n not in left_out], rows


def map_with_checkpoint(
    path: PathLike | None,
    count: int,
    measure: Callable[[int], Row],
    progress: Progress = iter,
    keys: Sequence[str] | None = None,
    skip: Callable[[int, MinicnnError], None] | None = None,
) -> list[Row]:
    """Results of ``measure`` for 0 to ``count`` - 1; those of an earlier run are read from its file.

    Parameters
    ----------
    path : of the file, whose name should hold a ``digest`` of all that decides the results; None keeps nothing
    count : int
    measure : function of a number that returns values for JSON
    progress : wraps the list of numbers that are left
    keys : what each result is of, in the file; its number unless given
    skip : function of a number and the error that measuring it raised; its result is left out.  None: raised

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
    names: Sequence[int | str] = range(count) if keys is None else keys
    rows = {} if path is None else read_rows(path)
    for number in progress([n for n in range(count) if names[n] not in rows]):
        # each row is on the disk before the next is measured, so that a run that is cut off loses one at most
        try:
            row = measure(number)
        except DeviceError:
            # the machine's fault, and so every picture's
            raise
        except MinicnnError as error:
            if skip is None:
                raise
            skip(number, error)
            continue
        rows[names[number]] = row
        if path is not None:
            append_row(path, names[number], row)
    return [rows[name] for name in names if name in rows]


def digest(net: Network, images: Iterable[Any], *settings: Any) -> str:
    """Return a digest of version, network, device, preprocessing, pictures and whatever else decides a result."""
    origin = digest_network(net)
    version = [minicnn.__version__, *(origin[name] for name in ("sha256", "device", "preprocess"))]
    # whatever decides a result is in the file's name: rows of other weights, pictures or settings are never read
    everything = [version, [digest_image(image)["sha256"] for image in images], *settings]
    return hashlib.sha256(json.dumps(everything).encode()).hexdigest()[:12]


def digest_example(example: Example) -> str:
    """Return a digest of a picture's content, its mask's and its labels."""
    # a picture that is missing is no reason to stop here: measuring it will say so
    contents = [p and (digest_image(p)["sha256"] if p.is_file() else None) for p in (example.image, example.mask)]
    labels = [example.image.name, example.classes, example.boxes, example.group, example.size]
    return hashlib.sha256(json.dumps([contents, labels]).encode()).hexdigest()[:20]


@contextmanager
def _naming_warnings(name: str) -> Iterator[list[str]]:
    """Collect what is warned of, and then warn of it with the picture's name before it."""
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield messages
        messages += dict.fromkeys(str(warning.message) for warning in caught)
    for message in messages:
        warnings.warn(f"{name}: {message}", stacklevel=4)


def append_row(path: Path, number: int | str, row: Row) -> None:
    """Add a result, by its number or another key, to a file."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            # the line break comes first, in case an earlier run left its last line unfinished
            file.write("\n" + json.dumps({"number": number, "row": row}))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ImageError(f"{path}: can't be written ({error.strerror or error})") from error


def read_rows(path: Path) -> dict[int | str, Row]:
    """Results of an earlier run; a last line that was cut off is left out."""
    rows: dict[int | str, Row] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            # a line that was cut off is no JSON, and its picture is measured again
            continue
        rows[entry["number"]] = entry["row"]
    return rows
