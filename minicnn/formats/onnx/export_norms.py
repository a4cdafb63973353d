"""Normalisations by the input's own statistics, and scale and shift, as nodes of an ONNX graph of opset 17."""

from __future__ import annotations

import numpy as np

from minicnn.formats.onnx.context import Export, ExportContext
from minicnn.layers import GroupNorm, InstanceNorm2d, Layer, LayerNorm, LayerNorm2d, RMSNorm, Scale

__all__ = ["NORM_NODES"]


def _layer_norm(layer: LayerNorm, at: ExportContext) -> str:
    return _normalise_end(layer, at, at.x, len(layer.normalized_shape))


def _layer_norm2d(layer: LayerNorm2d, at: ExportContext) -> str:
    """Write the normalisation of the last axis with the channels moved there and back."""
    last = at.node("Transpose", at.x, part="last", perm=[0, 2, 3, 1])
    return at.node("Transpose", _normalise_end(layer, at, last, 1), part="first", perm=[0, 3, 1, 2])


def _normalise_end(layer: LayerNorm | LayerNorm2d, at: ExportContext, x: str, axes: int) -> str:
    sizes = (layer.num_channels,) if isinstance(layer, LayerNorm2d) else layer.normalized_shape
    state = {"weight": np.ones(sizes, at.dtype)} | layer.state()
    return at.node("LayerNormalization", x, *at.constants(state), axis=-axes, epsilon=float(layer.eps))


def _instance_norm(layer: InstanceNorm2d, at: ExportContext) -> str:
    channels = layer.num_features
    state = {"weight": np.ones(channels, at.dtype), "bias": np.zeros(channels, at.dtype)} | layer.state()
    return at.node("InstanceNormalization", at.x, *at.constants(state), epsilon=float(layer.eps))


def _group_norm(layer: GroupNorm, at: ExportContext) -> str:
    """Write an instance normalisation of N x G x (C / G H W), as exporters do before opset 21."""
    output, groups = at.fixed_shape(), layer.num_groups
    rows = at.integers("rows", [0, groups, -1])
    plain = at.constants({"ones": np.ones(groups, at.dtype), "zeros": np.zeros(groups, at.dtype)})
    x = at.node("Reshape", at.x, rows, part="rows")
    x = at.node("InstanceNormalization", x, *plain, part="groups", epsilon=float(layer.eps))
    x = at.node("Reshape", x, at.integers("shape", [0, *output]), part="maps" if layer.affine else "")
    if not layer.affine:
        return x
    # (C, 1, 1), which broadcasts against (N, C, H, W)
    weight, bias = (array.reshape(-1, *[1] * (len(output) - 1)) for array in layer.state().values())
    x = at.node("Mul", x, at.constant("weight", weight), part="scaled")
    return at.node("Add", x, at.constant("bias", bias))


def _rms_norm(layer: RMSNorm, at: ExportContext) -> str:
    axes, numbers = [-n for n in range(len(layer.normalized_shape), 0, -1)], (2.0, layer.added(at.dtype))
    two, eps = at.constants(dict(zip(("two", "eps"), np.array(numbers, at.dtype), strict=True)))
    square = at.node("Pow", at.x, two, part="square")
    mean = at.node("ReduceMean", square, part="mean", axes=axes)
    root = at.node("Sqrt", at.node("Add", mean, eps, part="sum"), part="root")
    y = at.node("Div", at.x, root, part="quotient" if layer.state() else "")
    if not layer.state():
        return y
    return at.node("Mul", y, at.constant("weight", layer.state()["weight"]))


def _scale(layer: Scale, at: ExportContext) -> str:
    state = layer.state()
    weight = at.constant("weight", state["weight"])
    if "bias" not in state:
        return at.node("Mul", at.x, weight)
    return at.node("Add", at.node("Mul", at.x, weight, part="scaled"), at.constant("bias", state["bias"]))


NORM_NODES: dict[type[Layer], Export] = {
    GroupNorm: _group_norm,
    InstanceNorm2d: _instance_norm,
    LayerNorm: _layer_norm,
    LayerNorm2d: _layer_norm2d,
    RMSNorm: _rms_norm,
    Scale: _scale,
}
