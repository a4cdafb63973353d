"""Functions of each value as nodes of an ONNX graph: one operator, or as exporters write it with opset 17."""

from __future__ import annotations

from math import isfinite, log
from typing import Any

import numpy as np

from minicnn import layers as nn
from minicnn.formats.onnx.context import Export, ExportContext, node_of
from minicnn.layers import Layer

__all__ = ["ACTIVATION_NODES"]


def _node_with(op_type: str, **fields: str) -> Export:
    """Return what exports a layer as one node, whose attributes are called as ``fields`` says."""

    def export(layer: Layer, at: ExportContext) -> str:
        values: dict[str, Any] = {theirs: float(getattr(layer, ours)) for theirs, ours in fields.items()}
        return at.node(op_type, at.x, **values)

    return export


class _Formula:
    """Nodes of one layer that compute a formula; the last has the layer's name."""

    def __init__(self, at: ExportContext):
        self.at, self.count = at, 0

    def __call__(self, op_type: str, *inputs: str | float, last: bool = False) -> str:
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.count += 1
        return self.at.node(op_type, *names, part="" if last else f"{self.count}")

    def constant(self, value: float) -> str:
        self.count += 1
        return self.at.constant(f"constant_{self.count}", np.array(value, self.at.dtype))


def _clip(layer: nn.Hardtanh | nn.ReLU6, at: ExportContext) -> str:
    add, bounds = _Formula(at), (0.0, 6.0)
    if isinstance(layer, nn.Hardtanh):
        bounds = layer.min_val, layer.max_val
    # an empty name is an input that is left out
    low, high = (bound if isfinite(bound) else "" for bound in bounds)
    return add("Clip", at.x, *((low, high) if high != "" else (low,)), last=True)


def _prelu(layer: nn.PReLU, at: ExportContext) -> str:
    assert layer.weight is not None
    # (C, 1, 1), which broadcasts against (N, C, H, W)
    slope = layer.weight.reshape(-1, *[1] * (len(at.shape) - 1))
    return at.node("PRelu", at.x, at.constant("weight", slope))


def _silu(layer: nn.SiLU, at: ExportContext) -> str:
    add = _Formula(at)
    return add("Mul", at.x, add("Sigmoid", at.x), last=True)


def _mish(layer: nn.Mish, at: ExportContext) -> str:
    add = _Formula(at)
    return add("Mul", at.x, add("Tanh", add("Softplus", at.x)), last=True)


def _gelu(layer: nn.GELU, at: ExportContext) -> str:
    add, x = _Formula(at), at.x
    if layer.approximate == "none":
        squashed = add("Erf", add("Mul", x, 0.5**0.5))
    else:
        inner = add("Add", x, add("Mul", add("Pow", x, 3.0), 0.044715))
        squashed = add("Tanh", add("Mul", inner, (2 / np.pi) ** 0.5))
    return add("Mul", add("Mul", x, 0.5), add("Add", squashed, 1.0), last=True)


def _elu(layer: nn.ELU, at: ExportContext) -> str:
    if layer.input_scale != 1:
        raise at.error("ONNX has no ELU with an input_scale")
    if layer.scale != 1:
        return _node_with("Selu", alpha="alpha", gamma="scale")(layer, at)
    return _node_with("Elu", alpha="alpha")(layer, at)


def _softplus(layer: nn.Softplus, at: ExportContext) -> str:
    # up to the threshold y is curved, from there on x: the two differ by log(1 + exp(-threshold)) / beta
    if layer.threshold < -log(np.finfo(at.dtype).eps) or layer.beta <= 0:
        raise at.error("ONNX has no Softplus with a threshold or a slope below 0")
    if layer.beta == 1:
        return at.node("Softplus", at.x)
    add = _Formula(at)
    return add("Div", add("Softplus", add("Mul", at.x, layer.beta)), layer.beta, last=True)


def _threshold(layer: nn.Threshold, at: ExportContext) -> str:
    if layer.value != 0:
        raise at.error("ONNX has no Threshold that gives a value other than 0")
    return _node_with("ThresholdedRelu", alpha="threshold")(layer, at)


def _log_sigmoid(layer: nn.LogSigmoid, at: ExportContext) -> str:
    add = _Formula(at)
    return add("Log", add("Sigmoid", at.x), last=True)


def _power(layer: nn.Pow, at: ExportContext) -> str:
    return _Formula(at)("Pow", at.x, layer.exponent, last=True)


ACTIVATION_NODES: dict[type[Layer], Export] = {
    nn.Abs: node_of("Abs"),
    nn.CELU: _node_with("Celu", alpha="alpha"),
    nn.ELU: _elu,
    nn.Erf: node_of("Erf"),
    nn.Exp: node_of("Exp"),
    nn.GELU: _gelu,
    nn.Hardsigmoid: _node_with("HardSigmoid", alpha="alpha", beta="beta"),
    nn.Hardswish: node_of("HardSwish"),
    nn.Hardtanh: _clip,
    nn.LeakyReLU: _node_with("LeakyRelu", alpha="negative_slope"),
    nn.Log: node_of("Log"),
    nn.LogSigmoid: _log_sigmoid,
    nn.Mish: _mish,
    nn.PReLU: _prelu,
    nn.Pow: _power,
    nn.ReLU: node_of("Relu"),
    nn.ReLU6: _clip,
    nn.SELU: _elu,
    nn.SiLU: _silu,
    nn.Sigmoid: node_of("Sigmoid"),
    nn.Softplus: _softplus,
    nn.Softsign: node_of("Softsign"),
    nn.Tanh: node_of("Tanh"),
    nn.Threshold: _threshold,
}
