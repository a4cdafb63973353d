"""Caffe's layers as ours; the conventions are those of Caffe's own implementation.

Pools round up; an average's divisor counts the padding and not what lies beyond it.  LRN divides alpha by its
size.  BatchNorm's third blob divides the first two.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log, prod
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.caffe.blobs import Blob
from minicnn.formats.caffe.describe import LayerParameter
from minicnn.formats.caffe.text import Fields
from minicnn.formats.containers.files import escape
from minicnn.layers import (
    ELU,
    Abs,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Exp,
    Flatten,
    GlobalAvgPool2d,
    Hardtanh,
    Layer,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Log,
    MaxPool2d,
    Pow,
    PReLU,
    ReLU,
    ReLU6,
    Reshape,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    ZeroPad2d,
)
from minicnn.layers.base import Shape
from minicnn.shapes import IntPair, Sides

__all__ = ["LAYERS", "BoundLayer", "padding_of", "straight_line", "window_size"]

MAX_TAPS, MAX_LOCAL_SIZE = 1 << 16, 255


class BoundLayer(NamedTuple):
    """One layer, the shape of its one input for an image, and its blobs."""

    layer: LayerParameter
    shape: Shape
    blobs: list[Blob]

    def error(self, what: str) -> WeightsError:
        """Return an error that names the layer."""
        return self.layer.error(what)

    def maps(self) -> Shape:
        """Return the shape if it is (C, H, W)."""
        if len(self.shape) != 3:
            raise self.error(f"expected maps (C, H, W), got {self.shape}")
        return self.shape

    def arrays(self, *shapes: Shape) -> list[np.ndarray]:
        """Return the blobs, which must have these shapes; leading ones do not count, as in old files."""
        if len(self.blobs) != len(shapes):
            raise self.error(f"the weights hold {len(self.blobs)} blobs, expected {len(shapes)}")
        for blob, shape in zip(self.blobs, shapes, strict=True):
            if _strip_leading_ones(blob.shape) != _strip_leading_ones(shape):
                raise self.error(f"a blob of shape {escape(blob.shape)}, expected {shape}")
        return [blob.values.reshape(shape) for blob, shape in zip(self.blobs, shapes, strict=True)]


def _strip_leading_ones(shape: Shape) -> Shape:
    """Return a shape without its leading ones."""
    first = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    # old files write every blob with four axes
    return tuple(shape[first:])


def _pair(bound: BoundLayer, fields: Fields, name: str, default: int | None = None) -> IntPair:
    """Return kernel_size, stride, pad or dilation: one number, two, or ``name_h`` and ``name_w``."""
    stem = name.removesuffix("_size")
    if f"{stem}_h" in fields or f"{stem}_w" in fields:
        if name in fields:
            raise bound.error(f"{name} and {stem}_h or {stem}_w; expected one way to say it")
        values = [fields.integer(f"{stem}_h", default or 0), fields.integer(f"{stem}_w", default or 0)]
    else:
        values = fields.integers(name) or ([] if default is None else [default])
    if len(values) not in (1, 2) or any(not 0 <= v < 1 << 16 for v in values):
        raise bound.error(f"{name}: expected one whole number or two, got {escape(values)}")
    return values[0], values[-1]


def padding_of(pad: IntPair) -> Sides:
    """Return how much is added on each side: above and below, left and right."""
    return (pad[0], pad[0]), (pad[1], pad[1])


def _check_axis(bound: BoundLayer, fields: Fields, name: str = "axis") -> None:
    if fields.integer(name, 1) not in (1, -len(bound.shape)):
        raise bound.error(f"{name} {fields.integer(name)}; expected the channels, axis 1")


def _convolution(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("convolution_param")
    _check_axis(bound, fields)
    channels, out = bound.maps()[0], fields.integer("num_output")
    # forks have layers for one filter a channel, most of which do not look at group
    depthwise = bound.layer.kind in ("DepthwiseConvolution", "ConvolutionDepthwise")
    groups = fields.integer("group", channels if depthwise else 1)
    if depthwise and groups != channels:
        raise bound.error(f"{groups} groups of {channels} channels; expected one for each")
    kernel = _pair(bound, fields, "kernel_size")
    geometry: dict[str, Any] = {
        "stride": _pair(bound, fields, "stride", 1),
        "padding": padding_of(_pair(bound, fields, "pad", 0)),
        "dilation": _pair(bound, fields, "dilation", 1),
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
    kind = ConvTranspose2d if transposed else Conv2d
    return [kind(channels, out, kernel, weight=weight, bias=rest[0] if bias else False, **geometry)]


def _inner_product(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("inner_product_param")
    _check_axis(bound, fields)
    count, out = prod(bound.shape), fields.integer("num_output")
    transposed, bias = fields.boolean("transpose", False), fields.boolean("bias_term", True)
    weight, *rest = bound.arrays((count, out) if transposed else (out, count), *([(out,)] if bias else []))
    weight = weight.T if transposed else weight
    flatten = [Flatten()] if len(bound.shape) > 1 else []
    return [*flatten, Linear(count, out, rest[0] if bias else False, weight=weight)]


def _pooling(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("pooling_param")
    size, method = bound.maps()[1:], fields.choice("pool", ("MAX", "AVE", "STOCHASTIC"))
    if method == "STOCHASTIC":
        raise bound.error("stochastic pooling has no layer")
    kernel, stride, pad = (_pair(bound, fields, *of) for of in (("kernel_size", 0), ("stride", 1), ("pad", 0)))
    if any(len(fields.integers(name)) > 1 for name in ("kernel_size", "stride", "pad")):
        raise bound.error("kernel_size, stride or pad is given twice; expected one number, or name_h and name_w")
    ceil_mode = _rounds_up(bound, fields)
    if fields.boolean("global_pooling", False):
        if any((*kernel, *pad)) or stride != (1, 1):
            raise bound.error("global_pooling with a kernel_size, stride or pad; expected none beside it")
        if prod(size) > MAX_TAPS:
            raise bound.error(f"a window of {size}, which is more than {MAX_TAPS} pixels")
        return [GlobalAvgPool2d() if method == "AVE" else MaxPool2d(size)]
    if prod(kernel) > MAX_TAPS or min(kernel) < 1 or min(stride) < 1:
        raise bound.error(f"a window of {kernel} with stride {stride}")
    _check_windows(bound, kernel, stride, pad, ceil_mode)
    kind = MaxPool2d if method == "MAX" else AvgPool2d
    return [kind(kernel, stride, padding_of(pad), ceil_mode=ceil_mode)]


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


def _local_response_norm(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("lrn_param")
    size = window_size(bound, fields)
    constants: dict[str, Any] = {
        name: fields.real(name, default) for name, default in (("alpha", 1.0), ("beta", 0.75), ("k", 1.0))
    }
    return [LocalResponseNorm(size, **constants)]


def window_size(bound: BoundLayer, fields: Fields) -> int:
    """Return the size of a response normalisation's window."""
    size = fields.integer("local_size", 5)
    if not 1 <= size <= MAX_LOCAL_SIZE or size % 2 == 0:
        raise bound.error(f"local_size {size}; expected an odd number")
    return size


def _relu(bound: BoundLayer) -> list[Layer]:
    slope = bound.layer.param("relu_param").real("negative_slope", 0.0)
    return [LeakyReLU(slope) if slope else ReLU()]


def _elu(bound: BoundLayer) -> list[Layer]:
    return [ELU(bound.layer.param("elu_param").real("alpha", 1.0))]


def _clip(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("clip_param")
    low, high = fields.real("min", 0.0), fields.real("max", 0.0)
    return [ReLU6() if (low, high) == (0, 6) else Hardtanh(low, high)]


def _swish(bound: BoundLayer) -> list[Layer]:
    beta = bound.layer.param("swish_param").real("beta", 1.0)
    if beta == 0:
        raise bound.error("beta 0, which makes it half of its input")
    # x sigmoid(beta x) = silu(beta x) / beta
    return [*straight_line(bound, beta, 0.0), SiLU(), *straight_line(bound, 1 / beta, 0.0)]


def _exponential(bound: BoundLayer) -> list[Layer]:
    # y = base^(scale x + shift), where base -1 stands for e
    factor, scale, shift = _base_scale_shift(bound, "exp_param")
    return [*straight_line(bound, factor * scale, factor * shift), Exp()]


def _logarithm(bound: BoundLayer) -> list[Layer]:
    # y = log_base(scale x + shift)
    factor, scale, shift = _base_scale_shift(bound, "log_param")
    return [*straight_line(bound, scale, shift), Log(), *straight_line(bound, 1 / factor, 0.0)]


def _base_scale_shift(bound: BoundLayer, name: str) -> tuple[float, float, float]:
    """Return the logarithm of the base, the scale and the shift."""
    fields = bound.layer.param(name)
    base = fields.real("base", -1.0)
    if base != -1 and (base <= 0 or base == 1):
        raise bound.error(f"base {base}; expected a number above 0, or -1 for e")
    return 1.0 if base == -1 else log(base), fields.real("scale", 1.0), fields.real("shift", 0.0)


def _prelu(bound: BoundLayer) -> list[Layer]:
    shared = bound.layer.param("prelu_param").boolean("channel_shared", False)
    count = 1 if shared else bound.shape[0]
    return [PReLU(count, weight=bound.arrays((count,))[0])]


def _dropout(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("dropout_param")
    if not fields.boolean("scale_train", True):
        raise bound.error("scale_train: false; there is a layer that scales in training")
    p = fields.real("dropout_ratio", 0.5)
    if not 0 <= p < 1:
        raise bound.error(f"dropout_ratio {p}; expected a probability")
    return [Dropout(p)]


def _batch_norm(bound: BoundLayer) -> list[Layer]:
    fields, channels = bound.layer.param("batch_norm_param"), bound.shape[0]
    if not fields.boolean("use_global_stats", True):
        raise bound.error("use_global_stats: false; there is a layer for running statistics")
    mean, variance, factor = bound.arrays((channels,), (channels,), (1,))
    with np.errstate(all="ignore"):
        # the first two blobs are sums, the third is their weight, 0 before any training
        scale = mean.dtype.type(0 if factor[0] == 0 else 1 / factor[0])
        statistics: dict[str, Any] = {"running_mean": mean * scale, "running_var": variance * scale}
    if not all(np.isfinite(array).all() for array in statistics.values()):
        raise bound.error(f"its statistics, divided by {factor[0]}, are not finite; the file is damaged")
    return _wrap_maps(bound, BatchNorm2d(channels, eps=fields.real("eps", 1e-5), affine=False, **statistics))


def _segmentation_norm(bound: BoundLayer) -> list[Layer]:
    """Return the layer BN of forks: PSPNet's has statistics, SegNet's is a scale and a shift once it is merged."""
    fields, one = bound.layer.param("bn_param"), (bound.shape[0], *(1 for _ in bound.shape[1:]))
    merged, eps = fields.choice("bn_mode", ("LEARN", "INFERENCE")) == "INFERENCE", fields.real("eps", 1e-5)
    if not merged and len(bound.blobs) == 2:
        raise bound.error("bn_mode LEARN takes the statistics of each batch; merge them, as SegNet's script does")
    weight, bias, *statistics = (a.ravel() for a in bound.arrays(*[one] * (2 if merged else 4)))
    mean, variance = statistics or (np.zeros_like(weight), np.ones_like(weight))
    parameters: dict[str, Any] = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
    return _wrap_maps(bound, BatchNorm2d(len(weight), eps=0.0 if merged else eps, **parameters))


def _wrap_maps(bound: BoundLayer, layer: Layer) -> list[Layer]:
    """Return a layer of maps, for features as maps of one pixel."""
    if len(bound.shape) == 1:
        return [Reshape((*bound.shape, 1, 1)), layer, Flatten()]
    bound.maps()
    return [layer]


def _scale(bound: BoundLayer) -> list[Layer]:
    kind, channels = bound.layer.kind, bound.shape[0]
    fields = bound.layer.param(f"{kind.lower()}_param")
    _check_axis(bound, fields)
    if fields.integer("num_axes", 1) != 1:
        raise bound.error("num_axes other than 1; there is a layer for one number for each channel")
    count = 2 if kind == "Scale" and fields.boolean("bias_term", False) else 1
    first, *rest = bound.arrays(*[(channels,)] * count)
    # y = weight x + bias, written as a normalisation with mean 0, variance 1 and eps 0
    zeros, ones = np.zeros_like(first), np.ones_like(first)
    weight, bias = (first, rest[0] if rest else zeros) if kind == "Scale" else (ones, first)
    parameters: dict[str, Any] = {"weight": weight, "bias": bias, "running_mean": zeros, "running_var": ones}
    return _wrap_maps(bound, BatchNorm2d(channels, eps=0.0, **parameters))


def _power(bound: BoundLayer) -> list[Layer]:
    # y = (scale x + shift)^power
    fields = bound.layer.param("power_param")
    power, scale, shift = (fields.real(name, default) for name, default in _POWER)
    if power == 0:
        raise bound.error("power 0, which leaves nothing of its input")
    return [*straight_line(bound, scale, shift, keep=power == 1), *([] if power == 1 else [Pow(power)])]


_POWER = (("power", 1.0), ("scale", 1.0), ("shift", 0.0))


def straight_line(bound: BoundLayer, scale: float, shift: float, keep: bool = False) -> list[Layer]:
    """Return y = scale x + shift as a normalisation with mean 0 and variance 1; nothing, unless ``keep``, of x."""
    if (scale, shift) == (1, 0) and not keep:
        return []
    ones = np.ones(bound.shape[0], np.float32)
    weight, bias = ones * np.float32(scale), ones * np.float32(shift)
    parameters: dict[str, Any] = {"weight": weight, "bias": bias, "running_mean": 0 * ones, "running_var": ones}
    return _wrap_maps(bound, BatchNorm2d(len(ones), eps=0.0, **parameters))


def _softmax(bound: BoundLayer) -> list[Layer]:
    _check_axis(bound, bound.layer.param("softmax_param"))
    return [Softmax()]


def _reshape(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("reshape_param")
    dims = fields.message("shape").integers("dim")
    if fields.integer("axis", 0) == 1:
        # from axis 1 on the dims leave the batch out: put its 0 in front
        dims = [0, *dims]
    elif fields.integer("axis", 0) != 0:
        raise bound.error("axis other than 0 or 1")
    if fields.integer("num_axes", -1) != -1 or len(dims) < 2 or dims[0] != 0:
        raise bound.error("expected a shape that begins with dim: 0, the batch")
    rest = [bound.shape[i] if n == 0 and i < len(bound.shape) else n for i, n in enumerate(dims[1:])]
    # one -1 is what is left of an image's values
    if rest.count(-1) == 1:
        known = prod(n for n in rest if n != -1)
        rest[rest.index(-1)] = prod(bound.shape) // known if known > 0 else 0
    if min(rest) < 1 or prod(rest) != prod(bound.shape):
        raise bound.error(f"{bound.shape} does not become {rest}")
    return [Flatten() if len(rest) == 1 else Reshape(tuple(rest))]


def _zero_pad(bound: BoundLayer) -> list[Layer]:
    bound.maps()
    return [ZeroPad2d(bound.layer.param("padding_param").integer("pad", 0))]


LAYERS: dict[str, Callable[[BoundLayer], list[Layer]]] = {
    "AbsVal": lambda bound: [Abs()],
    "BN": _segmentation_norm,
    "BNLL": lambda bound: [Softplus()],
    "BatchNorm": _batch_norm,
    "Bias": _scale,
    **dict.fromkeys(("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution"), _convolution),
    "Clip": _clip,
    "Deconvolution": _convolution,
    "Dropout": _dropout,
    "ELU": _elu,
    "Exp": _exponential,
    "InnerProduct": _inner_product,
    "LRN": _local_response_norm,
    "Log": _logarithm,
    "PReLU": _prelu,
    "Padding": _zero_pad,
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _relu,
    "ReLU6": lambda bound: [ReLU6()],
    "Reshape": _reshape,
    "Scale": _scale,
    "Sigmoid": lambda bound: [Sigmoid()],
    "Softmax": _softmax,
    "Split": lambda bound: [],
    "Swish": _swish,
    "TanH": lambda bound: [Tanh()],
}
