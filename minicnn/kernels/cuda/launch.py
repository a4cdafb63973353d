"""How a kernel of one thread a value is launched, and the constants that kernels take."""

from __future__ import annotations

import numpy as np

__all__ = ["THREADS", "each", "number"]

THREADS = 256  # a block's, where a thread has one value


def each(kernel, size: int, *args) -> None:
    """Run ``kernel(*args, size)`` with one thread for each of ``size`` values."""
    if size:
        kernel[-(-size // THREADS), THREADS](*args, size)


def number(array, value) -> np.floating:
    """Return a number in the array's dtype, so that no kernel computes in another."""
    return array.dtype.type(value)
