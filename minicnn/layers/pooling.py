"""Pools over windows, and over whole maps."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import Backward, Forward, IntOrPair, Keep, Kernels, Kind, Layer, Rng, Shape, check_maps
from minicnn.rules import GRADIENT, Rule
from minicnn.shapes import output_size, pair, sides, span

__all__ = ["AvgPool2d", "GlobalAvgPool2d", "MaxPool2d"]


def _normalise(layer: MaxPool2d | AvgPool2d) -> None:
    """Make the window's arguments pairs and four sides; the stride is the kernel size unless given."""
    name = type(layer).__name__
    kernel_size = pair(layer.kernel_size, f"{name}: kernel_size")
    stride = kernel_size if layer.stride is None else pair(layer.stride, f"{name}: stride")
    dilation = pair(getattr(layer, "dilation", 1), f"{name}: dilation")
    padding = sides(layer.padding)
    for k, d, both in zip(kernel_size, dilation, padding, strict=True):
        # a window on padding alone would have no largest value and no mean
        if max(both) >= span(k, d):
            raise ShapeError(f"{name}: padding {padding} must be smaller than the window {kernel_size}")
    values = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "padding": padding}
    # an AvgPool2d has no dilation to set
    for field in fields(layer):
        if field.name in values:
            object.__setattr__(layer, field.name, values[field.name])


@dataclass(frozen=True, eq=False, repr=False)
class MaxPool2d(Layer, capturable=True):
    """Max-pool: (N, C, H, W) to (N, C, P, Q).

    P = floor((H + top + bottom - dilation (R - 1) - 1) / stride) + 1, the same for Q.  Of several equal maxima the
    first in row order has the gradient.

    Parameters
    ----------
    kernel_size, dilation : int or pair
    stride : int or pair, optional
        The kernel size unless given.
    padding : int, pair or four sides ((top, bottom), (left, right))
        Smaller than the window; counts as minus infinity.
    ceil_mode : bool
        Round the output size up; a last window that would start beyond the input is left out.

    Raises
    ------
    ShapeError
        For arguments that fit no window.

    See Also
    --------
    torch.nn.MaxPool2d : the same layer; there padding is at most half of the window

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> pool, x = layers.MaxPool2d(2), np.arange(16.0).reshape(1, 1, 4, 4)
    >>> Network([pool])(x).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    >>> layers.MaxPool2d(3, stride=2, padding=1).output_shape((64, 112, 112))
    (64, 56, 56)

    """

    kernel_size: IntOrPair
    stride: IntOrPair = None
    padding: IntOrPair = 0
    dilation: IntOrPair = 1
    _: KW_ONLY
    ceil_mode: bool = False

    kind = Kind.PIECEWISE_LINEAR

    def __post_init__(self) -> None:
        _normalise(self)

    def output_shape(self, shape: Shape) -> Shape:
        c, h, w = check_maps(shape, "MaxPool2d")
        return c, *output_size((h, w), self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        y, switches = kernels.max_pool2d(x, **self.config())
        # the switches say where in x each largest value came from; by any rule dy goes back there
        return y, (x.shape[2:], switches) if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        size, switches = saved
        return kernels.max_pool2d_input_grad(dy, switches, size, **self.config()), {}


@dataclass(frozen=True, eq=False, repr=False)
class AvgPool2d(Layer, capturable=True):
    """Average pool: (N, C, H, W) to (N, C, P, Q).

    P = floor((H + top + bottom - R) / stride) + 1, the same for Q.

    Parameters
    ----------
    kernel_size : int or pair
    stride : int or pair, optional
        The kernel size unless given.
    padding : int, pair or four sides ((top, bottom), (left, right))
        Smaller than the window; counts as zero.
    ceil_mode : bool
        Round the output size up; a last window that would start beyond the input is left out.
    count_include_pad : bool
        Whether the mean's divisor counts the padding.

    Raises
    ------
    ShapeError
        For arguments that fit no window.

    See Also
    --------
    torch.nn.AvgPool2d : the same layer; there padding is at most half of the window

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.AvgPool2d(2)])(np.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]

    """

    kernel_size: IntOrPair
    stride: IntOrPair = None
    padding: IntOrPair = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    kind = Kind.LINEAR

    def __post_init__(self) -> None:
        _normalise(self)

    def output_shape(self, shape: Shape) -> Shape:
        c, h, w = check_maps(shape, "AvgPool2d")
        return c, *output_size((h, w), self.kernel_size, self.stride, self.padding, (1, 1), self.ceil_mode)

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        return kernels.avg_pool2d(x, **self.config()), x.shape[2:]

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.avg_pool2d_input_grad(dy, saved, **self.config()), {}


@dataclass(frozen=True, eq=False, repr=False)
class GlobalAvgPool2d(Layer, capturable=True):
    """Mean of each map: (N, C, H, W) to (N, C, 1, 1).

    See Also
    --------
    torch.nn.AdaptiveAvgPool2d : with output size 1

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.GlobalAvgPool2d()])(np.arange(8.0).reshape(1, 2, 2, 2)).tolist()
    [[[[1.5]], [[5.5]]]]

    """

    kind = Kind.LINEAR

    def output_shape(self, shape: Shape) -> Shape:
        return check_maps(shape, "GlobalAvgPool2d")[0], 1, 1

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        return kernels.global_avg_pool2d(x), x.shape[2:]

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.global_avg_pool2d_input_grad(dy, saved), {}
