"""Rectifiers and other activations of Keras: layers of their own, or settings of other layers."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from minicnn import layers as nn
from minicnn.formats.containers.files import escape
from minicnn.formats.fields import Fields
from minicnn.formats.keras.context import softmax_over
from minicnn.formats.keras.fields import check_entry
from minicnn.formats.keras.model import Spec
from minicnn.layers import Layer

__all__ = ["ACTIVATION_LAYERS", "activation", "rectifier_with_slopes"]

_FUNCTIONS: dict[str, Layer | None] = {
    "celu": nn.CELU(),
    "elu": nn.ELU(),
    "exponential": nn.Exp(),
    "gelu": nn.GELU(),
    "hard_sigmoid": nn.Hardsigmoid(),
    "hard_silu": nn.Hardswish(),
    "hard_swish": nn.Hardswish(),
    "hard_tanh": nn.Hardtanh(),
    "leaky_relu": nn.LeakyReLU(0.2),
    "linear": None,
    "log_sigmoid": nn.LogSigmoid(),
    "log_softmax": nn.LogSoftmax(),
    "mish": nn.Mish(),
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "selu": nn.SELU(),
    "sigmoid": nn.Sigmoid(),
    "silu": nn.SiLU(),
    "softmax": nn.Softmax(),
    "softplus": nn.Softplus(),
    "softsign": nn.Softsign(),
    "swish": nn.SiLU(),
    "tanh": nn.Tanh(),
}


def activation(spec: Spec, last_axis: int, rank: int, version: int | None) -> list[Layer]:
    """Return the layers of a setting ``activation``: a function by its name, or a layer.

    ``last_axis`` is which of the ``rank`` axes of an image Keras's last one is, over which its softmax goes;
    ``version`` is Keras's main version, None where the file does not say.
    """
    setting = spec.config.get("activation")
    what = check_entry(setting) if isinstance(setting, dict) and not _is_function(setting) else None
    if what:
        raise spec.error(f"its activation {what}")
    # newer files may have a layer in place of a name
    if isinstance(setting, dict) and isinstance(setting.get("config"), dict):
        inner = spec._replace(kind=str(setting.get("class_name")), config=Fields(setting["config"]))
        layers = ACTIVATION_LAYERS.get(inner.kind)
        if layers is None:
            raise spec.error(f"activation: {escape(inner.kind)} is not read here; give it a layer of its own")
        built = layers(inner)
        inner.check_read()
        return built
    # a function may be wrapped into a dictionary, and none stands for linear
    name = setting.get("config") if isinstance(setting, dict) else setting
    name = "linear" if name is None else name
    if not isinstance(name, str) or name not in _FUNCTIONS:
        raise spec.error(f"activation: expected one of {', '.join(_FUNCTIONS)}, found {escape(name)!r}")
    if name == "hard_sigmoid" and version != 3:
        # min(max(x / 5 + 1 / 2, 0), 1) up to Keras 2, with x / 6 in Keras 3
        if version is None:
            raise spec.error(
                "hard_sigmoid differs between Keras 2 and 3, and the file does not say which wrote it"
            )
        return [nn.Hardsigmoid(0.2)]
    layer = _FUNCTIONS[name]
    if isinstance(layer, nn.Softmax | nn.LogSoftmax):
        return softmax_over(layer, last_axis, rank)
    return [] if layer is None else [layer]


def _rectifier(spec: Spec) -> list[Layer]:
    """Return ``ReLU`` with its ceiling, its slope below the threshold, or its threshold."""
    slope, threshold = _number(spec, "negative_slope", 0.0), _number(spec, "threshold", 0.0)
    ceiling = inf if spec.get("max_value") is None else _number(spec, "max_value", 0.0)
    if threshold:
        if slope or ceiling < inf:
            raise spec.error("expected a threshold of 0 beside a slope or a ceiling")
        return [nn.Threshold(threshold, 0.0)]
    if slope:
        return [nn.LeakyReLU(slope), *([nn.Hardtanh(-inf, ceiling)] if ceiling < inf else [])]
    return [nn.ReLU() if ceiling == inf else nn.ReLU6() if ceiling == 6 else nn.Hardtanh(0.0, ceiling)]


def _leaky_rectifier(spec: Spec) -> list[Layer]:
    """Return ``LeakyReLU``, whose slope is called alpha up to Keras 2."""
    return [nn.LeakyReLU(_number(spec, "negative_slope" if "negative_slope" in spec.config else "alpha", 0.3))]


ACTIVATION_LAYERS: dict[str, Callable[[Spec], list[Layer]]] = {
    "ELU": lambda spec: [nn.ELU(_number(spec, "alpha", 1.0))],
    "LeakyReLU": _leaky_rectifier,
    "ReLU": _rectifier,
    "ThresholdedReLU": lambda spec: [nn.Threshold(_number(spec, "theta", 1.0), 0.0)],
}


def rectifier_with_slopes(
    spec: Spec, slopes: np.ndarray, shape: tuple[int | None, ...], channels_first: bool
) -> list[Layer]:
    """Return ``PReLU``: one slope for all pixels of a channel, or for everything."""
    # (1, 1, C) where axes are shared, (C,) of features
    channels = slopes.shape[0 if channels_first else -1]
    if slopes.size != channels or channels not in (1, shape[0]):
        raise spec.error(f"slopes of {slopes.shape} differ from pixel to pixel; expected shared_axes=[1, 2]")
    return [nn.PReLU(channels, weight=np.ascontiguousarray(slopes).ravel())]


def _number(spec: Spec, key: str, default: float) -> float:
    """Return a number, which some versions wrap into {"config": {"value": ...}} or {"value": ...}."""
    value: Any = spec.get(key, default)
    for inner in ("config", "value"):
        value = value[inner] if isinstance(value, dict) and inner in value else value
    return float(spec._replace(config=Fields({key: value})).number(key, default))


def _is_function(setting: dict[str, Any]) -> bool:
    """Return whether it is one of Keras's own functions by its name, wrapped into a dictionary."""
    known = setting.get("registered_name") in (None, "function", setting.get("config"))
    return known and setting.get("class_name") == "function" and setting.get("module") in (None, "builtins")
