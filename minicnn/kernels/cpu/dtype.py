"""What every operation of this device does with the arrays it is given: their order and their dtype."""

import functools
from collections.abc import Callable

import numpy as np

from minicnn.kernels import reference
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.recorder import capturable, record_call, record_result

__all__ = ["add", "constant", "dense", "float32_or"]


def dense(array: np.ndarray) -> np.ndarray:
    """Return the array in C order and aligned, as kernels take it: itself, or a copy."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned:
        return array
    copy = empty(array.shape, array.dtype)
    record_call(np.copyto, copy, array)
    return copy


def float32_or(function: Callable) -> Callable[[Callable], Callable]:
    """Decorate an operation for float32: all else, float64, goes to ``function``, its reference."""

    def decorate(operation):
        @functools.wraps(operation)
        def either(array, *args, **kwargs):
            if array.dtype == np.float32:
                return operation(array, *args, **kwargs)
            return record_result(function, array, *args, **kwargs)

        return either

    return decorate


@functools.lru_cache(512)
def constant(value: float, count: int) -> np.ndarray:
    """Return ``count`` times a number, made once, not to be written to."""
    found = np.full(count, value, np.float32)
    found.flags.writeable = False
    return found


@capturable
@float32_or(reference.add)
def add(x, other):
    """Sum of two arrays, as ``reference.add``, in memory that is kept."""
    total = empty(x.shape)
    record_call(np.add, x, other, total)
    return total
