"""From an ONNX file to a network: node after node to layers, then the graph to a list."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from math import prod
from pathlib import Path

from minicnn.errors import MinicnnError, WeightsError
from minicnn.formats.files import shown
from minicnn.formats.graph import ADD, CONCAT, Step, chain_of
from minicnn.formats.onnx import fold, model
from minicnn.formats.onnx.budget import Budget
from minicnn.formats.onnx.call import Call
from minicnn.formats.onnx.model import Model, Node, Port
from minicnn.formats.onnx.operators import LAYERS, scale_and_shift
from minicnn.images import Preprocess
from minicnn.layers import Conv2d, ConvTranspose2d, Flatten, Layer, Linear, LogSoftmax, Softmax
from minicnn.layers.base import Shape
from minicnn.layers.chain import Chain
from minicnn.network import Network

__all__ = ["LABELS", "PREPROCESS", "PRODUCER", "SIZES", "read"]

# our writer's name, and the keys of the metadata where it keeps what ONNX has no place for
PRODUCER = "minicnn"
LABELS, PREPROCESS = "minicnn.labels", "minicnn.preprocess"
LARGEST = 1 << 31  # values of one image in one layer
FLOATS = (1, 10, 11, 16)
JOINS = {"Add": ADD, "Sum": ADD, "Concat": CONCAT}

# stand-ins for dimensions that the file leaves open: primes, height and width twice
BATCH = 1_000_003
SIZES = (1009, 1013, 1019, 1021), (1031, 1033, 1039, 1049)


def read(path: str | Path) -> Network:
    """Read a network from an ONNX file, opset 6 or newer; weights in the file or in files beside it.

    Layers are called as their nodes are, or as the nodes' outputs where those have no name; a layer that stands
    for several nodes has the last one's name.  Scores of shape (N, K, 1, 1) come out as (N, K).  A transposition
    from N x H x W x C that begins the graph is left out: inputs are N x C x H x W here.  What an input means is
    not in the file: ``preprocess`` and ``labels`` are None unless minicnn wrote it.

    Raises
    ------
    WeightsError
        If the file is damaged, an operator has no layer, or the graph is no list of layers and blocks; the
        operator and its node are named.

    """
    found = model.opened(path)
    graph = _Graph(found)
    for node in graph.live():
        graph.add(node)
    try:
        chain = _flat_scores(graph.chain(), graph.output_shape())
        preprocess, labels = _metadata(found)
        return Network(chain, graph.input_shape(), preprocess, labels, name=found.path.stem)
    except MinicnnError as error:
        raise WeightsError(f"{path}: {error}") from None


class _Graph:
    """The file's values as they become known: constants, and shapes and steps of what the input flows through."""

    def __init__(self, found: Model):
        self.model = found
        self.source, self.target = self._ends()
        self.budget = Budget(found.folder)
        self.folded: dict[str, fold.Constant] = {}
        self.steps: dict[str, Step] = {}
        self.shapes: dict[str, tuple[Shape, Shape]] = {}
        self.uses = Counter(name for node in self.live() for name in node.inputs)
        dims = self._dims()
        self.open = None in dims[1:]
        self.batch = dims[0] or BATCH
        self.shapes[self.source] = tuple(
            tuple(n or spare for n, spare in zip(dims[1:], ("", *sizes), strict=False)) for sizes in SIZES
        )

    def _ends(self) -> tuple[str, str]:
        inputs, outputs = self.model.inputs, self.model.outputs
        for what, ports in (("input", inputs), ("output", outputs)):
            if len(ports) != 1:
                names = ", ".join(shown(port.name) for port in ports[:8])
                raise WeightsError(
                    f"{self.model.path}: {len(ports)} {what}s ({names}); expected one, "
                    "cut the part you need out with onnx.utils.extract_model"
                )
        return inputs[0].name, outputs[0].name

    def _dims(self) -> tuple[int | None, ...]:
        """Return the dimensions of the input, None where open, channels first."""
        port: Port = self.model.inputs[0]
        where = f"{self.model.path}: input {shown(port.name)!r}"
        if port.kind not in FLOATS or port.dims is None or not 2 <= len(port.dims) <= 5:
            raise WeightsError(
                f"{where}: element type {port.kind}, dimensions {port.dims}; expected floating-point numbers "
                "of shape N x C x H x W"
            )
        readers = [node for node in self.live() if self.source in node.inputs]
        self.channels_last = (
            len(port.dims) == 4
            and self.model.producer != PRODUCER  # who means what it says
            and len(readers) == 1
            and readers[0].op == "Transpose"
            and readers[0].attributes.get("perm") == [0, 3, 1, 2]
        )
        dims = tuple(port.dims[i] for i in (0, 3, 1, 2)) if self.channels_last else port.dims
        if dims[1] is None or any(n is not None and n > LARGEST for n in dims):
            raise WeightsError(
                f"{where}: its channels are not said, or too many; export the model with a fixed size"
            )
        return dims

    def input_shape(self) -> Shape | None:
        """Return the shape of the network's input, None where the file leaves it open."""
        return None if self.open else self.shapes[self.source][0]

    def output_shape(self) -> Shape:
        """Return the shape of the network's output for one image, with stand-ins where it is open."""
        return self.shapes[self.target][0]

    def live(self) -> list[Node]:
        """Return the nodes that the output depends on, in order."""
        needed, nodes = {self.target}, []
        for node in reversed(self.model.nodes):
            if any(name in needed for name in node.outputs):
                needed.update(name for name in node.inputs if name)
                nodes.append(node)
        return nodes[::-1]

    def chain(self) -> Chain:
        """Return the layers from the input to the output."""
        if self.target not in self.shapes:
            raise WeightsError(f"the output {shown(self.target)!r} does not depend on the input")
        return chain_of(self.steps, self.source, self.target)

    def add(self, node: Node) -> None:
        """Take in one node: fold it, lower it to layers, or note that it joins."""
        if any(
            name in self.shapes or name in self.folded or name in self.model.constants for name in node.outputs
        ):
            raise node.refusal("gives a value that there is already")
        if any(self.uses[name] or name == self.target for name in node.outputs[1:] if name):
            raise node.refusal("has a second output that is used; there are layers with one output")
        inputs = [self._constant(node, name) for name in node.inputs]
        data = [i for i, name in enumerate(node.inputs) if name in self.shapes]
        if not data:
            self._fold(node, inputs)
        elif node.op == "Shape":
            shape, other = self.shapes[node.inputs[0]]
            marks = (self.batch == BATCH, *(a != b for a, b in zip(shape, other, strict=True)))
            self.folded[node.outputs[0]] = fold.shape_of(node, (self.batch, *shape), marks)
        elif node.op not in LAYERS:
            raise node.refusal("no layer does this; cut the part before it out with onnx.utils.extract_model")
        elif node.op in JOINS and len(node.inputs) > 1 and (len(data) > 1 or node.op != "Add"):
            self._join(node, data)
        elif len(data) > 1:
            raise node.refusal(
                "combines two computed values (a gate?); there are layers that add or concatenate them"
            )
        else:
            self._lower(node, data[0], inputs)

    def _constant(self, node: Node, name: str) -> fold.Constant | None:
        """Return the constant of that name, None for a value that depends on the input or is omitted."""
        if name in self.folded:
            return self.folded[name]
        if name in self.model.constants:
            return fold.Constant(self.model.constants[name].array)
        if name and name not in self.shapes:
            raise node.refusal(f"reads {shown(name)!r}, which no node before it gives")
        return None

    def _fold(self, node: Node, inputs: list[fold.Constant | None]) -> None:
        if node.op not in fold.FOLDED:
            raise node.refusal("does not depend on the input and is not folded; fold it with onnxsim first")
        self.folded[node.outputs[0]] = fold.fold(node, inputs, self.model.opset, self.budget, self.model.folder)

    def _join(self, node: Node, data: list[int]) -> None:
        both = [self.shapes[node.inputs[i]] for i in data]
        shapes = [shape for shape, _ in both]
        if len(data) < len(node.inputs):
            raise node.refusal("joins a computed value with a constant; there are layers for computed ones")
        if JOINS[node.op] == CONCAT:
            axis = node.integer("axis", 1)
            if axis not in (1, -len(shapes[0])) or len({s[1:] for s in shapes}) > 1:
                raise node.refusal(f"concatenates {shapes} along axis {axis}; expected the channels, axis 1")
            joined = tuple((sum(s[0] for s in of), *of[0][1:]) for of in zip(*both, strict=True))
        else:
            if len(set(shapes)) > 1:
                raise node.refusal(f"adds values of shapes {shapes}; expected equal ones")
            joined = both[0]
        self._record(node, Step(node.name, tuple(node.inputs), join=JOINS[node.op]), joined)

    def _lower(self, node: Node, place: int, inputs: list[fold.Constant | None]) -> None:
        source = node.inputs[place]
        shape, other = self.shapes[source]
        call = Call(node, shape, other, self.batch, place, inputs, self.model.opset, self.budget)
        if self.channels_last and source == self.source:
            return self._record(node, Step(node.name, (source,)), (shape, other))
        try:
            step = self._with_bias(call) or Step(node.name, (source,), tuple(LAYERS[node.op](call)))
            layers = step.layers if step.inputs == (source,) else ()
            shapes = _after(layers, shape), _after(layers, other)
        except MinicnnError as error:
            if isinstance(error, WeightsError):
                raise
            raise node.refusal(str(error)) from None
        self._record(node, step, shapes)

    def _with_bias(self, call: Call) -> Step | None:
        """Return the step before an Add with its bias set, where its layer has none and nobody else reads it."""
        source = call.node.inputs[call.data]
        before = self.steps.get(source)
        if call.node.op != "Add" or before is None or not before.layers or self.uses[source] != 1:
            return None
        layer = before.layers[-1]
        if not isinstance(layer, Conv2d | ConvTranspose2d | Linear) or layer.bias is not None:
            return None
        _, shift = scale_and_shift(call)
        merged = replace(layer, bias=shift.astype(layer.weight.dtype))
        return Step(call.node.name, before.inputs, (*before.layers[:-1], merged))

    def _record(self, node: Node, step: Step, shapes: tuple[Shape, Shape]) -> None:
        if not self.open and prod(shapes[0]) > LARGEST:
            raise node.refusal(f"gives {shapes[0]} for each image, more values than {LARGEST:,}")
        for layer in step.layers:
            for name, expected in layer.parameter_shapes().items():
                given = getattr(layer, name).shape
                if given != tuple(expected):
                    raise node.refusal(f"its {name} has shape {given}, expected {tuple(expected)}")
        self.steps[node.outputs[0]], self.shapes[node.outputs[0]] = step, shapes


def _after(layers: tuple[Layer, ...], shape: Shape) -> Shape:
    for layer in layers:
        shape = layer.output_shape(shape)
    return shape


def _flat_scores(chain: Chain, shape: Shape) -> Chain:
    """Return the chain with a Flatten where its scores come as maps of one pixel, before a softmax."""
    if len(shape) != 3 or shape[1:] != (1, 1) or not chain:
        return chain
    end = len(chain) - isinstance(chain[-1][1], Softmax | LogSoftmax)
    name = "flatten"
    while any(n == name for n, _ in chain):
        name += "_"
    return [*chain[:end], (name, Flatten()), *chain[end:]]


def _metadata(found: Model) -> tuple[Preprocess | None, list[str] | None]:
    try:
        texts = {key: json.loads(found.metadata[key]) for key in (PREPROCESS, LABELS) if key in found.metadata}
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"its metadata are damaged: {shown(str(error))}") from None
    labels = texts.get(LABELS)
    if labels is not None and not (isinstance(labels, list) and all(isinstance(n, str) for n in labels)):
        raise WeightsError(f"{LABELS}: expected a list of names")
    return Preprocess.from_dict(texts[PREPROCESS]) if PREPROCESS in texts else None, labels
