"""The OpenAPI description, made of the table of parameters and the table of refusals."""

from __future__ import annotations

from typing import Any

from minicnn import __version__
from minicnn.service.limits import Limits
from minicnn.service.pictures import KINDS
from minicnn.service.questions import PARAMETERS, TASKS
from minicnn.service.refusals import REASONS

__all__ = ["describe"]

Schema = dict[str, Any]

CLASS: Schema = {
    "target": {"type": "integer"},
    "label": {"type": ["string", "null"]},
    "score": {"type": "number"},
    "probability": {"type": "number", "minimum": 0, "maximum": 1},
    "view_count": {"type": "integer", "minimum": 1},
}
NUMBERS: Schema = {
    "shape": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
    "dtype": {"const": "<f4"},
    "base64": {"type": "string", "contentEncoding": "base64"},
}
SIZE: Schema = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
BOX: Schema = {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4}


def _object(properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


DETECTION = _object(
    CLASS
    | {
        "box": BOX,
        "confidence": {"type": ["number", "null"]},
        "localised": {"type": "boolean"},
        "method": {"type": "string"},
    }
)
NAME: Schema = {"net": {"type": "string"}}
ANSWERS: dict[str, Schema] = {
    "predict": _object(
        NAME | {"crops": {"type": "string"}, "predictions": {"type": "array", "items": _object(CLASS)}}
    ),
    "saliency": _object(
        NAME
        | CLASS
        | {"rule": {"type": "string"}, "crops": {"type": "string"}, "size": SIZE, "map": _object(NUMBERS)}
    ),
    "localise": _object(NAME | {"size": SIZE, "detections": {"type": "array", "items": DETECTION}}),
    "classes": _object(
        NAME | {"classes": {"type": "integer"}, "labels": {"type": ["array", "null"], "items": {"type": "string"}}}
    ),
    "state": _object({"state": {"type": "string"}}),
    "error": _object({"error": {"type": "string"}}),
}

ALWAYS = {"host", "method", "unforeseen"}
PUBLIC = ("live", "ready")  # which no token is asked for


def describe(limits: Limits, classes: int, has_token: bool) -> Schema:
    """Return the description of a service.

    Parameters
    ----------
    limits : Limits
    classes : int, that its network has
    has_token : bool

    Examples
    --------
    >>> sorted(describe(Limits(), 10, False)["paths"])[:3]
    ['/classes', '/live', '/localise']

    """
    paths: Schema = {f"/{task}": {"post": _question(task, classes, has_token)} for task in TASKS}
    paths["/classes"] = {"get": _get("The classes of the network.", "classes", ALWAYS, has_token)}
    paths["/live"] = {"get": _get("Whether the process works; if not, restart it.", "state", ALWAYS)}
    paths["/ready"] = {"get": _get("Whether requests are taken.", "state", ALWAYS)}
    for path in ("/live", "/ready"):
        paths[path]["get"]["responses"]["503"] = _content("No.", {"application/json": ANSWERS["state"]})
    paths["/metrics"] = {"get": _get("What is counted, for Prometheus.", "text", ALWAYS, has_token)}
    paths["/openapi.json"] = {"get": _get("This description.", "any", ALWAYS, has_token)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "minicnn",
            "version": __version__,
            "description": f"Pictures ({', '.join(KINDS)}) of at most {limits.bytes:,} bytes and "
            f"{limits.pixels:,} pixels, as the body of a request.",
        },
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}} if has_token else {},
    }


def _question(task: str, classes: int, has_token: bool) -> Schema:
    answers = {"application/json": ANSWERS[task]}
    if task != "predict":
        answers["image/png"] = {"type": "string", "contentMediaType": "image/png"}
    operation = {
        "operationId": task,
        "summary": TASKS[task],
        "parameters": [
            _parameter(name, each, classes)
            for name, all in PARAMETERS.items()
            for each in all
            if task in each.tasks
        ],
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": {"type": "string"}} for kind in ("image/*", "application/octet-stream")},
        },
        "responses": {"200": _content(TASKS[task], answers)}
        | _refusals(set(REASONS) - {"path", "gone", "token"}, has_token),
    }
    return operation | _security(has_token)


def _parameter(name: str, parameter: Any, classes: int) -> Schema:
    schema: Schema = {"type": "string"}
    if name == "top":
        schema = {"type": "integer", "minimum": 1, "maximum": classes}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.default is not None:
        schema["default"] = parameter.default
    return {"name": name, "in": "query", "description": parameter.about, "schema": schema}


def _get(about: str, answer: str, reasons: set[str], has_token: bool = False) -> Schema:
    kinds = {"text": {"text/plain": {"type": "string"}}, "any": {"application/json": {"type": "object"}}}
    content = kinds.get(answer) or {"application/json": ANSWERS[answer]}
    return {
        "summary": about,
        "responses": {"200": _content(about, content)} | _refusals(reasons, has_token),
    } | _security(has_token)


def _refusals(reasons: set[str], has_token: bool) -> Schema:
    """Return a response for each status, which says all reasons that have it."""
    about: dict[int, list[str]] = {}
    for reason, (status, meaning) in REASONS.items():
        if reason in reasons | ({"token"} if has_token else set()):
            about.setdefault(status, []).append(meaning)
    return {
        str(status): _content("; ".join(all), {"application/json": ANSWERS["error"]})
        for status, all in about.items()
    }


def _security(has_token: bool) -> Schema:
    return {"security": [{"token": []}]} if has_token else {}


def _content(about: str, kinds: dict[str, Schema]) -> Schema:
    return {"description": about, "content": {kind: {"schema": schema} for kind, schema in kinds.items()}}
