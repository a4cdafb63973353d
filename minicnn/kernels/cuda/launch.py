"""How a kernel of one thread a value is launched, and the arguments that kernels take."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import cuda, int64, uint32
from numba.core import config

from minicnn.kernels.cuda.arrays import DeviceArray, check_size

__all__ = [
    "THREADS",
    "OptionalArray",
    "channel_index",
    "divmod_u32",
    "launch_per_value",
    "optional",
    "scalar_like",
]

config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # Numba warns of every small grid, and a small net has no other

THREADS = 256  # of a block, where a thread has one value


class OptionalArray(NamedTuple):
    """An array that a caller may leave out, as kernels take it: ``values`` are read only where ``given``."""

    values: Any
    given: int


def optional(array: DeviceArray | None, stand_in: DeviceArray) -> OptionalArray:
    """Return an argument that may be missing; a kernel's types are fixed, so ``stand_in`` has the array's."""
    return OptionalArray((stand_in if array is None else array).memory, int(array is not None))


def launch_per_value(kernel: Any, size: int, *args: Any) -> None:
    """Run ``kernel(*args, size)`` with one thread for each of ``size`` values."""
    # CUDA refuses a grid of no blocks
    if size:
        kernel[-(-check_size(size) // THREADS), THREADS](*args, size)


def scalar_like(array: DeviceArray, value: float) -> np.floating[Any]:
    """Return a number in the array's dtype: a Python float would make a kernel compute in float64."""
    return array.dtype.type(value)


@cuda.jit(device=True)
def divmod_u32(i, n):
    """Quotient and remainder of two numbers below 2^32, in a fifth of the instructions that 64 bits take."""
    # int64 again, so that a difference the caller forms may be negative
    quotient = uint32(uint32(i) // uint32(n))
    return int64(quotient), int64(uint32(uint32(i) - quotient * uint32(n)))


@cuda.jit(device=True)
def channel_index(i, area, channels):
    """Channel of value i of maps of ``area`` pixels."""
    _, c = divmod_u32(divmod_u32(i, area)[0], channels)
    return c
