"""The ASGI application: routes that an explorer can join."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from minicnn.batch.answers import Picture
from minicnn.network import Network
from minicnn.service.engine import Job
from minicnn.service.front import Front, refuse, refuse_http, refuse_unforeseen
from minicnn.service.limits import Limits
from minicnn.service.openapi import describe
from minicnn.service.pictures import decode
from minicnn.service.questions import TASKS, Question, parse
from minicnn.service.refusals import Refusal
from minicnn.service.service import Service
from minicnn.service.waiting import wait_first, wait_until_gone

__all__ = ["create_app", "receive"]

# what says that the body is a picture, or says nothing: curl --data-binary sends the third
KINDS = ("image/", "application/octet-stream", "application/x-www-form-urlencoded", "binary/octet-stream")


def create_app(
    net: Network,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    hosts: Sequence[str] | None = None,
    routes: Sequence[BaseRoute] = (),
    is_page: bool = False,
) -> Front:
    """Return the application of a network, to be run by any ASGI server in one process.

    Parameters
    ----------
    net : Network with a ``preprocess``
    limits : Limits, optional
    token : str, optional, that every request but /live and /ready has to bear
    hosts : sequence of str, optional, the names that it may be asked by; any unless given
    routes : more routes, of Starlette
    is_page : bool, whether it is there for a page that one person looks at: it is ready without warming up, and
        writes no line a request

    Returns
    -------
    app : ASGI application; ``app.service`` is its state

    Raises
    ------
    MinicnnError
        If the network takes no pictures.

    """
    service = Service(net, limits or Limits(), warms_up=not is_page)
    description = describe(service.limits, service.classes, token is not None)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(service.start())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    async def metrics(_: Request) -> Response:
        service.show()
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    async def live(_: Request) -> Response:
        lost = service.engine is not None and service.engine.is_lost
        return JSONResponse({"state": "stuck" if lost else "live"}, 503 if lost else 200)

    async def ready(_: Request) -> Response:
        state = "stuck" if service.state == "ready" and not service.is_ready else service.state
        return JSONResponse({"state": state}, 200 if service.is_ready else 503)

    async def classes(_: Request) -> Response:
        return JSONResponse({"net": net.name, "classes": service.classes, "labels": service.net.labels})

    async def openapi(_: Request) -> Response:
        return JSONResponse(description)

    asked = [Route(f"/{task}", _asking(service, task), methods=["POST"]) for task in TASKS]
    told = [("/classes", classes), ("/live", live), ("/ready", ready), ("/metrics", metrics)]
    app = Starlette(
        routes=[*asked, *(Route(path, view) for path, view in [*told, ("/openapi.json", openapi)]), *routes],
        lifespan=lifespan,
        exception_handlers={Refusal: refuse, 404: refuse_http, 405: refuse_http, Exception: refuse_unforeseen},
    )
    app.router.redirect_slashes = False
    return Front(app, service, token, hosts, writes=not is_page)


def _asking(service: Service, task: str) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """Return the view that answers a picture."""

    async def view(request: Request) -> Response:
        facts = request.scope["minicnn"]
        question = parse(
            service.net,
            service.classes,
            task,
            request.query_params.multi_items(),
            request.headers.get("accept", ""),
        )
        service.check_open()
        with service.reading():
            data = await receive(request, service.limits)
        facts["bytes"] = len(data)
        with service.place():
            gone = asyncio.ensure_future(wait_until_gone(request))
            try:
                job = await _compute(service, question, data, gone)
            finally:
                gone.cancel()
            reply = job.future.result()
        facts.update(batch=job.together, queue_ms=_ms(job.began, job.arrived))
        return Response(reply.body, media_type=reply.kind, headers={"Batch-Size": str(job.together)})

    return view


async def receive(request: Request, limits: Limits) -> bytes:
    """Return the body, bounded in size and time."""
    kind = request.headers.get("content-type", KINDS[1]).lower()
    if kind.startswith("multipart/"):
        raise Refusal(
            "kind",
            "a form (multipart/form-data) is not read; send the picture's bytes themselves as the body: "
            "curl --data-binary @photo.jpg, not -F; in a browser fetch(url, {method: 'POST', body: file})",
        )
    if not kind.startswith(KINDS):
        raise Refusal("kind", "expected the picture itself as the body, with Content-Type: image/png or the like")
    too_many = Refusal("bytes", f"the picture has more bytes than the limit of {limits.bytes:,}")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > limits.bytes:
        raise too_many

    async def read() -> bytes:
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > limits.bytes:
                raise too_many
            parts.append(part)
        return b"".join(parts)

    try:
        return await asyncio.wait_for(read(), limits.body_seconds)
    except (TimeoutError, asyncio.TimeoutError):
        # what is still to come is not waited for
        headers = {"Connection": "close"}
        raise Refusal("slow", f"the picture was not received within {limits.body_seconds:g} s", headers) from None
    except ClientDisconnect:
        raise Refusal("gone", "the client went while it sent its picture") from None


async def _compute(service: Service, question: Question, data: bytes, gone: asyncio.Future[None]) -> Job:
    """Decode, queue and wait, while the client is there and there is time."""
    loop = asyncio.get_running_loop()
    arrived = loop.time()
    limit = service.limits.queue_seconds
    decoding: asyncio.Future[Picture] = loop.run_in_executor(
        service.decoders, decode, service.net, data, question, service.limits.pixels
    )
    if not await wait_first(decoding, gone, limit):
        decoding.cancel()
        raise _late(limit)
    job = Job(question, decoding.result(), arrived)
    engine = service.engine
    assert engine is not None
    engine.add(job)
    try:
        # once begun, the engine sets the limit
        if not await wait_first(job.future, gone, arrived + limit - loop.time()) and job.began is None:
            raise _late(limit)
        await wait_first(job.future, gone, None)
    finally:
        engine.drop(job)
    return job


def _late(limit: float) -> Refusal:
    return Refusal("waited", f"not begun within {limit:g} s; try again, or ask fewer at a time")


def _ms(later: float | None, earlier: float) -> float:
    return 0.0 if later is None else round(1000 * (later - earlier), 2)
