"""A caching allocator for outputs, masks and work buffers, as PyTorch has one for GPUs.

A fresh array of some megabytes costs more than the kernel that fills it: the system hands its pages over one by
one, each set to zero, and takes them back when it dies (measured: half of the time of VGG-16's second layer).  So
when the last array that lies in a block of memory dies, the block goes on a free list, for the next array of about
its size.
"""

from __future__ import annotations

import math
import operator
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minicnn.errors import DeviceMemoryError

__all__ = ["Memory", "empty", "empty_cache", "out_of_memory_error", "shared", "without_lease"]

MIN_POOLED_BYTES = 1 << 17  # below which an array is NumPy's own: the C library keeps its memory anyway
MAX_FREE_BYTES = 1 << 29  # on the free list; what has been there longest goes first
CACHE_LINE = 64  # bytes; every block begins at one


def empty(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> np.ndarray:
    """Return an array of unset values, like ``np.empty``, in memory that was used before where some is free.

    Raises
    ------
    DeviceMemoryError
        If the system has no memory left for it.

    """
    dtype, memory = np.dtype(dtype), _thread.memory
    size = math.prod(shape) * dtype.itemsize
    if size < memory.small:
        return np.empty(shape, dtype)
    # NumPy keeps the lease as the array's base, so that it lives as long as the last view
    return np.asarray(_Lease(memory, memory.allocate(size), shape, dtype))


def out_of_memory_error(what: str) -> DeviceMemoryError:
    """Return the error that says what there was no memory for."""
    return DeviceMemoryError(f"the computer's memory is full: {what}; give fewer or smaller images at a time")


def empty_cache() -> None:
    """Give the memory of the free list back to the system."""
    # blocks that are in use come back to the list later
    shared.free_blocks.clear()


def without_lease(value: Any) -> Any:
    """Return a view of an array's memory that does not keep it from its next use; in tuples and the like, too.

    Any other value is returned as it is.
    """
    if isinstance(value, np.ndarray):
        # a view's base is what it was taken from, an array or, at the end of the chain, the lease
        lease = value
        while isinstance(lease, np.ndarray):
            lease = lease.base
        if not isinstance(lease, _Lease):
            return value
        # the same bytes, seen through the block's own array: it stays alive, but free for other arrays
        memory = lease.block.memory
        offset = value.ctypes.data - memory.ctypes.data
        return np.ndarray(value.shape, value.dtype, memory, offset, value.strides)
    if type(value) in (tuple, list):
        return type(value)(map(without_lease, value))
    return {name: without_lease(item) for name, item in value.items()} if type(value) is dict else value


class _Block:
    """A piece of memory, and the address of its first byte on a cache line."""

    def __init__(self, size: int):
        try:
            # one line more than asked for, since NumPy's memory may begin within a line
            self.memory = np.empty(size + CACHE_LINE, np.uint8)
        except MemoryError:
            raise out_of_memory_error(f"{size / 1e6:,.0f} MB were needed for one more array") from None
        self.size = size
        address = self.memory.ctypes.data
        # up to the next line: -address % CACHE_LINE bytes are missing to it
        self.address = address + -address % CACHE_LINE


class Memory:
    """A free list of blocks, and arrays that lie in them.

    A lease may end at any moment, on any thread; there is no lock, since each step on the list is atomic.

    Parameters
    ----------
    small : int
        Bytes below which an array is NumPy's own.
    source : Memory, optional
        Whose free blocks to take where none is free here, before new ones.
    limit : int
        Bytes that ``size`` may reach before a capture that uses it ends.

    Attributes
    ----------
    free_blocks : list of blocks, the one that has been there longest first
    size : int
        Bytes of all blocks that were made, or taken from ``source``.

    """

    def __init__(self, small: int = MIN_POOLED_BYTES, source: Memory | None = None, limit: int = sys.maxsize):
        self.small, self.source, self.limit = small, source, limit
        self.free_blocks: list[_Block] = []
        self.size = 0

    def allocate(self, size: int) -> _Block:
        """Return a block of at least ``size`` bytes."""
        block = self._reuse(size)
        if block is None:
            # a block from the source stays here for good, and counts as if it were new; of this very size alone,
            # so that what a pass takes doesn't depend on what ran before it
            block = (self.source and self.source._reuse(size, slack=1)) or _Block(size)
            self.size += block.size
        return block

    def free(self, block: _Block) -> None:
        """Put a block on the free list."""
        # a larger one would drive out all others, and still not fit
        if block.size <= MAX_FREE_BYTES:
            self.free_blocks.append(block)
            while sum(map(_size, list(self.free_blocks))) > MAX_FREE_BYTES:
                try:
                    self.free_blocks.pop(0)
                except IndexError:  # another thread took it
                    break

    @contextmanager
    def use(self) -> Iterator[None]:
        """Context in which this thread's arrays come from here."""
        before, _thread.memory = _thread.memory, self
        try:
            yield
        finally:
            _thread.memory = before

    def _reuse(self, size: int, slack: int = 4) -> _Block | None:
        """Take the smallest free block that holds ``size`` bytes, but not more than ``slack`` times as much."""
        while True:
            best = None
            # a copy, since other threads may change the list meanwhile
            for block in list(self.free_blocks):  # of the same size the last, which a cache may still hold
                if size <= block.size <= slack * size and (best is None or block.size <= best.size):
                    best = block
            if best is None:
                return None
            # several threads may have chosen the same block: it belongs to the one that removes it
            try:
                self.free_blocks.remove(best)
            except ValueError:  # another thread took it
                continue
            return best


_size = operator.attrgetter("size")


class _Lease:
    """What an array, and through it each of its views, holds of a block; when it dies, the block is free."""

    def __init__(self, memory: Memory, block: _Block, shape: tuple[int, ...], dtype: np.dtype):
        self.memory, self.block = memory, block
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (block.address, False),
        }

    def __del__(self) -> None:
        self.memory.free(self.block)


shared = Memory()


class _Thread(threading.local):
    """Where a thread's arrays come from."""

    memory = shared


_thread = _Thread()
