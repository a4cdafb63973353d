"""From a .prototxt and a .caffemodel to a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.caffe import blobs, describe, text
from minicnn.formats.caffe.bound import BoundLayer, Branch
from minicnn.formats.caffe.describe import LayerParameter
from minicnn.formats.caffe.entry import SOURCES, build_preprocess, find_entry
from minicnn.formats.caffe.joins import JOINS
from minicnn.formats.caffe.maps import MAPS
from minicnn.formats.caffe.norms import NORMS
from minicnn.formats.caffe.pointwise import POINTWISE
from minicnn.formats.caffe.windows import WINDOWS
from minicnn.formats.containers.files import escape
from minicnn.formats.ends import ONLY, Ends
from minicnn.formats.fields import describe_unread
from minicnn.formats.graph import GraphNode, flatten_scores, list_layers
from minicnn.layers import BatchNorm2d, Layer
from minicnn.layers.base import Shape
from minicnn.layers.joins import Join
from minicnn.network import Network

__all__ = ["read"]

MAX_VALUES = 1 << 31  # values of one image in one layer
TRAINING = ("Accuracy", "Silence", "HDF5Output")
_LAYERS = {**WINDOWS, **NORMS, **POINTWISE, **MAPS, **JOINS}
_OF_SEVERAL = ("Concat", "Crop", "Eltwise", "Scale")  # inputs


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
        If a file is missing or damaged, they do not fit each other, or a layer has no counterpart here.

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
        chain = flatten_scores(list_layers(nodes, entry.name, target), shape, entry.shape)
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
    for layer, inputs, output, part in _prune(connections, target):
        if len(layer.tops) != 1 and layer.kind != "Slice":
            raise layer.error(f"{len(layer.tops)} outputs; expected one")
        bound = BoundLayer(layer, [shapes[value] for value in inputs], arrays.get(layer.name, []), part)
        layers, shapes[output] = _convert(bound)
        if isinstance(layers, Branch):
            joined = f"{output}, branch"
            nodes[joined] = GraphNode(f"{layer.name}_branch", (inputs[layers.source],), tuple(layers.layers))
            inputs, layers = (inputs[0], joined), [layers.join, *layers.after]
        # a Crop's second input only says how large
        inputs = inputs if layers and isinstance(layers[0], Join) else inputs[:1]
        name = layer.tops[part] if layer.kind in ("Slice", "Crop") else layer.name
        # a Scale may only be merged into a normalisation whose output nothing else reads
        previous = nodes.get(inputs[0]) if layer.kind == "Scale" and reads[inputs[0]] == 1 else None
        nodes[output] = _merge_scale(name, previous, layers) or GraphNode(name, inputs, tuple(layers))
        if prod(shapes[output]) > MAX_VALUES:
            raise layer.error(f"gives {shapes[output]} for each image, more values than {MAX_VALUES:,}")
        layer.check_read()
    return nodes, shapes[target]


def _prune(connections: list[_Connection], target: str) -> list[_Connection]:
    """Return the layers that the output depends on."""
    # layers come in order, so that one pass from the end finds all that the output needs
    needed, live = {target}, []
    for connection in reversed(connections):
        if connection.output in needed:
            needed.update(connection.inputs)
            live.append(connection)
    return live[::-1]


def _convert(bound: BoundLayer) -> tuple[list[Layer] | Branch, Shape]:
    """Return our layers for one of the file, and the shape of what they give."""
    layer, shape = bound.layer, bound.shape
    if layer.kind == "Python":
        raise layer.error("needs its program, in Python, which is never run; cut the net before it")
    if layer.kind not in _LAYERS:
        raise layer.error("no layer does this; cut the net before it in the .prototxt")
    if len(bound.shapes) != 1 and layer.kind not in _OF_SEVERAL:
        raise layer.error(f"{len(bound.shapes)} inputs; expected one")
    try:
        layers = _LAYERS[layer.kind](bound)
        for part in [] if isinstance(layers, Branch) else layers:
            shape = part.output_shape(tuple(bound.shapes)) if isinstance(part, Join) else part.output_shape(shape)
    except WeightsError:
        raise
    except MinicnnError as error:
        raise layer.error(str(error)) from None
    return layers, shape


def _merge_scale(name: str, previous: GraphNode | None, layers: list[Layer]) -> GraphNode | None:
    """Return the node of a BatchNorm that only this Scale reads, with its weight and bias."""
    if previous is None or len(previous.layers) != 1:
        return None
    norm, scale = previous.layers[0], layers[0]
    if not isinstance(norm, BatchNorm2d) or norm.affine or not isinstance(scale, BatchNorm2d):
        return None
    parameters: dict[str, Any] = norm.state() | {"weight": scale.weight, "bias": scale.bias}
    return GraphNode(name, previous.inputs, (BatchNorm2d(norm.num_features, eps=norm.eps, **parameters),))
