"""Operators of an ONNX graph as layers: the table of them, and those that compute point by point.

An attribute counts as known once its operator's function has asked for it (``op.node.real("alpha", 1.0)``); one
that was not asked for is refused by its name, unless ``HARMLESS`` names it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from minicnn import layers as nn
from minicnn.formats.onnx import norms, reshape, windows
from minicnn.formats.onnx.maps import resampling
from minicnn.formats.onnx.maps.composed import concat_constants
from minicnn.formats.onnx.node import BoundNode, wrap_reshape
from minicnn.formats.onnx.pointwise.operators import ACTIVATIONS
from minicnn.layers import Layer

__all__ = ["HARMLESS", "LAYERS", "add_features", "scale_and_shift"]


def _identity(op: BoundNode) -> list[Layer]:
    return []


def _cast(op: BoundNode) -> list[Layer]:
    if op.node.integer("to", 1) not in (1, 10, 11, 16):
        raise op.error("a conversion to whole numbers has no layer")
    return []


def _dropout(op: BoundNode) -> list[Layer]:
    training = op.array(2)
    # before opset 7 the operator trains unless is_test says that it does not
    if (training is not None and training.any()) or (op.opset < 7 and not op.node.integer("is_test", 0)):
        raise op.error("is in training mode; export the model in evaluation mode")
    p = op.number(1, op.node.real("ratio", 0.5))
    return [nn.Dropout(p)] if 0 <= p < 1 else []


# rectifiers and what ends a network


def _prelu(op: BoundNode) -> list[Layer]:
    slope = op.weight(1)
    # before opset 7 slopes (C,) are those of the channels; later they would broadcast to the last axis
    per_channel = slope.reshape(-1, *[1] * (len(op.shape) - 1)) if op.opset < 7 and slope.ndim == 1 else slope
    slope = _per_channel(op, per_channel)
    return [nn.PReLU(len(slope), weight=slope)]


def _make_softmax(layer: Layer) -> Callable[[BoundNode], list[Layer]]:
    def lower(op: BoundNode) -> list[Layer]:
        # before opset 13 the softmax runs over this axis and all behind it together
        axis = op.axis(op.node.integer("axis", 1 if op.opset < 13 else -1))
        behind, open_behind = op.shape[axis:], op.other[axis:]
        if axis == 0 or (op.opset < 13 and (prod(behind) != 1 or behind != open_behind)):
            over = f"axes {axis} to {op.rank - 1} together" if op.opset < 13 else f"axis {axis}"
            raise op.error(f"runs over {over} of N x {op.shape}; there is a layer for one axis, not the batch's")
        if axis == 1:
            return [layer]
        # ours runs over the channels: there and back
        axes = list(range(op.rank - 1))
        axes[0], axes[axis - 1] = axes[axis - 1], axes[0]
        swap = nn.Permute(tuple(axes))
        return [swap, layer, swap]

    return lower


# scale and shift


def _is_per_channel(op: BoundNode, array: np.ndarray) -> bool:
    """Return whether a constant is one number, or one for each channel, as it is broadcast to the input."""
    # broadcasting aligns the last axes: ones in front
    full = (1,) * (op.rank - array.ndim) + array.shape
    # no axis but that of the channels may be longer than 1, and what is open is none
    return (
        op.shape[:1] == op.other[:1]
        and len(full) == op.rank
        and prod(full) == full[1]
        and full[1] in (1, op.shape[0])
    )


def _per_channel(op: BoundNode, array: np.ndarray) -> np.ndarray:
    """Return a constant, as it is broadcast to the input, as one number (1,) or one for each channel (C,)."""
    if not _is_per_channel(op, array):
        raise op.error(
            f"a constant of shape {array.shape} on an input N x {op.shape}; expected one number for each channel"
        )
    return array.reshape(-1)


def _channel_operand(op: BoundNode) -> np.ndarray:
    """Return the constant of Add, Sub, Mul or Div, as (C,)."""
    array = op.weight(1 - op.data)
    if op.opset < 7 and op.node.integer("broadcast", 0):
        # the old broadcasting aligns an axis that the node names: ones behind
        axis = op.axis(op.node.integer("axis", op.rank - array.ndim))
        array = array.reshape(*array.shape, *[1] * max(op.rank - array.ndim - axis, 0))
    return np.broadcast_to(_per_channel(op, array), op.shape[:1])


def scale_and_shift(op: BoundNode) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return Add, Sub, Mul or Div with a constant as (scale, shift), y = scale x + shift; None for 1 and 0."""
    return _as_scale_and_shift(op, _channel_operand(op))


def _as_scale_and_shift(op: BoundNode, constant: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    op_type = op.node.op_type
    if op_type == "Add":
        return None, constant
    if op_type == "Sub":
        # x - c, or c - x
        return (None, -constant) if op.data == 0 else (-np.ones_like(constant), constant)
    if op_type == "Mul":
        return constant, None
    if op.data == 1:
        raise op.error("divides by the input")
    with np.errstate(all="ignore"):
        return (1 / constant).astype(constant.dtype), None


def add_features(op: BoundNode) -> np.ndarray | None:
    """Return the constant of an Add if it is one number for each feature, along the last axis; else None."""
    array, features = op.weight(1 - op.data), op.shape[-1]
    return (
        np.broadcast_to(array.reshape(-1), (features,))
        if array.shape[-1:] == (array.size,) and array.size in (1, features)
        else None
    )


def _affine(op: BoundNode) -> list[Layer]:
    # of maps the channels are axis 1, and a normalisation merges with the convolution before it
    if op.opset >= 7 and not (len(op.shape) == 3 and _is_per_channel(op, op.weight(1 - op.data))):
        return norms.scale(op, *_as_scale_and_shift(op, op.weight(1 - op.data)))
    scale, shift = scale_and_shift(op)
    constant = scale if shift is None else shift
    assert constant is not None
    # scale x + shift is a normalisation with mean 0, variance 1 and eps 0
    ones, zeros = np.ones(op.shape[0], constant.dtype), np.zeros(op.shape[0], constant.dtype)
    weight, bias = (ones if scale is None else np.array(scale)), (zeros if shift is None else np.array(shift))
    return _batch_norm_layers(
        op, {"weight": weight, "bias": bias, "running_mean": zeros, "running_var": ones}, 0.0
    )


def _batch_norm_layers(op: BoundNode, parameters: dict[str, Any], eps: float) -> list[Layer]:
    return wrap_reshape(op, op.maps(1), [nn.BatchNorm2d(op.shape[0], eps=eps, **parameters)])


def _batch_norm(op: BoundNode) -> list[Layer]:
    node = op.node
    trained = any(node.outputs[1:]) or node.integer("training_mode", 0)
    if trained or (op.opset < 7 and not node.integer("is_test", 0)) or not node.flag("spatial", True):
        raise op.error("is in training mode, or not spatial; export the model in evaluation mode")
    names = ("weight", "bias", "running_mean", "running_var")
    return _batch_norm_layers(op, {n: op.weight(i) for i, n in enumerate(names, 1)}, node.real("epsilon", 1e-5))


def _local_response_norm(op: BoundNode) -> list[Layer]:
    size = op.node.integer("size", 0)
    if size % 2 == 0:
        raise op.error(f"a window of {size} channels; an even window lies differently here, expected an odd one")
    constants: dict[str, Any] = {ours: op.node.real(theirs, d) for ours, theirs, d in _LRN}
    return wrap_reshape(op, op.maps(), [nn.LocalResponseNorm(size, **constants)])


_LRN = (("alpha", "alpha", 1e-4), ("beta", "beta", 0.75), ("k", "bias", 1.0))


# full layers


def _count_features(op: BoundNode) -> int:
    if op.data != 0 or len(op.shape) != 1:
        raise op.error(f"expected rows (N, F) times constant weights, got input {op.data} as N x {op.shape}")
    return op.sized()[0]


def _gemm(op: BoundNode) -> list[Layer]:
    features, node = _count_features(op), op.node
    if node.flag("transA"):
        raise op.error("transposes its input (transA), which mixes the images of a batch")
    weight = op.weight(1) if node.flag("transB") else _transposed_weight(op, 1)
    alpha, beta = np.float32(node.real("alpha", 1.0)), np.float32(node.real("beta", 1.0))
    if alpha != 1:
        op.budget.take(node, weight.size, weight.itemsize)
        weight = alpha * weight
    bias = None if op.constant(2) is None else op.weight(2)
    if bias is not None:
        bias = beta * _per_feature(op, bias, len(weight))
    return [_linear(op, features, weight, bias)]


def _per_feature(op: BoundNode, bias: np.ndarray, count: int) -> np.ndarray:
    if bias.ndim and (bias.size not in (1, count) or bias.size != bias.shape[-1]):
        raise op.error(f"adds a constant of shape {bias.shape}, not a row of {count}")
    return np.broadcast_to(bias.reshape(-1), (count,))


def _matrix(op: BoundNode, index: int) -> np.ndarray:
    array = op.weight(index)
    # leading ones only broadcast
    return array.reshape(array.shape[-2:]) if array.ndim > 2 and prod(array.shape[:-2]) == 1 else array


def _transposed_weight(op: BoundNode, index: int) -> np.ndarray:
    # for its checks alone: there must be such an input, and it must be constant
    op.weight(index)
    array = op.array(index)
    assert array is not None
    return op.parameter(array.T)


def _linear(op: BoundNode, features: int, weight: np.ndarray, bias: np.ndarray | None) -> nn.Linear:
    if weight.ndim != 2 or weight.shape[1] != features:
        raise op.error(f"weights of shape {weight.shape} (out, in) on an input of {features} features")
    row = False if bias is None else np.ascontiguousarray(bias, weight.dtype)
    return nn.Linear(features, len(weight), row, weight=weight)


def _matmul(op: BoundNode) -> list[Layer]:
    """X W over the last axis; A x over the last but one, between two permutations."""
    if op.data == 0 and op.shape:
        return [_linear(op, op.sized()[-1], _transposed_weight(op, 1), None)]
    if len(op.shape) < 2:
        raise op.error(f"multiplies a constant by N x {op.shape}, which mixes the images of a batch")
    axes = list(range(len(op.shape)))
    swap = nn.Permute((*axes[:-2], axes[-1], axes[-2]))
    return [swap, _linear(op, op.sized()[-2], _matrix(op, 0), None), swap]


LAYERS: dict[str, Callable[[BoundNode], list[Layer]]] = {
    **ACTIVATIONS,
    **norms.NORMS,
    "Add": _affine,
    "AveragePool": windows.average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Concat": concat_constants,
    "Conv": windows.conv,
    "ConvTranspose": windows.conv_transpose,
    "DepthToSpace": resampling.depth_to_space,
    "Div": _affine,
    "Dropout": _dropout,
    "Expand": resampling.expand,
    "Flatten": reshape.flatten,
    "Gather": resampling.gather,
    "Gemm": _gemm,
    "GlobalAveragePool": windows.global_average_pool,
    "GlobalLpPool": windows.global_lp_pool,
    "GlobalMaxPool": windows.global_max_pool,
    "Identity": _identity,
    "LRN": _local_response_norm,
    "LpPool": windows.lp_pool,
    "LogSoftmax": _make_softmax(nn.LogSoftmax()),
    "MatMul": _matmul,
    "MaxPool": windows.max_pool,
    "Mul": _affine,
    "Neg": lambda op: [nn.Scale((), False, weight=np.array(-1, np.float32))],
    "PRelu": _prelu,
    "Pad": reshape.pad,
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceMax", "ReduceMean"), windows.reduce_axes),
    **dict.fromkeys(("ReduceSum", "ReduceSumSquare", "ReduceMin", "ReduceLogSumExp"), windows.reduce_axes),
    "Reshape": reshape.reshape,
    "Resize": resampling.resize,
    "Slice": resampling.slice_axes,
    "SpaceToDepth": resampling.space_to_depth,
    "Softmax": _make_softmax(nn.Softmax()),
    "Squeeze": reshape.squeeze,
    "Sub": _affine,
    "Sum": _identity,
    "Tile": resampling.tile,
    "Transpose": reshape.transpose,
    "Unsqueeze": reshape.unsqueeze,
    "Upsample": resampling.resize,
    "Where": resampling.where,
}

# attributes that change no answer of ours, whatever they say
HARMLESS: dict[str, tuple[str, ...]] = {
    "BatchNormalization": ("momentum",),  # of running statistics, in training
    "Cast": ("saturate", "round_mode"),  # of eight bits
    "ConvTranspose": ("pads",),  # beside an output_shape, which decides
    "Dropout": ("seed",),
    "Gemm": ("broadcast",),  # of opset 6; the bias is always broadcast
    "If": ("then_branch", "else_branch"),  # the one that is not taken
    "MaxPool": ("storage_order",),  # of the indices, a second output
    # of a mode that is refused, and of modes that are not the node's
    "Resize": ("extrapolation_value", "cubic_coeff_a", "nearest_mode", "keep_aspect_ratio_policy"),
}
