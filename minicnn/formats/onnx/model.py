"""What an ONNX file says: nodes, constants, the input and the output, decoded."""

from __future__ import annotations

from collections.abc import Callable, Container
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers import protobuf
from minicnn.formats.containers.files import escape
from minicnn.formats.fields import Fields, describe_unread
from minicnn.formats.onnx.tensors import Folder, Tensor

__all__ = ["NEWEST_OPSET", "OLDEST_OPSET", "Branch", "Model", "Node", "ValueInfo", "open_model"]

OLDEST_OPSET, NEWEST_OPSET = 6, 26
DOMAINS = ("", "ai.onnx")  # names of ONNX's own operators

# fields of ModelProto, GraphProto, NodeProto, AttributeProto
IR_VERSION, GRAPH, OPSETS, METADATA, FUNCTIONS = 1, 7, 8, 14, 25
NODES, INITIALISERS, INPUTS, OUTPUTS, SPARSE = 1, 5, 11, 12, 15
FLOAT, INT, STRING, TENSOR, GRAPH_VALUE, FLOATS, INTS, STRINGS = 1, 2, 3, 4, 5, 6, 7, 8
# all that ONNX 1.21 defines: what is not read of it is text, types that follow from the nodes, hints for devices
# and for quantisation, and what only training has
MODEL_FIELDS = frozenset((*range(1, 9), METADATA, 20, FUNCTIONS, 26))
GRAPH_FIELDS = frozenset((NODES, 2, INITIALISERS, 10, INPUTS, OUTPUTS, 13, 14, SPARSE, 16))
NODE_FIELDS = frozenset(range(1, 11))
# of an attribute, beside its value: name, text, type
ATTRIBUTE_FIELDS = {1, 13, 20}


class Node(NamedTuple):
    """One operation of the graph; an omitted input or output is an empty string."""

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Fields
    path: Path

    def error(self, why: str) -> WeightsError:
        """Return an error that names the operator and the node."""
        return WeightsError(f"{self.path}: node {escape(self.name)!r} ({escape(self.op_type)}): {why}")

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of all values that it reads, in its branches too."""
        branches = [b for b in self.attributes.values() if isinstance(b, Branch)]
        return self.inputs + tuple(name for b in branches for node in b.nodes for name in node.inputs)

    def check_read(self, harmless: Container[str]) -> None:
        """Raise for an attribute that no reader asked for, unless it is ``harmless``."""
        unread = self.attributes.unread(harmless)
        if unread:
            raise self.error(describe_unread(unread))

    def integer(self, name: str, default: int) -> int:
        """Return a whole number among the attributes."""
        return self._attribute(name, default, int, "a whole number")

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a truth value among the attributes, written as 0 or 1."""
        value = self.integer(name, int(default))
        if value not in (0, 1):
            raise self.error(f"its attribute {name} should be 0 or 1, is {value}")
        return bool(value)

    def integers(self, name: str, default: list[int] | None = None) -> list[int]:
        """Return whole numbers among the attributes."""
        return self._attribute(name, default, list, "whole numbers")

    def reals(self, name: str) -> list[float]:
        """Return floating-point numbers among the attributes, as many as there are."""
        return self._attribute(name, [], list, "numbers")

    def real(self, name: str, default: float) -> float:
        """Return a floating-point number among the attributes; infinite only by default."""
        value = self._attribute(name, default, float, "a number")
        if name in self.attributes and not isfinite(value):
            raise self.error(f"its attribute {name} is {value}")
        return value

    def text(self, name: str, default: str) -> str:
        """Return a string among the attributes."""
        return self._attribute(name, default, str, "text")

    def _attribute(self, name: str, default: Any, kind: type, expected: str) -> Any:
        value = self.attributes.get(name, default)
        if not isinstance(value, kind) and not (name not in self.attributes and value is None):
            raise self.error(f"its attribute {name} should be {expected}, is {escape(value)}")
        return value


class ValueInfo(NamedTuple):
    """An input or output of the graph: name, element type, and dimensions, None where the file leaves them open.

    ``dims`` is None where not even their number is said.
    """

    name: str
    kind: int
    dims: tuple[int | None, ...] | None


class Branch(NamedTuple):
    """One way that an If can go, reading the values around it."""

    nodes: list[Node]
    constants: dict[str, Tensor]
    outputs: list[str]


class Model(NamedTuple):
    """A decoded file."""

    path: Path
    opset: int
    nodes: list[Node]
    constants: dict[str, Tensor]
    inputs: list[ValueInfo]
    outputs: list[ValueInfo]
    metadata: dict[str, str]
    producer: str
    folder: Folder


def open_model(path: PathLike) -> Model:
    """Open an ONNX file and decode everything but the constants' values.

    Raises
    ------
    WeightsError
        If the file is missing, damaged or no ONNX model, or of another version than this reader knows.

    """
    path = Path(path)
    proto = protobuf.open_message(path, "an ONNX model")
    graph = proto.message(GRAPH)
    if graph is None or NODES not in graph or OPSETS not in proto:
        raise proto.error(0, "no graph with nodes and a version of the operators")
    proto.check_fields(MODEL_FIELDS)
    opset = _check_opset(proto, path)
    for function in proto.messages(FUNCTIONS):
        if function.text(10) in DOMAINS:
            raise function.error(0, f"a function in place of ONNX's operator {escape(function.text(1))}")
    folder = Folder(path, proto.data.nbytes)
    nodes, constants = _decode_graph(graph, folder)
    # old files list their constants among the inputs
    inputs = [p for p in (_decode_value_info(p) for p in graph.messages(INPUTS)) if p.name not in constants]
    outputs = [_decode_value_info(p) for p in graph.messages(OUTPUTS)]
    metadata = {entry.text(1): entry.text(2) for entry in proto.messages(METADATA)}
    return Model(path, opset, nodes, constants, inputs, outputs, metadata, proto.text(2), folder)


def _check_opset(proto: protobuf.Message, path: Path) -> int:
    versions = {entry.integer(2) for entry in proto.messages(OPSETS) if entry.text(1) in DOMAINS}
    opset = versions.pop() if len(versions) == 1 else 0
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise WeightsError(
            f"{path}: operators of version {opset}; expected {OLDEST_OPSET} to {NEWEST_OPSET}; "
            "convert the model with onnx.version_converter"
        )
    return opset


def _decode_graph(graph: protobuf.Message, folder: Folder, depth: int = 0) -> tuple[list[Node], dict[str, Tensor]]:
    graph.check_fields(GRAPH_FIELDS)
    if SPARSE in graph:
        raise graph.error(0, "sparse initialisers; store them densely")
    nodes = [_decode_node(n, i, folder, depth) for i, n in enumerate(graph.messages(NODES))]
    return nodes, {t.name: t for t in (Tensor(t, folder) for t in graph.messages(INITIALISERS))}


def _decode_node(proto: protobuf.Message, index: int, folder: Folder, depth: int) -> Node:
    proto.check_fields(NODE_FIELDS)
    op_type, domain, outputs = proto.text(4), proto.text(7), tuple(proto.texts(2))
    if proto.text(8):
        raise proto.error(0, f"an overload {escape(proto.text(8))!r}, which is that of a function")
    # a node needs no name: its first output has one
    name = proto.text(3) or (outputs[0] if outputs else "") or f"node{index}"
    if domain not in DOMAINS:
        op_type = f"{domain}.{op_type}"
    attributes = [(a.text(1), _decode_attribute(a, folder, depth)) for a in proto.messages(5)]
    node = Node(op_type, name, tuple(proto.texts(1)), outputs, Fields(attributes), folder.model)
    if len(node.attributes) < len(attributes):
        raise node.error("one of its attributes is given twice")
    return node


def _decode_attribute(proto: protobuf.Message, folder: Folder, depth: int) -> Any:
    """Return the value of an attribute; None for kinds that no operator of ours has, and graphs within graphs."""
    # by type: the field that holds the value, and how it is read
    readers: dict[int, tuple[int, Callable[[int], Any]]] = {
        GRAPH_VALUE: (6, lambda n: _decode_branch(proto.message(n), folder) if depth == 0 else None),
        FLOAT: (2, lambda n: float(str(np.float32(proto.real(n))))),  # 1e-05, not 9.99999974e-06
        INT: (3, proto.integer),
        STRING: (4, proto.text),
        TENSOR: (5, proto.message),
        FLOATS: (7, lambda n: proto.reals(n).tolist()),
        INTS: (8, lambda n: proto.integers(n).tolist()),
        STRINGS: (9, proto.texts),
    }
    if proto.integer(20) not in readers:
        return None
    number, reader = readers[proto.integer(20)]
    # a second value, or a reference to a function's attribute, says something else
    proto.check_fields(ATTRIBUTE_FIELDS | {number})
    return reader(number)


def _decode_branch(graph: protobuf.Message | None, folder: Folder) -> Branch | None:
    if graph is None:
        return None
    nodes, constants = _decode_graph(graph, folder, depth=1)
    return Branch(nodes, constants, [port.text(1) for port in graph.messages(OUTPUTS)])


def _decode_value_info(proto: protobuf.Message) -> ValueInfo:
    # type 2 of the value, tensor 1 of the type; its element type is 1, its shape 2, whose open axes have no length
    kind = proto.message(2)
    tensor = None if kind is None else kind.message(1)
    shape = None if tensor is None else tensor.message(2)
    dims = (
        None if shape is None else tuple(n if n > 0 else None for n in (d.integer(1) for d in shape.messages(1)))
    )
    return ValueInfo(proto.text(1), 0 if tensor is None else tensor.integer(1), dims)
