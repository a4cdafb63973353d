"""Operators of an ONNX graph that are a function of each value, as layers."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np

from minicnn import layers as nn
from minicnn.formats.onnx.node import BoundNode
from minicnn.layers import Layer

__all__ = ["ACTIVATIONS"]

LARGEST = float(np.finfo(np.float32).max)


def _real(op: BoundNode, name: str, default: float) -> float:
    """Return an attribute as the number that was meant: 1 / 6, or the shortest decimal that gives this float32."""
    value = np.float32(op.node.real(name, default))
    return 1 / 6 if value == np.float32(1 / 6) else float(str(value))


def _clip(op: BoundNode) -> list[Layer]:
    if op.data != 0:
        raise op.error("clips to bounds that are computed; expected constants")
    low = op.number(1, op.node.real("min", -inf))
    high = op.number(2, op.node.real("max", inf))
    # the largest float32 is no bound either
    low, high = -inf if low <= -LARGEST else low, inf if high >= LARGEST else high
    if (low, high) == (-inf, inf):
        return []
    if not low < high:
        raise op.error(f"clips to [{low}, {high}], an interval of no length")
    if low == 0 and high in (6, inf):
        return [nn.ReLU6() if high == 6 else nn.ReLU()]
    return [nn.Hardtanh(low, high)]


def _selu(op: BoundNode) -> list[Layer]:
    usual = nn.SELU()
    alpha, scale = _real(op, "alpha", usual.alpha), _real(op, "gamma", usual.scale)
    if (np.float32(alpha), np.float32(scale)) == (np.float32(usual.alpha), np.float32(usual.scale)):
        return [usual]
    return [nn.ELU(alpha, scale)]


def _gelu(op: BoundNode) -> list[Layer]:
    return [nn.GELU(op.node.text("approximate", "none"))]


def _swish(op: BoundNode) -> list[Layer]:
    if _real(op, "alpha", 1.0) != 1:
        raise op.error("multiplies its input by an alpha other than 1; there is a layer for x sigmoid(x)")
    return [nn.SiLU()]


def _power(op: BoundNode) -> list[Layer]:
    if op.data != 0:
        raise op.error("raises a constant to computed powers; there is a layer for a constant exponent")
    exponent = op.number(1, 1.0)
    return [] if exponent == 1 else [nn.Pow(exponent)]


ACTIVATIONS: dict[str, Callable[[BoundNode], list[Layer]]] = {
    "Abs": lambda op: [nn.Abs()],
    "Celu": lambda op: [nn.CELU(_real(op, "alpha", 1.0))],
    "Clip": _clip,
    "Elu": lambda op: [nn.ELU(_real(op, "alpha", 1.0))],
    "Erf": lambda op: [nn.Erf()],
    "Exp": lambda op: [nn.Exp()],
    "Gelu": _gelu,
    "HardSigmoid": lambda op: [nn.Hardsigmoid(_real(op, "alpha", 0.2), _real(op, "beta", 0.5))],
    "HardSwish": lambda op: [nn.Hardswish()],
    "LeakyRelu": lambda op: [nn.LeakyReLU(op.node.real("alpha", 0.01))],
    "Log": lambda op: [nn.Log()],
    "Mish": lambda op: [nn.Mish()],
    "Pow": _power,
    "Reciprocal": lambda op: [nn.Pow(-1.0)],
    "Relu": lambda op: [nn.ReLU()],
    "Selu": _selu,
    "Sigmoid": lambda op: [nn.Sigmoid()],
    "Softplus": lambda op: [nn.Softplus()],
    "ThresholdedSoftplus": lambda op: [nn.Softplus(op.node.real("beta", 1.0), op.node.real("threshold", 20.0))],
    "Softsign": lambda op: [nn.Softsign()],
    "Sqrt": lambda op: [nn.Pow(0.5)],
    "Swish": _swish,
    "Tanh": lambda op: [nn.Tanh()],
    "Threshold": lambda op: [nn.Threshold(op.node.real("threshold", 1.0), op.node.real("value", 0.0))],
    "ThresholdedRelu": lambda op: [nn.Threshold(_real(op, "alpha", 1.0), 0.0)],
}
