"""Means and sums over axes, and over the unequal windows of adaptive pools."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.kernels.reference.axis_taps import AxisTaps
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Rng, Shape, check_maps
from minicnn.layers.resampling.base import Resample, Taps, check_length
from minicnn.layers.resampling.selection import image_axis
from minicnn.rules import GRADIENT, Rule
from minicnn.shapes import adaptive_windows

__all__ = ["AdaptiveAvgPool2d", "Mean", "Sum", "adaptive_size", "reduced_axes", "reduced_dims", "reduced_shape"]


def reduced_dims(layer: Any) -> None:
    """Keep a layer's ``dim`` as several whole numbers."""
    dims = (layer.dim,) if isinstance(layer.dim, int) else layer.dim
    if not isinstance(dims, tuple | list) or not all(isinstance(d, int) for d in dims):
        raise ShapeError(f"{type(layer).__name__}: dim: expected whole numbers, got {layer.dim!r}")
    object.__setattr__(layer, "dim", tuple(dims))


def reduced_axes(layer: str, dim: Any, shape: Shape) -> tuple[int, ...]:
    """Return the axes of an image that ``dim`` means, a number or several, 0 the first."""
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    axes = {image_axis(layer, d, len(shape)) for d in dims}
    if len(axes) != len(dims) or not axes:
        raise ShapeError(f"{layer}: dim: expected different axes, got {dim!r}")
    return tuple(sorted(axes))


@dataclass(frozen=True, eq=False, repr=False)
class _Reduction(Resample):
    """A weighted sum over axes, which stay with length 1 or go."""

    dim: Any  # given as a number or several, kept as several
    keepdim: bool = False

    def __post_init__(self) -> None:
        reduced_dims(self)

    def _weight(self, size: int) -> float:
        raise NotImplementedError

    def taps(self, shape: Shape) -> Taps:
        axes = reduced_axes(type(self).__name__, self.dim, shape)
        return tuple(_uniform_taps(n, self._weight(n)) if axis in axes else None for axis, n in enumerate(shape))

    def output_shape(self, shape: Shape) -> Shape:
        return reduced_shape(type(self).__name__, self.dim, self.keepdim, shape)

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        y, shape = super().forward(x, kernels, keep, rng)
        return kernels.reshape(y, self.output_shape(shape)), shape

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        dy = kernels.reshape(dy, reduced_shape(type(self).__name__, self.dim, True, saved))
        return super().backward(dy, saved, kernels, rule, weights)


def reduced_shape(layer: str, dim: Any, keepdim: bool, shape: Shape) -> Shape:
    """Return what is left of ``shape`` once the axes ``dim`` are reduced."""
    axes = reduced_axes(layer, dim, shape)
    if not keepdim and len(axes) == len(shape):
        raise ShapeError(f"{layer}: over all axes of {shape} leaves no axis for an image; use keepdim=True")
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape) if keepdim or axis not in axes)


@dataclass(frozen=True, eq=False, repr=False)
class Mean(_Reduction, capturable=True):
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
class Sum(_Reduction, capturable=True):
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


def adaptive_size(layer: Any) -> None:
    """Keep an adaptive pool's output size as a pair of numbers, None where it is the input's."""
    size = layer.output_size
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2 or not all(n is None or (isinstance(n, int) and n >= 1) for n in pair):
        raise ShapeError(f"{type(layer).__name__}: output_size: expected one or two numbers >= 1, got {size!r}")
    object.__setattr__(layer, "output_size", pair)


@dataclass(frozen=True, eq=False, repr=False)
class AdaptiveAvgPool2d(Resample, capturable=True):
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

    output_size: Any  # given as a number or two, kept as two

    def __post_init__(self) -> None:
        adaptive_size(self)

    def taps(self, shape: Shape) -> Taps:
        sizes = check_maps(shape, "AdaptiveAvgPool2d")[1:]
        return None, *(
            None if out in (None, n) else _window_means(n, out)
            for n, out in zip(sizes, self.output_size, strict=True)
        )


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
