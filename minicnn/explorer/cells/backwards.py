"""A cell backwards: where its gradient comes from and where it goes, by the three rules side by side."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from math import fsum
from typing import Any

import numpy as np

from minicnn.explorer.cells.columns import column_of
from minicnn.explorer.cells.forwards import at_node, place_of
from minicnn.explorer.cells.rows import row_of
from minicnn.explorer.nodes import INPUT, Node
from minicnn.explorer.passes import RULE_NAMES, Pass
from minicnn.explorer.starts import Start
from minicnn.layers import Hardtanh, Layer, ReLU, ReLU6
from minicnn.rules import Rule, as_rule

__all__ = ["explain_backwards", "send_back"]

ByRule = Mapping[str, "dict[str, np.ndarray]"]


def is_rectifier(layer: Layer) -> bool:
    """Return whether the three rules differ at a layer."""
    return isinstance(layer, ReLU | ReLU6) or (isinstance(layer, Hardtanh) and layer.min_val == 0)


def send_back(layer: Layer, dy: np.ndarray, factor: np.ndarray, rule: Rule) -> np.ndarray:
    """Return what goes back through derivatives ``factor``, in float64; at a rectifier by the rule.

    Examples
    --------
    >>> dy, mask = np.array([2.0, -2.0]), np.array([0.0, 1.0])
    >>> [send_back(ReLU(), dy, mask, as_rule(name)).tolist() for name in RULE_NAMES]
    [[0.0, -2.0], [2.0, 0.0], [0.0, 0.0]]

    """
    dy, factor = dy.astype(np.float64), factor.astype(np.float64)
    if not is_rectifier(layer):
        # where, and not a product: nothing comes back through a factor of 0, whatever dy is
        return np.where(factor == 0, 0.0, factor * dy)
    passes = np.ones(dy.shape, bool)
    if rule.where_input_positive:
        passes &= factor != 0
    if rule.where_cotangent_positive:
        passes &= dy > 0
    return np.where(passes, dy, 0.0)


def explain_backwards(
    run: Pass, name: str, cell: int, start: Start, stop: threading.Event | None = None
) -> dict[str, Any]:
    """Return where the gradient at a number comes from, and where it goes on to.

    Parameters
    ----------
    run : Pass
    name : str, a node, or "input"
    cell : int, the place in its output, in row order
    start : Start, the scalar
    stop : event, optional

    Returns
    -------
    record : dict
        ``dy`` has the library's number by each rule, none behind the start; ``arrives`` the terms that add up
        to it, one entry for each layer that reads the value; ``sends`` what goes on to the values that it was
        made of, beside the library's whole gradient there.

    Raises
    ------
    MinicnnError
        If there is no such node, cell, class or unit.

    """
    place = place_of(run, name, cell)
    gradients = {rule: run.back(start, rule, stop) for rule in RULE_NAMES}
    by_rule = {rule: gradient.by_name for rule, gradient in gradients.items() if name in gradient.by_name}
    readers = (_arriving(run, node, i, cell, by_rule) for node, i in run.graph.readers(name))
    arrives = [each for each in readers if each is not None]
    record: dict[str, Any] = {
        "layer": name,
        "cell": cell,
        "place": list(place),
        "dy": {rule: float(g[name][place]) for rule, g in by_rule.items()},
        "refusals": {rule: g.refusal for rule, g in gradients.items() if g.refusal},
        "arrives": arrives,
        "sum": {
            rule: fsum(p for each in arrives for p in each["product"][rule])
            for rule in by_rule
            if arrives and all(each["whole"] for each in arrives)
        },
    }
    return record if name == INPUT or not by_rule else record | {"sends": _sending(run, name, place, by_rule)}


def _arriving(run: Pass, node: Node, number: int, cell: int, by_rule: ByRule) -> dict[str, Any] | None:
    """Return what a reader of the value sends back to it; None if no gradient reaches the reader."""
    reached = {rule: g[node.name].reshape(-1) for rule, g in by_rule.items() if node.name in g}
    if not reached:
        return None
    at = at_node(run, node)
    column = column_of(at.layer, at, number, cell)
    return {
        "layer": node.name,
        "kind": type(at.layer).__name__,
        "words": _words(node.layer, column.words),
        "whole": column.is_whole,
        "index": column.outputs.tolist(),
        "factor": column.factor.tolist(),
        "dy": {rule: dy[column.outputs].tolist() for rule, dy in reached.items()},
        "product": {
            rule: send_back(node.layer, dy[column.outputs], column.factor, as_rule(rule)).tolist()
            for rule, dy in reached.items()
        },
    }


def _words(layer: Layer, words: str) -> str:
    if not is_rectifier(layer):
        return words
    return "gradient: dx = dy where x > 0; deconvnet: dx = dy where dy > 0; guided: both"


def _sending(run: Pass, name: str, place: tuple[int, ...], by_rule: ByRule) -> dict[str, Any]:
    """Return what the value's own layer sends on."""
    node = run.graph.nodes[name]
    at = at_node(run, node)
    row = row_of(at.layer, at, place)
    return {
        "kind": type(at.layer).__name__,
        "words": _words(node.layer, "each input gets factor dy"),
        "sources": list(node.inputs),
        "source": row.source.tolist(),
        "index": row.index.tolist(),
        "x": row.x.tolist(),
        "factor": row.factor.tolist(),
        "grid": None if row.grid is None else list(row.grid),
        "product": {
            rule: send_back(
                node.layer, np.full(len(row.factor), g[name][place]), row.factor, as_rule(rule)
            ).tolist()
            for rule, g in by_rule.items()
        },
        "whole": {rule: _whole(node, row.source, row.index, g) for rule, g in by_rule.items()},
    }


def _whole(node: Node, source: np.ndarray, index: np.ndarray, g: Mapping[str, np.ndarray]) -> list[float | None]:
    """Return the library's gradient at each input, None in the padding."""
    flat = [g[value].reshape(-1) for value in node.inputs]
    return [None if i < 0 else float(flat[s][i]) for s, i in zip(source.tolist(), index.tolist(), strict=True)]
