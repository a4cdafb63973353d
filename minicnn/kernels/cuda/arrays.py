"""Arrays in the GPU's memory: what crosses the bus, when, and where an array's memory comes from.

Operations of this device take NumPy arrays and give NumPy arrays, or take device arrays and give device arrays.
What is NumPy among device arrays is a parameter: it is sent once and stays there as long as its owner keeps it.
All work is queued on one stream, in order, so memory that is given back can be taken again at once: no operation
waits for the GPU except those that bring an answer home or send an array.  (An array must therefore live until its
kernel is launched, no longer.)
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from minicnn.errors import DeviceMemoryError

__all__ = ["DeviceArray", "empty", "numbered", "on_device", "upload"]

KEPT = 0.5  # share of the GPU's memory that waits for the next array at most: freeing would wait for the GPU
MOST = 1 << 32  # values of an array: the kernels number them in 32 bits


class DeviceArray:
    """A C-ordered array on the GPU: a flat piece of memory, and a shape.

    ``numpy.asarray`` brings it home.  Arrays of another shape may share its memory; nothing writes into it after
    the operation that made it.
    """

    __slots__ = ("_block", "memory", "shape")

    def __init__(self, block: _Block, shape: tuple[int, ...]):
        self._block, self.memory, self.shape = block, block.memory, tuple(int(n) for n in shape)

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return self._block.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        """Length of the first axis."""
        return self.shape[0]

    def reshape(self, *shape: int) -> DeviceArray:
        """Return the same memory in another shape; one length may be -1."""
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        known = int(np.prod([n for n in shape if n >= 0], dtype=np.int64))
        return DeviceArray(self._block, tuple(self.size // known if n < 0 else n for n in shape))

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """Return a copy in the computer's own memory, once the GPU is done with it."""
        home = np.asarray(self.memory[: self.size].copy_to_host()).reshape(self.shape)
        return home if dtype is None else home.astype(dtype, copy=False)


class _Block:
    """Memory for at least ``size`` values; when the last array in it dies, it waits for the next of its size."""

    def __init__(self, size: int, dtype: np.dtype):
        self.size, self.dtype, self.most = size, dtype, _most_kept()
        waiting = _waiting.get((size, dtype))
        try:
            self.memory = waiting.pop() if waiting else _allocated(size, dtype)
        except IndexError:  # another thread took it
            self.memory = _allocated(size, dtype)

    def __del__(self):
        memory = getattr(self, "memory", None)
        held = sum(len(kept) * size * dtype.itemsize for (size, dtype), kept in list(_waiting.items()))
        if memory is not None and held + self.size * self.dtype.itemsize <= self.most:
            _waiting.setdefault((self.size, self.dtype), []).append(memory)


@functools.cache
def _most_kept() -> float:
    return KEPT * cuda.current_context().get_memory_info().total


_waiting: dict[tuple[int, np.dtype], list] = {}


def _allocated(size: int, dtype: np.dtype) -> Any:
    try:
        return cuda.device_array(size, dtype)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
    _waiting.clear()
    cuda.current_context().deallocations.clear()
    try:
        return cuda.device_array(size, dtype)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        free, total = cuda.current_context().get_memory_info()
        raise DeviceMemoryError(
            f"the GPU's memory is full: {size * dtype.itemsize / 1e6:,.0f} MB were needed for one more array, "
            f"{free / 1e6:,.0f} of {total / 1e6:,.0f} MB are free; "
            "give fewer images at a time, or use device 'cpu'"
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "OUT_OF_MEMORY" in str(error)


def empty(shape: tuple[int, ...], dtype: Any) -> DeviceArray:
    """Return an array of unset values, in memory that was used before where there is some.

    Raises
    ------
    DeviceMemoryError
        If the GPU has no room for it, or it has more values than the kernels can number.

    """
    size, dtype = max(1, numbered(int(np.prod(shape, dtype=np.int64)))), np.dtype(dtype)
    # sizes rounded up by at most an eighth, so that they meet again
    grain = max(256, 1 << max(0, size.bit_length() - 4))
    return DeviceArray(_Block(-(-size // grain) * grain, dtype), shape)


def numbered(size: int) -> int:
    """Return the number of values or threads that it was given.

    Raises
    ------
    DeviceMemoryError
        If there are more than the kernels can number.

    """
    if size >= MOST:
        raise DeviceMemoryError(
            f"an array of {size:,} values is too large for the GPU's kernels, which number at most {MOST - 1:,}; "
            "give fewer images at a time, or use device 'cpu'"
        )
    return size


def upload(array: np.ndarray) -> DeviceArray:
    """Return a copy on the GPU."""
    there = empty(array.shape, array.dtype)
    if array.size:
        there.memory[: array.size].copy_to_device(np.ascontiguousarray(array).reshape(-1))
    return there


_parameters: dict[int, tuple[weakref.ref, DeviceArray]] = {}


def _parameter(array: np.ndarray) -> DeviceArray:
    """Return the copy of a parameter that was sent before, or send it now; it goes when ``array`` does."""
    key = id(array)
    known = _parameters.get(key)
    if known is not None and known[0]() is array:
        return known[1]
    there = upload(array)
    _parameters[key] = weakref.ref(array, lambda _: _parameters.pop(key, None)), there
    return there


def on_device(operation: Callable) -> Callable:
    """Decorate an operation on device arrays: NumPy arrays in, NumPy arrays out; parameters are sent once."""

    @functools.wraps(operation)
    def either(*args, **kwargs):
        at_home = not any(isinstance(a, DeviceArray) for a in _arrays(args))
        result = operation(*(_placed(a, at_home) for a in args), **kwargs)
        return _home(result) if at_home else result

    return either


def _arrays(args):
    for a in args:
        yield from a if isinstance(a, list | tuple) else (a,)


def _placed(a, at_home):
    if isinstance(a, np.ndarray):
        return _parameter(a) if not at_home and a.dtype.kind == "f" else upload(a)
    if isinstance(a, list | tuple) and any(isinstance(part, np.ndarray | DeviceArray) for part in a):
        return [_placed(part, at_home) for part in a]
    return a


def _home(result):
    if isinstance(result, tuple):
        return tuple(_home(part) for part in result)
    return np.asarray(result) if isinstance(result, DeviceArray) else result
