"""Waiting for a result, while the client waits too."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request

from minicnn.service.refusals import Refusal

__all__ = ["wait_first", "wait_until_gone"]


async def wait_until_gone(request: Request) -> None:
    """Return when the client has closed its connection; its body has to be received before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def wait_first(future: asyncio.Future[Any], gone: asyncio.Future[None], seconds: float | None) -> bool:
    """Wait for a future; return whether it is done in time; a Refusal if the client goes before."""
    waits = None if seconds is None else max(0.0, seconds)
    await asyncio.wait({future, gone}, timeout=waits, return_when=asyncio.FIRST_COMPLETED)
    if gone.done() and not future.done():
        future.cancel()
        raise Refusal("gone", "the client went before there was an answer")
    return future.done()
