"""Node after node of an ONNX graph to layers: constants are folded, shapes followed, everything else refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from math import prod

import numpy as np

from minicnn import layers as nn
from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.fields import Fields
from minicnn.formats.graph import GraphNode
from minicnn.formats.onnx import constant_folding, lrn_pattern
from minicnn.formats.onnx.budget import Budget
from minicnn.formats.onnx.maps.resampling import split_axis
from minicnn.formats.onnx.model import Branch, Model, Node
from minicnn.formats.onnx.node import BoundNode
from minicnn.formats.onnx.operators import HARMLESS, LAYERS, add_features, scale_and_shift
from minicnn.layers import Layer
from minicnn.layers.base import Shape
from minicnn.layers.joins import Join

__all__ = ["BATCH", "MAX_VALUES", "Lowering"]

MAX_VALUES = 1 << 31  # values of one image in one layer
BATCH = 1_000_003  # stands for a batch that the file leaves open: a prime
JOINS: dict[str, Join] = {
    "Add": nn.Add(),
    "Concat": nn.Cat(),
    "Div": nn.Divide(),
    "Max": nn.Maximum(),
    "Min": nn.Minimum(),
    "Mul": nn.Multiply(),
    "Sub": nn.Subtract(),
    "Sum": nn.Add(),
}


class Lowering:
    """The file's values as they become known: constants, and shapes and graph of what the input flows through.

    Parameters
    ----------
    model : Model
    nodes : list of Node
        Those that the output depends on, in order.
    source, target : str
        Names of the input and of the output.
    batch : int
        Its batch, or the stand-in.
    shapes : (shape, shape)
        Its shape for one image, twice: they differ where stand-ins take the place of an open height and width.
    channels_last : bool
        Whether the transposition that begins the graph is left out.

    """

    def __init__(
        self,
        model: Model,
        nodes: list[Node],
        source: str,
        target: str,
        batch: int,
        shapes: tuple[Shape, Shape],
        channels_last: bool,
    ):
        self.model, self.source, self.batch, self.channels_last = model, source, batch, channels_last
        self.open = shapes[0] != shapes[1]
        self.shapes: dict[str, tuple[Shape, Shape]] = {source: shapes}
        self.graph: dict[str, GraphNode] = {}
        self.folded: dict[str, constant_folding.Constant] = {}
        self.squares: dict[str, lrn_pattern.Squares] = {}
        self.budget = Budget(model.folder)
        self.uses = Counter([target, *(name for node in nodes for name in node.reads)])
        for node in nodes:
            self.add(node)

    def add(self, node: Node) -> None:
        """Fold one node, lower it to layers, or add it to the graph as a join; WeightsError where nothing fits."""
        try:
            self._add(node)
            node.check_read(HARMLESS.get(node.op_type, ()))
        except WeightsError:
            raise
        except MinicnnError as error:  # of a layer that can't be so
            raise node.error(str(error)) from None

    def _add(self, node: Node) -> None:
        self._check_outputs(node)
        inputs = [self._constant(node, name) for name in node.inputs]
        data = [i for i, name in enumerate(node.inputs) if name in self.shapes]
        if node.op_type == "If" and not data:
            self._inline_branch(node, inputs)
        elif not data:
            self._fold(node, inputs)
        # the shape of a computed value is known before any input, but for its open dimensions
        elif node.op_type == "Shape" and data == [0] and len(inputs) == 1:
            shape, other = self.shapes[node.inputs[0]]
            marks = (self.batch == BATCH, *(a != b for a, b in zip(shape, other, strict=True)))
            self.folded[node.outputs[0]] = constant_folding.shape_constant(node, (self.batch, *shape), marks)
        elif any(node.inputs[i] in self.squares for i in data):
            try:
                self._follow_squares(node, data, inputs)
            except WeightsError:
                squares = {node.inputs[i] for i in data} & self.squares.keys()
                if not squares <= self.graph.keys():
                    raise
                # a product like any other, and no beginning of a normalisation
                for name in squares:
                    del self.squares[name]
                self._add(node)
        elif node.op_type == "Split" and data == [0]:
            self._split(node, self._bind(node, 0, inputs))
        # with one computed value among constants most are no joins: an Add adds a bias
        elif node.op_type in JOINS and (len(data) > 1 or (node.op_type == "Sum" and len(inputs) > 1)):
            self._join(node, data)
        elif node.op_type not in LAYERS:
            before = escape(node.inputs[data[0]])
            raise node.error(
                f"no layer does this; read what comes before it, output={before!r} or --output {before}"
            )
        elif len(data) > 1:
            raise node.error("has two computed inputs, where layers have one")
        else:
            self._lower(node, self._bind(node, data[0], inputs))

    def _check_outputs(self, node: Node) -> None:
        if not node.outputs or not node.outputs[0]:
            raise node.error("has no output")
        if any(n in self.shapes or n in self.folded or n in self.model.constants for n in node.outputs if n):
            raise node.error("gives a value that there is already")
        if node.op_type != "Split" and any(self.uses[name] for name in node.outputs[1:] if name):
            raise node.error("has a second output that is used; there are layers with one output")

    def _constant(self, node: Node, name: str) -> constant_folding.Constant | None:
        """Return the constant of that name, None for a value that depends on the input or is omitted."""
        if name in self.folded:
            return self.folded[name]
        if name in self.model.constants:
            return constant_folding.Constant(self.model.constants[name].array)
        if name and name not in self.shapes:
            raise node.error(f"reads {escape(name)!r}, which no node before it gives")
        return None

    def _fold(self, node: Node, inputs: list[constant_folding.Constant | None]) -> None:
        if node.op_type not in constant_folding.FOLDED:
            raise node.error("does not depend on the input and is not folded; fold it with onnxsim first")
        self.folded[node.outputs[0]] = constant_folding.fold(
            node, inputs, self.model.opset, self.budget, self.model.folder
        )

    def _inline_branch(self, node: Node, inputs: list[constant_folding.Constant | None]) -> None:
        """Add the nodes of the branch that a constant condition chooses."""
        condition = inputs[0] if inputs else None
        if condition is None or condition.array.size != 1 or condition.is_open:
            raise node.error("chooses by something that is not constant")
        branch = node.attributes.get("then_branch" if condition.array.any() else "else_branch")
        if not isinstance(branch, Branch) or len(branch.outputs) != 1:
            raise node.error("has no such branch with one output")
        self.folded |= {name: constant_folding.Constant(tensor.array) for name, tensor in branch.constants.items()}
        for inner in branch.nodes:
            self.add(inner)
        # the output of the If is another name for its branch's
        self.add(Node("Identity", node.name, tuple(branch.outputs), node.outputs[:1], Fields(), node.path))

    def _follow_squares(self, node: Node, data: list[int], inputs: list[constant_folding.Constant | None]) -> None:
        """Follow squares on their way to a local response normalisation, see ``lrn_pattern``."""
        op, output = self._bind(node, data[-1], inputs), node.outputs[0]
        squares = self.squares.get(node.inputs[data[-1]])
        # x / power, where x is what the squares are of, ends the normalisation
        if squares is not None and node.op_type == "Div" and data == [0, 1] and node.inputs[0] == squares.source:
            layer = lrn_pattern.to_layer(op, squares)
            return self._record(
                node, GraphNode(node.name, (squares.source,), (layer,)), self.shapes[squares.source]
            )
        if squares is None or len(data) > 1:
            raise lrn_pattern.unknown_use(op)
        if node.op_type in lrn_pattern.SHAPE_OPERATORS:
            shapes = _output_shapes(LAYERS[node.op_type](op), op)
            self.squares[output] = lrn_pattern.check_shape(op, squares, shapes[0])
        else:
            self.squares[output] = lrn_pattern.advance(op, squares)
            first, second = (lrn_pattern.squares_shape(self.squares[output], s) for s in (op.shape, op.other))
            shapes = first, second
        self.shapes[output] = shapes

    def _join(self, node: Node, data: list[int]) -> None:
        shape_pairs = [self.shapes[node.inputs[i]] for i in data]
        shapes = [shape for shape, _ in shape_pairs]
        if len(data) < len(node.inputs):
            raise node.error("joins a computed value with a constant; there are layers for computed ones")
        if self.channels_last and self.source in node.inputs:
            raise node.error("reads the input as N x H x W x C; only the transposition of such an input is read")
        layer = JOINS[node.op_type]
        if isinstance(layer, nn.Cat):
            axis, rank = node.integer("axis", 1), len(shapes[0]) + 1
            if not -rank < axis < rank or axis == 0:
                raise node.error(f"concatenates along axis {axis}; expected one of 1 .. {rank - 1}")
            layer = nn.Cat(axis % rank)
        first, second = (layer.output_shape(tuple(of)) for of in zip(*shape_pairs, strict=True))
        self._record(node, GraphNode(node.name, tuple(node.inputs), (layer,)), (first, second))
        # x * x may begin a local response normalisation that is written out in nodes
        if node.op_type == "Mul" and node.inputs[0] == node.inputs[1]:
            self.squares[node.outputs[0]] = lrn_pattern.Squares(node.inputs[0], first)

    def _bind(self, node: Node, index: int, inputs: list[constant_folding.Constant | None]) -> BoundNode:
        shape, other = self.shapes[node.inputs[index]]
        return BoundNode(node, shape, other, self.batch, index, inputs, self.model.opset, self.budget)

    def _lower(self, node: Node, op: BoundNode) -> None:
        source = node.inputs[op.data]
        # the transposition from N x H x W x C at the beginning: our input has the channels first already
        if self.channels_last and source == self.source:
            return self._record(node, GraphNode(node.name, (source,)), (op.shape, op.other))
        with np.errstate(all="ignore"):
            value_node = self._merge_bias(op) or GraphNode(node.name, (source,), tuple(LAYERS[node.op_type](op)))
        # a merged bias is part of the node before and changes no shape
        layers = value_node.layers if value_node.inputs == (source,) else ()
        self._record(node, value_node, _output_shapes(layers, op))

    def _split(self, node: Node, op: BoundNode) -> None:
        """Add each output of a Split as a slice of the same input."""
        axis, lengths = split_axis(op, len(node.outputs))
        node.check_read(())
        start = 0
        for output, length in zip(node.outputs, lengths, strict=True):
            layer = nn.Slice(axis, start, start + length)
            start += length
            if output:
                part = node._replace(outputs=(output,))
                self._record(part, GraphNode(output, (node.inputs[0],), (layer,)), _output_shapes([layer], op))

    def _merge_bias(self, op: BoundNode) -> GraphNode | None:
        """Return the node before an Add with its bias set, where its layer has none and nothing else reads it."""
        source = op.node.inputs[op.data]
        previous = self.graph.get(source)
        if op.node.op_type != "Add" or previous is None or not previous.layers or self.uses[source] != 1:
            return None
        layer = previous.layers[-1]
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) or layer.bias is not None:
            return None
        bias = add_features(op) if isinstance(layer, nn.Linear) and len(op.shape) > 1 else scale_and_shift(op)[1]
        if bias is None:
            return None
        assert layer.weight is not None
        merged = replace(layer, bias=bias.astype(layer.weight.dtype))
        return GraphNode(op.node.name, previous.inputs, (*previous.layers[:-1], merged))

    def _record(self, node: Node, value_node: GraphNode, shapes: tuple[Shape, Shape]) -> None:
        if not self.open and prod(shapes[0]) > MAX_VALUES:
            raise node.error(f"gives {shapes[0]} for each image, more values than {MAX_VALUES:,}")
        for layer in value_node.layers:
            arrays = layer.state()
            for name, expected in layer.parameter_shapes().items():
                given = arrays[name].shape
                if given != tuple(expected):
                    raise node.error(f"its {name} has shape {given}, expected {tuple(expected)}")
        self.graph[node.outputs[0]], self.shapes[node.outputs[0]] = value_node, shapes


def _output_shapes(layers: Iterable[Layer], op: BoundNode) -> tuple[Shape, Shape]:
    """Return what the layers make of the input's shape, with either stand-in."""
    shape, other = op.shape, op.other
    for layer in layers:
        shape, other = layer.output_shape(shape), layer.output_shape(other)
    return shape, other
