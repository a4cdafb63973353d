"""Functions of each value as nodes of an ONNX graph: one operator, or as exporters write it with opset 17."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, log
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minicnn.errors import WeightsError
from minicnn.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    Abs,
    Erf,
    Exp,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    Layer,
    LeakyReLU,
    Log,
    LogSigmoid,
    Mish,
    Pow,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Tanh,
    Threshold,
)

if TYPE_CHECKING:
    from minicnn.formats.onnx.writer import ExportContext, Graph

__all__ = ["ACTIVATION_NODES", "single_node"]

# the layer is of the class that ACTIVATION_NODES names
_Export: TypeAlias = "Callable[[Graph, Any, ExportContext], str]"


def single_node(op_type: str, **attributes: Any) -> _Export:
    """Return what exports a layer as one node, the same for all layers of its class."""
    return lambda graph, layer, context: graph.node(op_type, context.path, [context.x], **attributes)


def _node_with(op_type: str, **fields: str) -> _Export:
    """Return what exports a layer as one node, whose attributes are called as ``fields`` says."""

    def export(graph: Graph, layer: Layer, context: ExportContext) -> str:
        values = {theirs: float(getattr(layer, ours)) for theirs, ours in fields.items()}
        return graph.node(op_type, context.path, [context.x], **values)

    return export


class _Formula:
    """Nodes of one layer that compute a formula; the last has the layer's name."""

    def __init__(self, graph: Graph, context: ExportContext):
        self.graph, self.path, self.count = graph, context.path, 0

    def __call__(self, op_type: str, *inputs: str | float, last: bool = False) -> str:
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.count += 1
        return self.graph.node(op_type, self.path if last else f"{self.path}_{self.count}", names)

    def constant(self, value: float) -> str:
        self.count += 1
        return self.graph.constant(f"{self.path}.constant_{self.count}", np.array(value, self.graph.dtype))


def _clip(graph: Graph, layer: Hardtanh | ReLU6, context: ExportContext) -> str:
    add, bounds = _Formula(graph, context), (0.0, 6.0)
    if isinstance(layer, Hardtanh):
        bounds = layer.min_val, layer.max_val
    # an empty name is an input that is left out
    low, high = (bound if isfinite(bound) else "" for bound in bounds)
    return add("Clip", context.x, *((low, high) if high != "" else (low,)), last=True)


def _prelu(graph: Graph, layer: PReLU, context: ExportContext) -> str:
    assert layer.weight is not None
    # (C, 1, 1), which broadcasts against (N, C, H, W)
    slope = layer.weight.reshape(-1, *[1] * (len(context.shape) - 1))
    return graph.node("PRelu", context.path, [context.x, graph.constant(f"{context.path}.weight", slope)])


def _silu(graph: Graph, layer: SiLU, context: ExportContext) -> str:
    add = _Formula(graph, context)
    return add("Mul", context.x, add("Sigmoid", context.x), last=True)


def _mish(graph: Graph, layer: Mish, context: ExportContext) -> str:
    add = _Formula(graph, context)
    return add("Mul", context.x, add("Tanh", add("Softplus", context.x)), last=True)


def _gelu(graph: Graph, layer: GELU, context: ExportContext) -> str:
    add, x = _Formula(graph, context), context.x
    if layer.approximate == "none":
        squashed = add("Erf", add("Mul", x, 0.5**0.5))
    else:
        inner = add("Add", x, add("Mul", add("Pow", x, 3.0), 0.044715))
        squashed = add("Tanh", add("Mul", inner, (2 / np.pi) ** 0.5))
    return add("Mul", add("Mul", x, 0.5), add("Add", squashed, 1.0), last=True)


def _elu(graph: Graph, layer: ELU, context: ExportContext) -> str:
    if layer.input_scale != 1:
        raise WeightsError(f"layer {context.path!r}: ONNX has no ELU with an input_scale")
    if layer.scale != 1:
        return _node_with("Selu", alpha="alpha", gamma="scale")(graph, layer, context)
    return _node_with("Elu", alpha="alpha")(graph, layer, context)


def _softplus(graph: Graph, layer: Softplus, context: ExportContext) -> str:
    # up to the threshold y is curved, from there on x: the two differ by log(1 + exp(-threshold)) / beta
    if layer.threshold < -log(np.finfo(graph.dtype).eps) or layer.beta <= 0:
        raise WeightsError(f"layer {context.path!r}: ONNX has no Softplus with a threshold or a slope below 0")
    if layer.beta == 1:
        return graph.node("Softplus", context.path, [context.x])
    add = _Formula(graph, context)
    return add("Div", add("Softplus", add("Mul", context.x, layer.beta)), layer.beta, last=True)


def _threshold(graph: Graph, layer: Threshold, context: ExportContext) -> str:
    if layer.value != 0:
        raise WeightsError(f"layer {context.path!r}: ONNX has no Threshold that gives a value other than 0")
    return _node_with("ThresholdedRelu", alpha="threshold")(graph, layer, context)


def _log_sigmoid(graph: Graph, layer: LogSigmoid, context: ExportContext) -> str:
    add = _Formula(graph, context)
    return add("Log", add("Sigmoid", context.x), last=True)


def _power(graph: Graph, layer: Pow, context: ExportContext) -> str:
    return _Formula(graph, context)("Pow", context.x, layer.exponent, last=True)


ACTIVATION_NODES: dict[type[Layer], _Export] = {
    Abs: single_node("Abs"),
    CELU: _node_with("Celu", alpha="alpha"),
    ELU: _elu,
    Erf: single_node("Erf"),
    Exp: single_node("Exp"),
    GELU: _gelu,
    Hardsigmoid: _node_with("HardSigmoid", alpha="alpha", beta="beta"),
    Hardswish: single_node("HardSwish"),
    Hardtanh: _clip,
    LeakyReLU: _node_with("LeakyRelu", alpha="negative_slope"),
    Log: single_node("Log"),
    LogSigmoid: _log_sigmoid,
    Mish: _mish,
    PReLU: _prelu,
    Pow: _power,
    ReLU: single_node("Relu"),
    ReLU6: _clip,
    SELU: _elu,
    SiLU: _silu,
    Sigmoid: single_node("Sigmoid"),
    Softplus: _softplus,
    Softsign: single_node("Softsign"),
    Tanh: single_node("Tanh"),
    Threshold: _threshold,
}
