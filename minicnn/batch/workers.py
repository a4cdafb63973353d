"""What runs shards: processes of this machine, this process itself, or an executor that was given."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any, TypeVar

from minicnn.errors import MinicnnError

__all__ = ["Workers", "open_workers", "result_of"]

Result = TypeVar("Result")
LEAST = 16  # tasks in the hands of an executor that was given, though its workers are yet to come
ASK = 10.0  # seconds after which a cluster is asked again how many workers it has


class Workers:
    """A pool that can be made anew."""

    def __init__(self, make: Callable[[], Executor], width: int, ask: Callable[[], int] | None = None) -> None:
        self._make, self._pool, self._least, self._ask = make, make(), width, ask
        self._width, self._asked = width, -ASK

    @property
    def width(self) -> int:
        """How many tasks are kept in its hands: what its workers do, and some that wait."""
        # workers come and go on a cluster
        if self._ask is not None and time.monotonic() - self._asked >= ASK:
            with suppress(OSError):  # a lost scheduler is told of by its tasks
                self._width = max(self._least, self._ask())
            self._asked = time.monotonic()
        return self._width

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Hand a task to a worker."""
        return self._pool.submit(function, *arguments)

    def restart(self) -> Workers:
        """Make the pool anew if one of its workers has died."""
        if getattr(self._pool, "_broken", False):
            self._pool.shutdown()
            self._pool = self._make()
        return self

    def stop(self) -> None:
        """End the workers at once, whatever they have in hand."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def result_of(future: Future[Result]) -> Result:
    """Return a task's result.

    Raises
    ------
    BrokenProcessPool
        If the worker that had it died.
    MinicnnError
        If the scheduler that had it is lost, or what the task raised.

    """
    try:
        return future.result()
    except CancelledError:
        raise MinicnnError(
            "batch: the scheduler is lost; once it is there again, the same command goes on"
        ) from None
    except Exception as error:
        # Dask's, once several workers died of one task; by name, since Dask may not be installed
        if type(error).__name__ == "KilledWorker":
            raise BrokenProcessPool(str(error)) from None
        raise


@contextmanager
def open_workers(given: int | Executor) -> Iterator[Workers]:
    """Yield workers: those of an executor, so many processes, or for 0 this process."""
    if not isinstance(given, int):
        yield Workers(lambda: given, LEAST, getattr(given, "width", None))
        return
    if given == 0:
        yield Workers(_Here, 1)
        return
    # spawned, since threads and compiled kernels' locks do not survive a fork
    context = multiprocessing.get_context("spawn")
    workers = Workers(lambda: ProcessPoolExecutor(given, context, _begin), given + 1)
    try:
        yield workers
    finally:
        workers.stop()


class _Here(Executor):
    """Runs a task when it is handed over."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


def _begin() -> None:
    """Leave Ctrl-C to the parent, and end with it: a worker whose parent was killed must not write on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
