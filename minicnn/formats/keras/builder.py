"""From a Keras model, with the models nested in it, to a list of our layers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicnn.errors import MinicnnError, ShapeError, WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.graph import GraphNode, list_layers
from minicnn.formats.keras.context import BuildContext, Shape, find_axis
from minicnn.formats.keras.layers import convert_layer
from minicnn.formats.keras.model import MODELS, Model, Spec, decode_model, find_needed
from minicnn.formats.keras.weights import Weights
from minicnn.layers import Add, Cat, Divide, Layer, Maximum, Minimum, Multiply, Permute, Reshape, Scale, Subtract
from minicnn.layers.joins import Join
from minicnn.layers.sequence import NamedLayers

__all__ = ["build_layers"]

MAX_DEPTH = 8  # models in models
INPUT = "the input"
STANDINS = (1009, 1013), (1031, 1033)  # for sizes that the file leaves open, twice: primes
_JOINS: dict[str, Join] = {
    "Add": Add(),
    "Average": Add(),
    "Subtract": Subtract(),
    "Multiply": Multiply(),
    "TrueDivide": Divide(),
    "Divide": Divide(),
    "Maximum": Maximum(),
    "Minimum": Minimum(),
    "Concatenate": Cat(),
    "CustomScaleLayer": Add(),  # Inception-ResNet's, of the second value times a number
}
# of Keras 1
_MERGE_MODES = {"sum": "Add", "mul": "Multiply", "max": "Maximum", "ave": "Average", "concat": "Concatenate"}


def build_layers(
    model: Model, weights: Weights, flips: bool, version: int | None, old_backend: bool = False
) -> tuple[Shape, NamedLayers]:
    """Return the input's shape (C, H, W), None where it is open, and the layers.

    ``flips`` says that kernels are turned by 180 degrees: Theano convolved where others correlate; ``version`` is
    Keras's main version, None where the file does not say, and ``old_backend`` that it ran on TensorFlow 1.

    Raises
    ------
    WeightsError
        If the model is not read; the layer is named.

    """
    builder = _Builder(_channels_first(model, 0), flips, version, old_backend)
    shape = _channels_first_shape(model.input_shape, builder.channels_first)
    builder.shapes[INPUT] = shape
    target = builder.add_model(model, weights, "", INPUT, 0)
    return shape, list_layers(builder.nodes, INPUT, target)


def _channels_first(model: Model, depth: int) -> bool:
    """Return whether maps are C x H x W in this model, nested ones included."""
    orders: set[bool | None] = set()
    for spec in model.specs:
        if spec.kind in MODELS and depth < MAX_DEPTH:
            orders.add(_channels_first(decode_model(spec.config), depth + 1))
        elif spec.kind != "Flatten":
            orders.add(spec.channels_first())
    orders.discard(None)
    if len(orders) > 1:
        raise WeightsError("some layers put the channels first and others last; expected one order")
    return orders == {True}


def _channels_first_shape(shape: Shape | None, channels_first: bool) -> Shape:
    if shape is None or len(shape) not in (1, 3) or shape[0 if channels_first else -1] is None:
        raise WeightsError(f"its model takes an input of {escape(shape)}; expected images with known channels")
    return shape if channels_first or len(shape) == 1 else (shape[2], *shape[:2])


class _Builder:
    """Collects the graph of a model and the shape of each value, (C, H, W) or (F,)."""

    def __init__(self, channels_first: bool, flips: bool, version: int | None, old_backend: bool):
        self.channels_first, self.flips, self.version = channels_first, flips, version
        self.old_backend = old_backend
        self.nodes: dict[str, GraphNode] = {}
        self.shapes: dict[str, Shape] = {}
        self.used: set[int] = set()  # arrays, by identity: none belongs to two layers

    def add_model(self, model: Model, weights: Weights, prefix: str, source: str, depth: int) -> str:
        """Add the layers of a model that reads the value ``source``; return the name of its output."""
        if depth > MAX_DEPTH:
            raise WeightsError(f"models lie more than {MAX_DEPTH} deep in one another")
        arrays: dict[str, list[np.ndarray]] = {}
        nested: dict[str, Weights] = {}
        for spec in model.specs:  # in the file's order, by which some weights are numbered
            if spec.kind in MODELS:
                nested[spec.name] = weights.open_nested(spec.name, spec.kind)
            else:
                arrays[spec.name] = weights.read_layer(spec.name, spec.wrapper or spec.kind)
        for spec in model.specs:
            # the order of the axes, which is known of the whole model
            spec.channels_first()
            if spec.kind == "InputLayer":
                spec.check_read()
        names = {model.source: source}
        for spec in _sort_specs(model):
            inputs = tuple(names[name] for name in spec.inputs)
            value = f"{prefix}{spec.name}"
            if spec.kind in MODELS:
                names[spec.name] = self.add_model(
                    decode_model(spec.config),
                    nested[spec.name],
                    f"{value}/",
                    self.only_input(spec, inputs),
                    depth + 1,
                )
            elif _join_kind(spec) and not spec.has_constant:
                names[spec.name] = self.add_join(spec, inputs, value)
            else:
                names[spec.name] = self.add_layer(spec, arrays[spec.name], self.only_input(spec, inputs), value)
        if model.target not in names:
            raise WeightsError(f"output {escape(model.target)!r} is none of its model's layers, or not reached")
        return names[model.target]

    def only_input(self, spec: Spec, inputs: tuple[str, ...]) -> str:
        """Return the one input of a layer."""
        if len(inputs) != 1:
            raise spec.error(f"reads {len(inputs)} values, expected one")
        return inputs[0]

    def add_layer(self, spec: Spec, arrays: list[np.ndarray], source: str, value: str) -> str:
        """Add the layers of one layer of the file."""
        shape = self.shapes[source]
        if not self.used.isdisjoint(map(id, arrays)):
            raise spec.error("has weights of another layer; expected its own")
        self.used.update(map(id, arrays))
        context = BuildContext(shape, self.channels_first, self.flips, self.version, self.old_backend)
        layers = convert_layer(spec, arrays, context)
        # a layer that does nothing at inference: its output is its input
        if not layers:
            return source
        for i, (name, layer) in enumerate(zip(_name_layers(value, layers), layers, strict=True), start=1):
            shape = _output_shape(spec, layer, shape)
            # the last of the layers that make up one gives the value that others read
            key = value if i == len(layers) else f"{value}, part {i}"
            source = self.add_node(key, GraphNode(name, (source,), (layer,)), shape)
        return source

    def add_node(self, key: str, node: GraphNode, shape: Shape) -> str:
        if key in self.shapes:
            raise WeightsError(f"two layers give {escape(key)!r}; expected distinct names")
        self.nodes[key], self.shapes[key] = node, shape
        return key

    def add_join(self, spec: Spec, inputs: tuple[str, ...], value: str) -> str:
        """Add a sum or a concatenation of several values."""
        spec.get("function")  # of TensorFlow, by which its class is known
        axis = spec.get("axis", -1) if _join_kind(spec) == "Concatenate" else None
        factor = spec.number("scale", 1.0) if spec.kind == "CustomScaleLayer" else 1.0
        spec.check_read()
        if spec.kind == "CustomScaleLayer":
            if len(inputs) != 2:
                raise spec.error(f"reads {len(inputs)} values, expected two")
            inputs = inputs[0], self.add_scaled(spec, inputs[1], factor)
        if len(inputs) == 1:
            return inputs[0]
        shapes = [self.shapes[name] for name in inputs]
        if not inputs or len({len(s) for s in shapes}) > 1:
            raise spec.error(f"can't join values of {escape(shapes)}")
        kind = _join_kind(spec)
        concat = kind == "Concatenate"
        join = Cat(find_axis(spec, axis, len(shapes[0]), self.channels_first)) if concat else _JOINS[kind]
        shape = _joined_shape(spec, join, shapes)
        mean = (Scale((), bias=False, weight=np.array(1 / len(inputs), spec.dtype)),) if kind == "Average" else ()
        return self.add_node(value, GraphNode(value, inputs, (join, *mean)), shape)

    def add_scaled(self, spec: Spec, source: str, factor: float) -> str:
        """Add a value times a number, as part of a layer of the file."""
        scale = Scale((), bias=False, weight=np.array(factor, spec.dtype))
        name = f"{spec.name}_scale"
        return self.add_node(
            f"{source}, scaled for {spec.name}", GraphNode(name, (source,), (scale,)), self.shapes[source]
        )


def _join_kind(spec: Spec) -> str:
    if spec.kind == "Merge":
        return _MERGE_MODES.get(str(spec.config.get("mode")), "")
    return spec.kind if spec.kind in _JOINS else ""


def _joined_shape(spec: Spec, layer: Join, shapes: list[Shape]) -> Shape:
    """Return the shape of a join, open where an input is; what is open is taken for equal."""
    # a prime stands for what is open, one for each axis
    primes = (1009, 1013, 1019)
    stand_ins = {axis: n for axis, n in enumerate(primes) if any(s[axis : axis + 1] == (None,) for s in shapes)}
    filled = tuple(
        tuple(stand_ins[axis] if n is None or (axis in stand_ins and n > 1) else n for axis, n in enumerate(shape))
        for shape in shapes
    )
    try:
        shape = layer.output_shape(filled)
    except MinicnnError as error:
        raise spec.error(str(error)) from None
    return tuple(None if axis in stand_ins else n for axis, n in enumerate(shape))


def _sort_specs(model: Model) -> Iterator[Spec]:
    """Yield the layers between the input and the output, each after those that it reads."""
    needed = find_needed(model.specs, model.target)
    computed = {model.source}
    pending = [spec for spec in model.specs if spec.name in needed and spec.name != model.source]
    # each round takes all layers whose inputs are known; one that takes none has met a cycle or a gap
    while pending:
        next_specs = [spec for spec in pending if spec.inputs and computed.issuperset(spec.inputs)]
        if not next_specs:
            raise pending[0].error("reads what no layer gives; the model has a cycle, a gap, or another input")
        computed.update(spec.name for spec in next_specs)
        yield from next_specs
        pending = [spec for spec in pending if spec.name not in computed]


def _name_layers(value: str, layers: tuple[Layer, ...]) -> list[str]:
    """Return names for the layers that make up one: its own for the last with parameters, else for the first.

    Where the first only turns or parts axes, the last has it: what a layer of the file gives.
    """
    with_parameters = [i for i, layer in enumerate(layers) if layer.parameter_shapes()]
    turned = isinstance(layers[0], Permute | Reshape)
    main = with_parameters[-1] if with_parameters else len(layers) - 1 if turned else 0
    return [
        value if i == main else f"{value}_{type(layer).__name__.lower()}{i if i < main else ''}"
        for i, layer in enumerate(layers)
    ]


def _output_shape(spec: Spec, layer: Layer, shape: Shape) -> Shape:
    """Return the shape after a layer: what comes out alike whatever the open sizes are is known."""
    try:
        first, second = (
            layer.output_shape(tuple(s if n is None else n for n, s in zip(shape, (0, *standins), strict=False)))
            for standins in STANDINS
        )
    except ShapeError as error:
        raise spec.error(str(error)) from None
    return tuple(a if a == b else None for a, b in zip(first, second, strict=True))
