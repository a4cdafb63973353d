"""Layers of ours from those of Keras.

What differs there: maps are H x W x C, so that kernels are R x S x C x K and axes count from the other side; a
full layer's kernel is (in, out); activations are settings of other layers; padding is "valid" or TensorFlow's
"same", whose sides depend on the input's size, the smaller half first; an average pool does not count it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicnn import layers as nn
from minicnn.errors import MinicnnError
from minicnn.formats.containers.files import escape
from minicnn.formats.keras.activations import ACTIVATION_LAYERS, activation, rectifier_with_slopes
from minicnn.formats.keras.arithmetic import ARITHMETIC_LAYERS
from minicnn.formats.keras.context import BuildContext, check_weights, count_channels, find_axis, padding_mode
from minicnn.formats.keras.fields import AUGMENTATION
from minicnn.formats.keras.front import center_crop, normalization, random_crop, rescaling
from minicnn.formats.keras.maps import MAP_LAYERS
from minicnn.formats.keras.model import Spec
from minicnn.formats.keras.norms import NORMS
from minicnn.formats.keras.operations import OPERATIONS
from minicnn.formats.keras.weights import to_filters
from minicnn.layers import Layer
from minicnn.shapes import IntPair, span

__all__ = ["convert_layer"]

# at inference
_IDENTITIES = (
    *("InputLayer", "Identity", "ActivityRegularization", "GaussianNoise"),
    *("GaussianDropout", "AlphaDropout", "SpatialDropout2D"),
    *AUGMENTATION,
)


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
        rank = len(context.shape)
        # the whole model has been asked for its order of axes; a nested one is read a second time here
        spec.channels_first()
        layers += activation(spec, find_axis(spec, -1, rank, context.channels_first), rank, context.version)
        spec.check_read()
        if arrays and not any(layer.parameter_shapes() for layer in layers):
            raise spec.error("has weights in the file, and a layer of this class has none")
        return tuple(layers)
    except MinicnnError as error:
        raise error if str(error).startswith("layer ") else spec.error(str(error)) from None


def _orient_kernel(spec: Spec, kernel: np.ndarray, context: BuildContext) -> np.ndarray:
    """Return a kernel as R x S x C x K; Keras 1 has K x C x R x S where channels come first."""
    if spec.config.get("dim_ordering") == "th":
        kernel = kernel.transpose(2, 3, 1, 0)
    return kernel[::-1, ::-1] if context.flips else kernel


def _conv(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    kernel, *bias = check_weights(spec, arrays, 4, *[1] * bool(spec.get("use_bias", True)))
    kernel, channels = _orient_kernel(spec, kernel, context), count_channels(spec, context)
    # a kernel less deep than the input is that of a grouped convolution
    if channels % kernel.shape[2]:
        raise spec.error(f"kernels of depth {kernel.shape[2]} do not fit {channels} channels")
    spec.check_value("groups", channels // kernel.shape[2])
    spec.check_value("filters", kernel.shape[3])
    return [_convolution(spec, to_filters(kernel), bias, channels, channels // kernel.shape[2])]


def _convolution(spec: Spec, weight: np.ndarray, bias: list[np.ndarray], channels: int, groups: int) -> nn.Conv2d:
    if bias and bias[0].shape != weight.shape[:1]:
        raise spec.error(f"a bias of {bias[0].shape} does not fit {len(weight)} filters")
    _check_kernel_size(spec, weight)
    return nn.Conv2d(
        channels,
        len(weight),
        weight.shape[2:],
        stride=spec.pair("strides"),
        padding=padding_mode(spec),
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


def _depthwise_conv(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> nn.Conv2d:
    kernel, *bias = check_weights(spec, arrays, 4, *[1] * bool(spec.get("use_bias", True)))
    channels = count_channels(spec, context)
    if kernel.shape[2] != channels:
        raise spec.error(f"kernels of depth {kernel.shape[2]} do not fit {channels} channels")
    spec.check_value("depth_multiplier", kernel.shape[3])
    spec.check_value("groups", 1, channels)  # 1 in all files of Keras 2
    return _convolution(spec, to_filters(kernel, depthwise=True), bias, channels, channels)


def _separable(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Depthwise, then 1 x 1 across channels; bias and activation belong to the second."""
    first, second, *bias = check_weights(spec, arrays, 4, 4, *[1] * bool(spec.get("use_bias", True)))
    depthwise = _depthwise_conv(spec._replace(config=spec.config.replace(use_bias=False)), [first], context)
    weight = to_filters(second)
    if weight.shape[1:] != (depthwise.out_channels, 1, 1) or (bias and bias[0].shape != weight.shape[:1]):
        raise spec.error(f"a second kernel of {second.shape} does not fit {depthwise.out_channels} channels")
    spec.check_value("filters", len(weight))
    channels, row = depthwise.out_channels, bias[0] if bias else False
    return [depthwise, nn.Conv2d(channels, len(weight), 1, bias=row, weight=weight)]


def _conv_transpose(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Transposed convolution; "same" makes the output stride times the input's size."""
    kernel, *bias = check_weights(spec, arrays, 4, *[1] * bool(spec.get("use_bias", True)))
    weight, stride, dilation = to_filters(kernel), spec.pair("strides"), spec.pair("dilation_rate")
    if weight.shape[0] != count_channels(spec, context) or (bias and bias[0].shape != weight.shape[1:2]):
        raise spec.error(f"a kernel of {kernel.shape} does not fit {context.shape[0]} channels")
    spec.check_value("filters", weight.shape[1])
    spec.check_value("groups", 1)
    _check_kernel_size(spec, weight)
    same, more = padding_mode(spec) == "same", spec.get("output_padding")
    extra = (None, None) if more is None else spec.pair("output_padding", minimum=0)
    cut = [
        _transposed_border(span(k, d), s, same, e)
        for k, d, s, e in zip(weight.shape[2:], dilation, stride, extra, strict=True)
    ]
    return [
        nn.ConvTranspose2d(
            weight.shape[0],
            weight.shape[1],
            weight.shape[2:],
            stride=stride,
            dilation=dilation,
            padding=tuple((before, max(after, 0)) for before, after in cut),
            # what would be cut off below nothing is added
            output_padding=tuple(max(-after, 0) for _, after in cut),
            bias=bias[0] if bias else False,
            weight=weight,
        )
    ]


def _transposed_border(kernel: int, stride: int, same: bool, extra: int | None) -> IntPair:
    """Return how much is cut off before and after the full output, of s (n - 1) + kernel; below 0 it is added.

    "same" wants s n, or, with an output padding, s (n - 1) + kernel % 2 + extra; the smaller half comes first.
    """
    if not same:
        return 0, -max(stride - kernel, 0) if extra is None else -extra
    total = kernel - stride if extra is None else kernel - kernel % 2 - extra
    before = max(total // 2, 0)
    return before, total - before


def _dense(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    """Full layer, over the last axis in the file's order: of maps H x W x C the channels, a 1 x 1 convolution."""
    kernel, *bias = check_weights(spec, arrays, 2, *[1] * bool(spec.get("use_bias", True)))
    over_channels = len(context.shape) == 3 and not context.channels_first
    features = context.shape[0 if over_channels else -1]
    if kernel.shape[0] != features or (bias and bias[0].shape != kernel.shape[1:]):
        raise spec.error(f"a kernel of {kernel.shape} does not fit an input of {escape(context.shape)}")
    rows, columns = kernel.shape
    spec.check_value("units", columns)
    row = bias[0] if bias else False
    if over_channels:
        return [nn.Conv2d(rows, columns, 1, bias=row, weight=kernel.T.reshape(columns, rows, 1, 1))]
    return [nn.Linear(rows, columns, bias=row, weight=kernel.T)]


def _prelu(spec: Spec, arrays: list[np.ndarray], context: BuildContext) -> list[Layer]:
    (slopes,) = check_weights(spec, arrays, len(context.shape))
    return rectifier_with_slopes(spec, slopes, context.shape, context.channels_first)


_LAYERS: dict[str, Callable[[Spec, list[np.ndarray], BuildContext], list[Layer]]] = {
    **dict.fromkeys(_IDENTITIES, lambda spec, arrays, context: []),
    **dict.fromkeys(("Conv2D", "Convolution2D", "AtrousConvolution2D"), _conv),
    "DepthwiseConv2D": lambda spec, arrays, context: [_depthwise_conv(spec, arrays, context)],
    **dict.fromkeys(("SeparableConv2D", "SeparableConvolution2D"), _separable),
    "Conv2DTranspose": _conv_transpose,
    "Dense": _dense,
    **NORMS,
    "Activation": lambda spec, arrays, context: [],
    "Dropout": lambda spec, arrays, context: [nn.Dropout(float(spec.number("rate", 0.5)))],
    "Rescaling": rescaling,
    "Normalization": normalization,
    "CenterCrop": center_crop,
    "RandomCrop": random_crop,
    **ARITHMETIC_LAYERS,
    **MAP_LAYERS,
    **OPERATIONS,
    **dict.fromkeys(ACTIVATION_LAYERS, lambda spec, arrays, context: ACTIVATION_LAYERS[spec.kind](spec)),
    "PReLU": _prelu,
}
