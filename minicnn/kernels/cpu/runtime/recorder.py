"""Calls that are made and noted, so that a pass can be made again without the code that led to them (``replay``).

    noted(function, *args)     a call that writes to some of its arguments
    again(function, *args)     a call that returns new arrays: made again, it fills these

Where nothing takes notes, both only call.  Notes end where the memory that arrays then come from becomes large.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.kernels.cpu.runtime.allocator import Memory, empty, no_memory, unleased

__all__ = ["capture", "record", "record_call", "record_result", "replay"]

Calls = list[tuple[Callable, tuple]]


class _Thread(threading.local):
    """The notes that a thread takes, and where its arrays come from meanwhile."""

    calls: Calls | None = None
    memory: Memory | None = None


_thread = _Thread()


@contextmanager
def capture(calls: Calls, memory: Memory) -> Iterator[None]:
    """Context in which this thread's calls are noted in a list, and arrays come from ``memory``.

    Once this has more than its ``most`` bytes, the list is emptied, and no more calls are noted.
    """
    before = _thread.calls, _thread.memory
    _thread.calls, _thread.memory = calls, memory
    try:
        with memory.lending():
            yield
    finally:
        _thread.calls, _thread.memory = before


def record(function: Callable, *args: Any) -> None:
    """Note a call that was made."""
    if _thread.calls is None:
        return
    if _thread.memory.size > _thread.memory.most:
        _thread.calls.clear()  # arrays that are in none of its arguments any more are used again at once
        _thread.calls = None
        return
    # arguments that are not used any more must not keep memory from its next use, as they don't otherwise
    _thread.calls.append((function, unleased(args)))


def record_call(function: Callable, *args: Any) -> None:
    """Call a function that writes to its arguments, and note it."""
    function(*args)
    record(function, *args)


def record_result(function: Callable, *args: Any, **kwargs: Any) -> Any:
    """Return a function's new arrays, or views of its arguments; note that it is to be called again for these."""
    if _thread.calls is None:
        return function(*args, **kwargs)
    calls, _thread.calls = _thread.calls, None
    try:
        found = function(*args, **kwargs)
    finally:
        _thread.calls = calls
    given = [*_arrays(args), *_arrays(tuple(kwargs.values()))]
    if all(_shared(array, given) for array in _arrays(found)):
        return found
    found = _kept(found)
    record(_fill, found, function, args, kwargs)
    return found


def replay(calls: Calls) -> None:
    """Make all calls again.

    Raises
    ------
    DeviceMemoryError
        If there is no room for what one of them needs.

    """
    try:
        for function, args in calls:
            function(*args)
    except MemoryError:
        raise no_memory("a kernel found no room for its work") from None


def _fill(results: Any, function: Callable, args: tuple, kwargs: dict) -> None:
    for array, value in zip(_arrays(results), _arrays(function(*args, **kwargs)), strict=True):
        np.copyto(array, value)


def _kept(value: Any) -> Any:
    """Return a copy of the arrays in memory that is counted, and used again once they are not needed."""
    if isinstance(value, tuple | list):
        return type(value)(map(_kept, value))
    if not isinstance(value, np.ndarray):
        return value
    copy = empty(value.shape, value.dtype)
    np.copyto(copy, value)
    return copy


def _arrays(value: Any) -> list[np.ndarray]:
    if isinstance(value, tuple | list):
        return [array for one in value for array in _arrays(one)]
    return [value] if isinstance(value, np.ndarray) else []


def _shared(array: np.ndarray, others: list[np.ndarray]) -> bool:
    return any(np.may_share_memory(array, other) for other in others)
