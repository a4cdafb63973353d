"""Batches that a device's memory is too small for are split, and split again, until a part fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.errors import DeviceMemoryError

__all__ = ["concatenate", "split_on_out_of_memory"]


def split_on_out_of_memory(
    run: Callable[[np.ndarray, Any], Any], x: np.ndarray, beside: Any = None
) -> list[tuple[int, Any]]:
    """Return (images, ``run(part, beside of that part)``) for the parts of a batch: one, if it fits.

    Parameters
    ----------
    run : function that may raise DeviceMemoryError
    x : array of shape (N, ...)
    beside : array of shape (N, ...) that is split likewise, or anything else, which each part is given

    Raises
    ------
    DeviceMemoryError
        If there is no room for one image.

    Examples
    --------
    >>> def run(part, _):
    ...     if len(part) > 2:
    ...         raise DeviceMemoryError("too large")
    ...     return part.sum()
    >>> [(n, int(result)) for n, result in split_on_out_of_memory(run, np.arange(4))]
    [(2, 1), (2, 5)]

    """
    try:
        return [(len(x), run(x, beside))]
    except DeviceMemoryError:
        if len(x) < 2:
            raise
    # only here has Python let go of what the failed run held
    middle, is_batch = len(x) // 2, isinstance(beside, np.ndarray) and beside.ndim > 0
    return [
        part
        # each half is split further on its own; the order of the images stays
        for images in (slice(0, middle), slice(middle, None))
        for part in split_on_out_of_memory(run, x[images], beside[images] if is_batch else beside)
    ]


def concatenate(parts: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """Return the parts' arrays as that of the whole batch."""
    return parts[0][1] if len(parts) == 1 else np.concatenate([array for _, array in parts])
