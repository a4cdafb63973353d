"""A service's state: its network, its queue, and whether it takes requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from minicnn.batch.answers import Picture
from minicnn.errors import DeviceError, MinicnnError
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explain.prediction import get_preprocess
from minicnn.images import Preprocess
from minicnn.network import Network
from minicnn.service.answers import answer
from minicnn.service.engine import Engine
from minicnn.service.limits import Limits
from minicnn.service.metrics import Metrics
from minicnn.service.questions import PARAMETERS, TASKS, Question
from minicnn.service.refusals import Refusal

__all__ = ["Service"]


class Service:
    """What the routes share.

    Parameters
    ----------
    net : Network with a ``preprocess``
    limits : Limits
    warms_up : bool, whether one of everything is computed before it is ready

    Raises
    ------
    MinicnnError
        If the network does not say how a picture becomes its input, or takes no pictures.

    """

    def __init__(self, net: Network, limits: Limits, warms_up: bool = True) -> None:
        preprocess = get_preprocess(net)
        if isinstance(preprocess.channels, int):
            raise MinicnnError(f"serve: {net.name} takes {preprocess.channels} channels, which no picture has")
        self.net, self.limits, self.metrics = as_classifier(net), limits, Metrics()
        self.classes = _count_classes(self.net, preprocess)
        self.engine: Engine | None = None
        self.decoders = ThreadPoolExecutor(limits.decoders, "minicnn-decoder")
        self._warms_up = warms_up
        self.state = "warming"  # then "ready", then "closing"
        self.failure: BaseException | None = None
        self._reading = self._places = 0

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered without delay: warmed up, not stopping, and no batch is stuck."""
        return self.state == "ready" and self.engine is not None and not self.engine.is_stuck

    async def start(self) -> None:
        """Warm up, then take requests."""
        self.engine = Engine(self.net, self.limits, self.metrics)
        loop = asyncio.get_running_loop()
        try:
            if self._warms_up:
                await loop.run_in_executor(self.engine.thread, _warm_up, self.net, self.limits.batch)
        except (MinicnnError, MemoryError, OSError) as error:
            self.failure = error
            return
        if self.state == "warming":
            self.state = "ready"
        await self.engine.run()

    def close(self) -> None:
        """Say that it stops; what has begun goes on."""
        self.state = "closing"
        if self.engine is not None:
            self.engine.closing = True

    def show(self) -> None:
        """Bring the gauges up to date."""
        self.metrics.queue.set(self._places)
        self.metrics.reading.set(self._reading)
        self.metrics.ready.set(self.is_ready)
        self.metrics.stuck.set(self.engine is not None and self.engine.is_stuck)

    def check_open(self) -> None:
        """Raise a Refusal unless another request fits."""
        if self.state == "warming":
            raise Refusal("warming", "the service is not ready yet; /ready says when it is")
        if self._places >= self.limits.queue:
            raise Refusal("queue", f"the queue of {self.limits.queue} requests is full; try again")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count a picture that is being received."""
        if self._reading >= self.limits.readers:
            raise Refusal("readers", f"{self.limits.readers} pictures are being received already; try again")
        self._reading += 1
        try:
            yield
        finally:
            self._reading -= 1

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue."""
        self.check_open()
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1


def _count_classes(net: Network, preprocess: Preprocess) -> int:
    x = np.zeros((1, preprocess.depth, *preprocess.size), np.float32)
    return int(net(x).shape[1])


def _warm_up(net: Network, batch: int) -> None:
    """Answer one of everything, so that all kernels are compiled and all plans are made."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
    x, views = get_preprocess(net).batch(pixels, "one")
    if net.device == "reference":  # where nothing is compiled, and a box takes half a minute
        answer(net, Question("predict"), [Picture(x, views, pixels)])
        return
    for task in TASKS:
        fitting = [each for each in PARAMETERS["rule"] if task in each.tasks]
        rules = fitting[0].choices if fitting else ("gradient",)
        for rule in rules:
            for count in sorted({1, min(2, batch), min(3, batch), batch}):
                pictures = [Picture(x, views, pixels)] * (1 if task == "localise" else count)
                try:
                    answer(net, Question(task, rule=rule), pictures)
                except DeviceError:
                    raise
                except MinicnnError:
                    pass  # a rule that the network has no meaning for, noise in which nothing is seen
