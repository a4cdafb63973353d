"""What every operation of this device does with its arrays first."""

import functools
from collections.abc import Callable

import numpy as np

__all__ = ["dense", "float32_or"]


def dense(array: np.ndarray) -> np.ndarray:
    """Return the array in C order and aligned, as kernels take it: itself, or a copy."""
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else np.array(array, order="C")


def float32_or(function: Callable) -> Callable[[Callable], Callable]:
    """Decorate an operation for float32: all else, float64, goes to ``function``, its reference."""

    def decorate(operation):
        @functools.wraps(operation)
        def either(array, *args, **kwargs):
            return (operation if array.dtype == np.float32 else function)(array, *args, **kwargs)

        return either

    return decorate
