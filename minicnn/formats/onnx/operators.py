"""Operators of an ONNX graph as layers: which one makes which, and those that compute point by point."""

from __future__ import annotations

from math import inf, prod

import numpy as np

from minicnn.formats.onnx import reshape, windows
from minicnn.formats.onnx.node import Call, around
from minicnn.layers import (
    BatchNorm2d,
    Dropout,
    Layer,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    PReLU,
    ReLU,
    ReLU6,
    Softmax,
    Tanh,
)
from minicnn.layers.base import Shape

__all__ = ["LAYERS"]


def _identity(call: Call) -> list[Layer]:
    return []


def _cast(call: Call) -> list[Layer]:
    if call.node.integer("to", 1) not in (1, 10, 11, 16):
        raise call.error("a conversion to whole numbers has no layer")
    return []


def _dropout(call: Call) -> list[Layer]:
    training = call.array(2)
    if (training is not None and training.any()) or (call.opset < 7 and not call.node.integer("is_test", 0)):
        raise call.error("is in training mode; export the model in evaluation mode")
    p = call.number(1, call.node.real("ratio", 0.5))
    return [Dropout(p)] if 0 <= p < 1 else []


# rectifiers and what ends a network


def _clip(call: Call) -> list[Layer]:
    lower = call.number(1, call.node.real("min", -inf))
    upper = call.number(2, call.node.real("max", inf))
    if lower == 0 and upper == 6:
        return [ReLU6()]
    if lower == 0 and upper >= float(np.finfo(np.float32).max):
        return [ReLU()]
    raise call.error(f"clips to [{lower}, {upper}]; layers are there for [0, inf] (ReLU) and [0, 6] (ReLU6)")


def _prelu(call: Call) -> list[Layer]:
    slope = call.weight(1)
    per_channel = slope.reshape(-1, *[1] * (len(call.shape) - 1)) if call.opset < 7 and slope.ndim == 1 else slope
    slope = _per_channel(call, per_channel)
    return [PReLU(len(slope), weight=slope)]


def _softmax(layer: Layer):
    def lowered(call: Call) -> list[Layer]:
        axis = call.axis(call.node.integer("axis", 1 if call.opset < 13 else -1))
        over_all = call.opset < 13 and prod(call.shape[1:]) != 1
        if axis != 1 or over_all or (call.open_size and call.opset < 13):
            axes = f"axes {axis} to {call.rank - 1} together" if call.opset < 13 else f"axis {axis}"
            raise call.error(f"runs over {axes} of N x {call.shape}; there is a layer for the channels, axis 1")
        return [layer]

    return lowered


# scale and shift


def _per_channel(call: Call, array: np.ndarray) -> np.ndarray:
    """Return a constant, as it is broadcast to the input, as one number (1,) or one for each channel (C,)."""
    full = (1,) * (call.rank - array.ndim) + array.shape
    if len(full) != call.rank or prod(full) != full[1] or full[1] not in (1, call.shape[0]):
        raise call.error(
            f"a constant of shape {array.shape} on an input N x {call.shape}; expected one number for each channel"
        )
    return array.reshape(-1)


def _operand(call: Call) -> np.ndarray:
    """Return the constant of Add, Sub, Mul or Div, as (C,)."""
    array = call.weight(1 - call.data)
    if call.opset < 7 and call.node.integer("broadcast", 0):
        axis = call.axis(call.node.integer("axis", call.rank - array.ndim))
        array = array.reshape(*array.shape, *[1] * max(call.rank - array.ndim - axis, 0))
    return np.broadcast_to(_per_channel(call, array), call.shape[:1])


def scale_and_shift(call: Call) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return Add, Sub, Mul or Div with a constant as (scale, shift), y = scale x + shift; None for 1 and 0."""
    constant, op = _operand(call), call.node.op
    if op == "Add":
        return None, constant
    if op == "Sub":
        return (None, -constant) if call.data == 0 else (-np.ones_like(constant), constant)
    if op == "Mul":
        return constant, None
    if call.data == 1:
        raise call.error("divides by the input")
    with np.errstate(all="ignore"):
        return (1 / constant).astype(constant.dtype), None


def _affine(call: Call) -> list[Layer]:
    scale, shift = scale_and_shift(call)
    dtype = (scale if shift is None else shift).dtype
    ones, zeros = np.ones(call.shape[0], dtype), np.zeros(call.shape[0], dtype)
    scale, shift = (ones if scale is None else np.array(scale)), (zeros if shift is None else np.array(shift))
    return _normalised(call, {"weight": scale, "bias": shift, "running_mean": zeros, "running_var": ones}, 0.0)


def _normalised(call: Call, parameters: dict[str, np.ndarray], eps: float) -> list[Layer]:
    if not call.shape:
        raise call.error("an input of shape (N,): no channels")
    maps = call.shape if len(call.shape) == 3 else (call.shape[0], prod(call.shape[1:]), 1)
    return around(call, maps, [BatchNorm2d(call.shape[0], eps=eps, **parameters)])


def _batch_norm(call: Call) -> list[Layer]:
    node = call.node
    trained = any(node.outputs[1:]) or node.integer("training_mode", 0)
    if trained or (call.opset < 7 and not node.integer("is_test", 0)) or not node.integer("spatial", 1):
        raise call.error("is in training mode, or not spatial; export the model in evaluation mode")
    names = ("weight", "bias", "running_mean", "running_var")
    return _normalised(call, {n: call.weight(i) for i, n in enumerate(names, 1)}, node.real("epsilon", 1e-5))


def _local_response_norm(call: Call) -> list[Layer]:
    size = call.node.integer("size", 0)
    if size % 2 == 0:
        raise call.error(f"a window of {size} channels; an even window lies differently here, expected an odd one")
    constants = {ours: call.node.real(theirs, d) for ours, theirs, d in _LRN}
    return around(call, _three(call), [LocalResponseNorm(size, **constants)])


_LRN = (("alpha", "alpha", 1e-4), ("beta", "beta", 0.75), ("k", "bias", 1.0))


def _three(call: Call) -> Shape:
    if len(call.shape) < 2:
        raise call.error(f"expected N x C x H x W, got N x {call.shape}")
    return call.shape if len(call.shape) == 3 else (call.shape[0], prod(call.shape[1:]), 1)


# full layers


def _features(call: Call) -> int:
    if call.data != 0 or len(call.shape) != 1:
        raise call.error(f"expected rows (N, F) times constant weights, got input {call.data} as N x {call.shape}")
    return call.sized()[0]


def _gemm(call: Call) -> list[Layer]:
    features, node = _features(call), call.node
    if node.flag("transA"):
        raise call.error("transposes its input (transA), which mixes the images of a batch")
    weight = call.weight(1) if node.flag("transB") else _transposed(call, 1)
    alpha, beta = np.float32(node.real("alpha", 1.0)), np.float32(node.real("beta", 1.0))
    if alpha != 1:
        call.budget.take(node, weight.size, weight.itemsize)
        weight = alpha * weight
    bias = None if call.constant(2) is None else call.weight(2)
    if bias is not None:
        bias = beta * _per_feature(call, bias, len(weight))
    return [_linear(call, features, weight, bias)]


def _per_feature(call: Call, bias: np.ndarray, count: int) -> np.ndarray:
    if bias.size not in (1, count) or bias.size != bias.shape[-1:][0] if bias.ndim else False:
        raise call.error(f"adds a constant of shape {bias.shape}, not a row of {count}")
    return np.broadcast_to(bias.reshape(-1), (count,))


def _transposed(call: Call, place: int) -> np.ndarray:
    call.weight(place)
    return call.parameter(call.array(place).T)


def _linear(call: Call, features: int, weight: np.ndarray, bias: np.ndarray | None) -> Linear:
    if weight.ndim != 2 or weight.shape[1] != features:
        raise call.error(f"weights of shape {weight.shape} (out, in) on an input of {features} features")
    bias = False if bias is None else np.ascontiguousarray(bias, weight.dtype)
    return Linear(features, len(weight), bias, weight=weight)


def _matmul(call: Call) -> list[Layer]:
    return [_linear(call, _features(call), _transposed(call, 1), None)]


LAYERS = {
    "Add": _affine,
    "AveragePool": windows.average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _identity,
    "Conv": windows.conv,
    "ConvTranspose": windows.conv_transpose,
    "Div": _affine,
    "Dropout": _dropout,
    "Flatten": reshape.flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": windows.global_average_pool,
    "GlobalMaxPool": windows.global_max_pool,
    "Identity": _identity,
    "LRN": _local_response_norm,
    "LeakyRelu": lambda call: [LeakyReLU(call.node.real("alpha", 0.01))],
    "LogSoftmax": _softmax(LogSoftmax()),
    "MatMul": _matmul,
    "MaxPool": windows.max_pool,
    "Mul": _affine,
    "PRelu": _prelu,
    "Pad": reshape.pad,
    "ReduceMean": windows.mean,
    "Relu": lambda call: [ReLU()],
    "Reshape": reshape.reshape,
    "Softmax": _softmax(Softmax()),
    "Squeeze": reshape.squeeze,
    "Sub": _affine,
    "Sum": _identity,
    "Tanh": lambda call: [Tanh()],
    "Transpose": reshape.transpose,
    "Unsqueeze": reshape.unsqueeze,
}
