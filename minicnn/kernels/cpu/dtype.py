"""What every operation of this device does with the arrays it is given: their order and their dtype."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.kernels import reference
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.recorder import capturable, record_call, record_result

__all__ = ["add", "constant", "dense", "float32_or"]


def dense(array: np.ndarray) -> np.ndarray:
    """Return the array in C order and aligned, as kernels take it: itself, or a copy, whose making is recorded."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned:
        return array
    # a replay makes the copy again, from what the array then holds
    copy = empty(array.shape, array.dtype)
    record_call(np.copyto, copy, array)
    return copy


def float32_or(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate an operation for float32: all else, float64, goes to ``function``, its reference."""

    def decorate(operation: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(operation)
        def dispatch(array: np.ndarray, *args: Any, **kwargs: Any) -> Any:
            if array.dtype == np.float32:
                return operation(array, *args, **kwargs)
            # the reference returns new arrays each time, which a replay must copy to the old ones
            return record_result(function, array, *args, **kwargs)

        return dispatch

    return decorate


@functools.lru_cache(512)
def constant(value: float, count: int) -> np.ndarray:
    """Return an array of ``count`` equal numbers, made once, which can't be written to."""
    array = np.full(count, value, np.float32)
    # all callers share it, so that one that wrote to it would change it for the others
    array.flags.writeable = False
    return array


@capturable
@float32_or(reference.add)
def add(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Sum of two arrays, as ``reference.add``, in memory of the allocator."""
    total = empty(x.shape if x.shape == other.shape else np.broadcast_shapes(x.shape, other.shape))
    record_call(np.add, x, other, total)
    return total
