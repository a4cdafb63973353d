"""Arrays in the GPU's memory: what crosses the bus, when, and where an array's memory comes from.

Operations of this device take NumPy arrays and give NumPy arrays, or take device arrays and give device arrays.
What is NumPy among device arrays is a parameter: it is sent once and stays there as long as its owner keeps it.
All work is queued on one stream, in order, so memory that is given back can be taken again at once: no operation
waits for the GPU except those that copy a result to the host or send an array.  (An array must therefore live
until its kernel is launched, no longer.)
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from minicnn.errors import DeviceMemoryError

__all__ = ["DeviceArray", "check_size", "empty", "on_device", "on_host", "upload", "upload_once"]

CACHED_SHARE = 0.5  # of the GPU's memory that may wait for the next array: freeing it would wait for the GPU
MAX_VALUES = 1 << 32  # of an array: the kernels number them in 32 bits


class DeviceArray:
    """A C-ordered array on the GPU: a flat piece of memory, and a shape.

    ``numpy.asarray`` copies it to the host.  Arrays of another shape may share its memory; nothing writes into it
    after the operation that made it.
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
        # reshape((2, 3)) and reshape(2, 3) alike, as in NumPy
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        known = int(np.prod([n for n in shape if n >= 0], dtype=np.int64))
        return DeviceArray(self._block, tuple(self.size // known if n < 0 else n for n in shape))

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """Return a copy in the host's memory, once the GPU is done with it."""
        # the memory may be longer than the array: ``empty`` rounds its size up
        host = np.asarray(self.memory[: self.size].copy_to_host()).reshape(self.shape)
        return host if dtype is None else host.astype(dtype, copy=False)


class _Block:
    """Memory for at least ``size`` values; when its last array dies, it waits in ``_free_blocks`` for the next."""

    def __init__(self, size: int, dtype: np.dtype):
        self.size, self.dtype, self.cache_limit = size, dtype, _cache_limit()
        free = _free_blocks.get((size, dtype))
        try:
            self.memory = free.pop() if free else _allocate(size, dtype)
        except IndexError:  # another thread took it
            self.memory = _allocate(size, dtype)

    def __del__(self):
        # the attribute is missing if the allocation in __init__ failed
        memory = getattr(self, "memory", None)
        # a copy of the items: another thread may add a size meanwhile
        held = sum(len(free) * size * dtype.itemsize for (size, dtype), free in list(_free_blocks.items()))
        if memory is not None and held + self.size * self.dtype.itemsize <= self.cache_limit:
            _free_blocks.setdefault((self.size, self.dtype), []).append(memory)


@functools.cache
def _cache_limit() -> float:
    return CACHED_SHARE * cuda.current_context().get_memory_info().total


_free_blocks: dict[tuple[int, np.dtype], list] = {}


def _allocate(size: int, dtype: np.dtype) -> Any:
    try:
        return cuda.device_array(size, dtype)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
    # what waits for reuse goes back first, and the frees that Numba puts off are done; then once more
    _free_blocks.clear()
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
        If the GPU's memory is full, or it has more values than the kernels can number.

    """
    size, dtype = max(1, check_size(int(np.prod(shape, dtype=np.int64)))), np.dtype(dtype)
    # rounded up by at most an eighth, so that arrays of nearly the same size share the freed memory
    step = max(256, 1 << max(0, size.bit_length() - 4))
    return DeviceArray(_Block(-(-size // step) * step, dtype), shape)


def check_size(size: int) -> int:
    """Return a number of values or threads, checked.

    Raises
    ------
    DeviceMemoryError
        If there are more than the kernels can number.

    """
    if size >= MAX_VALUES:
        raise DeviceMemoryError(
            f"an array of {size:,} values is too large for the GPU's kernels, "
            f"which number at most {MAX_VALUES - 1:,}; give fewer images at a time, or use device 'cpu'"
        )
    return size


def upload(array: np.ndarray) -> DeviceArray:
    """Return a copy on the GPU."""
    copy = empty(array.shape, array.dtype)
    # an empty array has memory of one value, but nothing to send
    if array.size:
        copy.memory[: array.size].copy_to_device(np.ascontiguousarray(array).reshape(-1))
    return copy


_parameters: dict[int, tuple[weakref.ref, DeviceArray]] = {}


def upload_once(array: np.ndarray) -> DeviceArray:
    """Return the copy of a parameter that was sent before, or send it now; it goes when ``array`` does."""
    key = id(array)
    cached = _parameters.get(key)
    # an id is used again once its array is dead, so the weak reference must still lead to this very array
    if cached is not None and cached[0]() is array:
        return cached[1]
    # the callback forgets the copy when the array dies, and the GPU's memory waits for reuse
    copy = upload(array)
    _parameters[key] = weakref.ref(array, lambda _: _parameters.pop(key, None)), copy
    return copy


def on_device(operation: Callable) -> Callable:
    """Decorate an operation on device arrays: NumPy arrays in, NumPy arrays out; parameters are sent once."""

    @functools.wraps(operation)
    def wrapper(*args, **kwargs):
        # NumPy arrays alone: the result goes back to the host too
        on_host = not any(isinstance(a, DeviceArray) for a in _arrays(args))
        result = operation(*(_to_device(a, on_host) for a in args), **kwargs)
        return _to_host(result) if on_host else result

    return wrapper


def on_host(operation: Callable) -> Callable:
    """Wrap an operation in NumPy: it runs on the host, and what came from the GPU goes back there."""

    @functools.wraps(operation)
    def wrapper(*args, **kwargs):
        resident = any(isinstance(a, DeviceArray) for a in _arrays(args))
        # a list too may hold device arrays; _to_host looks into tuples
        result = operation(*(_to_host(tuple(a) if isinstance(a, list) else a) for a in args), **kwargs)
        # among NumPy arrays alone there is nothing to send back
        if not resident:
            return result
        return tuple(map(upload, result)) if isinstance(result, tuple) else upload(result)

    return wrapper


def _arrays(args):
    for a in args:
        yield from a if isinstance(a, list | tuple) else (a,)


def _to_device(a, on_host):
    if isinstance(a, np.ndarray):
        # a NumPy array of reals among device arrays is a parameter; labels and the like are sent on every call
        return upload_once(a) if not on_host and a.dtype.kind == "f" else upload(a)
    if isinstance(a, list | tuple) and any(isinstance(part, np.ndarray | DeviceArray) for part in a):
        # an argument that is a list of arrays, as for concatenate
        return [_to_device(part, on_host) for part in a]
    return a


def _to_host(result):
    if isinstance(result, tuple):
        return tuple(_to_host(part) for part in result)
    return np.asarray(result) if isinstance(result, DeviceArray) else result
