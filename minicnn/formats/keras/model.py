"""What a Keras file says about its model: layers, their settings, and who reads whom."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.ends import ONLY, Ends
from minicnn.formats.fields import Fields, describe_unread
from minicnn.formats.keras.calls import TENSORFLOW, Constant, read_operands
from minicnn.formats.keras.channel_order import merge_selections
from minicnn.formats.keras.fields import check_entry, dtype_name, unread_settings

__all__ = ["MAX_CONFIG_BYTES", "MODELS", "Model", "Spec", "decode_model", "find_needed", "parse_config"]

MAX_CONFIG_BYTES = 32 << 20
MAX_LAYERS = 3_000
MODELS = ("Sequential", "Functional", "Model")
_MODEL_KEYS = (
    *("name", "trainable", "dtype", "autocast", "input_layers", "output_layers"),
    *("build_input_shape", "batch_input_shape"),
)
_ORDERS = {"channels_first": True, "th": True, "channels_last": False, "tf": False}
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
    """One layer of the file: name, class, settings, and the names of the layers that it reads.

    ``operands`` are, in order, the layers and the constants that an operation of arithmetic combines; ``wrapper``
    is the class of a layer that holds this one and, at inference, does what it does.
    """

    name: str
    kind: str
    config: Fields
    inputs: tuple[str, ...]
    operands: tuple[str | Constant, ...] = ()
    wrapper: str = ""

    def unwrapped(self) -> Spec:
        """Return the layer inside of a spectral normalisation, whose kernel training has divided already."""
        inner = self.get("layer") if self.kind == "SpectralNormalization" else None
        if not isinstance(inner, dict) or not isinstance(inner.get("config"), dict):
            return self
        self.get("power_iterations")  # of training
        if what := check_entry(inner):
            raise self.error(f"its layer {what}")
        self.check_read()
        return self._replace(kind=class_of(inner), config=Fields(inner["config"]), wrapper=self.kind)

    @property
    def has_constant(self) -> bool:
        """Whether it is an operation that combines a value with a constant."""
        return len(self.operands) > len(self.inputs)

    def check_read(self) -> None:
        """Raise for a setting that nobody asked for, unless it is harmless."""
        unread = list(unread_settings(self.kind, self.config))
        if unread:
            raise self.error(describe_unread(unread))

    def error(self, why: str) -> WeightsError:
        """Return an error that names the layer."""
        return WeightsError(f"layer {escape(self.name)!r} ({escape(self.kind)}): {why}")

    def get(self, key: str, default: Any = None) -> Any:
        """Return a setting, by the name it had in Keras 1 if it stands there under that alone."""
        value = self.config.get(key)
        return self.config.get(_OLD_KEYS.get(key, key), default) if value is None else value

    def check_value(self, key: str, *known: Any) -> None:
        """Raise unless a setting has one of the values ``known`` from the weights, or is not there."""
        value = self.get(key)
        if value is not None and value not in known:
            raise self.error(f"{key}: expected {escape(known[0])}, found {escape(value)}")

    @property
    def dtype(self) -> np.dtype:
        """The type of the layer's values here: float64 if the file says so, else float32."""
        # looked at without asking for it: what else it may be is still checked
        stated = dtype_name(dict(self.config.items()).get("dtype"))
        return np.dtype(np.float64 if stated == "float64" else np.float32)

    def number(self, key: str, default: float) -> float:
        """Return a setting that is a number."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{key}: expected a number, found {escape(value)}")
        return value

    def pair(self, key: str, default: Any = 1, minimum: int = 1) -> tuple[int, int]:
        """Return a setting that is a whole number of at least ``minimum``, or two: vertical, horizontal."""
        value = self.get(key, default)
        values = [value] if isinstance(value, int) else value
        if (
            not isinstance(values, list | tuple)
            or not 1 <= len(values) <= 2
            or not all(_is_size(v) and v >= minimum for v in values)
        ):
            raise self.error(f"{key}: expected one whole number >= {minimum} or two, found {escape(value)}")
        return values[0], values[-1]

    def channels_first(self) -> bool | None:
        """Return whether the layer says that channels come before the rows; None where it does not say."""
        orders = [self.config.get(key) for key in ("data_format", "dim_ordering")]
        order = orders[1] if orders[0] is None else orders[0]
        if order is not None and (not isinstance(order, str) or order not in _ORDERS):
            raise self.error(f"data_format: expected channels_first or channels_last, found {escape(order)}")
        return None if order is None else _ORDERS[order]


class Model(NamedTuple):
    """A model, or a model within one: its layers, its input and its output by name."""

    specs: list[Spec]
    source: str
    target: str
    input_shape: tuple[int | None, ...] | None


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 16


def parse_config(text: str) -> Mapping[str, Any]:
    """Return a model's JSON as a dictionary; WeightsError if it is none."""
    try:
        if len(text) > MAX_CONFIG_BYTES:
            raise ValueError(f"{len(text)} letters")
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"its description of the model is damaged ({escape(str(error))})") from None
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise WeightsError("its description of the model is no dictionary with a class_name")
    return config


def class_of(entry: Mapping[str, Any]) -> str:
    """Return the class of a layer; of TensorFlow's arithmetic, that of the same operation in Keras 3."""
    kind, config = str(entry.get("class_name")), entry.get("config")
    if kind == "TFOpLambda" and isinstance(config, dict):
        return TENSORFLOW.get(str(config.get("function")), kind)
    return kind


def decode_model(description: Mapping[str, Any], ends: Ends = ONLY) -> Model:
    """Return the layers of a Sequential or functional model, in the order of the file, and the chosen ends.

    Raises
    ------
    WeightsError
        If it is another kind of model, or has several inputs or outputs of which none is chosen, or a layer
        is used more than once.

    """
    kind, config = class_of(description), description.get("config")
    _check_model(description, config)
    # older files give the layers as a bare list
    config = {"layers": config} if isinstance(config, list) else config
    config = config if isinstance(config, dict) else {}
    layers = config.get("layers")
    if kind not in MODELS or not isinstance(layers, list):
        raise WeightsError(
            f"its model is a {escape(kind)}, whose architecture is code; expected a Sequential or functional "
            "model (name an architecture, if the file fits one)"
        )
    entries = (isinstance(layer, dict) and isinstance(layer.get("config"), dict | list) for layer in layers)
    if len(layers) > MAX_LAYERS or not all(entries):
        raise WeightsError(f"its model is damaged, or has more than {MAX_LAYERS} layers")
    specs = list(
        _sequential_specs(layers) if kind == "Sequential" else _functional_specs(merge_selections(layers))
    )
    if len({spec.name for spec in specs}) < len(specs) or not specs:
        raise WeightsError("two layers of a model have one name, or it has none; expected distinct names")
    if kind == "Sequential":
        source, target = "".join(specs[0].inputs) if specs[0].inputs else specs[0].name, specs[-1].name
        ends.find_input([source or "input"], "its model")
        ends.find_output([target], "its model")
        return Model(specs, source, target, _input_shape(config, specs[0]))
    target = ends.find_output(_endpoints(config.get("output_layers"), "output_layers"), "its model")
    sources, needed = _endpoints(config.get("input_layers"), "input_layers"), find_needed(specs, target)
    # an input that the output does not depend on needs no choice
    source = ends.find_input([name for name in sources if name in needed] or sources, "its model")
    if ends.constants:
        raise WeightsError("input: a value is given to another input, which is not read of a Keras file")
    return Model(specs, source, target, _input_shape(config, *(s for s in specs if s.name == source)))


def _check_model(description: Mapping[str, Any], config: Any) -> None:
    """Raise for what is unknown of a model: beside its layers, or of an entry in the list of them."""
    settings = dict(config) if isinstance(config, dict) else {}
    layers = settings.pop("layers", None)
    unknown = [key for key, value in settings.items() if key not in _MODEL_KEYS and value is not None]
    what = describe_unread(unknown) if unknown else check_entry(description)
    if what:
        raise WeightsError(f"its model {what}")
    for i, entry in enumerate(layers if isinstance(layers, list) else []):
        what = check_entry(entry) if isinstance(entry, dict) and isinstance(entry.get("config"), dict) else None
        if what:
            raise WeightsError(f"layer {escape(_layer_name(entry, i))!r} ({escape(class_of(entry))}): {what}")


def _sequential_specs(layers: list[Mapping[str, Any]]) -> Iterator[Spec]:
    previous = ""
    for i, layer in enumerate(layers):
        name, config = _layer_name(layer, i), _layer_config(layer)
        is_input = class_of(layer) == "InputLayer"
        if is_input and i:
            raise WeightsError(f"layer {escape(name)!r}: an input in the middle of a Sequential model")
        yield Spec(name, class_of(layer), Fields(config), () if is_input else (previous,)).unwrapped()
        previous = name


def _functional_specs(layers: list[Mapping[str, Any]]) -> Iterator[Spec]:
    for i, layer in enumerate(layers):
        spec = Spec(_layer_name(layer, i), class_of(layer), Fields(_layer_config(layer)), ())
        nodes = layer.get("inbound_nodes")
        if not isinstance(nodes, list) or len(nodes) > 1:
            raise spec.error("is used in several places; minicnn's networks share no layers")
        try:
            operands = tuple(read_operands(nodes[0], spec.kind)) if nodes else ()
        except WeightsError as error:
            raise spec.error(str(error)) from None
        inputs = tuple(operand for operand in operands if isinstance(operand, str))
        yield spec._replace(inputs=inputs, operands=operands).unwrapped()


def _layer_name(layer: Mapping[str, Any], i: int) -> str:
    config = layer["config"]
    name = config.get("name") if isinstance(config, dict) else None
    name = name if isinstance(name, str) else layer.get("name")
    return name if isinstance(name, str) and name else f"layer{i}"


def _layer_config(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a layer's settings; of a nested model, its whole description."""
    nested = class_of(layer) in MODELS
    return layer if nested or not isinstance(layer["config"], dict) else layer["config"]


def find_needed(specs: list[Spec], target: str) -> set[str]:
    """Return the names of the layers that one of them depends on, and its own."""
    inputs, needed, pending = {spec.name: spec.inputs for spec in specs}, {target}, [target]
    while pending:
        new = set(inputs.get(pending.pop(), ())) - needed
        needed |= new
        pending += new
    return needed


def _endpoints(value: Any, key: str) -> list[str]:
    """Return the names in [name, 0, 0], or in [[name, 0, 0], ...], or in a dictionary of such."""
    value = list(value.values()) if isinstance(value, dict) else value
    ends = [value] if isinstance(value, list) and value and isinstance(value[0], str) else value
    if isinstance(ends, list) and ends and all(_is_endpoint(end) for end in ends):
        return [end[0] for end in ends]
    raise WeightsError(f"{key}: expected names of layers, found {escape(value)}")


def _is_endpoint(value: Any) -> bool:
    """Return whether it is [name, call, output] of a first call's first output."""
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str) and value[2] == 0


def _input_shape(config: Mapping[str, Any], first: Spec | None = None) -> tuple[int | None, ...] | None:
    """Return the input's shape without the batch, as the file has it; None where it does not say."""
    settings = first.config if first else {}
    # where it stands depends on the version; its first length is that of the batch
    for shape in (settings.get("batch_shape"), settings.get("batch_input_shape"), config.get("build_input_shape")):
        if isinstance(shape, list) and 2 <= len(shape) <= 4 and all(n is None or _is_size(n) for n in shape[1:]):
            return tuple(shape[1:])
    return None
