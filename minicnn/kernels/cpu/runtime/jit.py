"""A compiled kernel: a plain function with its argument types, compiled when it is first called.

    @inner
    def _row(o, weight, x, y):
        ...

    @kernel(reads(2), reads(1), writes(1))
    def _rows(weight, x, y):
        parallel_for(_row, len(y), (weight, x, y))

A kernel returns nothing, has one signature, and shares work among threads, in parts that don't depend on their
number: each part writes its own outputs, in a fixed order, so that the same input gives the same bits.  Functions
called from inside a kernel are ``inner`` functions.
"""

import pkgutil
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import numba
from numba.core.types import Array, Type, float32, void

from minicnn.errors import DeviceError
from minicnn.kernels.cpu.runtime.allocator import out_of_memory_error
from minicnn.kernels.cpu.runtime.cache import KernelCache, lock
from minicnn.kernels.cpu.runtime.recorder import record
from minicnn.kernels.cpu.runtime.thread_pool import parallel

__all__ = ["Kernel", "compiled_names", "inner", "kernel", "reads", "warm_up", "writes"]

# where all kernels are: the package ``kernels.cpu``, of which this one is a part
PACKAGE = __name__.rpartition(".")[0].rpartition(".")[0]

# a function that only kernels call: without the two wrappers for other callers, a sixth of compiling is saved
inner = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)


def reads(ndim: int, dtype: Type = float32) -> Array:
    """Type of a C-ordered array that a kernel only reads: writable arrays and read-only ones both fit."""
    # Numba converts a writable array to a read-only one, but not the other way round
    return Array(dtype, ndim, "C", readonly=True)


def writes(ndim: int, dtype: Type = float32) -> Array:
    """Type of a C-ordered array that a kernel writes."""
    return Array(dtype, ndim, "C")


def kernel(*arguments: Type, serial: bool = False) -> Callable[[Callable], "Kernel"]:
    """Make a function whose arguments have these Numba types a ``Kernel``."""
    return lambda function: Kernel(function, arguments, serial=serial)


class Kernel:
    """A function compiled for one signature, run inside ``thread_pool.parallel()``.

    Parameters
    ----------
    function : function that Numba can compile, returning nothing
    arguments : the types of its arguments
    serial : whether it uses neither the pool nor BLAS: then several Python threads may run it at once

    """

    def __init__(self, function: Callable, arguments: tuple[Type, ...], *, serial: bool = False):
        self.function = function
        self.arguments = arguments
        self.serial = serial
        self.name = f"{function.__module__.removeprefix(PACKAGE + '.')}.{function.__qualname__}"
        self._compiled: Callable | None = None

    def __call__(self, *args: Any) -> None:
        """Run; compile first, or load what an earlier process compiled, where that was not done yet.

        Raises
        ------
        DeviceMemoryError
            If a part of the work can't allocate its buffers: batches are then split.

        """
        with nullcontext() if self.serial else parallel():
            run = self._compiled or self.compile()
            try:
                run(*args)
            except MemoryError:
                raise out_of_memory_error(f"the kernel {self.name} could not allocate its work buffers") from None
            record(run, *args)

    def compile(self) -> Callable:
        """Return the compiled function; called ahead of the first call, that one need not wait."""
        with parallel():
            return self._compiled or self._compile()

    def _compile(self) -> Callable:
        # nogil lets other Python threads run; with NumPy's error model a division by 0 is infinite, not an error
        dispatcher = numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)(self.function)
        progress = _Progress(self.name)
        # ``cache=True`` would choose Numba's own folder
        dispatcher._cache = KernelCache(self.function, progress.start)
        with lock(self.name):  # while one process compiles, the others wait for its file
            dispatcher.compile(void(*self.arguments))
        progress.end()
        # other types are a mistake of the caller: an error now, rather than a slow compilation
        dispatcher.disable_compile()
        self._compiled = dispatcher
        return dispatcher


def warm_up(progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> float:
    """Compile every kernel of this device, so that later processes find them in the cache.

    Parameters
    ----------
    progress : called with (number done, number in all, name of the next) before each kernel

    Returns
    -------
    seconds : float

    Raises
    ------
    DeviceError
        If there is no folder to keep them in.

    """
    from minicnn.kernels.cpu.runtime import cache

    if cache.folder() is None:
        raise DeviceError("warm-up: there is no folder to keep compiled kernels in; set MINICNN_CACHE_DIR to one")
    package = import_module(PACKAGE)
    # kernels exist once their module is imported
    for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."):
        import_module(module.name)
    start, kernels = time.perf_counter(), _kernels()
    for done, item in enumerate(kernels):
        progress(done, len(kernels), item.name)
        item.compile()
    return time.perf_counter() - start


def compiled_names() -> list[str]:
    """Names of the kernels that this process has compiled or loaded."""
    return sorted(item.name for item in _kernels() if item._compiled)


def _kernels() -> list[Kernel]:
    modules = [module for name, module in sys.modules.items() if name.startswith(f"{PACKAGE}.")]
    # a kernel that several modules import is one kernel
    values = {id(value): value for module in modules for value in vars(module).values()}
    return sorted((v for v in values.values() if isinstance(v, Kernel)), key=lambda item: item.name)


class _Progress:
    """One line on stderr while kernels are compiled: rewritten on a terminal, written once elsewhere."""

    started = 0

    def __init__(self, name: str):
        self.name, self.running = name, False

    def start(self) -> None:
        self.running = True
        _Progress.started += 1
        # as under pythonw, without a console
        if sys.stderr is None:
            return
        line = "minicnn: compiling kernels, once on this machine"
        if sys.stderr.isatty():
            print(f"\r{line}: {_Progress.started} ({self.name}) ...", end="\033[K", file=sys.stderr, flush=True)
        elif _Progress.started == 1:
            print(f"{line} ...", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.running and sys.stderr is not None and sys.stderr.isatty():
            print("\r", end="\033[K", file=sys.stderr, flush=True)
