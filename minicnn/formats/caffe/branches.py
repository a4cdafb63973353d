"""Caffe's layers that combine their input with something made of it, or of a second input, as joins of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minicnn.formats.caffe.layers import BoundLayer, padding_of, straight_line, window_size
from minicnn.layers import (
    AvgPool2d,
    GroupNorm,
    InstanceNorm2d,
    Layer,
    Mean,
    Multiply,
    Pow,
    Reshape,
    Scale,
    Subtract,
    Sum,
)
from minicnn.layers.base import Shape
from minicnn.layers.joins import Join

__all__ = ["BRANCHES", "Branch", "mean_variance_norm"]

MAX_EPS = 1e-6


class Branch(NamedTuple):
    """``join`` of the first input and what ``layers`` make of input number ``source``; then ``after``."""

    layers: tuple[Layer, ...]
    join: Join
    after: tuple[Layer, ...] = ()
    source: int = 0


def _scale(bound: BoundLayer, others: list[Shape]) -> Branch | None:
    """Return the product with a second input, whose axes are the image's first, such as one a channel."""
    if not others:
        return None
    fields = bound.layer.param("scale_param")
    (factors,) = others if len(others) == 1 else ((),)
    # the second input has a batch axis of its own, so that it begins at axis 0
    if fields.integer("axis", 1) not in (0, -len(bound.shape) - 1) or factors != bound.shape[: len(factors)]:
        raise bound.error(f"multiplies {bound.shape} by {others}; expected axis: 0, and the first of its axes")
    if fields.boolean("bias_term", False):
        raise bound.error("bias_term beside a second input; put a Bias behind it")
    shape = (*factors, *(1 for _ in bound.shape[len(factors) :]))
    return Branch((Reshape(shape),) if shape != factors else (), Multiply(), source=1)


def _local_response_norm(bound: BoundLayer, others: list[Shape]) -> Branch | None:
    """Return the normalisation within channels: x (1 + alpha mean of x^2 over a square of pixels)^-beta."""
    fields = bound.layer.param("lrn_param")
    if fields.choice("norm_region", ("ACROSS_CHANNELS", "WITHIN_CHANNEL")) == "ACROSS_CHANNELS":
        return None
    size, alpha, beta = window_size(bound, fields), fields.real("alpha", 1.0), fields.real("beta", 0.75)
    fields.real("k", 1.0)  # Caffe passes over it here
    bound.maps()
    pool = AvgPool2d(size, 1, padding_of(((size - 1) // 2,) * 2))
    return Branch((Pow(2.0), pool, *straight_line(bound, alpha, 1.0), Pow(-beta)), Multiply())


def _normalize(bound: BoundLayer, others: list[Shape]) -> Branch:
    """Return SSD's normalisation: weight x / sqrt(sum of x^2 + eps) over the channels, or all values."""
    fields, rank = bound.layer.param("norm_param"), len(bound.shape)
    dims = tuple(range(1, rank + 1)) if fields.boolean("across_spatial", True) else (1,)
    # one number unless it says otherwise, or holds one for each channel and does not say
    several = "channel_shared" not in fields and [b.values.size for b in bound.blobs] == [bound.shape[0]]
    shape = () if fields.boolean("channel_shared", not several) else bound.shape[:1] + (1,) * (rank - 1)
    eps = np.array(fields.real("eps", 1e-10), np.float32)
    (weight,) = bound.arrays((int(np.prod(shape)),))
    norm = (Pow(2.0), Sum(dims, keepdim=True), Scale((), eps, weight=np.ones((), np.float32)), Pow(-0.5))
    return Branch(norm, Multiply(), (Scale(shape, False, weight=weight.reshape(shape)),))


def _mean_variance(bound: BoundLayer, others: list[Shape]) -> Branch | None:
    """Return the subtraction of the mean, where the variance stays as it is."""
    fields = bound.layer.param("mvn_param")
    if fields.boolean("normalize_variance", True):
        return None
    fields.real("eps", 1e-9)  # of the deviation
    dims = (1, 2, 3) if fields.boolean("across_channels", False) else (2, 3)
    bound.maps()
    return Branch((Mean(dims, keepdim=True),), Subtract())


def mean_variance_norm(bound: BoundLayer) -> list[Layer]:
    """Return the layer of an MVN: (x - mean) / (deviation + eps) of each channel, or of all."""
    fields, channels = bound.layer.param("mvn_param"), bound.maps()[0]
    eps = fields.real("eps", 1e-9)
    # ours adds to the variance: one as small as this makes no difference
    if not 0 <= eps <= MAX_EPS:
        raise bound.error(f"eps {eps}, added to the deviation; expected at most {MAX_EPS}")
    if fields.boolean("across_channels", False):
        return [GroupNorm(1, channels, eps**2, affine=False)]
    return [InstanceNorm2d(channels, eps**2)]


BRANCHES: dict[str, Callable[[BoundLayer, list[Shape]], Branch | None]] = {
    "LRN": _local_response_norm,
    "MVN": _mean_variance,
    "Normalize": _normalize,
    "Scale": _scale,
}
