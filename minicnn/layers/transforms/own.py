"""Layers of one's own: which they are, and what they say about themselves."""

from __future__ import annotations

import sys
from typing import Any

from minicnn.errors import MinicnnError
from minicnn.layers.base import Layer
from minicnn.layers.transforms.pack import Packed

__all__ = ["check_kinks", "has_rule", "is_own", "says_kinks"]


def is_own(layer: Layer) -> bool:
    """Return whether what a layer computes is written outside of this package, so that nothing is known of it.

    Examples
    --------
    >>> from minicnn.layers import ReLU
    >>> is_own(ReLU()), is_own(type("Double", (Layer,), {"forward": lambda self, x, *rest: (2 * x, None)})())
    (False, True)

    """
    if isinstance(layer, Packed):
        return is_own(layer.join)
    where = _forward_class(layer)
    known = vars(sys.modules[where.__module__]) if where.__module__.startswith("minicnn.layers.") else {}
    return known.get(where.__name__) is not where


def _forward_class(layer: Layer) -> type[Layer]:
    """Return the class whose forward a layer runs, which may be a base of its own."""
    return next(kind for kind in type(layer).__mro__ if "forward" in vars(kind))


def says_kinks(layer: Layer) -> bool:
    """Return whether a layer has ``kinks``, of its own forward and not of a base's."""
    where = _forward_class(layer) if is_own(layer) else Layer
    return any("kinks" in vars(kind) for kind in type(layer).__mro__ if issubclass(kind, where))


def has_rule(rules: Any, layer: Layer) -> bool:
    """Return whether a layer's class is registered with a singledispatch: itself, if its forward is one's own."""
    if is_own(layer):
        return type(layer) in rules.registry and not isinstance(layer, Packed)
    return rules.dispatch(type(layer)) is not rules.dispatch(object)


def check_kinks(layer: Layer, where: str, rules: Any) -> None:
    """Raise MinicnnError, beginning with ``where``, unless the layer says its kinks or its class is registered."""
    if not says_kinks(layer) and not has_rule(rules, layer):
        raise MinicnnError(
            f"{where}: where a {type(layer).__name__} bends is not known; if it is a function of each value, give "
            "its class kinks, a tuple of the inputs at which its slope jumps"
        )
