"""What every request passes first and last: host, token, log line, counters; refusals as JSON."""

from __future__ import annotations

import hmac
import time
import traceback
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from minicnn.service.logs import write_line
from minicnn.service.openapi import PUBLIC
from minicnn.service.refusals import Refusal
from minicnn.service.service import Service

__all__ = ["Front", "refuse", "refuse_http", "refuse_unforeseen"]


class Front:
    """The whole application.

    Parameters
    ----------
    app : Starlette, the routes
    service : Service
    token : str, optional
    hosts : names that it may be asked by, optional
    writes : bool, whether each request is a line of the log

    """

    def __init__(
        self,
        app: Starlette,
        service: Service,
        token: str | None,
        hosts: Sequence[str] | None,
        writes: bool = True,
    ) -> None:
        self.app, self.service, self.writes = app, service, writes
        self._token = None if token is None else token.encode()
        self._hosts = None if hosts is None else {host.lower() for host in hosts}
        self._paths = {getattr(route, "path", "") for route in app.routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        facts: dict[str, Any] = {"status": 0}
        scope["minicnn"] = facts

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                facts["status"] = message["status"]
            await send(message)

        try:
            self._check(scope)
            await self.app(scope, receive, sending)
        except Refusal as refusal:
            await refuse(Request(scope), refusal, sending)
        except Exception as error:  # Starlette has answered it, and raises it again
            facts["fault"] = _where(error)
        finally:
            self._count(scope, facts, time.perf_counter() - start)

    def _check(self, scope: Scope) -> None:
        """Raise a Refusal of a request that asks by another name, or without the token."""
        headers = Headers(scope=scope)
        host = _without_port(headers.get("host", ""))
        if self._hosts is not None and host not in self._hosts:
            # a page of the web whose name leads to this machine must not read the answers
            raise Refusal("host", "this service answers to the names of this machine alone; see --host")
        if self._hosts is not None and not _is_own(headers):
            # what such a page sends would be computed, though it can't read the answer
            raise Refusal("origin", "a page of another origin may not use this service")
        if self._token is None or scope["path"].removeprefix("/") in PUBLIC:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        is_same = hmac.compare_digest(given.strip().encode("latin-1", "replace"), self._token)
        if scheme.lower() != "bearer" or not is_same:
            raise Refusal(
                "token", "expected the header 'Authorization: Bearer TOKEN'", {"WWW-Authenticate": "Bearer"}
            )

    def _count(self, scope: Scope, facts: dict[str, Any], seconds: float) -> None:
        path = scope["path"] if scope["path"] in self._paths else "other"
        metrics = self.service.metrics
        metrics.requests.labels(path, facts["status"]).inc()
        metrics.seconds.labels(path).observe(seconds)
        if "reason" in facts:
            metrics.refusals.labels(facts["reason"]).inc()
        client = scope.get("client") or [None]
        if not self.writes and "fault" not in facts:
            return
        write_line(
            "request",
            client=client[0],
            method=scope["method"][:20],
            path=scope["path"][:200],
            ms=round(1000 * seconds, 2),
            **facts,
        )


async def refuse(request: Request, refusal: Exception, send: Send | None = None) -> Response:
    """Return a refusal as JSON, and send it where nobody else does."""
    assert isinstance(refusal, Refusal)
    facts = request.scope["minicnn"]
    facts["reason"] = refusal.reason
    if refusal.__cause__ is not None:
        facts["fault"] = _where(refusal.__cause__)
    response = JSONResponse({"error": str(refusal)}, refusal.status, refusal.headers)
    if send is not None:
        await response(request.scope, request.receive, send)
    return response


async def refuse_http(request: Request, error: Exception) -> Response:
    """Return Starlette's own refusals in our form."""
    status, headers = getattr(error, "status_code", 404), getattr(error, "headers", None)
    if status == 405:
        # Starlette's are a set, in any order
        allowed = ", ".join(sorted((headers or {}).get("Allow", "").split(", ")))
        return await refuse(request, Refusal("method", f"this path takes {allowed}", {"Allow": allowed}))
    return await refuse(request, Refusal("path", "there is no such path; /openapi.json describes all"))


async def refuse_unforeseen(request: Request, error: Exception) -> Response:
    """Return what nobody foresaw, without its text; the log says where it was."""
    return await refuse(request, Refusal("unforeseen", f"an unforeseen {type(error).__name__}; please report it"))


def _is_own(headers: Headers) -> bool:
    """Return whether a request comes from this service's own page, or from no page at all."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower():
        return False
    # browsers say so of pictures and frames too, which have no Origin; a link that is followed is a navigation
    is_foreign = headers.get("sec-fetch-site", "") in ("cross-site", "same-site")
    return not is_foreign or headers.get("sec-fetch-mode") == "navigate"


def _where(error: BaseException) -> str:
    """Return what was raised, and the file and line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {str(error)[:200]}{place}"


def _without_port(host: str) -> str:
    host = host.lower()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
