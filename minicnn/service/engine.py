"""The queue, and the one thread in which the network runs: who leaves together, and what is dropped."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from minicnn.batch.answers import Picture
from minicnn.errors import DeviceMemoryError, MinicnnError
from minicnn.network import Network
from minicnn.service.answers import Reply, answer
from minicnn.service.limits import Limits
from minicnn.service.metrics import Metrics
from minicnn.service.questions import Question
from minicnn.service.refusals import Refusal

__all__ = ["Engine", "Job"]

GIVEN_UP = 10  # limits of time for computing, after which a batch is not coming back


class Job:
    """A picture in the queue.

    Attributes
    ----------
    question, picture : what is computed
    future : of the Reply; a Refusal is its exception
    arrived, began : float, seconds of the monotonic clock; began is None until it leaves the queue
    together : int, the pictures of its batch

    """

    def __init__(self, question: Question, picture: Picture, arrived: float) -> None:
        self.question, self.picture, self.arrived = question, picture, arrived
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.began: float | None = None
        self.together = 0

    @property
    def key(self) -> tuple[object, ...]:
        """What jobs that are computed together share."""
        return self.question, self.picture.x.shape[1:]


class Engine:
    """Takes jobs in their order, with others of their kind; lives in one event loop.

    Parameters
    ----------
    net : Network with one score a class
    limits : Limits
    metrics : Metrics

    """

    def __init__(self, net: Network, limits: Limits, metrics: Metrics) -> None:
        self.net, self.limits, self.metrics = net, limits, metrics
        self.waiting: deque[Job] = deque()
        self.closing = False
        self.running_since: float | None = None
        self.thread = ThreadPoolExecutor(1, "minicnn-engine")
        self._arrival = asyncio.Event()

    @property
    def is_stuck(self) -> bool:
        """Whether a batch takes longer than its limit."""
        return self._running() > self.limits.compute_seconds

    @property
    def is_lost(self) -> bool:
        """Whether a batch takes so long that it is not coming back: a thread can't be killed, a process can."""
        return self._running() > GIVEN_UP * self.limits.compute_seconds

    def _running(self) -> float:
        return 0.0 if self.running_since is None else time.monotonic() - self.running_since

    def add(self, job: Job) -> None:
        """Put a job into the queue."""
        self.waiting.append(job)
        self._arrival.set()

    def drop(self, job: Job) -> None:
        """Forget a job, if it is not done: one in the queue is never computed, one in a batch for nobody."""
        job.future.cancel()
        if job in self.waiting:
            self.waiting.remove(job)

    async def run(self) -> None:
        """Compute batch after batch until cancelled."""
        while True:
            batch, why = await self._gather()
            if batch:
                self.metrics.batches.labels(why).inc()
                self.metrics.sizes.observe(len(batch))
                await self._compute(batch)

    async def _gather(self) -> tuple[list[Job], str]:
        """Wait for a job and for others of its kind; take them out of the queue and say why they leave."""
        while not self.waiting:
            self._arrival.clear()
            await self._arrival.wait()
        first = self.waiting[0]
        # one that has waited while others were computed leaves at once
        leaves = first.arrived + self.limits.wait
        while self.waiting and self.waiting[0] is first:
            batch, is_full = self._fitting(first)
            left = leaves - time.monotonic()
            if is_full or self.closing or left <= 0:
                for job in batch:
                    self.waiting.remove(job)
                alone = "alone" if len(batch) == 1 else "waited"
                return batch, "full" if is_full else "closing" if self.closing else alone
            self._arrival.clear()
            try:
                await asyncio.wait_for(self._arrival.wait(), left)
            except (TimeoutError, asyncio.TimeoutError):
                pass
        return [], ""

    def _fitting(self, first: Job) -> tuple[list[Job], bool]:
        """Return the jobs that leave with the first, and whether no other would fit."""
        batch, views = [first], len(first.picture.x)
        if first.question.task == "localise":
            return batch, True
        for job in self.waiting:
            if job is not first and job.key == first.key and views + len(job.picture.x) <= self.limits.batch:
                batch.append(job)
                views += len(job.picture.x)
        return batch, views + len(first.picture.x) > self.limits.batch

    async def _compute(self, batch: Sequence[Job]) -> None:
        """Have a batch computed; its jobs are told when it takes too long, and the next waits until it is over."""
        loop, began = asyncio.get_running_loop(), time.monotonic()
        task = batch[0].question.task
        for job in batch:
            job.began, job.together = began, len(batch)
            self.metrics.queued.labels(task).observe(began - job.arrived)
        pictures = [job.picture for job in batch]
        self.running_since = began
        running = loop.run_in_executor(self.thread, self.answer, batch[0].question, pictures)
        done, _ = await asyncio.wait({running}, timeout=self.limits.compute_seconds)
        if not done:
            seconds = f"{self.limits.compute_seconds:g} s"
            for job in batch:
                _settle(job, Refusal("computing", f"{task}: not done within {seconds}; send a smaller picture"))
            await asyncio.wait({running})
        self.running_since = None
        self.metrics.computed.labels(task).observe(time.monotonic() - began)
        for job, reply in zip(batch, running.result(), strict=True):
            _settle(job, reply)

    def answer(self, question: Question, pictures: Sequence[Picture]) -> list[Reply | Refusal]:
        """Return the replies; if pictures fail together, each by itself, so that only the one at fault does."""
        try:
            return list(answer(self.net, question, pictures))
        except Exception as error:
            if len(pictures) == 1:
                return [_refuse(error)]
            return [reply for picture in pictures for reply in self.answer(question, [picture])]


def _settle(job: Job, reply: Reply | Refusal) -> None:
    if job.future.done():
        return
    if isinstance(reply, Refusal):
        job.future.set_exception(reply)
    else:
        job.future.set_result(reply)


def _refuse(error: Exception) -> Refusal:
    if isinstance(error, MemoryError | DeviceMemoryError):
        return Refusal("memory", "the memory is too small for this picture now; try again, or send a smaller one")
    if isinstance(error, MinicnnError):
        return Refusal("picture", str(error))
    refusal = Refusal("unforeseen", f"an unforeseen {type(error).__name__}; please report it")
    refusal.__cause__ = error
    return refusal
