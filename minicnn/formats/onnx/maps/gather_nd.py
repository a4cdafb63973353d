"""Selections that exporters write as a transposition, a GatherND and the transposition back: one Gather an axis.

``x[:, [3, 0, 1]]`` and a resize to exact neighbours come so from torch: the axes that are indexed go first, and
the batch, which no layer moves, behind them.  Where the places of two axes form a grid, each axis is a Gather.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from minicnn.formats.fields import Fields
from minicnn.formats.onnx.model import Node
from minicnn.formats.onnx.tensors import Tensor

__all__ = ["split_gathers"]


def split_gathers(nodes: list[Node], constants: Mapping[str, Tensor]) -> list[Node]:
    """Return the nodes with each such triple replaced; anything else stays as it is."""
    uses = Counter(name for node in nodes for name in node.reads)
    by_output = {node.outputs[0]: node for node in nodes if node.outputs}
    replaced: dict[str, list[Node]] = {}
    dropped: set[str] = set()
    for last in nodes:
        gather = by_output.get(last.inputs[0]) if last.op_type == "Transpose" and last.inputs else None
        if gather is None or gather.op_type != "GatherND" or len(gather.inputs) != 2:
            continue
        first = by_output.get(gather.inputs[0])
        alone = first is not None and uses[first.outputs[0]] == uses[gather.outputs[0]] == 1
        if first is None or not alone or first.op_type != "Transpose" or gather.inputs[1] not in constants:
            continue
        places = _grid(first, gather, last, constants[gather.inputs[1]])
        if places is not None:
            replaced[last.outputs[0]] = list(_gathers(first, last, places))
            dropped |= {first.outputs[0], gather.outputs[0]}
    kept = (node for node in nodes if node.outputs and node.outputs[0] not in dropped)
    return [part for node in kept for part in replaced.get(node.outputs[0], [node])] if replaced else nodes


def _grid(first: Node, gather: Node, last: Node, indices: Tensor) -> list[tuple[int, np.ndarray]] | None:
    """Return the places along each axis, (axis, places), if the triple selects along axes behind the batch."""
    order, back = first.attributes.get("perm"), last.attributes.get("perm")
    count = indices.dims[-1] if indices.dims else 0
    indexed = len(indices.dims) - 1 == count and not gather.attributes.get("batch_dims", 0)
    if not isinstance(order, list) or not isinstance(back, list) or not indexed or 0 in order[:count]:
        return None
    # the second transposition must undo the first
    if sorted(order) != list(range(len(order))) or back != np.argsort(order).tolist():
        return None
    grid = [np.moveaxis(indices.array[..., k], k, 0).reshape(indices.dims[k], -1) for k in range(count)]
    if any((places != places[:, :1]).any() for places in grid):
        return None
    return [(axis, places[:, 0]) for axis, places in zip(order[:count], grid, strict=True)]


def _gathers(first: Node, last: Node, selected: list[tuple[int, np.ndarray]]) -> Iterable[Node]:
    source = first.inputs[0]
    for i, (axis, places) in enumerate(selected, start=1):
        output = last.outputs[0] if i == len(selected) else f"{last.outputs[0]}, axis {axis}"
        constant = f"{last.outputs[0]}, places {axis}"
        values = Fields({"value_ints": [int(p) for p in places]})
        yield Node("Constant", f"{last.name} places", (), (constant,), values, last.path)
        yield Node("Gather", last.name, (source, constant), (output,), Fields({"axis": axis}), last.path)
        source = output
