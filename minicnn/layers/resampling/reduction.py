"""Means and sums over axes, and over the unequal windows of adaptive pools."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.kernels.reference.axis_taps import AxisTaps
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Layer, Rng, Shape, check_maps
from minicnn.layers.resampling.base import Resample, Taps, check_length
from minicnn.layers.resampling.selection import image_axis
from minicnn.rules import GRADIENT, Rule
from minicnn.shapes import adaptive_windows

__all__ = ["AdaptiveAvgPool2d", "AdaptivePool", "Mean", "OverAxes", "Sum", "reduced_axes"]


def reduced_axes(layer: str, dim: Any, shape: Shape) -> tuple[int, ...]:
    """Return the axes of an image that ``dim`` means, a number or several, 0 the first."""
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    axes = {image_axis(layer, d, len(shape)) for d in dims}
    if len(axes) != len(dims) or not axes:
        raise ShapeError(f"{layer}: dim: expected different axes, got {dim!r}")
    return tuple(sorted(axes))


@dataclass(frozen=True, eq=False, repr=False)
class OverAxes(Layer):
    """A layer that makes one value of all along some axes, which stay with length 1 or go."""

    dim: Any  # given as a number or several, kept as several
    keepdim: bool = False

    def __post_init__(self) -> None:
        dims = (self.dim,) if isinstance(self.dim, int) else self.dim
        if not isinstance(dims, tuple | list) or not all(isinstance(d, int) for d in dims):
            raise ShapeError(f"{type(self).__name__}: dim: expected whole numbers, got {self.dim!r}")
        object.__setattr__(self, "dim", tuple(dims))

    def axes(self, shape: Shape) -> tuple[int, ...]:
        """Return the axes of an image of ``shape`` that go, 0 the first."""
        return reduced_axes(type(self).__name__, self.dim, shape)

    def kept_shape(self, shape: Shape) -> Shape:
        """Return ``shape`` with length 1 along these axes."""
        axes = self.axes(shape)
        return tuple(1 if axis in axes else n for axis, n in enumerate(shape))

    def output_shape(self, shape: Shape) -> Shape:
        axes = self.axes(shape)
        if self.keepdim:
            return self.kept_shape(shape)
        if len(axes) == len(shape):
            raise ShapeError(
                f"{type(self).__name__}: over all axes of {shape} leaves no axis for an image; use keepdim=True"
            )
        return tuple(n for axis, n in enumerate(shape) if axis not in axes)


@dataclass(frozen=True, eq=False, repr=False)
class _WeightedSum(OverAxes, Resample):
    """A sum over axes, each value times a weight that depends on how many there are."""

    def _weight(self, size: int) -> float:
        raise NotImplementedError

    def taps(self, shape: Shape) -> Taps:
        axes = self.axes(shape)
        return tuple(_uniform_taps(n, self._weight(n)) if axis in axes else None for axis, n in enumerate(shape))

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        y, shape = super().forward(x, kernels, keep, rng)
        return kernels.reshape(y, self.output_shape(shape)), shape

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return super().backward(kernels.reshape(dy, self.kept_shape(saved)), saved, kernels, rule, weights)


@dataclass(frozen=True, eq=False, repr=False)
class Mean(_WeightedSum, capturable=True):
    """Mean over one axis or several.

    Parameters
    ----------
    dim : int, or tuple of int
        1 is the axis of the channels; negative numbers count from the last.
    keepdim : bool
        Whether these axes stay, with length 1.

    Raises
    ------
    ShapeError
        If there is no such axis.

    See Also
    --------
    torch.mean : the same in PyTorch
    GlobalAvgPool2d : over height and width

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Mean(-1)])(np.array([[[1.0, 2.0], [3.0, 6.0]]])).tolist()
    [[1.5, 4.5]]

    """

    def _weight(self, size: int) -> float:
        return 1 / size


@dataclass(frozen=True, eq=False, repr=False)
class Sum(_WeightedSum, capturable=True):
    """Sum over one axis or several.

    Parameters
    ----------
    dim : int, or tuple of int
        1 is the axis of the channels; negative numbers count from the last.
    keepdim : bool
        Whether these axes stay, with length 1.

    Raises
    ------
    ShapeError
        If there is no such axis.

    See Also
    --------
    torch.sum : the same in PyTorch

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Sum(-1)])(np.array([[[1.0, 2.0], [3.0, 6.0]]])).tolist()
    [[3.0, 9.0]]

    """

    def _weight(self, size: int) -> float:
        return 1.0


@lru_cache(256)
def _uniform_taps(size: int, weight: float) -> AxisTaps:
    check_length(size)
    return AxisTaps(np.arange(size)[None], np.full((1, size), weight), size)


@dataclass(frozen=True, eq=False, repr=False)
class AdaptivePool(Layer):
    """A pool over as many windows as wanted."""

    output_size: Any  # given as a number or two, kept as two; None where it is the input's

    def __post_init__(self) -> None:
        size = self.output_size
        pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
        if len(pair) != 2 or not all(n is None or (isinstance(n, int) and n >= 1) for n in pair):
            raise ShapeError(f"{type(self).__name__}: output_size: expected one or two numbers >= 1, got {size!r}")
        object.__setattr__(self, "output_size", pair)

    def output_shape(self, shape: Shape) -> Shape:
        c, h, w = check_maps(shape, type(self).__name__)
        p, q = self.output_size
        return c, p or h, q or w


@dataclass(frozen=True, eq=False, repr=False)
class AdaptiveAvgPool2d(Resample, AdaptivePool, capturable=True):
    """Means over as many windows as wanted: (N, C, H, W) to (N, C, P, Q).

    Window p has the rows from floor(p H / P) to before ceil((p + 1) H / P), so that windows overlap, and differ in
    size, where P does not divide H.

    Parameters
    ----------
    output_size : int, or pair of int or None
        (P, Q); None keeps the input's.

    Raises
    ------
    ShapeError
        If ``output_size`` is neither.

    See Also
    --------
    torch.nn.AdaptiveAvgPool2d : the same layer
    GlobalAvgPool2d : to one pixel

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.AdaptiveAvgPool2d((1, 2))])(np.array([[[[1.0, 2.0, 6.0]]]])).tolist()
    [[[[1.5, 4.0]]]]

    """

    def taps(self, shape: Shape) -> Taps:
        sizes = zip(shape[1:], AdaptivePool.output_shape(self, shape)[1:], strict=True)
        return None, *(None if out == n else _window_means(n, out) for n, out in sizes)


@lru_cache(256)
def _window_means(size: int, out: int) -> AxisTaps:
    check_length(max(size, out))
    windows = adaptive_windows(size, out)
    longest = max(end - start for start, end in windows)
    # (out, longest): places from each window's start on, those in the window weighted by 1 / its length
    places = np.array([start for start, _ in windows])[:, None] + np.arange(longest)
    ends = np.array([end for _, end in windows])[:, None]
    lengths = np.array([end - start for start, end in windows])[:, None]
    inside = places < ends
    return AxisTaps(np.where(inside, places, -1), inside / lengths, size)
