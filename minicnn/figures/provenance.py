"""Where a figure comes from: net, image, class and every setting, as one JSON text in the PNG file itself."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import minicnn
from minicnn.errors import ImageError
from minicnn.io.digest import digest_array, digest_image, digest_pixels

__all__ = ["KEY", "metadata", "read", "record"]

KEY = "minicnn"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Longest record, in bytes, that is read, and the most chunks that are looked through for it.
LONGEST, MOST_CHUNKS = 1 << 20, 100_000


def record(
    kind: str,
    origin: Mapping[str, Any],
    images: Iterable[Any],
    found: Any,
    settings: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    **result: Any,
) -> dict[str, Any]:
    """Everything that makes a figure, as plain values.

    Parameters
    ----------
    kind : str, such as "saliency"; ``figures.recompute`` has a function for each that it can compute
    origin : as ``digest_network`` gives it
    images : what was looked at
    found : object whose ``target`` and ``label`` say which class; without them, None
    settings : every parameter, the seed among them
    arrays : the maps that the figure shows, by name
    **result : what the figure says in words, such as the score

    """
    import PIL

    target = getattr(found, "target", None)
    return {
        "kind": kind,
        "minicnn": minicnn.__version__,
        "versions": {"numpy": np.__version__, "pillow": PIL.__version__},
        "net": dict(origin),
        "images": [digest_image(image) for image in images],
        "class": None if target is None else {"target": target, "label": getattr(found, "label", None)},
        "settings": dict(settings),
        "result": result,
        "arrays": {name: digest_array(array) for name, array in arrays.items()},
    }


def metadata(record: Mapping[str, Any], figure: Any) -> dict[str, str]:
    """Text chunk to write with a figure: the record, and the digest of the figure's own pixels."""
    return {KEY: json.dumps({**record, "pixels": digest_pixels(figure)}, allow_nan=False)}


def read(path: str | Path) -> dict[str, Any]:
    """Record of a figure; the picture itself is not decoded, nor is anything decompressed.

    Raises
    ------
    ImageError
        If the file can't be read, is no PNG file, holds no record, or one that is damaged or too long.

    """
    try:
        with open(path, "rb") as file:
            text = _text(file, path)
    except OSError as error:
        raise ImageError(f"{path}: can't be read ({error.strerror or error})") from error
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ImageError(f"{path}: its record is damaged; expected JSON in the text chunk {KEY!r}") from None
    if not _whole(found):
        raise ImageError(f"{path}: its record is not one of minicnn's; expected kind, net, images and settings")
    return found


def _text(file: Any, path: str | Path) -> bytes:
    """Text of the chunk ``KEY`` of a PNG file, all others skipped."""
    if file.read(8) != SIGNATURE:
        raise ImageError(f"{path}: is not a PNG file; figures of minicnn are")
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        (length,) = struct.unpack(">I", head[:4])
        start = file.read(len(KEY) + 1) if head[4:] == b"tEXt" and length > len(KEY) else b""
        if start == KEY.encode() + b"\0":
            if length > LONGEST:
                raise ImageError(f"{path}: its record has {length:,} bytes; minicnn writes at most {LONGEST:,}")
            return file.read(length - len(start))
        file.seek(length - len(start) + 4, 1)
    raise ImageError(f"{path}: holds no record of where it comes from; was it written by minicnn, and not edited?")


def _whole(found: Any) -> bool:
    kinds = {"kind": str, "minicnn": str, "net": dict, "images": list, "settings": dict, "arrays": dict}
    return (
        isinstance(found, dict)
        and all(isinstance(found.get(key), kind) for key, kind in kinds.items())
        and all(isinstance(image, dict) for image in found["images"])
        and all(isinstance(array, dict) for array in found["arrays"].values())
    )
