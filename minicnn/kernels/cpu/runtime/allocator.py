"""The memory of outputs, masks and work buffers, which is used again and again.

A fresh array of some megabytes costs more than the kernel that fills it: the system hands its pages over one by
one, each set to zero, and takes them back when it dies (measured: half of the time of VGG-16's second layer).  So
when the last array that lies in a block of memory dies, the block waits here for the next array of about its size.
"""

import math
import operator
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.errors import DeviceMemoryError

__all__ = ["Memory", "empty", "no_memory", "release", "shared", "unleased"]

SMALL = 1 << 17  # bytes below which an array is NumPy's own: its memory stays at hand anyway
KEPT = 1 << 29  # bytes that wait at most; what has waited longest goes first
LINE = 64  # bytes of a cache line, where every block begins


def empty(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Return an array of unset values, like ``np.empty``, in memory that was used before where there is some.

    Raises
    ------
    DeviceMemoryError
        If there is no room for it.

    """
    dtype, memory = np.dtype(dtype), _thread.memory
    size = math.prod(shape) * dtype.itemsize
    if size < memory.small:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(memory, memory.take(size), shape, dtype))


def no_memory(what: str) -> DeviceMemoryError:
    """Return the error that says what there was no memory for."""
    return DeviceMemoryError(f"the computer's memory is full: {what}; give fewer or smaller images at a time")


def release() -> None:
    """Give the memory that waits back to the system."""
    shared.waiting.clear()


def unleased(value: Any) -> Any:
    """Return a view of an array's memory that does not keep it from its next use; in tuples and the like, too.

    Any other value is returned as it is.
    """
    if isinstance(value, np.ndarray):
        lease = value
        while isinstance(lease, np.ndarray):
            lease = lease.base
        if not isinstance(lease, _Lease):
            return value
        memory = lease.block.memory
        offset = value.ctypes.data - memory.ctypes.data
        return np.ndarray(value.shape, value.dtype, memory, offset, value.strides)
    if type(value) in (tuple, list):
        return type(value)(map(unleased, value))
    return {name: unleased(item) for name, item in value.items()} if type(value) is dict else value


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


class Memory:
    """Blocks that wait for their next array.

    A lease may end at any moment, on any thread; there is no lock, since each step on the list is whole in itself.

    Parameters
    ----------
    small : int
        Bytes below which an array is NumPy's own.
    source : Memory, optional
        Whose blocks to take where none waits here, before new ones.
    limit : int
        Bytes that ``size`` may reach before a capture that uses it ends.

    Attributes
    ----------
    waiting : list of blocks, the one that has waited longest first
    size : int
        Bytes of all blocks that came from elsewhere.

    """

    def __init__(self, small: int = SMALL, source: "Memory | None" = None, limit: int = sys.maxsize):
        self.small, self.source, self.limit = small, source, limit
        self.waiting: list[_Block] = []
        self.size = 0

    def take(self, size: int) -> _Block:
        """Take a block of at least ``size`` bytes."""
        block = self._reuse(size)
        if block is None:
            block = (self.source and self.source._reuse(size)) or _Block(size)
            self.size += block.size
        return block

    def give(self, block: _Block) -> None:
        """Let a block wait."""
        if block.size <= KEPT:
            self.waiting.append(block)
            while sum(map(_size, list(self.waiting))) > KEPT:
                try:
                    self.waiting.pop(0)
                except IndexError:  # another thread took it
                    break

    @contextmanager
    def lending(self) -> Iterator[None]:
        """Context in which this thread's arrays come from here."""
        before, _thread.memory = _thread.memory, self
        try:
            yield
        finally:
            _thread.memory = before

    def _reuse(self, size: int) -> _Block | None:
        """Take the smallest block that waits and holds ``size`` bytes, but not many times as much."""
        while True:
            best = None
            for block in list(self.waiting):  # of the same size the last, which a cache may still hold
                if size <= block.size <= 4 * size and (best is None or block.size <= best.size):
                    best = block
            if best is None:
                return None
            try:
                self.waiting.remove(best)
            except ValueError:  # another thread took it
                continue
            return best


_size = operator.attrgetter("size")


class _Lease:
    """What an array holds of a block; the array's views hold the array."""

    def __init__(self, memory: Memory, block: _Block, shape: tuple[int, ...], dtype: np.dtype):
        self.memory, self.block = memory, block
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (block.address, False),
        }

    def __del__(self):
        self.memory.give(self.block)


shared = Memory()


class _Thread(threading.local):
    """Where a thread's arrays come from."""

    memory = shared


_thread = _Thread()
