"""Keras layers at the front of a model: rescaling, normalisation, and a crop that is random in training."""

from __future__ import annotations

import numpy as np

from minicnn.formats.containers.files import escape
from minicnn.formats.keras.context import BuildContext, check_channels_axis, count_channels, map_size
from minicnn.formats.keras.model import Spec
from minicnn.layers import Conv2d, Layer, Scale, ZeroPad2d

__all__ = ["center_crop", "normalization", "random_crop", "rescaling"]

EPSILON = 1e-7  # the smallest deviation that Keras divides by


def rescaling(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return the layers of a Rescaling: y = scale x + offset, numbers or one a channel."""
    return [_affine(spec, context, np.asarray(spec.get("scale", 1.0)), np.asarray(spec.get("offset", 0.0)))]


def normalization(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return the layers of a Normalization: y = (x - mean) / max(sqrt(variance), 1e-7), or its inverse."""
    # none: one mean and one variance for all values
    if spec.get("axis", -1) not in (None, []):
        check_channels_axis(spec, context)
    # what was given when the model was made is in its description, what was adapted to data in the weights
    stated = [spec.get("mean", None), spec.get("variance", None)]
    mean, variance = (
        np.asarray(v, np.float64).ravel() for v in (stated if None not in stated else _first_two(arrays))
    )
    if not mean.size or mean.size != variance.size or (variance < 0).any():
        raise spec.error("expected a mean and a variance; was it adapted to data before the model was saved?")
    deviation = np.maximum(np.sqrt(variance), EPSILON)
    if spec.get("invert", False):
        return [_affine(spec, context, deviation, mean)]
    return [_affine(spec, context, 1 / deviation, -mean / deviation)]


def center_crop(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return the layers that cut the middle out; what is over on both sides begins one pixel earlier if odd."""
    (height, width), (h, w) = map_size(spec, context), (spec.pair("height")[0], spec.pair("width")[0])
    if h > height or w > width:
        raise spec.error(
            f"cuts {(h, w)} out of {(height, width)}, which is resized first; put a Resizing before it"
        )
    top, left = (height - h) // 2, (width - w) // 2
    sides = -left, -(width - w - left), -top, -(height - h - top)
    return [ZeroPad2d(sides)] if any(sides) else []


def random_crop(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Return no layers for a crop of the input's own size; others cut the middle out, which is refused."""
    size = spec.get("height", None), spec.get("width", None)
    spec.get("data_format", None)
    if size != context.shape[1:]:
        raise spec.error(
            f"cuts {escape(size)} out of {escape(context.shape[1:])}; give the model inputs of that size"
        )
    return []


def _first_two(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Return mean and variance, behind which a count may stand; empty arrays where there are none."""
    return arrays[:2] if len(arrays) >= 2 else [np.zeros(0), np.zeros(0)]


def _affine(spec: Spec, context: BuildContext, scale: np.ndarray, offset: np.ndarray) -> Layer:
    """Scale and offset for each channel, a 1 x 1 convolution in as many groups as channels; or for all."""
    if len(context.shape) < 3 and all(a.size == 1 and a.dtype.kind in "if" for a in (scale, offset)):
        weight, bias = (a.reshape(1).astype(spec.dtype) for a in (scale, offset))
        return Scale((1,), weight=weight, bias=bias)
    channels = count_channels(spec, context)
    if any(a.dtype.kind not in "if" or a.size not in (1, channels) for a in (scale, offset)):
        raise spec.error("expected a scale and an offset, numbers or one a channel")
    weight, bias = (np.broadcast_to(a.ravel(), channels).astype(spec.dtype) for a in (scale, offset))
    return Conv2d(channels, channels, 1, groups=channels, bias=bias, weight=weight.reshape(-1, 1, 1, 1))
