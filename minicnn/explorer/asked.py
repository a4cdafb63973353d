"""What a page asks for: parameters of a request, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from minicnn.service.refusals import Refusal

__all__ = ["read"]


def read(request: Request, **defaults: Any) -> dict[str, Any]:
    """Return the parameters of a request, each of its default's type; a Refusal of others, and of no numbers.

    A default that is a type has to be given.
    """
    given: Mapping[str, str] = request.query_params
    for name in given:
        if name not in defaults:
            raise Refusal("parameter", f"there is no parameter {name[:40]!r} here")
    return {name: _value(name, given.get(name), default) for name, default in defaults.items()}


def _value(name: str, text: str | None, default: Any) -> Any:
    kind = default if isinstance(default, type) else type(default)
    if text is None:
        if isinstance(default, type):
            raise Refusal("parameter", f"{name}: has to be given")
        return default
    if len(text) > 2000:
        raise Refusal("parameter", f"{name}: longer than 2000 letters")
    try:
        value = kind(text)
    except ValueError:
        raise Refusal("parameter", f"{name}: expected a number, got {text[:40]!r}") from None
    if kind is not str and not -1e12 < value < 1e12:
        raise Refusal("parameter", f"{name}: expected a number, got {text[:40]!r}")
    return value
