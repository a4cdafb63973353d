"""Passes over maps of one shape, captured as a list of calls and replayed for other values, as CUDA graphs are.

Between the kernels of a pass runs the Python of layers and operations: which algorithm, which sizes, which
buffers.  For one network and one shape of input the answers are always the same, so they are worked out once.  The
list holds compiled kernels with their arguments, among them the buffers, which are the list's own; a new input is
copied into the first of them.

Operations of ``kernels`` that are not ``capturable``, since they are not compiled or look at values, are called
again as a whole.  Weights are read where they lie, so that a change in place counts.  What layers compute by
themselves is not recorded: see ``Layer.capturable``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from minicnn.kernels import cpu
from minicnn.kernels.cpu.runtime.allocator import Memory, empty, shared
from minicnn.kernels.cpu.runtime.recorder import Calls, capture, record_result, replay
from minicnn.kernels.cpu.runtime.thread_pool import num_threads

__all__ = ["CapturedPass", "PassCache"]

MAX_PASSES = 8  # of a network that are kept, with
MAX_BYTES = 1 << 27  # at most together; what was used longest ago goes first
MAX_PASS_BYTES = 1 << 25  # a pass with more is not captured: of its time Python takes a small part


class Replayable(Protocol):
    """What is captured: forward, and back from what it kept, by the operations of ``kernels``."""

    kernels: Any

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y."""

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx."""


class _Uncaptured(Enum):
    """What is kept of a pass in place of its capture."""

    SEEN_ONCE = 1  # the next one is captured
    TOO_LARGE = 2


class PassCache:
    """Passes of one network: the first of a kind only runs, the second is captured, the following are replayed.

    To be used inside of ``thread_pool.parallel()``, and by one thread at a time.
    """

    def __init__(self) -> None:
        self._passes: OrderedDict[Hashable, CapturedPass | _Uncaptured] = OrderedDict()

    @contextmanager
    def get(self, kind: Hashable, network_pass: Replayable) -> Iterator[Replayable | CapturedPass]:
        """Give what to run in the place of a pass; those of one kind do the same with inputs of one shape."""
        # counters of work stealing, which are in the arguments, have one entry a thread
        kind = kind, num_threads()
        # taken out and put back: the passes are in the order of their last use
        cached = self._passes.pop(kind, None)
        if cached is _Uncaptured.SEEN_ONCE:
            cached = CapturedPass(network_pass)
        try:
            yield cached if isinstance(cached, CapturedPass) else network_pass
        finally:
            # one pass alone does not pay for its capture: the next one of the kind will
            if cached is None:
                cached = _Uncaptured.SEEN_ONCE
            elif _size(cached) > MAX_PASS_BYTES:
                cached = _Uncaptured.TOO_LARGE
            self._passes[kind] = cached
            while len(self._passes) > MAX_PASSES or sum(map(_size, self._passes.values())) > MAX_BYTES:
                self._passes.popitem(last=False)


def _size(cached: CapturedPass | _Uncaptured) -> int:
    return cached.memory.size if isinstance(cached, CapturedPass) else 0


class _Recording(NamedTuple):
    """One direction of a pass: the calls that compute ``output`` from what is copied into ``input``."""

    input: np.ndarray
    calls: Calls
    output: np.ndarray


class CapturedPass:
    """A pass as two recordings, one forward and one backward; the buffers in their arguments are its own."""

    def __init__(self, network_pass: Replayable):
        # even small arrays are blocks, so that all of the pass's buffers are counted and used again
        self.memory = Memory(small=0, source=shared, limit=MAX_PASS_BYTES)
        self._pass = network_pass
        self._recordings: dict[str, _Recording] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y."""
        return self._run(self._pass.forward, x)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Return dx."""
        return self._run(self._pass.backward, dy)

    def _run(self, function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
        name = function.__name__
        if name in self._recordings:
            recording = self._recordings[name]
            # the calls know the buffer, not x
            np.copyto(recording.input, x)
            replay(recording.calls)
        else:
            recording = self._capture(function, x)
            # beyond the limit the recorder stopped, and the list is not the whole pass
            if self.memory.size <= MAX_PASS_BYTES:
                self._recordings[name] = recording
        # the output buffer is written again by the next replay: the caller gets a copy
        result = empty(recording.output.shape, recording.output.dtype)
        np.copyto(result, recording.output)
        return result

    def _capture(self, function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> _Recording:
        calls: Calls = []
        # for the time of the capture the pass computes with operations that record themselves
        kernels, self._pass.kernels = self._pass.kernels, _RecordingKernels()
        try:
            with capture(calls, self.memory):
                buffer = empty(x.shape)
                np.copyto(buffer, x)
                # the recording holds input and output, so that no other array takes their memory
                return _Recording(buffer, calls, function(buffer))
        finally:
            self._pass.kernels = kernels


class _RecordingKernels:
    """The operations of this device, each of which records its calls, or is recorded as one call itself."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = getattr(cpu, name)
        return operation if getattr(operation, "capturable", False) else partial(record_result, operation)
