"""Numba's CUDA simulator with a scheduler of our own: any order of blocks and threads, and quick enough for tests.

Numba's own runs all threads of a block at once and polls them.  Here they run one at a time, in a shuffled order,
each up to the next barrier: with a barrier missing, some order reads what is not there yet.  Warp shuffles, which
Numba's does not have, are barriers of 32 threads.
"""

import os
import pkgutil
import sys
import threading
from importlib import import_module
from typing import ClassVar

os.environ["NUMBA_ENABLE_CUDASIM"] = "1"

import numpy as np
from numba import types
from numba.cuda.simulator import kernel as simulated
from numba.cuda.simulator import kernelapi
from numba.np import numpy_support

WARP = 32


class _Thread(threading.Thread):
    """One CUDA thread: it runs while it holds the turn, and gives it back at each barrier and at its end."""

    def __init__(self, work, block, thread, dims):
        super().__init__(target=work, daemon=True)
        self.blockIdx, self.threadIdx = kernelapi.Dim3(*block), kernelapi.Dim3(*thread)
        self.thread_id = thread[0] + dims[0] * (thread[1] + dims[1] * thread[2])
        self.turn, self.back = threading.Lock(), threading.Lock()
        self.turn.acquire()
        self.back.acquire()
        self.done, self.exception, self.waits_for, self.offered = False, None, None, []

    def run(self):
        self.turn.acquire()
        try:
            super().run()
        except Exception as error:
            self.exception = error
        self.done = True
        self.back.release()

    def syncthreads(self):
        self._wait("block")

    def shuffled_down(self, value, delta):
        """Value of the thread ``delta`` further in the warp; beyond its end, of this one."""
        self.offered.append(value)  # one for each shuffle, so that none is written over before all have read
        self._wait("warp")
        if self.thread_id % WARP + delta >= WARP:
            return value
        return self.mates[self.thread_id + delta].offered[len(self.offered) - 1]

    def _wait(self, for_what):
        self.waits_for = for_what
        self.back.release()
        self.turn.acquire()

    def go_on(self):
        """Let it run up to its next barrier or its end."""
        self.turn.release()
        self.back.acquire()
        if self.exception is not None:
            raise self.exception


class Blocks:
    """What the simulator calls for each block of a launch."""

    rng = np.random.default_rng(0)
    ran: ClassVar[set] = set()  # code of the kernels that were launched

    def __init__(self, function, grid_dim, block_dim, debug):
        self.function, self._grid_dim, self._block_dim = function, grid_dim, block_dim

    def run(self, block, *args):
        self.ran.add(self.function.__code__)
        points = list(np.ndindex(*self._block_dim))
        order = [points[i] for i in self.rng.permutation(len(points))]
        if "syncthreads" not in _names(self.function):
            _alone(self.function, args, block, order, self._block_dim)
            return
        threads = [_Thread(lambda: self.function(*args), block, p, self._block_dim) for p in order]
        mates = {thread.thread_id: thread for thread in threads}
        for thread in threads:
            thread.mates = mates
            thread.start()
        while threads:
            ready = _ready(threads)
            assert ready, "threads of a block, or of a warp, wait at barriers that the others never reach"
            for thread in ready:
                thread.go_on()
            left = [thread for thread in threads if not thread.done]
            assert len(left) in (0, len(threads)), "some threads of the block ended, others wait at a barrier"
            threads = left


def _ready(threads):
    """Those whose barrier all threads of their block, or of their warp, have come to."""
    if len({thread.waits_for for thread in threads}) == 1 and threads[0].waits_for != "warp":
        return threads
    late = {thread.thread_id // WARP for thread in threads if thread.waits_for != "warp"}
    return [thread for thread in threads if thread.thread_id // WARP not in late]


def _shuffled_down(mask, value, delta):
    assert mask == 0xFFFFFFFF, "all threads of a warp take part"
    return threading.current_thread().shuffled_down(value, delta)


def _names(function):
    """Names that a kernel and the device functions it calls use."""
    names = set(function.__code__.co_names)
    closed = [cell.cell_contents for cell in function.__closure__ or ()]
    for used in [*(function.__globals__.get(name) for name in names), *closed]:
        if isinstance(used, simulated.FakeCUDAKernel):
            names |= _names(used.fn)
    return names


def kernels():
    """Code of every kernel of device "cuda", whatever tile or type it is made for."""
    import minicnn.kernels.cuda as package

    parts = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    modules = [import_module(part.name) for part in parts]
    named = [value for module in modules for value in vars(module).values()]
    made = [*named, *(each for table in named if isinstance(table, dict) for each in table.values())]
    codes = {k.fn.__code__ for k in made if isinstance(k, simulated.FakeCUDAKernel) and not k._device}
    assert len(codes) > 30
    return codes


def _alone(function, args, block, order, dims):
    """Run threads that never wait for each other one after the other."""
    me = threading.current_thread()
    me.blockIdx = kernelapi.Dim3(*block)
    for thread in order:
        me.threadIdx = kernelapi.Dim3(*thread)
        me.thread_id = thread[0] + dims[0] * (thread[1] + dims[1] * thread[2])
        function(*args)


def shuffled(*shape):
    """Blocks of a grid in a random order, or the threads' places in theirs."""
    points = list(np.ndindex(*shape))
    return [points[i] for i in Blocks.rng.permutation(len(points))]


class _NumPy:
    """NumPy as the simulator sees it, whose grids come shuffled."""

    ndindex = staticmethod(shuffled)

    def __getattr__(self, name):
        return getattr(np, name)


def _shared(self, shape, dtype, alignment=None):
    """Array in a block's shared memory, at first NaN or the least number; each line that asks has its own."""
    frame = sys._getframe(1)
    place = frame.f_code, frame.f_lineno, tuple(threading.current_thread().blockIdx)
    if place not in self._allocations:
        dtype = np.dtype(numpy_support.as_dtype(dtype) if isinstance(dtype, types.Type) else dtype)
        unset = np.nan if dtype.kind == "f" else np.iinfo(dtype).min
        self._allocations[place] = np.full(shape, unset, dtype)
    return self._allocations[place]


def install():
    """Put our scheduler in the simulator's place; arrays in shared memory may say how they are aligned."""
    kernelapi.FakeCUDAShared.array = _shared
    kernelapi.FakeCUDAModule.shfl_down_sync = staticmethod(_shuffled_down)
    simulated.BlockManager = Blocks
    simulated.np = _NumPy()
