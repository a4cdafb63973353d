"""Layers of ours from those of MatConvNet."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from minicnn import layers as nn
from minicnn.errors import MinicnnError
from minicnn.formats.containers.files import escape
from minicnn.formats.matconvnet.blocks import Block, first_numbers
from minicnn.layers import Layer

__all__ = ["convert_block"]


def convert_block(block: Block, channels: int | None) -> Layer:
    """Return the layer that computes a block on maps of ``channels``, where their number is known.

    Raises
    ------
    WeightsError
        If there is no such layer here, or its fields fit none; the block is named.

    """
    if block.type not in _LAYERS:
        known = ", ".join(_LAYERS)
        raise block.error(f"minicnn has no such layer; expected one of {known}, add or concat")
    try:
        return _LAYERS[block.type](block, channels)
    except MinicnnError as error:
        raise error if str(error).startswith("layer ") else block.error(str(error)) from None


def _read_filters(block: Block) -> tuple[np.ndarray, np.ndarray | None]:
    """Return weights, trailing axes of 1 that MATLAB drops restored, and the bias, None where it is empty."""
    if not block.weights or not 2 <= block.weights[0].ndim <= 4 or not block.weights[0].size:
        raise block.error("expected filters of H x W x C x K")
    weight = block.weights[0]
    weight = weight.reshape(weight.shape + (1,) * (4 - weight.ndim))
    bias = block.weights[1].ravel() if len(block.weights) > 1 and block.weights[1].size else None
    return weight, None if first_numbers(block.fields.get("hasBias", 1)) == [0] else bias


def _conv(block: Block, channels: int | None) -> Layer:
    weight, bias = _read_filters(block)
    # MATLAB's order is R x S x C x K, where C counts the channels of one group
    height, width, depth, filters = weight.shape
    channels = depth if channels is None else channels
    if channels % depth or filters % (channels // depth):
        raise block.error(f"filters of {height} x {width} x {depth} x {filters} do not fit {channels} channels")
    if bias is not None and len(bias) != filters:
        raise block.error(f"{len(bias)} biases do not fit {filters} filters")
    return nn.Conv2d(
        channels,
        filters,
        (height, width),
        stride=block.pair("stride"),
        padding=block.sides("pad"),
        dilation=block.pair("dilate"),
        groups=channels // depth,
        bias=False if bias is None else np.ascontiguousarray(bias),
        # (R, S, C, K) to (K, C, R, S)
        weight=weight.transpose(3, 2, 0, 1),
    )


def _conv_transpose(block: Block, channels: int | None) -> Layer:
    weight, bias = _read_filters(block)
    # of a transposed convolution the third axis is the output's
    height, width, filters, depth = weight.shape
    (groups,) = set(block.numbers("numGroups", 1))
    if channels not in (None, depth) or groups < 1 or depth % groups:
        raise block.error(f"filters of {height} x {width} x {filters} x {depth} do not fit {channels} channels")
    if bias is not None and len(bias) != filters * groups:
        raise block.error(f"{len(bias)} biases do not fit {filters * groups} filters")
    return nn.ConvTranspose2d(
        depth,
        filters * groups,
        (height, width),
        stride=block.pair("upsample"),
        padding=block.sides("crop"),
        groups=groups,
        bias=False if bias is None else np.ascontiguousarray(bias),
        weight=weight.transpose(3, 2, 0, 1),
    )


def _pool(block: Block, channels: int | None) -> Layer:
    method = block.fields.get("method", "max")
    size = block.pair("poolSize" if "poolSize" in block.fields else "pool")
    window: dict[str, Any] = {"stride": block.pair("stride"), "padding": block.sides("pad")}
    if method == "max":
        return nn.MaxPool2d(size, **window)
    if method == "avg":
        return nn.AvgPool2d(size, **window, count_include_pad=False)
    raise block.error(f"method: expected 'max' or 'avg', found {escape(method)!r}")


def _relu(block: Block, channels: int | None) -> Layer:
    options = [option.lower() if isinstance(option, str) else option for option in block.options()]
    # a function's options come after the layer's own fields, and the last one counts
    given = [value for option, value in pairwise(options) if option == "leak"]
    slopes = first_numbers([block.fields.get("leak", 0.0), *given][-1])
    if len(slopes) != 1 or len(given) < options.count("leak"):
        raise block.error("leak: expected one number")
    (slope,) = slopes
    return nn.LeakyReLU(slope) if slope else nn.ReLU()


def _local_response_norm(block: Block, channels: int | None) -> Layer:
    """Window of N channels; for even N it would lie one channel higher than torch's."""
    values = first_numbers(block.fields.get("param", np.array([5, 1, 1e-4 / 5, 0.75])))
    if len(values) != 4 or not np.isfinite(values).all() or not 1 <= values[0] < 1 << 16 or values[0] % 2 != 1:
        raise block.error(f"param: expected [N kappa alpha beta] with an odd N, found {escape(values)}")
    size, k, alpha, beta = int(values[0]), *values[1:]
    # there kappa + alpha times the sum of squares, here k + alpha / size times it
    return nn.LocalResponseNorm(size, alpha=alpha * size, beta=beta, k=k)


def _batch_norm(block: Block, channels: int | None) -> Layer:
    arrays = [np.ascontiguousarray(a) for a in block.weights]
    n = arrays[0].size if arrays else 0
    if len(arrays) != 3 or arrays[1].size != n or arrays[2].shape != (n, 2) or not n:
        raise block.error("expected multipliers, biases and moments (C x 2)")
    if not (arrays[2][:, 1] > 0).all():
        raise block.error("has deviations of 0: the moments were not kept; run the network in training mode first")
    # the second column holds deviations, not variances
    moments = arrays[2].astype(np.float64)
    return nn.BatchNorm2d(
        n,
        eps=0.0,
        weight=arrays[0].ravel(),
        bias=arrays[1].ravel(),
        running_mean=moments[:, 0].astype(np.float32),
        running_var=(moments[:, 1] ** 2).astype(np.float32),
    )


def _dropout(block: Block, channels: int | None) -> Layer:
    (rate,) = first_numbers(block.fields.get("rate", 0.5)) or [0.5]
    return nn.Dropout(rate)


_LAYERS: dict[str, Callable[[Block, int | None], Layer]] = {
    "conv": _conv,
    "convt": _conv_transpose,
    "pool": _pool,
    "relu": _relu,
    "normalize": _local_response_norm,
    "lrn": _local_response_norm,
    "bnorm": _batch_norm,
    "dropout": _dropout,
    "sigmoid": lambda block, channels: nn.Sigmoid(),
    "softmax": lambda block, channels: nn.Softmax(),
}
