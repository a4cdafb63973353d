"""Work done ahead by background threads, its results taken in order: whoever finishes first changes nothing."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["count_processors", "made_ahead"]

Part = TypeVar("Part")
Made = TypeVar("Made")

AHEAD = 4  # parts that are made before they are asked for


def made_ahead(make: Callable[[Part], Made], parts: Iterable[Part], workers: int) -> Iterator[Made]:
    """Yield what is made of each part, in order; by threads, a few parts ahead, where there are workers.

    Examples
    --------
    >>> list(made_ahead(lambda n: n * n, range(4), workers=2))
    [0, 1, 4, 9]

    """
    if not workers:
        yield from map(make, parts)
        return
    with ThreadPoolExecutor(workers, "minicnn-loader") as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(make, part))
                if len(waiting) > max(AHEAD, workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def count_processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
