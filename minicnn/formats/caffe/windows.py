"""Caffe's layers of windows and products as ours; the conventions are those of Caffe's own implementation.

Pools round up; an average's divisor counts the padding and not what lies beyond it.  LRN divides alpha by its
size.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from minicnn import layers as nn
from minicnn.formats.caffe.bound import BoundLayer, Branch
from minicnn.formats.caffe.norms import straight_line
from minicnn.formats.caffe.text import Fields
from minicnn.layers import Layer
from minicnn.shapes import IntPair, Sides

__all__ = ["WINDOWS"]

MAX_TAPS, MAX_LOCAL_SIZE = 1 << 16, 255


def _padding(pad: IntPair) -> Sides:
    """Return how much is added on each side: above and below, left and right."""
    return (pad[0], pad[0]), (pad[1], pad[1])


def _convolution(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("convolution_param")
    bound.check_channels(fields)
    channels, out = bound.maps()[0], fields.integer("num_output")
    # forks have layers for one filter a channel, most of which do not look at group
    depthwise = bound.layer.kind in ("DepthwiseConvolution", "ConvolutionDepthwise")
    groups = fields.integer("group", channels if depthwise else 1)
    if depthwise and groups != channels:
        raise bound.error(f"{groups} groups of {channels} channels; expected one for each")
    kernel = bound.pair(fields, "kernel_size")
    geometry: dict[str, Any] = {
        "stride": bound.pair(fields, "stride", 1),
        "padding": _padding(bound.pair(fields, "pad", 0)),
        "dilation": bound.pair(fields, "dilation", 1),
        "groups": groups,
    }
    transposed = bound.layer.kind == "Deconvolution"
    # blobs are (out, in / groups, R, S), those of a deconvolution (in, out / groups, R, S)
    weight_channels = (channels, out) if transposed else (out, channels)
    if groups < 1 or min(weight_channels) < 1 or weight_channels[1] % groups:
        raise bound.error(f"{channels} to {out} channels in {groups} groups")
    shapes = [(weight_channels[0], weight_channels[1] // groups, *kernel)]
    bias = fields.boolean("bias_term", True)
    weight, *rest = bound.arrays(*shapes, *([(out,)] if bias else []))
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    return [kind(channels, out, kernel, weight=weight, bias=rest[0] if bias else False, **geometry)]


def _inner_product(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("inner_product_param")
    bound.check_channels(fields)
    count, out = prod(bound.shape), fields.integer("num_output")
    transposed, bias = fields.boolean("transpose", False), fields.boolean("bias_term", True)
    weight, *rest = bound.arrays((count, out) if transposed else (out, count), *([(out,)] if bias else []))
    weight = weight.T if transposed else weight
    flatten = [nn.Flatten()] if len(bound.shape) > 1 else []
    return [*flatten, nn.Linear(count, out, rest[0] if bias else False, weight=weight)]


def _pooling(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("pooling_param")
    size, method = bound.maps()[1:], fields.choice("pool", ("MAX", "AVE", "STOCHASTIC"))
    if method == "STOCHASTIC":
        raise bound.error("stochastic pooling has no layer")
    kernel, stride, pad = (bound.pair(fields, *of) for of in (("kernel_size", 0), ("stride", 1), ("pad", 0)))
    if any(len(fields.integers(name)) > 1 for name in ("kernel_size", "stride", "pad")):
        raise bound.error("kernel_size, stride or pad is given twice; expected one number, or name_h and name_w")
    ceil_mode = _rounds_up(bound, fields)
    if fields.boolean("global_pooling", False):
        if any((*kernel, *pad)) or stride != (1, 1):
            raise bound.error("global_pooling with a kernel_size, stride or pad; expected none beside it")
        if prod(size) > MAX_TAPS:
            raise bound.error(f"a window of {size}, which is more than {MAX_TAPS} pixels")
        return [nn.GlobalAvgPool2d() if method == "AVE" else nn.MaxPool2d(size)]
    if prod(kernel) > MAX_TAPS or min(kernel) < 1 or min(stride) < 1:
        raise bound.error(f"a window of {kernel} with stride {stride}")
    _check_windows(bound, kernel, stride, pad, ceil_mode)
    kind = nn.MaxPool2d if method == "MAX" else nn.AvgPool2d
    return [kind(kernel, stride, _padding(pad), ceil_mode=ceil_mode)]


def _rounds_up(bound: BoundLayer, fields: Fields) -> bool:
    """Return whether a pool's size is rounded up, Caffe's custom; forks call the setting ``ceil_mode``."""
    round_up = fields.choice("round_mode", ("CEIL", "FLOOR")) == "CEIL"
    ceil_mode = fields.boolean("ceil_mode", round_up)
    if "round_mode" in fields and ceil_mode != round_up:
        raise bound.error("round_mode and ceil_mode contradict each other; expected one of them")
    return ceil_mode


def _check_windows(bound: BoundLayer, kernel: IntPair, stride: IntPair, pad: IntPair, ceil_mode: bool) -> None:
    """Raise for a last window outside of the input, which Caffe keeps where there is no padding: it is empty."""
    for n, k, s in zip(bound.shape[1:], kernel, stride, strict=True):
        # the last window begins at ceil((n - k) / s) s
        if ceil_mode and not any(pad) and -(-(n - k) // s) * s >= n:
            raise bound.error(f"a window of {k} with stride {s} lies outside of an input of {n}")


def _local_response_norm(bound: BoundLayer) -> list[Layer] | Branch:
    fields = bound.layer.param("lrn_param")
    region = fields.choice("norm_region", ("ACROSS_CHANNELS", "WITHIN_CHANNEL"))
    size, alpha, beta = fields.integer("local_size", 5), fields.real("alpha", 1.0), fields.real("beta", 0.75)
    k = fields.real("k", 1.0)
    if not 1 <= size <= MAX_LOCAL_SIZE or size % 2 == 0:
        raise bound.error(f"local_size {size}; expected an odd number")
    if region == "ACROSS_CHANNELS":
        return [nn.LocalResponseNorm(size, alpha=alpha, beta=beta, k=k)]
    bound.maps()
    # x (1 + alpha mean of x^2 over a square of pixels)^-beta: here Caffe passes over k
    mean = nn.AvgPool2d(size, 1, _padding(((size - 1) // 2,) * 2))
    return Branch([nn.Pow(2.0), mean, *straight_line(bound, alpha, 1.0), nn.Pow(-beta)], nn.Multiply())


def _zero_pad(bound: BoundLayer) -> list[Layer]:
    bound.maps()
    return [nn.ZeroPad2d(bound.layer.param("padding_param").integer("pad", 0))]


WINDOWS: dict[str, Callable[[BoundLayer], list[Layer] | Branch]] = {
    **dict.fromkeys(("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution"), _convolution),
    "Deconvolution": _convolution,
    "InnerProduct": _inner_product,
    "LRN": _local_response_norm,
    "Padding": _zero_pad,
    "Pooling": _pooling,
}
