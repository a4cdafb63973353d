"""Pools and zero padding."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

from minicnn.errors import ShapeError
from minicnn.layers.base import Keep, Kind, Layer, feature_maps
from minicnn.rules import GRADIENT
from minicnn.shapes import output_size, pair, sides, span

__all__ = ["AvgPool2d", "GlobalAvgPool2d", "MaxPool2d", "ZeroPad2d"]


def _normalise(layer: Layer) -> None:
    """Make the window's arguments pairs and four sides; the stride is the kernel size unless given."""
    kind = type(layer).__name__
    kernel_size = pair(layer.kernel_size, f"{kind}: kernel_size")
    stride = kernel_size if layer.stride is None else pair(layer.stride, f"{kind}: stride")
    dilation = pair(getattr(layer, "dilation", 1), f"{kind}: dilation")
    padding = sides(layer.padding)
    for k, d, both in zip(kernel_size, dilation, padding, strict=True):
        if max(both) >= span(k, d):
            raise ShapeError(f"{kind}: padding {padding} must be smaller than the window {kernel_size}")
    values = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "padding": padding}
    for field in fields(layer):
        if field.name in values:
            object.__setattr__(layer, field.name, values[field.name])


@dataclass(frozen=True, eq=False, repr=False)
class MaxPool2d(Layer):
    """Max-pool: (N, C, H, W) to (N, C, P, Q).

    Parameters
    ----------
    kernel_size, dilation : int or pair
    stride : int or pair; None is the kernel size
    padding : int, pair or four sides, smaller than the window; counts as minus infinity
    ceil_mode : round the output size up

    """

    kernel_size: int | tuple
    stride: int | tuple | None = None
    padding: int | tuple = 0
    dilation: int | tuple = 1
    _: KW_ONLY
    ceil_mode: bool = False

    kind = Kind.PIECEWISE_LINEAR

    def __post_init__(self):
        _normalise(self)

    def output_shape(self, shape):
        c, *size = feature_maps(shape, "MaxPool2d")
        return c, *output_size(
            tuple(size), self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y, switches = kernels.max_pool2d(x, **self.config())
        return y, (x.shape[2:], switches) if keep else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        size, switches = saved
        return kernels.max_pool2d_input_grad(dy, switches, size, **self.config()), {}


@dataclass(frozen=True, eq=False, repr=False)
class AvgPool2d(Layer):
    """Average pool: (N, C, H, W) to (N, C, P, Q).

    Parameters
    ----------
    kernel_size : int or pair
    stride : int or pair; None is the kernel size
    padding : int, pair or four sides, smaller than the window; counts as zero
    ceil_mode : round the output size up
    count_include_pad : whether the mean's divisor counts the padding

    """

    kernel_size: int | tuple
    stride: int | tuple | None = None
    padding: int | tuple = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    kind = Kind.LINEAR

    def __post_init__(self):
        _normalise(self)

    def output_shape(self, shape):
        c, *size = feature_maps(shape, "AvgPool2d")
        return c, *output_size(tuple(size), self.kernel_size, self.stride, self.padding, (1, 1), self.ceil_mode)

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return kernels.avg_pool2d(x, **self.config()), x.shape[2:]

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return kernels.avg_pool2d_input_grad(dy, saved, **self.config()), {}


@dataclass(frozen=True, eq=False, repr=False)
class GlobalAvgPool2d(Layer):
    """Mean of each map: (N, C, H, W) to (N, C, 1, 1); torch's ``AdaptiveAvgPool2d(1)``."""

    kind = Kind.LINEAR

    def output_shape(self, shape):
        return feature_maps(shape, "GlobalAvgPool2d")[0], 1, 1

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return kernels.global_avg_pool2d(x), x.shape[2:]

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return kernels.global_avg_pool2d_input_grad(dy, saved), {}


@dataclass(frozen=True, eq=False, repr=False)
class ZeroPad2d(Layer):
    """Zeros around each map.

    Parameters
    ----------
    padding : int, or (left, right, top, bottom) as in torch

    """

    padding: int | tuple

    kind = Kind.LINEAR

    def __post_init__(self):
        given = (self.padding,) * 4 if isinstance(self.padding, int) else tuple(self.padding)
        if len(given) != 4 or not all(isinstance(p, int) and p >= 0 for p in given):
            raise ShapeError(
                f"ZeroPad2d: padding: expected a number >= 0 or (left, right, top, bottom), got {self.padding!r}"
            )
        object.__setattr__(self, "padding", given)

    def _sides(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        left, right, top, bottom = self.padding
        return (top, bottom), (left, right)

    def output_shape(self, shape):
        c, h, w = feature_maps(shape, "ZeroPad2d")
        left, right, top, bottom = self.padding
        return c, top + h + bottom, left + w + right

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return kernels.zero_pad2d(x, self._sides()), None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return kernels.zero_pad2d_input_grad(dy, self._sides()), {}
