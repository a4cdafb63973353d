"""Operators of an ONNX graph that normalise by the statistics of their own input, as layers."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minicnn.formats.onnx.node import BoundNode, wrap_reshape
from minicnn.layers import GroupNorm, InstanceNorm2d, Layer, LayerNorm, LayerNorm2d, RMSNorm, Scale
from minicnn.layers.base import Shape

__all__ = ["NORMS"]


def _layer_norm(op: BoundNode) -> list[Layer]:
    """Return LayerNormalization, over the axes from ``axis`` on."""
    sizes, parameters = _end(op), _parameters(op, "weight", "bias")
    eps = _eps(op, 1e-5)
    op.node.integer("stash_type", 1)  # the precision of the sums, where the input has half
    weight = parameters.get("weight", np.ones(sizes, np.float32))
    bias: Any = parameters.get("bias", False)
    return [LayerNorm(sizes, eps, bias=bias, weight=weight)]


def _rms_norm(op: BoundNode) -> list[Layer]:
    op.node.integer("stash_type", 1)
    return [RMSNorm(_end(op), _eps(op, 1e-5), weight=_parameters(op, "weight").get("weight"))]


def _end(op: BoundNode) -> Shape:
    """Return the lengths of the axes from ``axis`` on, which must be known."""
    if op.data != 0:
        raise op.error("its weights are computed; expected constants")
    axis = op.axis(op.node.integer("axis", -1))
    if axis == 0:
        raise op.error("normalises over the batch too; there are layers that treat each image by itself")
    sizes = op.shape[axis - 1 :]
    if sizes != op.other[axis - 1 :]:
        op.sized()
    return sizes


def _parameters(op: BoundNode, *names: str) -> dict[str, np.ndarray]:
    """Return the constants after the input, of the shape of the axes that are normalised."""
    sizes = _end(op)
    given = {name: op.weight(i) for i, name in enumerate(names, 1) if op.array(i) is not None}
    for array in given.values():
        if not _broadcasts(array.shape, sizes):
            raise op.error(f"weights of {array.shape} for values of {sizes}")
    return {name: np.array(np.broadcast_to(array, sizes)) for name, array in given.items()}


def _eps(op: BoundNode, default: float) -> float:
    # the decimal that was meant: 1e-06, not 9.99999997e-07
    return float(str(np.float32(op.node.real("epsilon", default))))


def _instance_norm(op: BoundNode) -> list[Layer]:
    weight, bias = (op.weight(i).reshape(-1) for i in (1, 2))
    maps, eps = op.maps(1), _eps(op, 1e-5)
    return wrap_reshape(op, maps, [InstanceNorm2d(maps[0], eps, affine=True, weight=weight, bias=bias)])


def _group_norm(op: BoundNode) -> list[Layer]:
    groups, eps = op.node.integer("num_groups", 1), _eps(op, 1e-5)
    op.node.integer("stash_type", 1)
    channels = op.shape[0] if op.shape else 0
    if groups < 1 or channels % groups:
        raise op.error(f"{channels} channels in {groups} groups")
    parameters: dict[str, Any] = {}
    for i, name in enumerate(("weight", "bias"), 1):
        array = op.weight(i).reshape(-1)
        # before opset 21 there is one number for each group
        if len(array) not in (groups, channels):
            raise op.error(f"{len(array)} weights for {channels} channels in {groups} groups")
        parameters[name] = np.repeat(array, channels // len(array))
    return [GroupNorm(groups, channels, eps, **parameters)]


def _lp_normalisation(op: BoundNode) -> list[Layer]:
    """Return x / |x| along an axis as a root mean square normalisation, whose weight divides by sqrt(D)."""
    axis, p = op.axis(op.node.integer("axis", -1)), op.node.integer("p", 2)
    if p != 2 or axis == 0:
        raise op.error(f"divides by the {p}-norm along axis {axis}; there is a layer for the 2-norm of an image")
    depth = op.shape[axis - 1]
    if depth != op.other[axis - 1]:
        op.sized()
    # eps only keeps what is 0 everywhere at 0
    weight = np.full(depth, depth**-0.5, np.float32)
    if axis == len(op.shape):
        return [RMSNorm(depth, eps=1e-30, weight=weight)]
    raise op.error(f"divides by the norm along axis {axis}; there is a layer for the last")


def _mean_variance(op: BoundNode) -> list[Layer]:
    axes = sorted(op.axis(axis) for axis in op.node.integers("axes", [0, 2, 3]))
    if len(op.shape) == 3 and axes == [2, 3]:
        return [InstanceNorm2d(op.shape[0], eps=1e-18)]
    if len(op.shape) == 3 and axes == [1]:
        return [LayerNorm2d(op.shape[0], eps=1e-18, affine=False)]
    if axes == list(range(axes[0], op.rank)) and axes[0]:
        return [LayerNorm(op.sized()[axes[0] - 1 :], eps=1e-18, elementwise_affine=False)]
    raise op.error(f"normalises over the axes {axes}; there are layers for the last ones, and for the channels")


def scale(op: BoundNode, weight: np.ndarray | None, bias: np.ndarray | None) -> list[Layer]:
    """Return y = weight x + bias for constants of any shape that broadcasts to the input's."""
    array = bias if weight is None else weight
    assert array is not None
    # the batch's axis, of length 1, is no axis of an image
    shape = array.shape[array.ndim - op.rank + 1 :] if array.ndim >= op.rank else array.shape
    if prod(shape) != array.size or not _broadcasts(shape, op.shape):
        raise op.error(f"a constant of shape {array.shape} on an input N x {op.shape}")
    weight = np.ones(shape, array.dtype) if weight is None else weight.reshape(shape)
    return [Scale(shape, False if bias is None else np.array(bias.reshape(shape)), weight=np.array(weight))]


def _broadcasts(shape: Shape, target: Shape) -> bool:
    """Return whether values of ``shape`` broadcast to those of ``target``."""
    return len(shape) <= len(target) and all(n in (1, m) for n, m in zip(shape[::-1], target[::-1], strict=False))


NORMS = {
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LpNormalization": _lp_normalisation,
    "MeanVarianceNormalization": _mean_variance,
    "RMSNormalization": _rms_norm,
}
