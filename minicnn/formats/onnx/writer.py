"""From a network to an ONNX file: each layer one node or a few, weights as raw initialisers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from minicnn import layers as nn
from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.containers import files
from minicnn.formats.containers.protobuf import (
    Chunks,
    count_bytes,
    encode_float,
    encode_integer,
    encode_message,
    encode_packed,
    encode_text,
)
from minicnn.formats.onnx.context import ExportContext
from minicnn.formats.onnx.export import NODES
from minicnn.formats.onnx.reader import LABELS, PREPROCESS, PRODUCER, SIZES
from minicnn.layers import Layer
from minicnn.layers.base import Shape
from minicnn.layers.joins import Join
from minicnn.layers.sequence import INPUT, NamedLayers, needed_for, read_by
from minicnn.network import Network

__all__ = ["OPSET", "write"]

OPSET, IR_VERSION = 17, 8
MAX_BYTES = (1 << 31) - 1  # protobuf's limit
JOINS: dict[type[Join], str] = {
    nn.Add: "Add",
    nn.Divide: "Div",
    nn.Maximum: "Max",
    nn.Minimum: "Min",
    nn.Multiply: "Mul",
    nn.Subtract: "Sub",
}
_KINDS = {np.dtype(np.float32): 1, np.dtype(np.int64): 7, np.dtype(np.float64): 11}


def write(path: PathLike, net: Network) -> None:
    """Write a network as an ONNX file of opset 17, the same bytes for the same network.

    Nodes have the layers' names and initialisers those of the state dictionary; a softmax at the end is part of
    the graph.  Preprocessing and labels go into the metadata, where ``read`` finds them.

    Parameters
    ----------
    path : str or Path
    net : Network

    Raises
    ------
    WeightsError
        If the file can't be written, or would be larger than 2 GiB, which ONNX files can't be.

    """
    try:
        chunks = _encode_model(net)
    except MinicnnError as error:
        raise WeightsError(f"{path}: can't be written as ONNX: {error}") from None
    if count_bytes(chunks) > MAX_BYTES:
        raise WeightsError(
            f"{path}: {count_bytes(chunks):,} bytes, but an ONNX file holds at most 2 GiB; save it as .npz"
        )
    with files.atomic_write(path) as file:
        file.writelines(chunks)


def _encode_model(net: Network) -> Chunks:
    graph = Graph(net)
    # ModelProto: ir_version 1, producer_name 2, graph 7, opset_import 8, metadata_props 14
    return [
        *encode_integer(1, IR_VERSION),
        *encode_text(2, PRODUCER),
        *encode_message(7, graph.encode(net.name)),
        *encode_message(8, [*encode_text(1, ""), *encode_integer(2, OPSET)]),
        *(chunk for entry in _metadata(net).items() for chunk in encode_message(14, _encode_entry(*entry))),
    ]


def _metadata(net: Network) -> dict[str, str]:
    entries = {PREPROCESS: None if net.preprocess is None else net.preprocess.to_dict(), LABELS: net.labels}
    return {key: json.dumps(value, ensure_ascii=False) for key, value in entries.items() if value is not None}


def _encode_entry(key: str, value: str) -> Chunks:
    return [*encode_text(1, key), *encode_text(2, value)]


class Graph:
    """The graph while it is written: nodes and initialisers, each value's name given once."""

    def __init__(self, net: Network):
        self.nodes: Chunks = []
        self.initialisers: Chunks = []
        self.open_size = net.input_shape is None
        # float64 as soon as one array has it
        self.dtype = next(iter({a.dtype for a in net.state_dict().values()} & {np.dtype("f8")}), np.dtype("f4"))
        self.names: set[str] = set()
        layers = net.named_layers
        shape = (_find_channels(layers), *SIZES[0][:2]) if net.input_shape is None else net.input_shape
        self.input, self.input_shape = self.unique_name("input"), shape
        self.output, self.output_shape = self.add_chain(layers, ExportContext(self, "", self.input, shape))
        # no layer: the output still needs a name of its own
        if self.output == self.input:
            self.output = self.node("Identity", "identity", [self.input])

    def unique_name(self, name: str) -> str:
        """Return a name for a value that no other value has."""
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def node(self, op_type: str, name: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node called ``name`` and return the name of its output."""
        output = self.unique_name(name)
        # NodeProto: input 1, output 2, name 3, op_type 4, attribute 5
        fields = [chunk for value in inputs for chunk in encode_text(1, value)]
        fields += [*encode_text(2, output), *encode_text(3, name), *encode_text(4, op_type)]
        for key in sorted(attributes):
            fields += encode_message(5, _encode_attribute(key, attributes[key]))
        self.nodes += encode_message(1, fields)
        return output

    def constant(self, name: str, array: np.ndarray, weights: bool = True) -> str:
        """Add an initialiser and return its name; weights in the precision of the widest of them."""
        name, array = self.unique_name(name), np.asarray(array)
        array = (
            array.astype(self.dtype, copy=False) if array.dtype.kind == "f" and array.ndim and weights else array
        )
        # TensorProto: dims 1, data_type 2, name 8, raw_data 9
        fields = [] if array.ndim == 0 else encode_packed(1, array.shape)
        fields += [*encode_integer(2, _KINDS[array.dtype]), *encode_text(8, name)]
        self.initialisers += encode_message(5, [*fields, *encode_message(9, [files.flat_bytes(array)])])
        return name

    def add_chain(self, layers: NamedLayers, context: ExportContext) -> tuple[str, Shape]:
        """Add layers one after the other; return the name and the shape of the last one's output."""
        end = layers[-1][0] if layers else INPUT
        layers, values = needed_for(layers, end), {INPUT: (context.x, context.shape)}
        for (name, layer), inputs in zip(layers, read_by(layers), strict=True):
            path = f"{context.path}.{name}" if context.path else name
            x, shape = values[inputs[0]]
            if isinstance(layer, Join):
                names, shapes = zip(*(values[value] for value in inputs), strict=True)
                values[name] = self.add_join(layer, path, list(names)), layer.output_shape(shapes)
            else:
                values[name] = (
                    self.add_layer(layer, ExportContext(self, path, x, shape)),
                    layer.output_shape(shape),
                )
        return values[end]

    def add_join(self, layer: Join, path: str, inputs: list[str]) -> str:
        """Add a layer of several inputs and return the name of its output."""
        if isinstance(layer, nn.Cat):
            return self.node("Concat", path, inputs, axis=layer.dim)
        if type(layer) not in JOINS:
            raise WeightsError(f"layer {path!r}: no ONNX operator is known for {type(layer).__name__}")
        # operators of two inputs take more one by one
        first, *rest = inputs
        for i, other in enumerate(rest, start=1):
            first = self.node(JOINS[type(layer)], path if i == len(rest) else f"{path}_{i}", [first, other])
        return first

    def add_layer(self, layer: Layer, context: ExportContext) -> str:
        """Add a layer and return the name of its output."""
        if isinstance(layer, nn.Sequential):
            return self.add_chain(layer.layers, context)[0]
        if isinstance(layer, nn.Residual | nn.Concat):
            outputs = [self.add_chain(branch, context)[0] for branch in layer.branches()]
            if isinstance(layer, nn.Residual):
                return self.node("Add", context.path, outputs)
            return self.node("Concat", context.path, outputs, axis=1)
        if type(layer) not in NODES:
            raise context.error(f"no ONNX operator is known for {type(layer).__name__}")
        return NODES[type(layer)](layer, context)

    def encode(self, name: str) -> Chunks:
        """Return the GraphProto."""
        names = ("N", None, "H", "W") if self.open_size else ("N",)
        # GraphProto: node 1, name 2, initializer 5, input 11, output 12
        return [
            *self.nodes,
            *encode_text(2, name),
            *self.initialisers,
            *encode_message(11, self._encode_value_info(self.input, self.input_shape, names)),
            *encode_message(12, self._encode_value_info(self.output, self.output_shape, ("N",))),
        ]

    def _encode_value_info(self, name: str, shape: Shape, names: tuple[str | None, ...]) -> Chunks:
        """Return a ValueInfoProto, dimensions called by ``names`` where it has a name for them."""
        dims: Chunks = []
        for i, n in enumerate((0, *shape)):  # the batch has a name, not a length
            known = names[i] if i < len(names) else None
            is_open = self.open_size and known is None and i > 1
            size = encode_text(2, known or f"{name}_{i}") if known or is_open else encode_integer(1, n)
            dims += encode_message(1, size)
        tensor = [*encode_integer(1, _KINDS[self.dtype]), *encode_message(2, dims)]
        return [*encode_text(1, name), *encode_message(2, encode_message(1, tensor))]


def _find_channels(layers: NamedLayers) -> int:
    """Return how many channels the first layer that says so expects."""
    for _, layer in layers:
        for name in ("in_channels", "num_features"):
            if hasattr(layer, name):
                return getattr(layer, name)
        if layer.branches():
            return next(_find_channels(branch) for branch in layer.branches() if branch)
    raise WeightsError("neither the network nor its layers say how many channels the input has; set input_shape")


def _encode_attribute(name: str, value: Any) -> Chunks:
    # AttributeProto: name 1, f 2, i 3, s 4, ints 8, and the type in 20
    chunks = encode_text(1, name)
    if isinstance(value, str):
        return [*chunks, *encode_text(4, value), *encode_integer(20, 3)]
    if isinstance(value, float):
        return [*chunks, *encode_float(2, value), *encode_integer(20, 1)]
    if isinstance(value, int):
        return [*chunks, *encode_integer(3, value), *encode_integer(20, 2)]
    return [
        *chunks,
        *(c for v in value for c in encode_integer(8, int(v))),
        *encode_integer(20, 7),
    ]
