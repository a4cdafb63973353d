"""Work stealing: each thread does its own tasks, then takes those of others, so that none waits for a busy core.

    def _tasks_of_thread(thread, counter, ...):  # one for each thread
        task = take(counter, thread, count)
        while task < count:
            ...
            task = take(counter, thread, count)

The pool gives each thread its share beforehand, and then the whole waits for the slowest.  Here a thread
begins with the same share, which the last kernel may have left in its core's cache.  Which thread does a task in
the end is left to chance; what a task writes must not depend on it.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.runtime.recorder import record_call
from minicnn.kernels.cpu.runtime.thread_pool import num_threads

__all__ = ["new_counter", "take"]


def new_counter() -> np.ndarray:
    """Return how many tasks have been taken of each thread's share: none."""
    counter = np.empty(num_threads(), np.int64)
    record_call(counter.fill, 0)
    return counter


@intrinsic
def _take(typingctx, counter, share):
    """Add 1 to ``counter[share]`` and return what was there, as one step that no other thread comes between."""

    def codegen(context, builder, sig, args):
        # monotonic, the weakest order, will do: no other data passes between threads through the counter
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", builder.gep(data, [args[1]]), ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter, types.int64), codegen


@inner
def take(counter, thread, count):
    """Return a thread's next task: of its own share, or of another's; ``count`` if none is left."""
    shares = len(counter)
    for i in range(shares):
        share = (thread + i) % shares
        # share s has the tasks from count s // shares on; the counter of an exhausted one grows on harmlessly
        task = count * share // shares + _take(counter, share)
        if task < count * (share + 1) // shares:
            return task
    return count
