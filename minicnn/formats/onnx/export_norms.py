"""Normalisations by the input's own statistics, and scale and shift, as nodes of an ONNX graph of opset 17."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minicnn.errors import WeightsError
from minicnn.layers import GroupNorm, InstanceNorm2d, Layer, LayerNorm, LayerNorm2d, RMSNorm, Scale

if TYPE_CHECKING:
    from minicnn.formats.onnx.writer import ExportContext, Graph

__all__ = ["NORM_NODES"]

# the layer is of the class that NORM_NODES names
_Export: TypeAlias = "Callable[[Graph, Any, ExportContext], str]"


def _layer_norm(graph: Graph, layer: LayerNorm, context: ExportContext) -> str:
    return _normalise_end(graph, layer, context, context.x, len(layer.normalized_shape))


def _layer_norm2d(graph: Graph, layer: LayerNorm2d, context: ExportContext) -> str:
    """Write the normalisation of the last axis with the channels moved there and back."""
    last = graph.node("Transpose", f"{context.path}_last", [context.x], perm=[0, 2, 3, 1])
    return graph.node(
        "Transpose", f"{context.path}_first", [_normalise_end(graph, layer, context, last, 1)], perm=[0, 3, 1, 2]
    )


def _normalise_end(graph: Graph, layer: LayerNorm | LayerNorm2d, context: ExportContext, x: str, axes: int) -> str:
    sizes = (layer.num_channels,) if isinstance(layer, LayerNorm2d) else layer.normalized_shape
    state = {"weight": np.ones(sizes, graph.dtype)} | layer.state()
    inputs = [x, *(graph.constant(f"{context.path}.{name}", array) for name, array in state.items())]
    return graph.node("LayerNormalization", context.path, inputs, axis=-axes, epsilon=float(layer.eps))


def _instance_norm(graph: Graph, layer: InstanceNorm2d, context: ExportContext) -> str:
    channels = layer.num_features
    state = {"weight": np.ones(channels, graph.dtype), "bias": np.zeros(channels, graph.dtype)} | layer.state()
    inputs = [context.x, *(graph.constant(f"{context.path}.{name}", array) for name, array in state.items())]
    return graph.node("InstanceNormalization", context.path, inputs, epsilon=float(layer.eps))


def _group_norm(graph: Graph, layer: GroupNorm, context: ExportContext) -> str:
    """Write an instance normalisation of N x G x (C / G H W), as exporters do before opset 21."""
    path, groups = context.path, layer.num_groups
    if graph.open_size:
        raise WeightsError(f"layer {path!r}: needs the input's size; set the network's input_shape")
    rows = graph.constant(f"{path}.rows", np.array([0, groups, -1], np.int64))
    ones, zeros = np.ones(groups, graph.dtype), np.zeros(groups, graph.dtype)
    plain = [graph.constant(f"{path}.{name}", array) for name, array in (("ones", ones), ("zeros", zeros))]
    x = graph.node("Reshape", f"{path}_rows", [context.x, rows])
    x = graph.node("InstanceNormalization", f"{path}_groups", [x, *plain], epsilon=float(layer.eps))
    shape = graph.constant(f"{path}.shape", np.array([0, *context.shape], np.int64))
    x = graph.node("Reshape", f"{path}_maps" if layer.affine else path, [x, shape])
    if not layer.affine:
        return x
    # (C, 1, 1), which broadcasts against (N, C, H, W)
    weight, bias = (array.reshape(-1, *[1] * (len(context.shape) - 1)) for array in layer.state().values())
    x = graph.node("Mul", f"{path}_scaled", [x, graph.constant(f"{path}.weight", weight)])
    return graph.node("Add", path, [x, graph.constant(f"{path}.bias", bias)])


def _rms_norm(graph: Graph, layer: RMSNorm, context: ExportContext) -> str:
    path, axes = context.path, [-n for n in range(len(layer.normalized_shape), 0, -1)]
    two, eps = (
        graph.constant(f"{path}.{name}", np.array(value, graph.dtype))
        for name, value in (("two", 2.0), ("eps", layer.added(graph.dtype)))
    )
    square = graph.node("Pow", f"{path}_square", [context.x, two])
    mean = graph.node("ReduceMean", f"{path}_mean", [square], axes=axes)
    root = graph.node("Sqrt", f"{path}_root", [graph.node("Add", f"{path}_sum", [mean, eps])])
    y = graph.node("Div", f"{path}_quotient" if layer.state() else path, [context.x, root])
    if not layer.state():
        return y
    return graph.node("Mul", path, [y, graph.constant(f"{path}.weight", layer.state()["weight"])])


def _scale(graph: Graph, layer: Scale, context: ExportContext) -> str:
    state, path = layer.state(), context.path
    y = graph.node(
        "Mul",
        f"{path}_scaled" if "bias" in state else path,
        [context.x, graph.constant(f"{path}.weight", state["weight"])],
    )
    return graph.node("Add", path, [y, graph.constant(f"{path}.bias", state["bias"])]) if "bias" in state else y


NORM_NODES: dict[type[Layer], _Export] = {
    GroupNorm: _group_norm,
    InstanceNorm2d: _instance_norm,
    LayerNorm: _layer_norm,
    LayerNorm2d: _layer_norm2d,
    RMSNorm: _rms_norm,
    Scale: _scale,
}
