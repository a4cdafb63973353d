"""Addresses of what grows step by step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from minicnn._utils.json import nan_to_none
from minicnn.explain.gradient_ascent import Ascent
from minicnn.explain.localisation.seeded_cut import MaskSettings
from minicnn.explorer.asked import read
from minicnn.explorer.live.ascent import grow
from minicnn.explorer.live.crops import ten_crops
from minicnn.explorer.live.cut import Maps, cut
from minicnn.explorer.live.verdicts import check, compare_layers
from minicnn.explorer.live.walk import walk
from minicnn.service.refusals import Refusal

if TYPE_CHECKING:
    from minicnn.explorer.routes import Explorer

__all__ = ["live_routes"]

MOST_STEPS = 400
SLIDERS = ("foreground", "background", "gamma", "background_components")
MOST_BYTES = 1 << 18  # of strokes


def live_routes(explorer: Explorer, prefix: str) -> list[Route]:
    """Return the routes of maps, class models, walks and cuts."""
    work = explorer.work

    async def crops(request: Request) -> Response:
        session, asked = explorer.session(request), read(request, target=int, rule="gradient", drawn="")
        return await work.stream(
            request, lambda stop: ten_crops(session, asked["target"], asked["rule"], asked["drawn"], stop)
        )

    async def model(request: Request) -> Response:
        asked = read(request, target=int, steps=200)
        if not 1 <= asked["steps"] <= MOST_STEPS:
            raise Refusal("parameter", f"steps: expected 1 to {MOST_STEPS}, got {asked['steps']}")
        settings = Ascent(steps=asked["steps"])
        return await work.stream(request, lambda stop: grow(explorer.net, asked["target"], settings, stop))

    async def along(request: Request) -> Response:
        session, asked = explorer.session(request), read(request, target=int, reach=8.0, drawn="")
        if not 0 < asked["reach"] <= 255:
            raise Refusal("parameter", "reach: expected grey levels above 0, and at most 255")
        return await work.stream(
            request, lambda stop: walk(session, asked["target"], asked["reach"], asked["drawn"], stop)
        )

    async def localise(request: Request) -> Response:
        session = explorer.session(request)
        asked = read(request, target=int, **{name: getattr(MaskSettings(), name) for name in SLIDERS})
        strokes = await _read_strokes(request)

        def make(_: Any) -> dict[str, Any]:
            settings = MaskSettings(**{name: asked[name] for name in SLIDERS})
            if session.maps is None:
                session.maps = Maps(session)
            return cut(session.maps, asked["target"], settings, strokes)

        return JSONResponse(await work.run(request, make), headers={"Cache-Control": "no-store"})

    async def checked(request: Request) -> Response:
        session, asked = explorer.session(request), read(request, drawn="")
        return await work.stream(request, lambda stop: check(session, asked["drawn"], stop))

    async def compared(request: Request) -> Response:
        session, asked = explorer.session(request), read(request, drawn="", second=0)
        other = explorer.second if asked["second"] else None
        told = await work.run(request, lambda stop: compare_layers(session, other, asked["drawn"], stop))
        return JSONResponse(nan_to_none(told), headers={"Cache-Control": "no-store"})

    return [
        Route(f"{prefix}/check/{{id}}", checked, methods=["GET"]),
        Route(f"{prefix}/compare/{{id}}", compared, methods=["GET"]),
        Route(f"{prefix}/crops/{{id}}", crops, methods=["GET"]),
        Route(f"{prefix}/model", model, methods=["GET"]),
        Route(f"{prefix}/walk/{{id}}", along, methods=["GET"]),
        Route(f"{prefix}/cut/{{id}}", localise, methods=["POST"]),
    ]


async def _read_strokes(request: Request) -> dict[str, Any]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise Refusal("bytes", f"the strokes have more bytes than the limit of {MOST_BYTES:,}")
    try:
        strokes = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Refusal("parameter", "expected strokes as JSON") from None
    if not isinstance(strokes, dict):
        raise Refusal("parameter", 'expected strokes as {"object": [[x, y, radius]], "background": []}')
    return strokes
