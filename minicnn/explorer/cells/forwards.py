"""A cell forwards: the window, the products term by term, their sum, and the receptive field on the picture."""

from __future__ import annotations

from math import fsum
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explain.receptive_field import receptive_field
from minicnn.explorer.cells.rows import At, row_of
from minicnn.explorer.faults import honest
from minicnn.explorer.nodes import INPUT, Node
from minicnn.explorer.passes import Pass

__all__ = ["at_node", "explain_forwards", "place_of"]


def at_node(run: Pass, node: Node) -> At:
    """Return a node's layer with what passed it."""
    inputs = [run.value(name) for name in node.inputs]
    return At(honest(node.layer), inputs, run.value(node.name), run.log.saved[node.name], run.net.device)


def place_of(run: Pass, name: str, cell: int) -> tuple[int, ...]:
    """Return the place of a cell, counted in row order; MinicnnError if there is none."""
    shape = run.value(name).shape
    if not 0 <= cell < np.prod(shape):
        raise MinicnnError(f"cell {cell} is out of range; {name!r} has {int(np.prod(shape)):,} values")
    return tuple(int(i) for i in np.unravel_index(cell, shape))


def explain_forwards(run: Pass, name: str, cell: int) -> dict[str, Any]:
    """Return what a number is made of.

    Parameters
    ----------
    run : Pass
    name : str, a node, or "input"
    cell : int, the place in its output, in row order

    Returns
    -------
    record : dict
        ``value`` is the library's number; ``terms`` has ``x``, ``factor`` and ``product`` (of float32 numbers,
        exact in float64); ``sum`` is their exact sum with the bias, rounded once; ``error`` its distance from
        ``value`` in units of the last place of ``value``'s dtype.

    Raises
    ------
    MinicnnError
        If there is no such node or cell.

    """
    place, y = place_of(run, name, cell), run.value(name)
    record: dict[str, Any] = {"layer": name, "cell": cell, "place": list(place), "value": float(y[place])}
    record["field"] = _field(run, name, place)
    if name == INPUT:
        return record | {"form": "input", "words": "a pixel, as the network takes it"}
    node = run.graph.nodes[name]
    at = at_node(run, node)
    row = row_of(at.layer, at, place)
    product = row.factor.astype(np.float64) * row.x.astype(np.float64)
    record |= {
        "form": row.form,
        "words": row.words,
        "bias": row.bias,
        "facts": row.facts,
        "grid": None if row.grid is None else list(row.grid),
        "sources": list(node.inputs),
        "terms": {
            "source": row.source.tolist(),
            "index": row.index.tolist(),
            "x": row.x.tolist(),
            "factor": row.factor.tolist(),
            "product": product.tolist(),
        },
    }
    if row.form == "sum":
        total = fsum([*product.tolist(), row.bias or 0.0])
        record |= {"sum": total, "error": abs(total - float(y[place])) / float(np.spacing(np.abs(y[place])))}
    return record


def _field(run: Pass, name: str, place: tuple[int, ...]) -> list[int] | None:
    """Return xmin, ymin, xmax, ymax of the receptive field in the network's input."""
    if run.net.input_shape is None or len(run.net.input_shape) != 3:
        return None
    if name == INPUT:
        return [place[2], place[1], place[2] + 1, place[1] + 1]
    return list(receptive_field(run.net, name, *(place[1:] if len(place) == 3 else ())))
