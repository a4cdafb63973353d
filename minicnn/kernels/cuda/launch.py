"""How a kernel of one thread a value is launched, and the constants that kernels take."""

from __future__ import annotations

import numpy as np
from numba import cuda, int64, uint32
from numba.core import config

from minicnn.kernels.cuda.arrays import numbered

__all__ = ["THREADS", "channel", "divided", "each", "number"]

config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # Numba warns of every small grid, and a small net has no other

THREADS = 256  # a block's, where a thread has one value


def each(kernel, size: int, *args) -> None:
    """Run ``kernel(*args, size)`` with one thread for each of ``size`` values."""
    if size:
        kernel[-(-numbered(size) // THREADS), THREADS](*args, size)


def number(array, value) -> np.floating:
    """Return a number in the array's dtype, so that no kernel computes in another."""
    return array.dtype.type(value)


@cuda.jit(device=True)
def divided(i, n):
    """Quotient and remainder of two numbers below 2^32: a fifth of the instructions that 64 bits take."""
    quotient = uint32(uint32(i) // uint32(n))
    return int64(quotient), int64(uint32(uint32(i) - quotient * uint32(n)))


@cuda.jit(device=True)
def channel(i, area, channels):
    """Channel of value i of maps of ``area`` pixels."""
    _, c = divided(divided(i, area)[0], channels)
    return c
