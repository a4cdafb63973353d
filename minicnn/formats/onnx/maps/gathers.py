"""Gathers that exporters write around the batch, as one Gather an axis behind it.

``x[:, [3, 0, 1]]``, a resize to exact neighbours and the windows of an adaptive pool come from torch as a
transposition, a GatherND and another transposition: the axes that are indexed go first, and the batch, which no
layer moves, behind them.  Where the places of the axes form a grid, each axis is a Gather.  ``x.as_strided(...)``
of a batch that is fixed to one comes as a Gather among all of its values.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from minicnn.formats.fields import Fields
from minicnn.formats.onnx.model import Model, Node
from minicnn.formats.onnx.tensors import Filled

__all__ = ["gather_behind_batch"]


def gather_behind_batch(nodes: list[Node], model: Model, batch: int | None) -> list[Node]:
    """Return the nodes with each of these gathers replaced; what they read may be left unused."""
    by_output = {node.outputs[0]: node for node in nodes if node.outputs}
    parts = (
        _split_grid(node, by_output, model)
        or (batch == 1 and _gather_in_image(node, by_output, model.constants))
        or [node]
        for node in nodes
    )
    return list(itertools.chain.from_iterable(parts))


def _gather_in_image(node: Node, by_output: Mapping[str, Node], constants: Mapping[str, object]) -> list[Node]:
    """Return a Gather among the values of a batch of one, which a Reshape has put in a row, behind the batch."""
    row = by_output.get(node.inputs[0]) if node.op_type == "Gather" and len(node.inputs) == 2 else None
    if row is None or row.op_type != "Reshape" or node.attributes.get("axis", 0) != 0 or len(row.inputs) != 2:
        return []
    # all values in a row: whatever the one number of the shape is
    if getattr(constants.get(row.inputs[1]), "dims", None) != (1,):
        return []
    names = {key: f"{node.outputs[0]}, {key}" for key in ("image", "values", "row", "places", "shape", "gathered")}
    numbers = {"image": [1, -1], "values": [-1]}
    return [
        *(
            Node("Constant", node.name, (), (names[key],), Fields({"value_ints": value}), node.path)
            for key, value in numbers.items()
        ),
        _node(node, "Reshape", (row.inputs[0], names["image"]), names["row"]),
        _node(node, "Reshape", (node.inputs[1], names["values"]), names["places"]),
        _node(node, "Shape", (node.inputs[1],), names["shape"]),
        _node(node, "Gather", (names["row"], names["places"]), names["gathered"], axis=1),
        _node(node, "Reshape", (names["gathered"], names["shape"]), node.outputs[0]),
    ]


def _node(node: Node, op_type: str, inputs: tuple[str, ...], output: str, **attributes: object) -> Node:
    return Node(op_type, node.name, inputs, (output,), Fields(attributes), node.path)


def _split_grid(last: Node, by_output: Mapping[str, Node], model: Model) -> list[Node]:
    """Return a Gather an axis and a transposition; nothing unless the places that are taken form a grid."""
    gather = by_output.get(last.inputs[0]) if last.op_type == "Transpose" and last.inputs else None
    if gather is None or gather.op_type != "GatherND" or len(gather.inputs) != 2:
        return []
    first, indices = by_output.get(gather.inputs[0]), model.constants.get(gather.inputs[1])
    if first is None or first.op_type != "Transpose" or indices is None or gather.attributes.get("batch_dims", 0):
        return []
    order, back = first.attributes.get("perm"), last.attributes.get("perm")
    count, rank = (indices.dims or (0,))[-1], len(indices.dims) - 1
    if not isinstance(order, list) or not isinstance(back, list) or not 0 < count <= len(order):
        return []
    groups = _grid(indices.array)
    # the batch is not indexed, and the second transposition orders all axes that there are
    if groups is None or 0 in order[:count] or sorted(back) != list(range(rank + len(order) - count)):
        return []
    nodes, source = [], first.inputs[0]
    # the last axis first, so that the numbers of those before it stay
    for axis, k in sorted(zip(order, range(count), strict=False), reverse=True):
        places, output = f"{last.outputs[0]}, places {axis}", f"{last.outputs[0]}, axis {axis}"
        kept = [slice(None) if i in groups[k] else 0 for i in range(rank)]
        model.constants[places] = Filled(places, np.array(indices.array[..., k][tuple(kept)]))
        nodes.append(_node(last, "Gather", (source, places), output, axis=axis))
        source = output
    # the order of the axes now, and as the GatherND leaves them: those of its indices, then the others
    indexed = {axis: [("index", i) for i in groups[k]] for k, axis in enumerate(order[:count])}
    now = [label for axis in range(len(order)) for label in indexed.get(axis, [("axis", axis)])]
    theirs = [("index", i) for i in range(rank)] + [("axis", axis) for axis in order[count:]]
    perm = [now.index(theirs[i]) for i in back]
    return [*nodes, _node(last, "Transpose", (source,), last.outputs[0], perm=perm)]


def _grid(indices: np.ndarray) -> list[list[int]] | None:
    """Return for each number of a place the axes of ``indices`` that it depends on; None if two share one."""
    groups: list[list[int]] = [[] for _ in range(indices.shape[-1])]
    for i in range(indices.ndim - 1):
        varies = (indices != indices.take([0], i)).any(tuple(range(indices.ndim - 1)))
        if varies.sum() > 1:
            return None
        # an axis that repeats all places may go with any of them
        groups[int(varies.argmax())].append(i)
    return groups
