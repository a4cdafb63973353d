"""From a Keras model, with the models nested in it, to a list of our layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minicnn.errors import ShapeError, WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.graph import ADD, CONCAT, GraphNode, build_chain
from minicnn.formats.keras.layers import Place, layers_of
from minicnn.formats.keras.model import MODELS, Model, Spec, model_of
from minicnn.formats.keras.weights import Listed, Numbered
from minicnn.layers import GlobalAvgPool2d, Layer
from minicnn.layers.sequence import NamedLayers

__all__ = ["chain_from"]

MAX_DEPTH = 8  # models in models
INPUT = "the input"
_JOINS = {"Add": ADD, "Concatenate": CONCAT}
_MERGE_MODES = {"sum": ADD, "concat": CONCAT}  # of Keras 1

Shape = tuple[int | None, ...]


def chain_from(model: Model, weights: Listed | Numbered, flips: bool) -> tuple[Shape, NamedLayers]:
    """Return the input's shape (C, H, W), None where it is open, and the layers.

    ``flips`` says that kernels are turned by 180 degrees: Theano convolved where others correlate.

    Raises
    ------
    WeightsError
        If the model is not read; the layer is named.

    """
    builder = _Builder(_channels_first(model, 0), flips)
    shape = _turned(model.input_shape, builder.channels_first)
    builder.shapes[INPUT] = shape
    target = builder.model(model, weights, "", INPUT, 0)
    return shape, build_chain(builder.steps, INPUT, target)


def _channels_first(model: Model, depth: int) -> bool:
    """Return whether maps are C x H x W in this model, nested ones included."""
    said = set()
    for spec in model.specs:
        if spec.kind in MODELS and depth < MAX_DEPTH:
            said.add(_channels_first(model_of(spec.config), depth + 1))
        elif spec.kind != "Flatten":
            said.add(spec.channels_first())
    said.discard(None)
    if len(said) > 1:
        raise WeightsError("some layers put the channels first and others last; expected one order")
    return said == {True}


def _turned(shape: Shape | None, channels_first: bool) -> Shape:
    if shape is None or len(shape) not in (1, 3) or shape[0 if channels_first else -1] is None:
        raise WeightsError(f"its model takes an input of {escape(shape)}; expected images with known channels")
    return shape if channels_first or len(shape) == 1 else (shape[2], *shape[:2])


class _Builder:
    """Collects the steps of a model and the shape of each value, (C, H, W) or (F,)."""

    def __init__(self, channels_first: bool, flips: bool):
        self.channels_first, self.flips = channels_first, flips
        self.steps: dict[str, GraphNode] = {}
        self.shapes: dict[str, Shape] = {}
        self.used: set[int] = set()  # arrays, by identity: none belongs to two layers

    def model(self, model: Model, weights: Listed | Numbered, prefix: str, source: str, depth: int) -> str:
        """Add the steps of a model that reads the value ``source``; return the name of what it gives."""
        if depth > MAX_DEPTH:
            raise WeightsError(f"models lie more than {MAX_DEPTH} deep in one another")
        # taken in the file's order, by which some weights are numbered
        take = {spec.name: (weights.model if spec.kind in MODELS else weights.layer) for spec in model.specs}
        found = {spec.name: take[spec.name](spec.name, spec.kind) for spec in model.specs}
        names = {model.source: source}
        for spec in _in_order(model):
            inputs = tuple(names[name] for name in spec.inputs)
            value = f"{prefix}{spec.name}"
            if spec.kind in MODELS:
                names[spec.name] = self.model(
                    model_of(spec.config), found[spec.name], f"{value}/", self.one(spec, inputs), depth + 1
                )
            elif _join(spec):
                names[spec.name] = self.join(spec, inputs, value)
            else:
                names[spec.name] = self.layer(spec, found[spec.name], self.one(spec, inputs), value)
        if model.target not in names:
            raise WeightsError(f"output {escape(model.target)!r} is none of its model's layers, or not reached")
        return names[model.target]

    def one(self, spec: Spec, inputs: tuple[str, ...]) -> str:
        """Return the one input of a layer."""
        if len(inputs) != 1:
            raise spec.error(f"reads {len(inputs)} values, expected one")
        return inputs[0]

    def layer(self, spec: Spec, arrays: list[Any], source: str, value: str) -> str:
        """Add the layers of one layer of the file."""
        shape = self.shapes[source]
        if not self.used.isdisjoint(map(id, arrays)):
            raise spec.error("has weights of another layer; expected its own")
        self.used.update(map(id, arrays))
        layers = layers_of(spec, arrays, Place(shape, self.channels_first, self.flips))
        if not layers:
            return source
        for i, (name, layer) in enumerate(zip(_names(value, layers), layers, strict=True), start=1):
            shape = _after(spec, layer, shape)
            key = value if i == len(layers) else f"{value}, part {i}"
            source = self._add(key, GraphNode(name, (source,), (layer,)), shape)
        return source

    def _add(self, key: str, step: GraphNode, shape: Shape) -> str:
        if key in self.shapes:
            raise WeightsError(f"two layers give {escape(key)!r}; expected distinct names")
        self.steps[key], self.shapes[key] = step, shape
        return key

    def join(self, spec: Spec, inputs: tuple[str, ...], value: str) -> str:
        """Add a sum or a concatenation of several values."""
        if len(inputs) == 1:
            return inputs[0]
        shapes = [self.shapes[name] for name in inputs]
        if not inputs or len({len(s) for s in shapes}) > 1:
            raise spec.error(f"can't join values of {escape(shapes)}")
        rank, axis = len(shapes[0]), spec.get("axis", -1)
        shape = shapes[0]
        if _join(spec) == CONCAT:
            if axis not in ((1, -3) if self.channels_first and rank == 3 else (-1, rank)):
                raise spec.error(f"axis: expected that of the channels, found {escape(axis)}")
            shape = (sum(s[0] for s in shapes), *shape[1:])
        elif len(set(shapes)) > 1:
            raise spec.error(f"can't add values of {escape(shapes)}")
        return self._add(value, GraphNode(value, inputs, join=_join(spec)), shape)


def _join(spec: Spec) -> str:
    if spec.kind == "Merge":
        return _MERGE_MODES.get(str(spec.config.get("mode")), "")
    return _JOINS.get(spec.kind, "")


def _in_order(model: Model) -> Iterator[Spec]:
    """Layers after the input, each after those that it reads."""
    known, waiting = {model.source}, [spec for spec in model.specs if spec.name != model.source]
    while waiting:
        ready = [spec for spec in waiting if spec.inputs and known.issuperset(spec.inputs)]
        if not ready:
            raise waiting[0].error("reads what no layer gives; the model has a cycle, a gap, or another input")
        known.update(spec.name for spec in ready)
        yield from ready
        waiting = [spec for spec in waiting if spec.name not in known]


def _names(value: str, layers: tuple[Layer, ...]) -> list[str]:
    """Names of the layers that make up one: its own for the last with parameters, or else for the first."""
    with_parameters = [i for i, layer in enumerate(layers) if layer.parameter_shapes()]
    main = with_parameters[-1] if with_parameters else 0
    return [
        value if i == main else f"{value}_{type(layer).__name__.lower()}{i if i < main else ''}"
        for i, layer in enumerate(layers)
    ]


def _after(spec: Spec, layer: Layer, shape: Shape) -> Shape:
    """Shape after a layer, open where it was open before."""
    if isinstance(layer, GlobalAvgPool2d):
        return (shape[0], 1, 1)
    if None in shape:
        return (getattr(layer, "out_channels", shape[0]), *shape[1:])
    try:
        return layer.output_shape(shape)
    except ShapeError as error:
        raise spec.error(str(error)) from None
