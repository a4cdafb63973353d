"""The pool's threads keep off the core of the thread that hands out the work.

Linux may wake a thread up on the core of its waker, whose caches hold what it will read.  But here the waker goes
on working, and the woken thread gets its first turn when the scheduler next looks at its cores, up to 10 ms later:
a pass after a pause takes as long as on one thread, or longer (measured on two cores: EfficientNet-Lite0 forward
18 ms after 0.2 s, 6 ms with this).  So where a pass begins on another core than the last one, the threads of the
pool are from then on allowed every core that this thread is allowed, but for that one.

Elsewhere than on Linux, and with another pool than OpenMP's, nothing is done.
"""

import ctypes
import functools
import os
import threading
from collections.abc import Callable

import llvmlite.binding
import numba

__all__ = ["avoid_core"]

# what Numba's pool calls, and the pool: see ``parallel_for``
_TASK = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)
_POOL = ctypes.CFUNCTYPE(None, _TASK, *[ctypes.c_void_p] * 4, *[ctypes.c_size_t] * 3)


class _Pool(threading.local):
    """The pool's threads, how many, and the core they avoid; OpenMP has others for each calling thread."""

    count = 0
    ids: tuple[int, ...] = ()
    core = -1


_pool = _Pool()


def avoid_core(count: int) -> None:
    """Keep the other ``count - 1`` threads of the pool off this one's core, until it moves to another."""
    current = _current_core()
    if current is None or count < 2:
        return
    core = current()
    # the usual case: this thread is where it was, and the others already keep off
    if core == _pool.core and count == _pool.count:
        return
    # a smaller team, of a user's own loop, ends threads, whose ids may become anybody's
    if count != _pool.count or not all(os.path.exists(f"/proc/self/task/{id}") for id in _pool.ids):
        # the pool is asked who its threads are by giving it something to do
        _pool.ids, _pool.count = _helpers(count), count
    allowed = os.sched_getaffinity(0)
    _pool.core = core if len(allowed) > 1 else -1  # on a single core all are together, until there are others
    try:
        for thread in _pool.ids:
            os.sched_setaffinity(thread, allowed - {core} or allowed)
    except ProcessLookupError:  # it has just ended
        _pool.count = 0
    except OSError:  # this system does not allow it
        _pool.ids = ()


@functools.cache
def _current_core() -> Callable[[], int] | None:
    """Return the function that says on which core its caller runs; None where cores can't be chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    # of the C library, where it has this function
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)


def _helpers(count: int) -> tuple[int, ...]:
    """Ids of the threads that OpenMP gives to this one, itself left out."""
    ids: set[int] = set()
    # each thread of the pool that runs a part adds its own id, in Python, one at a time
    task = _TASK(lambda *_: ids.add(threading.get_native_id()))
    parts, step = ctypes.c_size_t(count), ctypes.c_size_t(1)
    numba.get_num_threads()  # launches the pool
    if numba.threading_layer() != "omp":
        return ()
    start = ctypes.c_void_p(0)
    pool = _POOL(llvmlite.binding.address_of_symbol("numba_parallel_for"))
    pool(task, ctypes.addressof(start), ctypes.addressof(parts), ctypes.addressof(step), None, 0, 1, count)
    # the calling thread takes a part as well, and must not be moved
    return tuple(ids - {threading.get_native_id()})
