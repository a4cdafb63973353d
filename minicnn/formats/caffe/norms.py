"""Caffe's normalisations and products with a number for each channel, as ours; BatchNorm's third blob divides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from minicnn import layers as nn
from minicnn.formats.caffe.bound import BoundLayer, Branch
from minicnn.layers import Layer
from minicnn.layers.base import Shape

__all__ = ["NORMS", "straight_line"]

MAX_EPS = 1e-6


def _batch_norm(bound: BoundLayer) -> list[Layer]:
    fields, channels = bound.layer.param("batch_norm_param"), bound.shape[0]
    if not fields.boolean("use_global_stats", True):
        raise bound.error("use_global_stats: false; there is a layer for running statistics")
    mean, variance, factor = bound.arrays((channels,), (channels,), (1,))
    with np.errstate(all="ignore"):
        # the first two blobs are sums, the third is their weight, 0 before any training
        scale = mean.dtype.type(0 if factor[0] == 0 else 1 / factor[0])
        mean, variance = mean * scale, variance * scale
    if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
        raise bound.error(f"its statistics, divided by {factor[0]}, are not finite; the file is damaged")
    eps = fields.real("eps", 1e-5)
    return _wrap_maps(
        bound, nn.BatchNorm2d(channels, eps=eps, affine=False, running_mean=mean, running_var=variance)
    )


def _segmentation_norm(bound: BoundLayer) -> list[Layer]:
    """Return the layer BN of forks: PSPNet's has statistics, SegNet's is a scale and a shift once it is merged."""
    fields, one = bound.layer.param("bn_param"), (bound.shape[0], *(1 for _ in bound.shape[1:]))
    merged, eps = fields.choice("bn_mode", ("LEARN", "INFERENCE")) == "INFERENCE", fields.real("eps", 1e-5)
    if not merged and len(bound.blobs) == 2:
        raise bound.error("bn_mode LEARN takes the statistics of each batch; merge them, as SegNet's script does")
    weight, bias, *statistics = (a.ravel() for a in bound.arrays(*[one] * (2 if merged else 4)))
    return _norm(bound, weight, bias, statistics, 0.0 if merged else eps)


def _norm(
    bound: BoundLayer,
    weight: np.ndarray,
    bias: np.ndarray,
    statistics: Sequence[np.ndarray] = (),
    eps: float = 0.0,
) -> list[Layer]:
    """Return weight (x - mean) / sqrt(variance + eps) + bias; without mean and variance weight x + bias."""
    mean, variance = statistics or (np.zeros_like(weight), np.ones_like(weight))
    parameters: dict[str, Any] = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
    return _wrap_maps(bound, nn.BatchNorm2d(len(weight), eps=eps, **parameters))


def _wrap_maps(bound: BoundLayer, layer: Layer) -> list[Layer]:
    """Return a layer of maps, for features as maps of one pixel."""
    if len(bound.shape) == 1:
        return [nn.Reshape((*bound.shape, 1, 1)), layer, nn.Flatten()]
    bound.maps()
    return [layer]


def straight_line(bound: BoundLayer, scale: float, shift: float, keep: bool = False) -> list[Layer]:
    """Return y = scale x + shift; nothing, unless ``keep``, of x itself."""
    if (scale, shift) == (1, 0) and not keep:
        return []
    ones = np.ones(bound.shape[0], np.float32)
    return _norm(bound, ones * np.float32(scale), ones * np.float32(shift))


def _scale(bound: BoundLayer) -> list[Layer] | Branch:
    kind, channels = bound.layer.kind, bound.shape[0]
    fields = bound.layer.param(f"{kind.lower()}_param")
    if kind == "Scale" and len(bound.shapes) > 1:
        return _product(bound)
    bound.check_channels(fields)
    if fields.integer("num_axes", 1) != 1:
        raise bound.error("num_axes other than 1; there is a layer for one number for each channel")
    count = 2 if kind == "Scale" and fields.boolean("bias_term", False) else 1
    first, *rest = bound.arrays(*[(channels,)] * count)
    if kind == "Bias":
        return _norm(bound, np.ones_like(first), first)
    return _norm(bound, first, rest[0] if rest else np.zeros_like(first))


def _product(bound: BoundLayer) -> Branch:
    """Return the product with a second input, whose axes are the image's first, such as one a channel."""
    fields, others = bound.layer.param("scale_param"), bound.shapes[1:]
    (factors,) = others if len(others) == 1 else ((),)
    # the second input has a batch axis of its own, so that it begins at axis 0
    if fields.integer("axis", 1) not in (0, -len(bound.shape) - 1) or factors != bound.shape[: len(factors)]:
        raise bound.error(f"multiplies {bound.shape} by {others}; expected axis: 0, and the first of its axes")
    if fields.boolean("bias_term", False):
        raise bound.error("bias_term beside a second input; put a Bias behind it")
    shape = (*factors, *(1 for _ in bound.shape[len(factors) :]))
    return Branch([nn.Reshape(shape)] if shape != factors else [], nn.Multiply(), source=1)


def _normalize(bound: BoundLayer) -> Branch:
    """Return SSD's normalisation: weight x / sqrt(sum of x^2 + eps) over the channels, or all values."""
    fields, rank = bound.layer.param("norm_param"), len(bound.shape)
    dims = tuple(range(1, rank + 1)) if fields.boolean("across_spatial", True) else (1,)
    # one number unless it says otherwise, or holds one for each channel and does not say
    several = "channel_shared" not in fields and [b.values.size for b in bound.blobs] == [bound.shape[0]]
    shared = fields.boolean("channel_shared", not several)
    shape: Shape = () if shared else bound.shape[:1] + (1,) * (rank - 1)
    eps = np.array(fields.real("eps", 1e-10), np.float32)
    (weight,) = bound.arrays((prod(shape),))
    add_eps = nn.Scale((), eps, weight=np.ones((), np.float32))
    norm = [nn.Pow(2.0), nn.Sum(dims, keepdim=True), add_eps, nn.Pow(-0.5)]
    return Branch(norm, nn.Multiply(), [nn.Scale(shape, False, weight=weight.reshape(shape))])


def _mean_variance_norm(bound: BoundLayer) -> list[Layer] | Branch:
    """Return (x - mean) / (deviation + eps) of each channel, or of all; or x - mean alone."""
    fields, channels = bound.layer.param("mvn_param"), bound.maps()[0]
    eps, across = fields.real("eps", 1e-9), fields.boolean("across_channels", False)
    if not fields.boolean("normalize_variance", True):
        return Branch([nn.Mean((1, 2, 3) if across else (2, 3), keepdim=True)], nn.Subtract())
    # ours adds to the variance: one as small as this makes no difference
    if not 0 <= eps <= MAX_EPS:
        raise bound.error(f"eps {eps}, added to the deviation; expected at most {MAX_EPS}")
    if across:
        return [nn.GroupNorm(1, channels, eps**2, affine=False)]
    return [nn.InstanceNorm2d(channels, eps**2)]


def _softmax(bound: BoundLayer) -> list[Layer]:
    bound.check_channels(bound.layer.param("softmax_param"))
    return [nn.Softmax()]


NORMS: dict[str, Callable[[BoundLayer], list[Layer] | Branch]] = {
    "BN": _segmentation_norm,
    "BatchNorm": _batch_norm,
    "Bias": _scale,
    "MVN": _mean_variance_norm,
    "Normalize": _normalize,
    "Scale": _scale,
    "Softmax": _softmax,
}
