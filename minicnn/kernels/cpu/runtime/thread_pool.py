"""One pool of threads: Numba's, with the BLAS below it held to a single thread.

Compiled kernels share their work among Numba's threads (see ``parallel_for``), and call BLAS there.  A BLAS with
threads of its own would fight that pool for the cores (measured: twice as slow), and its sums would depend on
their number.  So every kernel runs inside ``parallel()``, which

- takes the process's one lock: Numba's simplest threading layer aborts when two Python threads enter it at once,
  and taking turns on the cores is faster than sharing each of them;
- holds BLAS to one thread, and Numba to ``num_threads()``; the outermost exit gives both back as they were, so
  that a user's own linear algebra keeps its threads;
- keeps the pool's threads off this thread's core (see ``affinity``).

After ``os.fork`` GNU OpenMP, the layer that Numba prefers, ends the child at its first parallel loop.  There
kernels run on one thread: the same bits.
"""

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import scipy

from minicnn.errors import DeviceError
from minicnn.kernels.cpu.runtime.affinity import avoid_core

__all__ = ["num_threads", "parallel", "set_num_threads"]

VARIABLES = ("MINICNN_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS")

# (set, get) in OpenBLAS as SciPy's wheels name it, in OpenBLAS itself, in MKL, in BLIS
BLAS_FUNCTIONS = (
    ("scipy_openblas_set_num_threads", "scipy_openblas_get_num_threads"),
    ("scipy_openblas_set_num_threads64_", "scipy_openblas_get_num_threads64_"),
    ("openblas_set_num_threads", "openblas_get_num_threads"),
    ("openblas_set_num_threads64_", "openblas_get_num_threads64_"),
    ("MKL_Set_Num_Threads", "MKL_Get_Max_Threads"),
    ("bli_thread_set_num_threads", "bli_thread_get_num_threads"),
)


def num_threads() -> int:
    """Threads that kernels run on.

    The number given to ``set_num_threads``; else the first of the environment variables MINICNN_NUM_THREADS,
    NUMBA_NUM_THREADS and OMP_NUM_THREADS; else one a core.  Never more than Numba started with.

    Raises
    ------
    DeviceError
        If the variable does not hold a whole number of at least 1.

    """
    # the environment is read when first needed, not at import
    if _region.threads is None:
        _region.threads = min(_from_environment(), numba.config.NUMBA_NUM_THREADS)
    return _region.threads


def set_num_threads(count: int | None) -> None:
    """Run kernels on ``count`` threads from now on, in the whole process; None asks the environment again.

    Raises
    ------
    DeviceError
        If ``count`` is less than 1 or more than Numba started with.

    """
    limit = numba.config.NUMBA_NUM_THREADS
    if count is not None and not 1 <= count <= limit:
        raise DeviceError(
            f"set_num_threads: expected 1 to {limit} threads, got {count}; "
            "for more, set NUMBA_NUM_THREADS before Python starts"
        )
    _region.threads = count


def parallel() -> "_Region":
    """Context in which compiled kernels may run; it may be entered again by the thread that is inside.

    A kernel enters it by itself.  Entering it once around many kernels saves a few microseconds for each.
    """
    return _region


class _Region:
    """The lock, and what it protects."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.depth = 0
        self.threads: int | None = None  # of the pool, once known
        self.single_threaded = False  # a forked child, in which the pool can't run
        # (function, number of threads) that restore what the outermost entry changed
        self.undo: list[tuple[Callable[[int], Any], int]] = []

    def __enter__(self) -> None:
        self.lock.acquire()
        self.depth += 1
        try:
            if self.depth == 1:
                self._limit_threads()
        except BaseException:
            # where ``__enter__`` raises, ``with`` calls no ``__exit__``: the lock would stay taken
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        self.depth -= 1
        while self.depth == 0 and self.undo:
            set_threads, count = self.undo.pop()
            set_threads(count)
        self.lock.release()

    def _limit_threads(self) -> None:
        count = 1 if self.single_threaded else num_threads()
        for set_threads, get_threads, limit in (
            (*_blas(), 1),
            (numba.set_num_threads, numba.get_num_threads, count),
        ):
            before = get_threads()
            if before != limit:
                set_threads(limit)
                self.undo.append((set_threads, before))
        # at each outermost entry, since the system may have moved this thread in between
        avoid_core(count)

    def after_fork_in_child(self) -> None:
        # before the first parallel loop there is no layer: the child then starts a pool of its own
        self.single_threaded = self.single_threaded or _layer() == "omp"
        if self.single_threaded and self.depth:  # forked inside of the region: its threads did not come along
            numba.set_num_threads(1)
        self.lock.release()


_region = _Region()
if hasattr(os, "register_at_fork"):
    # waiting for the lock before a fork, the child finds no kernel half run and no thread gone with the lock
    os.register_at_fork(
        before=_region.lock.acquire,
        after_in_parent=_region.lock.release,
        after_in_child=_region.after_fork_in_child,
    )


def _layer() -> str | None:
    """Numba's threading layer; None before its first parallel loop."""
    try:
        return numba.threading_layer()
    except ValueError:
        return None


def _from_environment() -> int:
    for name in VARIABLES:
        value = os.environ.get(name)
        # an empty variable counts as unset
        if value:
            if not value.isdecimal() or int(value) < 1:
                raise DeviceError(f"{name}: expected a whole number >= 1, got {value!r}")
            return int(value)
    return numba.config.NUMBA_NUM_THREADS


def _cython_blas() -> ModuleType:
    """SciPy's BLAS as compiled code calls it, alone: the rest of ``scipy.linalg`` takes 0.3 s to import."""
    name = "scipy.linalg.cython_blas"
    if name not in sys.modules:
        # found by its file, so that the package it lies in is not imported
        spec = PathFinder.find_spec(name, [str(Path(scipy.__file__).with_name("linalg"))])
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module  # where Numba finds it
    return sys.modules[name]


@functools.cache
def _blas() -> tuple[Callable[[int], Any], Callable[[], int]]:
    """Functions (set, get) for the number of threads of SciPy's BLAS, which compiled ``np.dot`` calls."""
    cython_blas = _cython_blas()
    # a symbol is searched in what the extension is linked with, but on Windows only in itself
    bundled = Path(scipy.__file__).parents[1].glob("scipy.libs/*openblas*")
    for path in [cython_blas.__file__, *bundled]:
        library = ctypes.CDLL(str(path))
        for setter, getter in BLAS_FUNCTIONS:
            if hasattr(library, setter) and hasattr(library, getter):
                return getattr(library, setter), getattr(library, getter)
    # a BLAS that is none of these, as Apple's: its number of threads is left alone
    return (lambda threads: None), (lambda: 1)
