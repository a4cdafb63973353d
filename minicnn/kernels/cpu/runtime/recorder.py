"""Capture and replay of calls, as in CUDA graphs: a pass runs again without the code that led to its calls.

    record_call(function, *args)       a call that writes to some of its arguments
    record_result(function, *args)     a call that returns new arrays: replayed, it fills these again

Outside of ``capture`` both only call.  A capture ends early where the memory that its arrays come from exceeds its
limit.  An operation of this device that does all its work in recorded calls is marked ``capturable``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from minicnn.kernels.cpu.runtime.allocator import Memory, empty, out_of_memory_error, without_lease

__all__ = ["capturable", "capture", "record", "record_call", "record_result", "replay"]

Calls = list[tuple[Callable[..., Any], tuple[Any, ...]]]
Operation = TypeVar("Operation", bound=Callable[..., Any])


class _Thread(threading.local):
    """What a thread captures: its calls, and the memory that its arrays come from meanwhile."""

    calls: Calls | None = None
    memory: Memory | None = None


_thread = _Thread()


def capturable(operation: Operation) -> Operation:
    """Mark an operation all of whose work is recorded: kernels, and functions called by ``record_*``.

    Its calls are replayed one by one; any other operation is called again as a whole, which takes longer.
    """
    # ``replay`` looks at this to decide how the operation is recorded
    operation.capturable = True  # type: ignore[attr-defined]  # an attribute of a function
    return operation


@contextmanager
def capture(calls: Calls, memory: Memory) -> Iterator[None]:
    """Context in which this thread's calls are recorded in a list, and arrays come from ``memory``.

    Once this holds more bytes than its limit, the list is emptied, and no more calls are recorded.
    """
    before = _thread.calls, _thread.memory
    _thread.calls, _thread.memory = calls, memory
    try:
        with memory.use():
            yield
    finally:
        _thread.calls, _thread.memory = before


def record(function: Callable[..., Any], *args: Any) -> None:
    """Record a call that was made."""
    if _thread.calls is None or _thread.memory is None:
        return
    if _thread.memory.size > _thread.memory.limit:
        _thread.calls.clear()  # arrays that are in none of its arguments any more are used again at once
        _thread.calls = None
        return
    # arguments that are not used any more must not keep memory from its next use, as they don't otherwise
    _thread.calls.append((function, without_lease(args)))


def record_call(function: Callable[..., Any], *args: Any) -> None:
    """Call a function that writes to its arguments, and record the call."""
    function(*args)
    record(function, *args)


def record_result(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a function returns: new arrays, which its replay will fill, or views of its arguments."""
    # what is not captured returns its own result: no copy
    if _thread.calls is None:
        return function(*args, **kwargs)
    # what the function calls must not be recorded as well: its replay makes those calls itself
    calls, _thread.calls = _thread.calls, None
    try:
        result = function(*args, **kwargs)
    finally:
        _thread.calls = calls
    inputs = [*_arrays(args), *_arrays(tuple(kwargs.values()))]
    if all(_shares_memory(array, inputs) for array in _arrays(result)):
        return result  # views: they change with what they view
    # later calls hold the copy in their arguments, so that a replay must write to that very memory
    result = _copy(result)
    record(_fill, result, function, args, kwargs)
    return result


def replay(calls: Calls) -> None:
    """Make recorded calls again, in their order.

    Raises
    ------
    DeviceMemoryError
        If there is no room for what one of them needs.

    """
    try:
        for function, args in calls:
            function(*args)
    except MemoryError:
        raise out_of_memory_error("a kernel could not allocate its work buffers") from None


def _fill(results: Any, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    # called again, the function returns new arrays, which are copied to where the first ones were
    for array, value in zip(_arrays(results), _arrays(function(*args, **kwargs)), strict=True):
        np.copyto(array, value)


def _copy(value: Any) -> Any:
    """Return a copy of the arrays in memory that is counted, and used again once they are not needed."""
    if isinstance(value, tuple | list):
        return type(value)(map(_copy, value))
    if not isinstance(value, np.ndarray):
        return value
    copy = empty(value.shape, value.dtype)
    np.copyto(copy, value)
    return copy


def _arrays(value: Any) -> list[np.ndarray]:
    if isinstance(value, tuple | list):
        return [array for item in value for array in _arrays(item)]
    return [value] if isinstance(value, np.ndarray) else []


def _shares_memory(array: np.ndarray, others: list[np.ndarray]) -> bool:
    return any(np.may_share_memory(array, other) for other in others)
