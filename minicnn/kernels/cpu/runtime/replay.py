"""A pass over maps of one shape as a list of calls: noted once, and then made again for other values.

Between the kernels of a pass runs the Python of layers and operations: which algorithm, which sizes, which
buffers.  For one network and one shape of input the answers are always the same, so they are found once.  The
list holds compiled kernels with their arguments, among them the buffers, which are the list's own; a new input is
copied into the first of them.

Operations of ``kernels`` that are not compiled, or look at values, are called again as a whole.  Weights are read
where they lie, so that a change in place counts.  What layers compute by themselves is not noted: see
``layers.transforms.fuse.is_capturable``.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import numpy as np

from minicnn.kernels import cpu
from minicnn.kernels.cpu.runtime.allocator import Memory, empty, shared
from minicnn.kernels.cpu.runtime.recorder import capture, record_result, replay
from minicnn.kernels.cpu.runtime.thread_pool import num_threads

__all__ = ["PassCache"]

# operations that note the calls they make
NOTED = {
    "add",
    "conv2d",
    "conv2d_input_grad",
    "conv2d_relu",
    "conv2d_relu_input_grad",
    "max_pool2d",
    "max_pool2d_input_grad",
    "relu",
    "relu6",
    "relu_input_grad",
}
MOST = 8  # passes of a network that are kept, with
ALL = 1 << 27  # bytes at most together; what was used longest ago goes first
LARGE = 1 << 25  # a pass with more bytes than this is not noted: of its time Python takes a small part


class Replayable(Protocol):
    """What is noted: forward, and back from what it kept, by the operations of ``kernels``."""

    kernels: Any

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y."""

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx."""


class PassCache:
    """Passes of one network: the first of a kind is left as it is, the second noted, and repeated ever after.

    To be used inside of ``threads.parallel()``, and by one thread at a time.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, _Noted | str] = OrderedDict()

    @contextmanager
    def of(self, kind: Hashable, one: Replayable) -> Iterator[Replayable]:
        """Give what to run in the place of a pass; those of one kind do the same with inputs of one shape."""
        kind = kind, num_threads()
        known = self._known.pop(kind, "new")
        if known == "seen":
            known = _Noted(one)
        try:
            yield known if isinstance(known, _Noted) else one
        finally:
            too_large = _size(known) > LARGE
            self._known[kind] = "large" if too_large else "seen" if known == "new" else known
            while len(self._known) > MOST or sum(map(_size, self._known.values())) > ALL:
                self._known.popitem(last=False)


def _size(known: "_Noted | str") -> int:
    return known.memory.size if isinstance(known, _Noted) else 0


class _Noted:
    """A pass as lists of calls, one forward and one back; the buffers in these arguments are its own."""

    def __init__(self, one: Replayable):
        self.memory = Memory(small=0, source=shared, most=LARGE)
        self._pass, self._lists = one, {}

    def forward(self, x):
        return self._run(self._pass.forward, x)

    def backward(self, dy):
        return self._run(self._pass.backward, dy)

    def _run(self, function, x):
        name = function.__name__
        if name in self._lists:
            given, calls, found = self._lists[name]
            np.copyto(given, x)
            replay(calls)
        else:
            given, calls, found = self._note(function, x)
            if self.memory.size <= LARGE:
                self._lists[name] = given, calls, found
        result = empty(found.shape, found.dtype)
        np.copyto(result, found)
        return result

    def _note(self, function, x):
        calls, plain = [], self._pass.kernels
        self._pass.kernels = _Noting()
        try:
            with capture(calls, self.memory):
                given = empty(x.shape)
                np.copyto(given, x)
                return given, calls, function(given)
        finally:
            self._pass.kernels = plain


class _Noting:
    """The operations of this device, each of which notes its calls, or that it is to be called again."""

    def __getattr__(self, name: str) -> Callable:
        operation = getattr(cpu, name)
        return operation if name in NOTED else partial(record_result, operation)
