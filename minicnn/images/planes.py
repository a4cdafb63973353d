"""Arrays of any number of channels as images: NumPy files for networks that do not look at photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from minicnn.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["as_planes", "is_numpy_file", "read_array", "resize_planes", "show_planes"]

MAX_VALUES = 1 << 29


def is_numpy_file(source: Any) -> TypeGuard[str | Path]:
    """Return whether an image is named that is a NumPy file."""
    return isinstance(source, str | Path) and Path(source).suffix.lower() == ".npy" and Path(source).is_file()


def read_array(path: str | Path) -> np.ndarray:
    """Return the array of a NumPy file, mapped; nothing in it is executed.

    Raises
    ------
    ImageError
        If it is no such file, or does not hold numbers of two or three axes.

    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise ImageError(f"{path}: not a NumPy file of numbers ({' '.join(str(error).split())[:120]})") from None
    if array.dtype.kind not in "fiub" or array.ndim not in (2, 3) or not 0 < array.size <= MAX_VALUES:
        raise ImageError(
            f"{path}: expected numbers of shape (H, W, C), (C, H, W) or (H, W), got {array.dtype} {array.shape}"
        )
    return np.asarray(array)


def as_planes(array: np.ndarray, channels: int, what: object = "the array") -> np.ndarray:
    """Return an array (H, W, C) or (C, H, W), or (H, W) of one channel, as float32 of shape (H, W, C).

    Examples
    --------
    >>> as_planes(np.zeros((13, 4, 6)), 13).shape
    (4, 6, 13)

    """
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim == 3 and array.shape[-1] != channels and array.shape[0] == channels:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[-1] != channels or array.dtype.kind not in "fiub":
        raise ImageError(
            f"{what}: expected {channels} channels, (H, W, {channels}), got {array.dtype} {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ImageError(f"{what}: holds NaN or infinity; fill these places first")
    return np.ascontiguousarray(array, np.float32)


def resize_planes(planes: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Return planes (H, W, C) resized to (height, width), each as Pillow resizes a picture of floats."""
    from PIL import Image

    if planes.shape[:2] == tuple(size):
        return planes
    method = Image.Resampling[interpolation.upper()]
    resized = [
        np.asarray(Image.fromarray(np.ascontiguousarray(p)).resize(size[::-1], method))
        for p in planes.transpose(2, 0, 1)
    ]
    return np.stack(resized, axis=-1)


def show_planes(array: np.ndarray) -> Picture:
    """Return a picture of an array for people: three channels or one, the least value black, the largest white."""
    from PIL import Image

    array = array[..., None] if array.ndim == 2 else array
    # the channels are the fewest
    array = array.transpose(1, 2, 0) if array.shape[0] < array.shape[-1] else array
    values = np.nan_to_num(
        np.asarray(array[..., : 3 if array.shape[-1] >= 3 else 1], np.float64), posinf=0, neginf=0
    )
    low, high = values.min(), values.max()
    pixels = np.rint((values - low) * (255 / (high - low or 1))).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))
