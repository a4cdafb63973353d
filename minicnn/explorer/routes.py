"""The page's addresses: its files, and what it asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from minicnn._utils.json import nan_to_none
from minicnn.explorer import answers
from minicnn.explorer.asked import read
from minicnn.explorer.cells import explain_backwards, explain_forwards
from minicnn.explorer.examples import example_names, read_example
from minicnn.explorer.faults import fault_names
from minicnn.explorer.passes import RULE_NAMES
from minicnn.explorer.sessions import Session, Sessions
from minicnn.explorer.starts import parse_start
from minicnn.explorer.work import Work
from minicnn.network import Network
from minicnn.report.style import STYLE
from minicnn.service.app import receive
from minicnn.service.limits import Limits
from minicnn.service.refusals import Refusal

__all__ = ["Explorer", "static_file"]

API = "/explore/api"
FILES = {
    "index.html": "text/html; charset=utf-8",
    "explore.js": "text/javascript; charset=utf-8",
    "explore.css": "text/css; charset=utf-8",
}
# nothing from elsewhere, and no page of elsewhere around it
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

View = Callable[[Request], Awaitable[Response]]


def static_file(name: str) -> bytes:
    """Return one of the page's built files."""
    return Path(__file__).with_name("static").joinpath(name).read_bytes()


class Explorer:
    """A network, and the pictures that pages look at.

    Parameters
    ----------
    net : Network with a ``preprocess``
    limits : Limits, of what is sent
    data : bytes of a picture's file, optional, that the page shows first
    second : Network, optional, that the page compares the first with

    """

    def __init__(self, net: Network, limits: Limits, data: bytes | None = None, second: Network | None = None):
        self.net, self.limits, self.second = net, limits, second
        self.sessions, self.work = Sessions(), Work()
        self.given = None if data is None else self.sessions.add(Session(net, data, limits.pixels))

    def routes(self) -> list[Route]:
        """Return the page's routes."""
        # imported here, as what it needs is slow to import and no cell needs it
        from minicnn.explorer.live.routes import live_routes

        asked: list[tuple[str, View, str]] = [
            ("/net", self.tell_net, "GET"),
            ("/picture", self.take_picture, "POST"),
            ("/pass/{id}", self.tell_pass, "GET"),
            ("/map/{id}", self.send_map, "GET"),
            ("/forwards/{id}", self.explain_forwards, "GET"),
            ("/backwards/{id}", self.explain_backwards, "GET"),
            ("/export/{id}", self.export, "GET"),
        ]
        routes = [Route(API + path, view, methods=[method]) for path, view, method in asked]
        files = [Route(f"/explore/{name}", _file(name), methods=["GET"]) for name in FILES if name != "index.html"]
        first = [Route(path, _file("index.html"), methods=["GET"]) for path in ("/", "/explore")]
        return [*first, *files, *routes, *live_routes(self, API)]

    async def tell_net(self, request: Request) -> Response:
        """Say what the network is."""
        record = answers.net_record(self.net)
        second = None if self.second is None else self.second.name
        more = {"faults": fault_names(self.net), "second": second}
        return _json(record | more | {"examples": example_names(self.net), "given": self.given})

    async def take_picture(self, request: Request) -> Response:
        """Keep a picture that is sent, or one that comes with minicnn."""
        example = read(request, example="")["example"]
        data = read_example(example) if example else await receive(request, self.limits)
        session = await self.work.run(request, lambda stop: Session(self.net, data, self.limits.pixels))
        return _json({"id": self.sessions.add(session)})

    async def tell_pass(self, request: Request) -> Response:
        """Run the picture through the network, and say what it sees."""
        session, asked = self.session(request), read(request, drawn="")
        return _json(
            await self.work.run(
                request, lambda stop: answers.pass_record(session, session.run(asked["drawn"], stop))
            )
        )

    async def send_map(self, request: Request) -> Response:
        """Send a layer's numbers, forwards or backwards."""
        session, asked = self.session(request), read(request, layer=str, what="y", start="", drawn="")
        if asked["what"] not in ("y", *RULE_NAMES):
            raise Refusal("parameter", f"what: expected y or {' or '.join(RULE_NAMES)}")

        def make(stop: Any) -> bytes:
            run = session.run(asked["drawn"], stop)
            start = parse_start(asked["start"]) if asked["start"] else run.default_start()
            return answers.map_bytes(run, asked["layer"], asked["what"], start)

        data = await self.work.run(request, make)
        return Response(data, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    async def explain_forwards(self, request: Request) -> Response:
        """Say what a number is made of."""
        session, asked = self.session(request), read(request, layer=str, cell=int, drawn="")

        def make(stop: Any) -> dict[str, Any]:
            return explain_forwards(session.run(asked["drawn"], stop), asked["layer"], asked["cell"])

        return _json(await self.work.run(request, make))

    async def explain_backwards(self, request: Request) -> Response:
        """Say where the gradient at a number comes from, and where it goes."""
        session, asked = self.session(request), read(request, layer=str, cell=int, start="", drawn="")

        def make(stop: Any) -> dict[str, Any]:
            run = session.run(asked["drawn"], stop)
            start = parse_start(asked["start"]) if asked["start"] else run.default_start()
            return explain_backwards(run, asked["layer"], asked["cell"], start, stop)

        return _json(await self.work.run(request, make))

    async def export(self, request: Request) -> Response:
        """Send a view as one page that needs no program."""
        from minicnn.explorer.export import page

        session, asked = self.session(request), read(request, view="")
        data = await self.work.run(request, lambda stop: page(session, asked["view"], stop))
        named = {"Content-Disposition": 'attachment; filename="explore.html"'}
        return Response(data, media_type=FILES["index.html"], headers=named)

    def session(self, request: Request) -> Session:
        """Return the picture that a request is about."""
        return self.sessions.get(request.path_params["id"])


def _json(record: dict[str, Any]) -> Response:
    return JSONResponse(nan_to_none(record), headers={"Cache-Control": "no-store"})


def _file(name: str) -> View:
    async def view(request: Request) -> Response:
        data = static_file(name)
        if name == "index.html":
            data = data.replace(b"<!-- look -->", f"<style>{STYLE}</style>".encode())
        return Response(data, media_type=FILES[name], headers=HEADERS)

    return view
