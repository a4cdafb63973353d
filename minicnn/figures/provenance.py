"""Where a figure comes from: net, image, class and every setting, as one JSON text in the PNG file itself."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import minicnn
from minicnn._utils.types import PathLike
from minicnn.errors import ImageError
from minicnn.io.digest import digest_array, digest_image, digest_pixels
from minicnn.io.source import is_name
from minicnn.report import save_png
from minicnn.report.drawing import Drawing, current
from minicnn.report.png import few_colours

__all__ = ["KEY", "make_record", "metadata", "name_files", "name_from", "read", "save"]

KEY = "minicnn"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Longest record, in bytes, that is read, and how many chunks are looked through for it.
MAX_LENGTH, MAX_CHUNKS = 1 << 20, 100_000
MAX_PARENTS = 2  # folders above a figure's own of which its record speaks


def make_record(
    kind: str,
    origin: Mapping[str, Any],
    images: Iterable[Any],
    explanation: Any,
    settings: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    **result: Any,
) -> dict[str, Any]:
    """Return everything that makes a figure, as plain values.

    Parameters
    ----------
    kind : str, such as "saliency"; see ``minicnn.figures.kinds``
    origin : as ``digest_network`` gives it
    images : what was looked at
    explanation : object whose ``target`` and ``label`` say which class; None where there is none
    settings : every parameter, the seed among them
    arrays : the maps that the figure shows, by name
    **result : what the figure says in words, such as the score

    """
    import PIL

    target = getattr(explanation, "target", None)
    return {
        "kind": kind,
        "minicnn": minicnn.__version__,
        "versions": {"numpy": np.__version__, "pillow": PIL.__version__},
        "net": dict(origin),
        "images": [digest_image(image) for image in images],
        "class": None if target is None else {"target": target, "label": getattr(explanation, "label", None)},
        "settings": dict(settings),
        **({} if current() == Drawing() else {"drawing": current()._asdict()}),
        "result": result,
        "arrays": {name: digest_array(array) for name, array in arrays.items()},
    }


def save(figure: Any, path: PathLike, record: Mapping[str, Any]) -> None:
    """Write a figure as a PNG file of bounded size, with its record.

    Parameters
    ----------
    figure : PIL.Image.Image, as ``panels`` or ``contact_sheet`` returns it
    path : str or Path
    record : as `make_record` returns it

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    drawn = few_colours(figure)
    save_png(drawn, path, metadata(record, drawn, path))


def metadata(record: Mapping[str, Any], figure: Any, path: PathLike) -> dict[str, str]:
    """Return the text chunk to write with a figure: the record, and the digest of the figure's own pixels.

    Files are named as seen from the figure at ``path``, as `name_from` says: the folders of a private machine are
    nobody's business.
    """
    folder = Path(path).parent
    images = [{**image, "name": image["name"] and name_from(folder, image["name"])} for image in record["images"]]
    net = name_files(record["net"], folder)
    named = {**record, "net": net, "images": images, "pixels": digest_pixels(figure)}
    return {KEY: json.dumps(named, allow_nan=False)}


def name_files(origin: Mapping[str, Any], folder: PathLike) -> dict[str, Any]:
    """Return which network it is, its files named as seen from a folder."""
    given = {key: origin[key] for key in ("source", "weights") if isinstance(origin.get(key), str)}
    # the name of a network in the catalogue is no file's, even if a folder is called so
    files = {key for key, value in given.items() if os.path.exists(value) and not is_name(value)}
    return {**origin, **{key: name_from(folder, v) if key in files else v for key, v in given.items()}}


def name_from(folder: PathLike, path: PathLike) -> str:
    """Return a file's path from a folder if it lies below it or near it, else the file's name alone.

    Examples
    --------
    >>> name_from("/home/ada/maps", "/home/ada/photos/cat.jpg"), name_from("/tmp/maps", "/home/ada/cat.jpg")
    ('../photos/cat.jpg', 'cat.jpg')

    """
    folder, path = os.path.abspath(folder), os.path.abspath(path)
    try:
        shared, relative = os.path.commonpath([folder, path]), os.path.relpath(path, folder)
    except ValueError:  # on another drive
        return os.path.basename(path)
    is_near = os.path.dirname(shared) != shared and relative.split(os.sep).count(os.pardir) <= MAX_PARENTS
    return Path(relative).as_posix() if is_near else os.path.basename(path)


def read(path: PathLike) -> dict[str, Any]:
    """Return the record of a figure; the picture itself is not decoded, nor is anything decompressed.

    Raises
    ------
    ImageError
        If the file can't be read, is no PNG file, holds no record, or one that is damaged or too long.

    See Also
    --------
    minicnn.figures.verification.verify_figure : computes anew what a record says

    """
    try:
        with open(path, "rb") as file:
            text = _read_text(file, path)
    except OSError as error:
        raise ImageError(f"{path}: can't be read ({error.strerror or error})") from error
    try:
        record: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        raise ImageError(f"{path}: its record is damaged; expected JSON in the text chunk {KEY!r}") from None
    if not _is_record(record):
        raise ImageError(f"{path}: its record is not one of minicnn's; expected kind, net, images and settings")
    return record


def _read_text(file: BinaryIO, path: PathLike) -> bytes:
    """Return the text of the chunk ``KEY`` of a PNG file, all others skipped."""
    if file.read(8) != SIGNATURE:
        raise ImageError(f"{path}: is not a PNG file; figures of minicnn are")
    for _ in range(MAX_CHUNKS):
        # a chunk is its length (4 bytes, big-endian) and type (4), the data, and a checksum (4)
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        (length,) = struct.unpack(">I", head[:4])
        # the data of a text chunk begin with its keyword and a zero byte
        start = file.read(len(KEY) + 1) if head[4:] == b"tEXt" and length > len(KEY) else b""
        if start == KEY.encode() + b"\0":
            if length > MAX_LENGTH:
                raise ImageError(f"{path}: its record has {length:,} bytes; minicnn writes at most {MAX_LENGTH:,}")
            return file.read(length - len(start))
        # over the rest of the data and the checksum to the next chunk
        file.seek(length - len(start) + 4, 1)
    raise ImageError(f"{path}: holds no record of where it comes from; was it written by minicnn, and not edited?")


def _is_record(value: Any) -> bool:
    types = {"kind": str, "minicnn": str, "net": dict, "images": list, "settings": dict, "arrays": dict}
    return (
        isinstance(value, dict)
        and all(isinstance(value.get(key), kind) for key, kind in types.items())
        and all(isinstance(image, dict) for image in value["images"])
        and all(isinstance(array, dict) for array in value["arrays"].values())
    )
