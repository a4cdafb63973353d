"""Layers of ours from those of Keras.

What differs there: maps are H x W x C, so that kernels are R x S x C x K and axes count from the other side; a
full layer's kernel is (in, out); activations are settings of other layers; padding is "valid" or TensorFlow's
"same", whose sides depend on the input's size, the smaller half first; an average pool does not count it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.formats.containers.files import escape
from minicnn.formats.keras.activations import (
    ACTIVATION_LAYERS,
    activation,
    rectifier_with_slopes,
)
from minicnn.formats.keras.model import Spec
from minicnn.formats.keras.weights import to_filters
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    Permute,
    Reshape,
    Softmax,
    ZeroPad2d,
)
from minicnn.shapes import IntPair, Sides, same_padding

__all__ = ["BuildContext", "convert_layer"]

Shape = tuple[int | None, ...]

# at inference
_IDENTITIES = (
    *("InputLayer", "ActivityRegularization", "GaussianNoise"),
    *("GaussianDropout", "AlphaDropout", "SpatialDropout2D"),
)


class BuildContext(NamedTuple):
    """What surrounds a layer: its input's shape, (C, H, W) or (F,), None where open, and the file's layout."""

    shape: Shape
    channels_first: bool  # maps are C x H x W in the file too
    flips: bool  # kernels are turned by 180 degrees: Theano convolved
    version: int | None  # Keras's main version, where the file says


def convert_layer(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> tuple[Layer, ...]:
    """Return the layers that compute one layer of the file, its activation included.

    Raises
    ------
    WeightsError
        If minicnn has no such layer, or its settings and weights fit none; the layer is named.

    """
    if spec.kind == "Lambda":
        raise spec.error("holds code, which is never run; replace it by a layer and save the model again")
    if spec.kind not in _LAYERS:
        raise spec.error("minicnn has no such layer; expected a chain of convolutions, pools and their like")
    try:
        layers = _LAYERS[spec.kind](spec, arrays, context)
        over_width = context.channels_first and len(context.shape) == 3
        layers += activation(spec, over_width, context.version)
        spec.check_read()
        if arrays and not any(layer.parameter_shapes() for layer in layers):
            raise spec.error("has weights in the file, and a layer of this class has none")
        return tuple(layers)
    except MinicnnError as error:
        raise error if str(error).startswith("layer ") else spec.error(str(error)) from None


def _check_weights(spec: Spec, arrays: list[np.ndarray], *ranks: int) -> list[np.ndarray]:
    """Return the arrays, float32 or float64, once there are as many as expected, of these numbers of axes."""
    if tuple(a.ndim for a in arrays) != ranks or any(a.dtype.kind != "f" or not a.size for a in arrays):
        given = ", ".join(f"{a.dtype} {a.shape}" for a in arrays[:6]) or "none"
        raise spec.error(f"expected {len(ranks)} weights with {ranks} axes, found {escape(given)}")
    return [a if a.dtype == np.float64 else a.astype(np.float32, copy=False) for a in arrays]


def _map_size(spec: Spec, context: BuildContext) -> IntPair:
    match context.shape:
        case (_, int(height), int(width)):
            return height, width
    raise spec.error(f"needs the size of its input, which is {escape(context.shape)}; fix it in the model's input")


def _sizes(context: BuildContext) -> tuple[int, ...] | None:
    """Return the input's shape, None where any of it is open."""
    sizes = tuple(n for n in context.shape if n is not None)
    return sizes if len(sizes) == len(context.shape) else None


def _count_channels(spec: Spec, context: BuildContext) -> int:
    if len(context.shape) != 3 or context.shape[0] is None:
        raise spec.error(f"expected maps, found an input of {escape(context.shape)}")
    return context.shape[0]


def _padding_mode(spec: Spec) -> str:
    padding = spec.get("padding", "valid")
    if padding not in ("valid", "same"):
        raise spec.error(f"padding: expected 'valid' or 'same', found {escape(padding)!r}")
    return padding


def _orient_kernel(spec: Spec, kernel: np.ndarray, context: BuildContext) -> np.ndarray:
    """Return a kernel as R x S x C x K; Keras 1 has K x C x R x S where channels come first."""
    if spec.config.get("dim_ordering") == "th":
        kernel = kernel.transpose(2, 3, 1, 0)
    return kernel[::-1, ::-1] if context.flips else kernel


def _conv(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    kernel, *bias = _check_weights(spec, arrays, 4, *[1] * bool(spec.get("use_bias", True)))
    kernel, channels = _orient_kernel(spec, kernel, context), _count_channels(spec, context)
    # a kernel less deep than the input is that of a grouped convolution
    if channels % kernel.shape[2]:
        raise spec.error(f"kernels of depth {kernel.shape[2]} do not fit {channels} channels")
    spec.check_value("groups", channels // kernel.shape[2])
    spec.check_value("filters", kernel.shape[3])
    return [_convolution(spec, to_filters(kernel), bias, channels, channels // kernel.shape[2])]


def _convolution(spec: Spec, weight: np.ndarray, bias: list[np.ndarray], channels: int, groups: int) -> Conv2d:
    if bias and bias[0].shape != weight.shape[:1]:
        raise spec.error(f"a bias of {bias[0].shape} does not fit {len(weight)} filters")
    _check_kernel_size(spec, weight)
    return Conv2d(
        channels,
        len(weight),
        weight.shape[2:],
        stride=spec.pair("strides"),
        padding=_padding_mode(spec),
        dilation=spec.pair("dilation_rate"),
        groups=groups,
        bias=bias[0] if bias else False,
        weight=weight,
    )


def _check_kernel_size(spec: Spec, weight: np.ndarray) -> None:
    rows, columns = weight.shape[2:]
    if spec.pair("kernel_size", [rows, columns]) != (rows, columns):
        raise spec.error(f"kernel_size: does not fit kernels of {rows} x {columns}")
    # of Keras 1
    spec.check_value("nb_row", rows)
    spec.check_value("nb_col", columns)


def _depthwise(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    return [_depthwise_conv(spec, arrays, context)]


def _depthwise_conv(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> Conv2d:
    kernel, *bias = _check_weights(spec, arrays, 4, *[1] * bool(spec.get("use_bias", True)))
    channels = _count_channels(spec, context)
    if kernel.shape[2] != channels:
        raise spec.error(f"kernels of depth {kernel.shape[2]} do not fit {channels} channels")
    spec.check_value("depth_multiplier", kernel.shape[3])
    spec.check_value("groups", 1, channels)  # 1 in all files of Keras 2
    return _convolution(spec, to_filters(kernel, depthwise=True), bias, channels, channels)


def _separable(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Depthwise, then 1 x 1 across channels; bias and activation belong to the second."""
    first, second, *bias = _check_weights(spec, arrays, 4, 4, *[1] * bool(spec.get("use_bias", True)))
    depthwise = _depthwise_conv(spec._replace(config=spec.config.replace(use_bias=False)), [first], context)
    weight = to_filters(second)
    if weight.shape[1:] != (depthwise.out_channels, 1, 1) or (bias and bias[0].shape != weight.shape[:1]):
        raise spec.error(f"a second kernel of {second.shape} does not fit {depthwise.out_channels} channels")
    spec.check_value("filters", len(weight))
    return [
        depthwise,
        Conv2d(depthwise.out_channels, len(weight), 1, bias=bias[0] if bias else False, weight=weight),
    ]


def _conv_transpose(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Transposed convolution; "same" makes the output stride times the input's size."""
    kernel, *bias = _check_weights(spec, arrays, 4, *[1] * bool(spec.get("use_bias", True)))
    weight, stride = to_filters(kernel), spec.pair("strides")
    if spec.get("output_padding") is not None or spec.pair("dilation_rate") != (1, 1):
        raise spec.error("an output_padding or a dilation of its own is not read")
    if weight.shape[0] != _count_channels(spec, context) or (bias and bias[0].shape != weight.shape[1:2]):
        raise spec.error(f"a kernel of {kernel.shape} does not fit {context.shape[0]} channels")
    spec.check_value("filters", weight.shape[1])
    spec.check_value("groups", 1)
    _check_kernel_size(spec, weight)
    # without padding the output has s (n - 1) + k; "same" wants s n, and k - s are cut off
    padding = [
        max(k - s, 0) * (_padding_mode(spec) == "same") for k, s in zip(weight.shape[2:], stride, strict=True)
    ]
    return [
        ConvTranspose2d(
            weight.shape[0],
            weight.shape[1],
            weight.shape[2:],
            stride=stride,
            padding=tuple((n // 2, n - n // 2) for n in padding),
            # where k < s the output would lack its last s - k rows and columns
            output_padding=tuple(max(s - k, 0) for k, s in zip(weight.shape[2:], stride, strict=True)),
            bias=bias[0] if bias else False,
            weight=weight,
        )
    ]


def _dense(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    kernel, *bias = _check_weights(spec, arrays, 2, *[1] * bool(spec.get("use_bias", True)))
    if (
        len(context.shape) != 1
        or kernel.shape[0] != context.shape[0]
        or (bias and bias[0].shape != kernel.shape[1:])
    ):
        raise spec.error(f"a kernel of {kernel.shape} does not fit an input of {escape(context.shape)}")
    rows, columns = kernel.shape
    spec.check_value("units", columns)
    return [Linear(rows, columns, bias=bias[0] if bias else False, weight=kernel.T)]


def _batch_norm(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Normalise channels, or features as maps of one pixel."""
    # gamma and beta are not in the file where scale and center are false
    names = [n for n, key in (("weight", "scale"), ("bias", "center")) if spec.get(key, True)]
    names += ["running_mean", "running_var"]
    values: dict[str, Any] = dict(zip(names, _check_weights(spec, arrays, *[1] * len(names)), strict=True))
    axis, rank = spec.get("axis", -1), len(context.shape)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in ((1, -3) if context.channels_first and rank == 3 else (rank, -1)):
        raise spec.error(f"axis: expected that of the channels, found {escape(axis)}")
    channels = len(values["running_mean"])
    dtype = values["running_mean"].dtype
    values = {"weight": np.ones(channels, dtype), "bias": np.zeros(channels, dtype)} | values
    if any(a.shape != (channels,) for a in values.values()) or channels != context.shape[0]:
        raise spec.error(f"{channels} means do not fit an input of {escape(context.shape)}")
    spec.check_value("mode", 0)  # of Keras 1, whose other modes have the batch's own statistics
    norm = BatchNorm2d(channels, eps=float(spec.number("epsilon", 1e-3)), **values)
    return [norm] if rank == 3 else [Reshape((channels, 1, 1)), norm, Flatten()]


def _pool(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    kernel = spec.pair("pool_size", 2)
    stride = kernel if spec.get("strides") is None else spec.pair("strides")
    padding: int | Sides = 0
    if _padding_mode(spec) == "same":
        padding = same_padding(_map_size(spec, context), kernel, stride, (1, 1))
    if spec.kind.startswith("Max"):
        return [MaxPool2d(kernel, stride=stride, padding=padding)]
    return [AvgPool2d(kernel, stride=stride, padding=padding, count_include_pad=False)]


def _global_pool(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    _count_channels(spec, context)
    pool = GlobalAvgPool2d() if "Average" in spec.kind else MaxPool2d(_map_size(spec, context))
    return [pool] if spec.get("keepdims", False) else [pool, Flatten()]


def _zero_padding(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    padding = spec.get("padding", 1)
    match padding:
        case int():
            sides = (padding,) * 4
        case [int(vertical), int(horizontal)]:
            sides = (horizontal, horizontal, vertical, vertical)
        case [[int(top), int(bottom)], [int(left), int(right)]] | [int(top), int(bottom), int(left), int(right)]:
            sides = (left, right, top, bottom)
        case _:
            raise spec.error(f"padding: expected one number, two, or two pairs, found {escape(padding)}")
    if max(sides) >= 1 << 16:
        raise spec.error(f"padding: {escape(padding)} is too much")
    return [ZeroPad2d(sides)]


def _reshape(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Reshape in the file's order of axes."""
    target, sizes = spec.get("target_shape"), _sizes(context)
    if sizes is None or not isinstance(target, list) or not all(isinstance(n, int) for n in target):
        raise spec.error(f"can't be done from {escape(context.shape)} to {escape(target)}")
    total, known = prod(sizes), prod(n for n in target if n != -1)
    shape = tuple(total // max(known, 1) if n == -1 else n for n in target)
    moves_channels = not context.channels_first
    # Keras counts values in the order H, W, C: go there, reshape, come back
    before: list[Layer] = [Permute((1, 2, 0))] if moves_channels and len(context.shape) == 3 else []
    after: list[Layer] = [Permute((2, 0, 1))] if moves_channels and len(shape) == 3 else []
    return [*before, Reshape(shape), *after]


def _flatten(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Flatten in the order of Keras, H, W, C; it says so itself where maps are C x H x W there too."""
    first = spec.channels_first()
    if None in context.shape:
        raise spec.error(f"needs the size of its input, which is {escape(context.shape)}")
    if len(context.shape) == 1:
        return []
    moves_channels = first is True or not context.channels_first
    # maps of one pixel are the same vector in either order
    return [Permute((1, 2, 0)), Flatten()] if moves_channels and context.shape[1:] != (1, 1) else [Flatten()]


def _rescaling(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Scale and offset for each channel: a 1 x 1 convolution in as many groups as channels."""
    channels = _count_channels(spec, context)
    scale, offset = (np.asarray(spec.get(key, default)) for key, default in (("scale", 1.0), ("offset", 0.0)))
    if any(a.dtype.kind not in "if" or a.size not in (1, channels) for a in (scale, offset)):
        raise spec.error("expected a scale and an offset, numbers or one a channel")
    weight, bias = (np.broadcast_to(a.ravel(), channels).astype(np.float32) for a in (scale, offset))
    return [Conv2d(channels, channels, 1, groups=channels, bias=bias, weight=weight.reshape(-1, 1, 1, 1))]


def _softmax(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    axis = spec.get("axis", -1)
    if axis not in ((1, -3) if context.channels_first and len(context.shape) == 3 else (-1, len(context.shape))):
        raise spec.error(f"axis: expected that of the channels, found {escape(axis)}")
    return [Softmax()]


def _dropout(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    return [Dropout(float(spec.number("rate", 0.5)))]


def _prelu(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    (slopes,) = _check_weights(spec, arrays, len(context.shape))
    return rectifier_with_slopes(spec, slopes, context.shape, context.channels_first)


_LAYERS: dict[str, Callable[[Spec, list[np.ndarray], BuildContext], list[Layer]]] = {
    **dict.fromkeys(_IDENTITIES, lambda spec, arrays, context: []),
    **dict.fromkeys(("Conv2D", "Convolution2D", "AtrousConvolution2D"), _conv),
    "DepthwiseConv2D": _depthwise,
    **dict.fromkeys(("SeparableConv2D", "SeparableConvolution2D"), _separable),
    "Conv2DTranspose": _conv_transpose,
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "Activation": lambda spec, arrays, context: [],
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Rescaling": _rescaling,
    "ZeroPadding2D": _zero_padding,
    **dict.fromkeys(("MaxPooling2D", "AveragePooling2D"), _pool),
    **dict.fromkeys(("GlobalAveragePooling2D", "GlobalMaxPooling2D"), _global_pool),
    **dict.fromkeys(ACTIVATION_LAYERS, lambda spec, arrays, context: ACTIVATION_LAYERS[spec.kind](spec)),
    "PReLU": _prelu,
    "Softmax": _softmax,
}
