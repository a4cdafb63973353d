"""Caffe's functions of each value as ours."""

from __future__ import annotations

from collections.abc import Callable
from math import log

from minicnn import layers as nn
from minicnn.formats.caffe.bound import BoundLayer
from minicnn.formats.caffe.norms import straight_line
from minicnn.layers import Layer

__all__ = ["POINTWISE"]


def _relu(bound: BoundLayer) -> list[Layer]:
    slope = bound.layer.param("relu_param").real("negative_slope", 0.0)
    return [nn.LeakyReLU(slope) if slope else nn.ReLU()]


def _clip(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("clip_param")
    low, high = fields.real("min", 0.0), fields.real("max", 0.0)
    return [nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high)]


def _swish(bound: BoundLayer) -> list[Layer]:
    beta = bound.layer.param("swish_param").real("beta", 1.0)
    if beta == 0:
        raise bound.error("beta 0, which makes it half of its input")
    # x sigmoid(beta x) = silu(beta x) / beta
    return [*straight_line(bound, beta, 0.0), nn.SiLU(), *straight_line(bound, 1 / beta, 0.0)]


def _exponential(bound: BoundLayer) -> list[Layer]:
    # y = base^(scale x + shift), where base -1 stands for e
    factor, scale, shift = _base_scale_shift(bound, "exp_param")
    return [*straight_line(bound, factor * scale, factor * shift), nn.Exp()]


def _logarithm(bound: BoundLayer) -> list[Layer]:
    # y = log_base(scale x + shift)
    factor, scale, shift = _base_scale_shift(bound, "log_param")
    return [*straight_line(bound, scale, shift), nn.Log(), *straight_line(bound, 1 / factor, 0.0)]


def _base_scale_shift(bound: BoundLayer, name: str) -> tuple[float, float, float]:
    """Return the logarithm of the base, the scale and the shift."""
    fields = bound.layer.param(name)
    base = fields.real("base", -1.0)
    if base != -1 and (base <= 0 or base == 1):
        raise bound.error(f"base {base}; expected a number above 0, or -1 for e")
    return 1.0 if base == -1 else log(base), fields.real("scale", 1.0), fields.real("shift", 0.0)


def _power(bound: BoundLayer) -> list[Layer]:
    # y = (scale x + shift)^power
    fields = bound.layer.param("power_param")
    power, scale, shift = fields.real("power", 1.0), fields.real("scale", 1.0), fields.real("shift", 0.0)
    if power == 0:
        raise bound.error("power 0, which leaves nothing of its input")
    return [*straight_line(bound, scale, shift, keep=power == 1), *([] if power == 1 else [nn.Pow(power)])]


def _prelu(bound: BoundLayer) -> list[Layer]:
    shared = bound.layer.param("prelu_param").boolean("channel_shared", False)
    count = 1 if shared else bound.shape[0]
    return [nn.PReLU(count, weight=bound.arrays((count,))[0])]


def _dropout(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("dropout_param")
    if not fields.boolean("scale_train", True):
        raise bound.error("scale_train: false; there is a layer that scales in training")
    p = fields.real("dropout_ratio", 0.5)
    if not 0 <= p < 1:
        raise bound.error(f"dropout_ratio {p}; expected a probability")
    return [nn.Dropout(p)]


POINTWISE: dict[str, Callable[[BoundLayer], list[Layer]]] = {
    "AbsVal": lambda bound: [nn.Abs()],
    "BNLL": lambda bound: [nn.Softplus()],
    "Clip": _clip,
    "Dropout": _dropout,
    "ELU": lambda bound: [nn.ELU(bound.layer.param("elu_param").real("alpha", 1.0))],
    "Exp": _exponential,
    "Log": _logarithm,
    "PReLU": _prelu,
    "Power": _power,
    "ReLU": _relu,
    "ReLU6": lambda bound: [nn.ReLU6()],
    "Sigmoid": lambda bound: [nn.Sigmoid()],
    "Swish": _swish,
    "TanH": lambda bound: [nn.Tanh()],
}
