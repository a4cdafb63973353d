"""What every operation of this device does with its arrays: their order, their dtype, and their memory.

A fresh array of some megabytes costs more than the kernel that fills it: the system hands its pages over one by
one, each set to zero, and takes them back when it dies (measured: half of the time of VGG-16's second layer).  So
the memory of outputs, masks and work buffers is kept: when the last array that lies in a block dies, the block
waits here for the next array of about its size.
"""

import functools
import math
import operator
from collections.abc import Callable

import numpy as np

from minicnn.errors import DeviceMemoryError
from minicnn.kernels import reference

__all__ = ["add", "constant", "dense", "empty", "float32_or", "no_memory", "release"]

SMALL = 1 << 17  # bytes below which an array is NumPy's own: its memory stays at hand anyway
KEPT = 1 << 28  # bytes that wait at most; what has waited longest goes first
LINE = 64  # bytes of a cache line, where every block begins


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


@functools.lru_cache(512)
def constant(value: float, count: int) -> np.ndarray:
    """Return ``count`` times a number, made once, not to be written to."""
    found = np.full(count, value, np.float32)
    found.flags.writeable = False
    return found


def empty(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Return an array of unset values, like ``np.empty``, in memory that was used before where there is some.

    Raises
    ------
    DeviceMemoryError
        If there is no room for it.

    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(_taken(size) or _Block(size), shape, dtype))


@float32_or(reference.add)
def add(x, other):
    """Sum of two arrays, as ``reference.add``, in memory that is kept."""
    return np.add(x, other, out=empty(x.shape))


def no_memory(what: str) -> DeviceMemoryError:
    """Return the error that says what there was no memory for."""
    return DeviceMemoryError(f"the computer's memory is full: {what}; give fewer or smaller images at a time")


def release() -> None:
    """Give the memory that waits back to the system."""
    _waiting.clear()


class _Block:
    """Memory, and its first byte's address."""

    def __init__(self, size: int):
        try:
            self.memory = np.empty(size + LINE, np.uint8)
        except MemoryError:
            raise no_memory(f"{size / 1e6:,.0f} MB were needed for one more array") from None
        self.size = size
        address = self.memory.ctypes.data
        self.address = address + -address % LINE


class _Lease:
    """What an array holds of a block; the array's views hold the array."""

    def __init__(self, block: _Block, shape: tuple[int, ...], dtype: np.dtype):
        self.block = block
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (block.address, False),
        }

    def __del__(self):
        if self.block.size <= KEPT:
            _waiting.append(self.block)
            while sum(map(_size, list(_waiting))) > KEPT:
                try:
                    _waiting.pop(0)  # it has waited longest
                except IndexError:  # another thread took it
                    break


# a lease may end at any moment, on any thread; there is no lock, since each step on the list is whole in itself
_waiting: list[_Block] = []


def _taken(size: int) -> _Block | None:
    """Take the smallest block that waits and holds ``size`` bytes, but not many times as much."""
    while True:
        found = None
        for block in list(_waiting):  # of the same size the last, which a cache may still hold
            if size <= block.size <= 4 * size and (found is None or block.size <= found.size):
                found = block
        if found is None:
            return None
        try:
            _waiting.remove(found)
        except ValueError:  # another thread took it
            continue
        return found


_size = operator.attrgetter("size")
