"""Layers of ours from operations of Keras 3 that stand among the layers of a model, as ``keras.ops.relu(x)``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicnn import layers as nn
from minicnn.formats.containers.files import escape
from minicnn.formats.keras.context import BuildContext, find_axis, softmax_over
from minicnn.formats.keras.model import Spec
from minicnn.layers import Layer

__all__ = ["OPERATIONS"]

_FUNCTIONS: dict[str, Layer] = {
    "Absolute": nn.Abs(),
    "Exp": nn.Exp(),
    "HardSigmoid": nn.Hardsigmoid(),
    "HardSilu": nn.Hardswish(),
    "Log": nn.Log(),
    "LogSigmoid": nn.LogSigmoid(),
    "Mish": nn.Mish(),
    "Relu": nn.ReLU(),
    "Relu6": nn.ReLU6(),
    "Selu": nn.SELU(),
    "Sigmoid": nn.Sigmoid(),
    "Silu": nn.SiLU(),
    "Softplus": nn.Softplus(),
    "Softsign": nn.Softsign(),
    "Sqrt": nn.Pow(0.5),
    "Square": nn.Pow(2.0),
    "Tanh": nn.Tanh(),
}


def _reduce(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return the layers of a mean, sum or maximum over axes, in the file's order."""
    given, keep = spec.get("axis"), bool(spec.get("keepdims", False))
    rank = len(context.shape)
    listed = given if isinstance(given, list | tuple) else [given]
    dims = tuple(sorted(find_axis(spec, axis, rank, context.channels_first) for axis in listed))
    if rank == 3 and not keep and dims not in ((1,), (2, 3)):
        raise spec.error(
            f"over the axes {escape(given)} of maps; expected those of their pixels, or the channels'"
        )
    if spec.kind == "Mean" and rank == 3 and dims == (2, 3):
        return [nn.GlobalAvgPool2d(), *([] if keep else [nn.Flatten()])]
    return [{"Mean": nn.Mean, "Sum": nn.Sum, "Max": nn.Amax}[spec.kind](dims, keep)]


def _clip(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    return [nn.Hardtanh(spec.number("x_min", -np.inf), spec.number("x_max", np.inf))]


def _log_softmax(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    rank = len(context.shape)
    return softmax_over(nn.LogSoftmax(), find_axis(spec, spec.get("axis", -1), rank, context.channels_first), rank)


def _function(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    return [_FUNCTIONS[spec.kind]]


OPERATIONS: dict[str, Callable[[Spec, list[np.ndarray], BuildContext], list[Layer]]] = {
    **dict.fromkeys(_FUNCTIONS, _function),
    **dict.fromkeys(("Max", "Mean", "Sum"), _reduce),
    "Clip": _clip,
    "Elu": lambda spec, arrays, context: [nn.ELU(spec.number("alpha", 1.0))],
    "Gelu": lambda spec, arrays, context: [nn.GELU("tanh" if spec.get("approximate", True) else "none")],
    "LeakyRelu": lambda spec, arrays, context: [nn.LeakyReLU(spec.number("negative_slope", 0.2))],
    "LogSoftmax": _log_softmax,
}
