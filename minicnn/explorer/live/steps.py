"""A function that reports as it goes on, as an iterator of what it reports."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from minicnn.explorer.recorder import Stopped

__all__ = ["Tell", "steps_of"]

Tell = Callable[[Any], None]
END = object()


def steps_of(run: Callable[[Tell], None], stop: threading.Event) -> Iterator[Any]:
    """Yield what ``run`` tells; it waits until what it told last is taken, and ends where ``stop`` is set.

    Raises
    ------
    MinicnnError
        If ``run`` raises one.
    Stopped
        If ``stop`` is set.

    Examples
    --------
    >>> list(steps_of(lambda tell: [tell(k) for k in range(3)] and None, threading.Event()))
    [0, 1, 2]

    """
    steps: queue.Queue[Any] = queue.Queue(maxsize=1)

    def tell(item: Any) -> None:
        while True:
            if stop.is_set():
                raise Stopped
            try:
                return steps.put(item, timeout=0.5)
            except queue.Full:
                continue

    def work() -> None:
        try:
            run(tell)
            tell(END)
        except Stopped:
            pass
        except BaseException as error:  # raised again where somebody looks
            try:
                tell(error)
            except Stopped:
                pass

    threading.Thread(target=work, name="minicnn-steps", daemon=True).start()
    while (item := _take(steps, stop)) is not END:
        if isinstance(item, BaseException):
            raise item
        yield item


def _take(steps: queue.Queue[Any], stop: threading.Event) -> Any:
    while True:
        if stop.is_set():
            raise Stopped
        try:
            return steps.get(timeout=0.5)
        except queue.Empty:
            continue
