"""What a Keras file says about its model: layers, their settings, and who reads whom."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape

__all__ = ["MODELS", "Model", "Spec", "model_of", "parsed"]

MAX_CONFIG_BYTES = 32 << 20
MAX_LAYERS = 3_000
MODELS = ("Sequential", "Functional", "Model")
_PACKAGE = ">"
_OLD_KEYS = {  # of Keras 1, by what they are called since
    "filters": "nb_filter",
    "strides": "subsample",
    "padding": "border_mode",
    "use_bias": "bias",
    "units": "output_dim",
    "rate": "p",
    "dilation_rate": "atrous_rate",
    "axis": "concat_axis",
}


class Spec(NamedTuple):
    """One layer of the file: name, class, settings, and the names of the layers that it reads."""

    name: str
    kind: str
    config: Mapping[str, Any]
    inputs: tuple[str, ...]

    def error(self, why: str) -> WeightsError:
        """Return an error that names the layer."""
        return WeightsError(f"layer {escape(self.name)!r} ({escape(self.kind)}): {why}")

    def get(self, key: str, default: Any = None) -> Any:
        """Return a setting, by the name it had in Keras 1 if it stands there under that alone."""
        found = self.config.get(key)
        return self.config.get(_OLD_KEYS.get(key, key), default) if found is None else found

    def number(self, key: str, default: float) -> float:
        """Return a setting that is a number."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{key}: expected a number, found {escape(value)}")
        return value

    def pair(self, key: str, default: Any = 1) -> tuple[int, int]:
        """Return a setting that is a whole number of at least 1, or two: vertical, horizontal."""
        value = self.get(key, default)
        values = [value] if isinstance(value, int) else value
        if (
            not isinstance(values, list | tuple)
            or not 1 <= len(values) <= 2
            or not all(_whole(v) and v for v in values)
        ):
            raise self.error(f"{key}: expected one whole number >= 1 or two, found {escape(value)}")
        return values[0], values[-1]

    def channels_first(self) -> bool | None:
        """Return whether the layer says that channels come before the rows; None where it does not say."""
        found = self.config.get("data_format", self.config.get("dim_ordering"))
        return {"channels_first": True, "th": True, "channels_last": False, "tf": False}.get(str(found))


class Model(NamedTuple):
    """A model, or a model within one: its layers, its input and its output by name."""

    specs: list[Spec]
    source: str
    target: str
    input_shape: tuple[int | None, ...] | None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 16


def parsed(text: str) -> Mapping[str, Any]:
    """Return a model's JSON as a dictionary; WeightsError if it is none."""
    try:
        if len(text) > MAX_CONFIG_BYTES:
            raise ValueError(f"{len(text)} letters")
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"its description of the model is damaged ({escape(str(error))})") from None
    if not isinstance(found, dict) or not isinstance(found.get("class_name"), str):
        raise WeightsError("its description of the model is no dictionary with a class_name")
    return found


def kind_of(entry: Mapping[str, Any]) -> str:
    """Return the class of a layer, without the package it was registered in."""
    return str(entry.get("class_name")).rpartition(_PACKAGE)[2]


def model_of(found: Mapping[str, Any]) -> Model:
    """Return the layers of a Sequential or functional model, in the order of the file.

    Raises
    ------
    WeightsError
        If it is another kind of model, or has several inputs or outputs, or a layer is used more than once.

    """
    kind, config = kind_of(found), found.get("config")
    config = {"layers": config} if isinstance(config, list) else config
    layers = config.get("layers") if isinstance(config, dict) else None
    if kind not in MODELS or not isinstance(layers, list):
        raise WeightsError(
            f"its model is a {escape(kind)}, whose architecture is code; expected a Sequential or functional "
            "model (name an architecture, if the file fits one)"
        )
    entries = (isinstance(layer, dict) and isinstance(layer.get("config"), dict | list) for layer in layers)
    if len(layers) > MAX_LAYERS or not all(entries):
        raise WeightsError(f"its model is damaged, or has more than {MAX_LAYERS} layers")
    specs = list(_sequence(layers) if kind == "Sequential" else _graph(layers))
    if len({spec.name for spec in specs}) < len(specs) or not specs:
        raise WeightsError("two layers of a model have one name, or it has none; expected distinct names")
    if kind == "Sequential":
        source, target = "".join(specs[0].inputs) if specs[0].inputs else specs[0].name, specs[-1].name
        return Model(specs, source, target, _shape(config, specs[0]))
    source, target = (_endpoint(config.get(key), key) for key in ("input_layers", "output_layers"))
    return Model(specs, source, target, _shape(config, *(s for s in specs if s.name == source)))


def _sequence(layers: list[Mapping[str, Any]]) -> Iterator[Spec]:
    before = ""
    for i, layer in enumerate(layers):
        name, config = _name(layer, i), _config(layer)
        is_input = kind_of(layer) == "InputLayer"
        if is_input and i:
            raise WeightsError(f"layer {escape(name)!r}: an input in the middle of a Sequential model")
        yield Spec(name, kind_of(layer), config, () if is_input else (before,))
        before = name


def _graph(layers: list[Mapping[str, Any]]) -> Iterator[Spec]:
    for i, layer in enumerate(layers):
        spec = Spec(_name(layer, i), kind_of(layer), _config(layer), ())
        nodes = layer.get("inbound_nodes")
        if not isinstance(nodes, list) or len(nodes) > 1:
            raise spec.error("is used in several places; minicnn's networks share no layers")
        inputs = tuple(_read_by(nodes[0], spec)) if nodes else ()
        yield spec._replace(inputs=inputs)


def _name(layer: Mapping[str, Any], i: int) -> str:
    config = layer["config"]
    name = config.get("name") if isinstance(config, dict) else None
    name = name if isinstance(name, str) else layer.get("name")
    return name if isinstance(name, str) and name else f"layer{i}"


def _config(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a layer's settings; of a nested model, its whole description."""
    nested = kind_of(layer) in MODELS
    return layer if nested or not isinstance(layer["config"], dict) else layer["config"]


def _read_by(node: Any, spec: Spec) -> Iterator[str]:
    """Names of the layers that a node reads: lists [name, node, tensor], or Keras 3's tensors in arguments."""
    if isinstance(node, dict):
        tensors = list(_tensors(node.get("args"), 0))
        if list(_tensors(node.get("kwargs"), 0)):
            raise spec.error("reads a tensor by keyword, which is not read")
        histories = [t.get("keras_history") if isinstance(t, dict) else None for t in tensors]
    else:
        histories = node if isinstance(node, list) else [None]
    for history in histories:
        match history:
            case [str(name), int(), 0, *_]:
                yield name
            case _:
                raise spec.error("reads something other than the one output of another layer")


def _tensors(value: Any, depth: int) -> Iterator[Any]:
    if depth > 4:
        return
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield value.get("config")
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _tensors(inner, depth + 1)


def _endpoint(found: Any, key: str) -> str:
    """Return the one name in [[name, 0, 0]] or [name, 0, 0]."""
    while isinstance(found, list) and len(found) == 1:
        (found,) = found
    if not isinstance(found, list) or len(found) != 3 or not isinstance(found[0], str):
        raise WeightsError(f"{key}: expected a model with one input and one output, found {escape(found)}")
    return found[0]


def _shape(config: Mapping[str, Any], first: Spec | None = None) -> tuple[int | None, ...] | None:
    """Return the input's shape without the batch, as the file has it; None where it does not say."""
    said = first.config if first else {}
    for shape in (said.get("batch_shape"), said.get("batch_input_shape"), config.get("build_input_shape")):
        if isinstance(shape, list) and 2 <= len(shape) <= 4 and all(n is None or _whole(n) for n in shape[1:]):
            return tuple(shape[1:])
    return None
