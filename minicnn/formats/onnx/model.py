"""What an ONNX file says: nodes, constants, the input and the output, decoded."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers import protobuf
from minicnn.formats.containers.files import escape
from minicnn.formats.onnx.tensors import Folder, Tensor

__all__ = ["NEWEST_OPSET", "OLDEST_OPSET", "Branch", "Model", "Node", "ValueInfo", "open_model"]

OLDEST_OPSET, NEWEST_OPSET = 6, 26

# fields of ModelProto, GraphProto, NodeProto, AttributeProto
IR_VERSION, GRAPH, OPSETS, METADATA, FUNCTIONS = 1, 7, 8, 14, 25
NODES, INITIALISERS, INPUTS, OUTPUTS, SPARSE = 1, 5, 11, 12, 15
FLOAT, INT, STRING, TENSOR, GRAPH_VALUE, FLOATS, INTS, STRINGS = 1, 2, 3, 4, 5, 6, 7, 8


class Node(NamedTuple):
    """One operation of the graph; an omitted input or output is an empty string."""

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    path: Path

    def error(self, why: str) -> WeightsError:
        """Return an error that names the operator and the node."""
        return WeightsError(f"{self.path}: node {escape(self.name)!r} ({escape(self.op_type)}): {why}")

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of all values that it reads, in its branches too."""
        branches = [b for b in self.attributes.values() if isinstance(b, Branch)]
        return self.inputs + tuple(name for b in branches for node in b.nodes for name in node.inputs)

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
    opset = _check_opset(proto, path)
    if SPARSE in graph:
        raise graph.error(0, "sparse initialisers; store them densely")
    folder = Folder(path, proto.data.nbytes)
    nodes, constants = _decode_graph(graph, folder)
    # old files list their constants among the inputs
    inputs = [p for p in (_decode_value_info(p) for p in graph.messages(INPUTS)) if p.name not in constants]
    outputs = [_decode_value_info(p) for p in graph.messages(OUTPUTS)]
    metadata = {entry.text(1): entry.text(2) for entry in proto.messages(METADATA)}
    return Model(path, opset, nodes, constants, inputs, outputs, metadata, proto.text(2), folder)


def _check_opset(proto: protobuf.Message, path: Path) -> int:
    versions = {entry.text(1): entry.integer(2) for entry in proto.messages(OPSETS)}
    opset = versions.get("", versions.get("ai.onnx", 0))
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise WeightsError(
            f"{path}: operators of version {opset}; expected {OLDEST_OPSET} to {NEWEST_OPSET}; "
            "convert the model with onnx.version_converter"
        )
    return opset


def _decode_graph(graph: protobuf.Message, folder: Folder, depth: int = 0) -> tuple[list[Node], dict[str, Tensor]]:
    nodes = [_decode_node(n, i, folder, depth) for i, n in enumerate(graph.messages(NODES))]
    return nodes, {t.name: t for t in (Tensor(t, folder) for t in graph.messages(INITIALISERS))}


def _decode_node(proto: protobuf.Message, index: int, folder: Folder, depth: int) -> Node:
    op_type, domain, outputs = proto.text(4), proto.text(7), tuple(proto.texts(2))
    # a node needs no name: its first output has one
    name = proto.text(3) or (outputs[0] if outputs else "") or f"node{index}"
    if domain not in ("", "ai.onnx"):
        op_type = f"{domain}.{op_type}"
    attributes = {a.text(1): _decode_attribute(a, folder, depth) for a in proto.messages(5)}
    return Node(op_type, name, tuple(proto.texts(1)), outputs, attributes, folder.model)


def _decode_attribute(proto: protobuf.Message, folder: Folder, depth: int) -> Any:
    """Return the value of an attribute; None for kinds that no operator of ours has, and graphs within graphs."""
    readers: dict[int, Callable[[], Any]] = {
        GRAPH_VALUE: lambda: _decode_branch(proto.message(6), folder) if depth == 0 else None,
        FLOAT: lambda: float(str(np.float32(proto.real(2)))),  # 1e-05, not 9.99999974e-06
        INT: lambda: proto.integer(3),
        STRING: lambda: proto.text(4),
        TENSOR: lambda: proto.message(5),
        FLOATS: lambda: proto.reals(7).tolist(),
        INTS: lambda: proto.integers(8).tolist(),
        STRINGS: lambda: proto.texts(9),
    }
    return readers.get(proto.integer(20), lambda: None)()


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
