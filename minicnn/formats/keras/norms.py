"""Normalisations of Keras by the statistics of their own input: layer, group and unit normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.formats.containers.files import escape
from minicnn.formats.keras.context import BuildContext
from minicnn.formats.keras.model import Spec
from minicnn.layers import GroupNorm, Layer, LayerNorm, LayerNorm2d, Permute, RMSNorm

__all__ = ["NORMS"]

Shape = tuple[int | None, ...]


def _layer_norm(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return LayerNormalization over the channels, or over all of an image."""
    shape = context.shape
    axes, eps = _axes(spec, context), float(spec.number("epsilon", 1e-3))
    spec.check_value("rms_scaling", False)
    given = _parameters(spec, arrays)
    if axes == [0]:
        channels = _channels(spec, shape)
        affine = {"weight": np.ones(channels, np.float32), "bias": np.zeros(channels, np.float32)} | given
        _check_shapes(spec, affine, (channels,))
        if len(shape) == 3:
            return [LayerNorm2d(channels, eps, weight=affine["weight"], bias=affine["bias"])]
        return [LayerNorm(channels, eps, bias=affine["bias"], weight=affine["weight"])]
    sizes = tuple(n for n in shape if n is not None)
    if axes != list(range(len(shape))) or len(sizes) < len(shape):
        raise spec.error("axis: expected the channels, or all axes of an input whose size is fixed")
    if len(shape) == 3 and not context.channels_first:
        # (H, W, C) to (C, H, W)
        given = {name: a.transpose(2, 0, 1) for name, a in given.items() if a.ndim == 3}
    affine = {"weight": np.ones(sizes, np.float32), "bias": np.zeros(sizes, np.float32)} | given
    _check_shapes(spec, affine, sizes)
    weight, bias = (np.ascontiguousarray(affine[name]) for name in ("weight", "bias"))
    return [LayerNorm(sizes, eps, bias=bias, weight=weight)]


def _group_norm(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    channels, groups = _channels(spec, context.shape), spec.get("groups", 32)
    if _axes(spec, context) != [0]:
        raise spec.error("axis: expected that of the channels")
    groups = channels if groups == -1 else groups
    if not isinstance(groups, int) or groups < 1 or channels % groups:
        raise spec.error(f"groups: {escape(groups)} groups of {channels} channels")
    affine = {"weight": np.ones(channels, np.float32), "bias": np.zeros(channels, np.float32)}
    affine |= _parameters(spec, arrays)
    _check_shapes(spec, affine, (channels,))
    eps = float(spec.number("epsilon", 1e-3))
    return [GroupNorm(groups, channels, eps, weight=affine["weight"], bias=affine["bias"])]


def _unit_norm(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return x / |x| along the channels as a root mean square normalisation, whose weight divides by sqrt(C)."""
    channels = _channels(spec, context.shape)
    if _axes(spec, context) != [0] or spec.get("order", 2) != 2:
        raise spec.error("expected the 2-norm along the axis of the channels")
    # eps only keeps what is 0 everywhere at 0
    norm = RMSNorm(channels, eps=1e-30, weight=np.full(channels, channels**-0.5, np.float32))
    return [Permute((1, 2, 0)), norm, Permute((2, 0, 1))] if len(context.shape) == 3 else [norm]


def _channels(spec: Spec, shape: Shape) -> int:
    if len(shape) not in (1, 3) or shape[0] is None:
        raise spec.error(f"expected maps or features, found an input of {escape(shape)}")
    return shape[0]


def _axes(spec: Spec, context: BuildContext) -> list[int]:
    """Return the setting ``axis`` as axes of an image here, where the channels are the first."""
    axis, rank = spec.get("axis", -1), len(context.shape)
    axes = axis if isinstance(axis, list) else [axis]
    if not all(isinstance(a, int) and -rank <= a <= rank and a for a in axes):
        raise spec.error(f"axis: expected axes of an image, found {escape(axis)}")
    # in the file, the batch is axis 0
    theirs = [a - 1 if a > 0 else a + rank for a in axes]
    last = rank == 3 and not context.channels_first
    return sorted((a + 1) % rank if last else a for a in theirs)


def _parameters(spec: Spec, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return gamma and beta, which are not in the file where scale and center are false."""
    names = [name for name, key in (("weight", "scale"), ("bias", "center")) if spec.get(key, True)]
    if len(arrays) != len(names) or any(a.dtype.kind != "f" for a in arrays):
        raise spec.error(f"expected {len(names)} weights, found {len(arrays)}")
    kept: dict[str, Any] = dict(zip(names, arrays, strict=True))
    return {name: a if a.dtype == np.float64 else a.astype(np.float32, copy=False) for name, a in kept.items()}


def _check_shapes(spec: Spec, parameters: dict[str, np.ndarray], shape: tuple[int, ...]) -> None:
    if any(a.shape != shape for a in parameters.values()):
        raise spec.error(f"weights of {[a.shape for a in parameters.values()]} for values of {shape}")


NORMS: dict[str, Callable[[Spec, list[np.ndarray], BuildContext], list[Layer]]] = {
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "UnitNormalization": _unit_norm,
}
