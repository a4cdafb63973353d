"""Normalisations of Keras: by running statistics, and by the statistics of their own input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import layers as nn
from minicnn.formats.containers.files import escape
from minicnn.formats.keras.context import (
    BuildContext,
    check_channels_axis,
    check_weights,
    count_channels,
    find_axis,
    softmax_over,
)
from minicnn.formats.keras.model import Spec
from minicnn.layers import Layer

__all__ = ["NORMS"]


def _parameters(
    spec: Spec, arrays: list[np.ndarray], shape: tuple[int, ...], others: tuple[str, ...] = (), first: bool = True
) -> dict[str, Any]:
    """Return weight and bias of ``shape``, which the file may leave out, and ``others``, which it has behind them.

    Without ``first`` they are H x W x C in the file.
    """
    # gamma and beta are not in the file where scale and center are false
    names = [name for name, key in (("weight", "scale"), ("bias", "center")) if spec.get(key, True)]
    given = check_weights(spec, arrays, *[len(shape)] * (len(names) + len(others)))
    given = given if first else [np.ascontiguousarray(a.transpose(2, 0, 1)) for a in given]
    dtype = given[-1].dtype if given else np.float32
    parameters = {"weight": np.ones(shape, dtype), "bias": np.zeros(shape, dtype)}
    parameters |= dict(zip((*names, *others), given, strict=True))
    if any(a.shape != shape for a in parameters.values()):
        raise spec.error(f"weights of {[a.shape for a in given]} do not fit values of {shape}")
    return parameters


def _count_values(spec: Spec, context: BuildContext) -> int:
    """Return the channels of maps, or the length of a vector."""
    (features, *_) = context.shape
    return features if len(context.shape) == 1 and features is not None else count_channels(spec, context)


def _epsilon(spec: Spec) -> float:
    return float(spec.number("epsilon", 1e-3))


def _batch_norm(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Normalise channels, or features as maps of one pixel."""
    check_channels_axis(spec, context)
    channels = _count_values(spec, context)
    values = _parameters(spec, arrays, (channels,), ("running_mean", "running_var"))
    spec.check_value("mode", 0)  # of Keras 1, whose other modes have the batch's own statistics
    norm = nn.BatchNorm2d(channels, eps=_epsilon(spec), **values)
    return [norm] if len(context.shape) == 3 else [nn.Reshape((channels, 1, 1)), norm, nn.Flatten()]


def _layer_norm(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return LayerNormalization over the channels, or over all of an image."""
    given, rank, eps = spec.get("axis", -1), len(context.shape), _epsilon(spec)
    given = given if isinstance(given, list) else [given]
    axes = sorted(find_axis(spec, axis, rank, context.channels_first) for axis in given)
    spec.check_value("rms_scaling", False)
    if axes == [1]:
        channels = _count_values(spec, context)
        kind: Any = nn.LayerNorm2d if rank == 3 else nn.LayerNorm
        return [kind(channels, eps, **_parameters(spec, arrays, (channels,)))]
    shape = tuple(n for n in context.shape if n is not None)
    if axes != list(range(1, rank + 1)) or len(shape) < rank:
        raise spec.error("axis: expected the channels, or all axes of an input whose size is fixed")
    first = context.channels_first or rank != 3
    return [nn.LayerNorm(shape, eps, **_parameters(spec, arrays, shape, first=first))]


def _group_norm(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    check_channels_axis(spec, context)
    channels, groups = _count_values(spec, context), spec.get("groups", 32)
    groups = channels if groups == -1 else groups
    if not isinstance(groups, int) or groups < 1 or channels % groups:
        raise spec.error(f"groups: {escape(groups)} groups of {channels} channels")
    return [nn.GroupNorm(groups, channels, _epsilon(spec), **_parameters(spec, arrays, (channels,)))]


def _unit_norm(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return x / |x| along the channels as a root mean square normalisation, whose weight divides by sqrt(C)."""
    check_channels_axis(spec, context)
    channels = _count_values(spec, context)
    if spec.get("order", 2) != 2:
        raise spec.error("expected the 2-norm")
    # eps only keeps what is 0 everywhere at 0
    norm = nn.RMSNorm(channels, eps=1e-30, weight=np.full(channels, channels**-0.5, np.float32))
    return _over_channels(norm, context)


def _rms_norm(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return RMSNormalization over the channels: weight x / sqrt(mean of x^2 + eps)."""
    check_channels_axis(spec, context)
    channels = _count_values(spec, context)
    (weight,) = check_weights(spec, arrays, 1)
    norm = nn.RMSNorm(channels, eps=float(spec.number("epsilon", 1e-6)), weight=weight)
    return _over_channels(norm, context)


def _over_channels(norm: Layer, context: BuildContext) -> list[Layer]:
    """Return a normalisation of the last axis as one of the channels."""
    return [nn.Permute((1, 2, 0)), norm, nn.Permute((2, 0, 1))] if len(context.shape) == 3 else [norm]


def _softmax(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    axis, rank = spec.get("axis", -1), len(context.shape)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    return softmax_over(nn.Softmax(), find_axis(spec, axis, rank, context.channels_first), rank)


NORMS: dict[str, Callable[[Spec, list[np.ndarray], BuildContext], list[Layer]]] = {
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "Softmax": _softmax,
    "UnitNormalization": _unit_norm,
}
