"""From a .prototxt and a .caffemodel to a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.caffe import blobs, describe, text
from minicnn.formats.caffe.branches import BRANCHES, Branch, mean_variance_norm
from minicnn.formats.caffe.describe import LayerParameter
from minicnn.formats.caffe.entry import SOURCES, build_preprocess, find_entry
from minicnn.formats.caffe.layers import LAYERS, BoundLayer
from minicnn.formats.caffe.maps import MAP_LAYERS, crop, slice_part
from minicnn.formats.containers.files import escape
from minicnn.formats.ends import ONLY, Ends
from minicnn.formats.fields import describe_unread
from minicnn.formats.graph import GraphNode, flatten_scores, list_layers
from minicnn.layers import Add, BatchNorm2d, Cat, Layer, Maximum, Multiply, Scale, Subtract
from minicnn.layers.base import Shape
from minicnn.layers.joins import Join
from minicnn.network import Network

__all__ = ["read"]

MAX_VALUES = 1 << 31  # values of one image in one layer
TRAINING = ("Accuracy", "Silence", "HDF5Output")


def read(
    path: PathLike,
    weights: PathLike,
    mean: np.ndarray | Iterable[float] | None = None,
    ends: Ends = ONLY,
) -> Network:
    """Read a Caffe network: its description (.prototxt, of any age) and its weights (.caffemodel).

    Layers keep their names; those that only training has are left out, and a Scale becomes part of the BatchNorm
    before it, under the Scale's name.  Inputs are BGR values of 0..255 minus a mean, Caffe's custom:
    ``preprocess`` says so where the mean is given or the description has it, else it is None, unknown.

    Parameters
    ----------
    path, weights : str or Path
    mean : array of shape (C, H, W), such as ``read_mean`` gives, or numbers, one for each channel, optional
        A mean image larger than the input is cut to its middle.
    ends : Ends
        Which input and output are read, by the names of their blobs.

    Raises
    ------
    WeightsError
        If a file is missing or damaged, they do not fit each other, a layer has no counterpart here, or the
        graph is no list of layers and blocks.

    """
    path = Path(path)
    net = text.read(path)
    layers = describe.list_layers(net)
    arrays = blobs.read(weights)
    deployed = [layer for layer in layers if layer.kind not in SOURCES and not _is_for_training(layer)]
    entry = find_entry(net, layers, arrays, {name for layer in deployed for name in layer.bottoms}, ends)
    connections, trained = _connect(layers, entry.name)
    target = _find_output(net, connections, trained, ends)
    _check_shared(connections, arrays)
    nodes, shape = _build_nodes(connections, entry.name, entry.shape, arrays, target)
    name = net.text("name") or path.stem
    unread = net.unread(describe.HARMLESS, deep=False)
    if unread:
        raise net.error(describe_unread(unread))
    try:
        chain = flatten_scores(list_layers(nodes, entry.name, target), shape)
        return Network(chain, entry.shape, build_preprocess(entry, mean), name=name)
    except MinicnnError as error:
        raise WeightsError(f"{path}: {error}") from None


def _check_shared(connections: list[_Connection], arrays: dict[str, list[blobs.Blob]]) -> None:
    """Raise where layers share a parameter by its name, and the weights hold other values for each of them."""
    first: dict[str, tuple[str, np.ndarray]] = {}
    for layer in (connection.layer for connection in connections):
        for name, blob in zip(layer.parameter_names(), arrays.get(layer.name, []), strict=False):
            owner, values = first.setdefault(name, (layer.name, blob.values))
            if name and not np.array_equal(values, blob.values):
                raise layer.error(
                    f"shares {escape(name)!r} with layer {escape(owner)!r}; the weights hold two of it"
                )


def _is_for_training(layer: LayerParameter) -> bool:
    return layer.kind in TRAINING or layer.kind.endswith("Loss")


class _Connection(NamedTuple):
    """A layer with the values that it reads and the one that it writes; a blob may hold several, one by one."""

    layer: LayerParameter
    inputs: tuple[str, ...]
    output: str
    part: int = 0  # which of a Slice's outputs


def _connect(layers: list[LayerParameter], source: str) -> tuple[list[_Connection], set[str]]:
    """Return the layers that compute something, and the values that losses and metrics read."""
    holders = {source: source}  # the value that each blob holds at this point
    connections: list[_Connection] = []
    trained: set[str] = set()
    for index, layer in enumerate(layers):
        if _is_for_training(layer):
            trained.update(holders[name] for name in layer.bottoms if name in holders)
        elif layer.kind not in SOURCES:
            missing = [name for name in layer.bottoms if name not in holders]
            if missing or not layer.bottoms or not layer.tops:
                what = (
                    f"reads {escape(missing[0])!r}, which no layer before it writes" if missing else "is not wired"
                )
                raise layer.error(what)
            inputs = tuple(holders[name] for name in layer.bottoms)
            if layer.kind == "Split":
                # all outputs of a Split are the value that it reads
                holders.update(dict.fromkeys(layer.tops, inputs[0]))
                continue
            # a layer may write into the blob that it reads: the number makes that another value
            for part, top in enumerate(layer.tops if layer.kind == "Slice" else layer.tops[:1]):
                connections.append(_Connection(layer, inputs, f"{index}: {top}", part))
                holders[top] = connections[-1].output
    return connections, trained


def _find_output(net: text.Fields, connections: list[_Connection], trained: set[str], ends: Ends) -> str:
    """Return the value that no layer reads; of several the chosen one, or the last if losses read the others."""
    used = {value for connection in connections for value in connection.inputs}
    outputs = [connection for connection in connections if connection.output not in used]
    untrained = [connection for connection in outputs if connection.output not in trained]
    if not outputs:
        raise net.error("0 outputs; expected a layer whose output no other reads")
    if ends.output is None and len(untrained) <= 1:
        return (untrained or outputs)[-1].output
    values = {c.layer.tops[c.part]: c.output for c in outputs}
    return values[ends.find_output(list(values), net.where)]


def _build_nodes(
    connections: list[_Connection], source: str, shape: Shape, arrays: dict[str, list[blobs.Blob]], target: str
) -> tuple[dict[str, GraphNode], Shape]:
    """Return how each value comes about, and the shape of the output."""
    shapes = {source: shape}
    nodes: dict[str, GraphNode] = {}
    reads = Counter(value for connection in connections for value in connection.inputs)
    for connection in _prune(connections, target):
        layer = connection.layer
        if len(layer.tops) != 1 and layer.kind != "Slice":
            raise layer.error(f"{len(layer.tops)} outputs; expected one")
        if layer.kind in ("Concat", "Eltwise"):
            node, shape = _join(connection, [shapes[value] for value in connection.inputs])
        elif layer.kind in ("Slice", "Crop"):
            layers, shape = _cut(connection, [shapes[value] for value in connection.inputs])
            node = GraphNode(layer.tops[connection.part], connection.inputs[:1], tuple(layers))
        elif branch := _find_branch(connection, [shapes[value] for value in connection.inputs], arrays):
            joined = f"{connection.output}, branch"
            inputs = connection.inputs[0], joined
            nodes[joined] = GraphNode(f"{layer.name}_branch", (connection.inputs[branch.source],), branch.layers)
            node, shape = GraphNode(layer.name, inputs, (branch.join, *branch.after)), shapes[inputs[0]]
        else:
            layers, shape = _build_layers(connection, shapes[connection.inputs[0]], arrays.get(layer.name, []))
            # a Scale may only be merged into a normalisation whose output nothing else reads
            previous = nodes.get(connection.inputs[0]) if reads[connection.inputs[0]] == 1 else None
            node = _merge_scale(layer, previous, layers) or GraphNode(layer.name, connection.inputs, tuple(layers))
        if prod(shape) > MAX_VALUES:
            raise layer.error(f"gives {shape} for each image, more values than {MAX_VALUES:,}")
        layer.check_read()
        nodes[connection.output], shapes[connection.output] = node, shape
    return nodes, shapes[target]


def _find_branch(
    connection: _Connection, shapes: list[Shape], arrays: dict[str, list[blobs.Blob]]
) -> Branch | None:
    """Return the layer as a join of its input and a branch, None of most layers."""
    layer, find = connection.layer, BRANCHES.get(connection.layer.kind)
    if find is None:
        return None
    try:
        return find(BoundLayer(layer, shapes[0], arrays.get(layer.name, [])), shapes[1:])
    except WeightsError:
        raise
    except MinicnnError as error:
        raise layer.error(str(error)) from None


def _prune(connections: list[_Connection], target: str) -> list[_Connection]:
    """Return the layers that the output depends on."""
    # layers come in order, so that one pass from the end finds all that the output needs
    needed, live = {target}, []
    for connection in reversed(connections):
        if connection.output in needed:
            needed.update(connection.inputs)
            live.append(connection)
    return live[::-1]


def _join(connection: _Connection, shapes: list[Shape]) -> tuple[GraphNode, Shape]:
    layer = connection.layer
    if layer.kind == "Concat":
        fields = layer.param("concat_param")
        if "axis" in fields and "concat_dim" in fields:
            raise layer.error("has axis and concat_dim; expected one of them")
        axis = fields.integer("axis", fields.integer("concat_dim", 1))
        axis += (len(shapes[0]) + 1) * (axis < 0)
        if not 1 <= axis <= len(shapes[0]):
            raise layer.error(f"concatenates along axis {axis}; expected one behind the batch's, such as 1")
        layers: tuple[Layer, ...] = (Cat(axis),)
    else:
        layers = _combine(layer, shapes)
    # of one value it is the value itself
    if len(shapes) == 1:
        return GraphNode(layer.name, connection.inputs), shapes[0]
    try:
        return GraphNode(layer.name, connection.inputs, layers), cast(Join, layers[0]).output_shape(tuple(shapes))
    except MinicnnError as error:
        raise layer.error(str(error)) from None


def _combine(layer: LayerParameter, shapes: list[Shape]) -> tuple[Layer, ...]:
    """Return the layers of an Eltwise: a product, a maximum, or a sum with coefficients."""
    fields = layer.param("eltwise_param")
    operation, factors = fields.choice("operation", ("PROD", "SUM", "MAX"), "SUM"), fields.reals("coeff")
    if len(set(shapes)) > 1 or len(shapes) < 2:
        raise layer.error(f"joins {shapes}; expected two values or more of one shape")
    if operation != "SUM" and not factors:
        return (Multiply() if operation == "PROD" else Maximum(),)
    if operation == "SUM" and set(factors) <= {1.0}:
        return (Add(),)
    if operation == "SUM" and factors == [1.0, -1.0] and len(shapes) == 2:
        return (Subtract(),)
    if operation == "SUM" and len(factors) == len(shapes) and len(set(factors)) == 1:
        return Add(), Scale((), bias=False, weight=np.array(factors[0], np.float32))
    raise layer.error(f"{operation} with coefficients {factors}; expected equal ones, or 1 and -1, of a sum")


def _build_layers(connection: _Connection, shape: Shape, arrays: list[blobs.Blob]) -> tuple[list[Layer], Shape]:
    layer = connection.layer
    known = {**LAYERS, **MAP_LAYERS, "MVN": mean_variance_norm}
    if layer.kind == "Python":
        raise layer.error("needs its program, in Python, which is never run; cut the net before it")
    if layer.kind not in known:
        raise layer.error("no layer does this; cut the net before it in the .prototxt")
    if len(connection.inputs) != 1:
        raise layer.error(f"{len(connection.inputs)} inputs; expected one")
    try:
        layers = known[layer.kind](BoundLayer(layer, shape, arrays))
        for part in layers:
            shape = part.output_shape(shape)
    except WeightsError:
        raise
    except MinicnnError as error:
        raise layer.error(str(error)) from None
    return layers, shape


def _cut(connection: _Connection, shapes: list[Shape]) -> tuple[list[Layer], Shape]:
    """Return the layers of one output of a Slice, or of a Crop, whose second input only says how large."""
    bound = BoundLayer(connection.layer, shapes[0], [])
    if len(shapes) != (2 if connection.layer.kind == "Crop" else 1):
        raise bound.error(f"{len(shapes)} inputs")
    layers = crop(bound, shapes[1]) if connection.layer.kind == "Crop" else slice_part(bound, connection.part)
    shape = shapes[0]
    for layer in layers:
        shape = layer.output_shape(shape)
    return layers, shape


def _merge_scale(layer: LayerParameter, previous: GraphNode | None, layers: list[Layer]) -> GraphNode | None:
    """Return the node of a BatchNorm that only this Scale reads, with its weight and bias."""
    if layer.kind != "Scale" or previous is None or len(previous.layers) != 1:
        return None
    norm, scale = previous.layers[0], layers[0]
    if not isinstance(norm, BatchNorm2d) or norm.affine or not isinstance(scale, BatchNorm2d):
        return None
    parameters: dict[str, Any] = norm.state() | {"weight": scale.weight, "bias": scale.bias}
    return GraphNode(layer.name, previous.inputs, (BatchNorm2d(norm.num_features, eps=norm.eps, **parameters),))
