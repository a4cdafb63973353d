"""Computing beside the event loop: one piece of work at a time, ended when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import json
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse

from minicnn._utils.json import nan_to_none
from minicnn.errors import MinicnnError
from minicnn.explorer.recorder import Stopped
from minicnn.service.refusals import Refusal
from minicnn.service.waiting import wait_first, wait_until_gone

__all__ = ["Work"]

T = TypeVar("T")


class Work:
    """The one thread in which the explorer computes."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, "minicnn-explorer")

    async def run(self, request: Request, function: Callable[[threading.Event], T]) -> T:
        """Return what a function of a stop event gives; a Refusal if it raises, or if the client goes."""
        stop, loop = threading.Event(), asyncio.get_running_loop()
        gone = asyncio.ensure_future(wait_until_gone(request))
        future: asyncio.Future[T] = loop.run_in_executor(self.thread, _guard, function, stop)
        try:
            await wait_first(future, gone, None)
        finally:
            stop.set()
            gone.cancel()
        return future.result()

    async def stream(
        self, request: Request, make: Callable[[threading.Event], Iterator[Any]]
    ) -> StreamingResponse:
        """Return what an iterator yields as server-sent events; each is computed once the last one is sent."""
        stop, loop = threading.Event(), asyncio.get_running_loop()
        steps = await self.run(request, lambda _: make(stop))

        async def events() -> AsyncIterator[str]:
            try:
                while True:
                    step = await loop.run_in_executor(self.thread, _guard, lambda _: next(steps, None), stop)
                    if step is None:
                        break
                    yield f"data: {json.dumps(nan_to_none(step))}\n\n"
                yield "event: done\ndata: {}\n\n"
            except Refusal as refusal:
                yield f"event: refused\ndata: {json.dumps({'error': str(refusal)})}\n\n"
            finally:
                stop.set()

        return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _guard(function: Callable[[threading.Event], T], stop: threading.Event) -> T:
    """Return what a function gives; what it raises as a Refusal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if stop.is_set():
                raise Stopped
            return function(stop)
    except Stopped:
        raise Refusal("gone", "the client went before there was an answer") from None
    except MemoryError:
        raise Refusal("memory", "the memory is too small for this now; try a smaller picture") from None
    except MinicnnError as error:
        raise Refusal("picture", str(error)) from None
