"""Maps as numbers: NumPy files, and PNG of 16 bits a channel that other programs open."""

from __future__ import annotations

import struct
import zlib
from typing import IO

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import ImageError
from minicnn.report.files import open_atomically

__all__ = ["save_npy", "save_png16"]

ROWS = 64  # that are encoded at a time
TOP = 65535


def save_npy(array: np.ndarray, path: PathLike) -> None:
    """Write an array as NumPy file, whole or not at all.

    Raises
    ------
    ImageError
        If the file can't be written; then nothing is left behind.

    """
    with open_atomically(path, "save_npy") as file:
        np.save(file, array, allow_pickle=False)


def save_png16(array: np.ndarray, path: PathLike) -> tuple[float, float]:
    """Write a map as PNG of 16 bits a channel, whole or not at all.

    A value v becomes the pixel 1 + 65534 (v - low) / (high - low), low and high being the map's least and largest
    value; NaN, where no view looked, becomes 0.  A mask is 0 and 65535.

    Parameters
    ----------
    array : (H, W) or (C, H, W), C = 1 or 3; of real numbers or bool
    path : str or Path

    Returns
    -------
    low, high : floats, which the file holds too, in the text chunks "low" and "high"

    Raises
    ------
    ImageError
        If the array is no map, or the file can't be written; then nothing is left behind.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_png16(np.array([[0.0, np.nan], [0.5, 2.0]]), f"{folder}/map.png")
    (0.0, 2.0)

    """
    planes = np.asarray(array)
    planes = planes[None] if planes.ndim == 2 else planes
    if planes.ndim != 3 or len(planes) not in (1, 3) or planes.size == 0 or planes.dtype.kind not in "buif":
        raise ImageError(
            f"save_png16: expected a map (H, W), or one or three channels (C, H, W), got {planes.dtype} "
            f"{np.shape(array)}; a NumPy file holds any"
        )
    if np.isinf(planes).any():
        raise ImageError("save_png16: the map holds infinities, which no grey stands for; a NumPy file holds them")
    low, high = (0.0, 1.0) if planes.dtype == bool else _range(planes)
    with open_atomically(path, "save_png16") as file:
        _write(file, planes, low, high)
    return low, high


def _range(planes: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest value beside NaN; (0, 0) without any."""
    low, high = np.fmin.reduce(planes, axis=None), np.fmax.reduce(planes, axis=None)
    return (0.0, 0.0) if np.isnan(low) else (float(low), float(high))


def _write(file: IO[bytes], planes: np.ndarray, low: float, high: float) -> None:
    channels, height, width = planes.shape
    file.write(b"\x89PNG\r\n\x1a\n")
    # bit depth 16, colour type grey or RGB, and the only methods there are
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0 if channels == 1 else 2, 0, 0, 0))
    for key, value in (("low", low), ("high", high)):
        _write_chunk(file, b"tEXt", f"{key}\0{value!r}".encode("latin-1"))
    compressor = zlib.compressobj(6)
    for start in range(0, height, ROWS):
        pixels = _to_pixels(planes[:, start : start + ROWS], low, high)
        rows = np.ascontiguousarray(pixels.transpose(1, 2, 0), ">u2").reshape(pixels.shape[1], -1)
        # each row begins with the byte that says how it is filtered: 0, not at all
        data = np.insert(rows.view(np.uint8), 0, 0, axis=1).tobytes()
        _write_chunk(file, b"IDAT", compressor.compress(data))
    _write_chunk(file, b"IDAT", compressor.flush())
    _write_chunk(file, b"IEND", b"")


def _to_pixels(values: np.ndarray, low: float, high: float) -> np.ndarray:
    if values.dtype == bool:
        return values * np.uint16(TOP)
    scaled = (values.astype(np.float64) - low) * ((TOP - 1) / (high - low) if high > low else 0.0)
    return np.where(np.isnan(scaled), 0, 1 + np.rint(scaled)).astype(np.uint16)


def _write_chunk(file: IO[bytes], kind: bytes, data: bytes) -> None:
    if data or kind == b"IEND":
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
