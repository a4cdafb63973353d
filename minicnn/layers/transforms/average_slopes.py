"""Layers that differentiate along a line: backward through the slopes that a segment has on average.

A batch holds the points of a line, in order; its images n and n + 1 are the ends of segment n.  Between two points
the input of a rectifier, taken as moving evenly from one value to the other, lies on each side of a kink for a
share of the way that is known exactly, and so is the share of the way for which each tap of a pool's window is the
largest.  With these shares as slopes the change of every layer's output is J (x_{n+1} - x_n) exactly, so that the
gradient of a whole network, times the segment, adds up to the change of the score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from math import inf
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from minicnn.kernels.reference.windows import Windows
from minicnn.layers import (
    Kind,
    Layer,
    LeakyReLU,
    MaxPool2d,
    PReLU,
    ReLU,
    ReLU6,
    sequence,
)
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Rng
from minicnn.layers.kinks import tangent
from minicnn.layers.transforms.own import check_kinks, has_rule
from minicnn.layers.transforms.pack import with_one_input
from minicnn.rules import GRADIENT, Rule

__all__ = ["AverageSlope", "Kinks", "average_slope", "average_slopes", "share_below", "shares_of_largest"]


class Kinks(NamedTuple):
    """Kinks on segments: for each of M the segment's number, and where on it the kink is, 0 to 1; (M,) both."""

    segment: np.ndarray
    position: np.ndarray


class AverageSlope(Protocol):
    """The derivative of a layer, on average along N segments."""

    @property
    def kinks(self) -> Kinks:
        """The kinks that the segments cross."""

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Gradient with respect to the input, for dy of N outputs."""


RecordKinks: TypeAlias = Callable[[Kinks], object]  # is handed the kinks of one layer


def average_slopes(layers: sequence.NamedLayers, record_kinks: RecordKinks) -> sequence.NamedLayers:
    """Return layers whose backward, of image n, goes through the average slopes between images n and n + 1.

    Forward they are the same.  The last image has no next one, and its gradient is zero.

    Parameters
    ----------
    layers : linear between kinks, as ``minicnn.network.linear_piece.piecewise_linear_layers`` checks
    record_kinks : called by each layer that has kinks, with its own on the segments

    Raises
    ------
    MinicnnError
        If it is not known where a layer bends.

    Examples
    --------
    >>> from minicnn.kernels import reference
    >>> steps = average_slopes(sequence.name_layers([ReLU()]), lambda kinks: print(*kinks))
    >>> _, tape = sequence.forward(steps, np.array([[-1.0], [3.0], [4.0]]), reference)
    [0] [0.25]
    >>> sequence.backward(steps, np.ones((3, 1)), tape, reference)[0].tolist()
    [[0.75], [1.0], [0.0]]

    """

    def averaged(name: str, layer: Layer) -> Layer:
        if layer.kind <= Kind.AFFINE:
            return layer
        check_kinks(layer, f"layer {name!r}", average_slope)
        return _Averaged(layer, record_kinks)

    return sequence.map_layers(layers, averaged)


@dataclass(frozen=True, eq=False, repr=False)
class _Averaged(Layer):
    """A layer with kinks, on the points of a line."""

    layer: Layer
    record_kinks: RecordKinks

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        layer, x = with_one_input(self.layer, x)
        y, _ = layer.forward(x, kernels)
        rule = average_slope if has_rule(average_slope, layer) else _average_lines
        average = rule(layer, x[:-1], x[1:])
        self.record_kinks(average.kinks)
        return y, average

    def backward(
        self, dy: np.ndarray, saved: AverageSlope, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        dx = saved.backward(dy[:-1])
        return np.concatenate([dx, np.zeros_like(dx[:1])]), {}


@singledispatch
def average_slope(layer: Layer, a: np.ndarray, b: np.ndarray) -> AverageSlope:
    """Return the derivative of a layer with kinks, on average along segments from inputs a to b, both (N, ...).

    A class that is not registered has ``kinks``, as ``average_slopes`` checks.
    """
    return _average_lines(layer, a, b)


class _RectifierSlope(NamedTuple):
    """Slopes of the shape of the input, and the kinks on the segments."""

    slope: np.ndarray
    kinks: Kinks

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return self.slope * dy


def _average_rectifier(
    a: np.ndarray, b: np.ndarray, negative_slope: float | np.ndarray = 0.0, ceiling: float = inf
) -> AverageSlope:
    """Average slope of y = x between 0 and the ceiling, negative_slope x below, the ceiling above."""
    below = np.reshape(negative_slope, (-1, *[1] * (a.ndim - 2)))  # (C, 1, ...), broadcasts against (N, C, ...)
    below_zero, kinks = share_below(0.0, a, b)
    slope = below * below_zero + (1.0 - below_zero)
    if ceiling < inf:
        below_ceiling, others = share_below(ceiling, a, b)
        slope -= 1.0 - below_ceiling
        kinks = Kinks(*map(np.concatenate, zip(kinks, others, strict=True)))
    return _RectifierSlope(slope, kinks)


average_slope.register(ReLU, lambda layer, a, b: _average_rectifier(a, b))
average_slope.register(ReLU6, lambda layer, a, b: _average_rectifier(a, b, ceiling=6.0))
average_slope.register(LeakyReLU, lambda layer, a, b: _average_rectifier(a, b, layer.negative_slope))
average_slope.register(PReLU, lambda layer, a, b: _average_rectifier(a, b, layer.weight))


def _average_lines(layer: Any, a: np.ndarray, b: np.ndarray) -> AverageSlope:
    """Average slope of a function made of lines between its kinks."""
    ends = np.array(layer.kinks, a.dtype)
    # a point on each line: before the first kink, between two, behind the last
    points = np.concatenate([ends[:1] - 1, (ends[:-1] + ends[1:]) / 2, ends[-1:] + 1])
    slopes = tangent(layer, points[None], np.ones_like(points[None]))[0]
    slope, kinks = np.full_like(a, slopes[-1]), []
    for kink, step in zip(ends, slopes[:-1] - slopes[1:], strict=True):
        below, crossed = share_below(kink, a, b)
        slope += step * below
        kinks.append(crossed)
    return _RectifierSlope(slope, Kinks(*map(np.concatenate, zip(*kinks, strict=True))))


class _PoolSlope(NamedTuple):
    """The share of each segment for which each tap is the largest, (R S, N, C, P, Q), and the changes between."""

    windows: Windows
    shares: np.ndarray
    kinks: Kinks

    def backward(self, dy: np.ndarray) -> np.ndarray:
        padded = np.zeros(dy.shape[:2] + self.windows.padded_size)
        for (_, _, tap), share in zip(self.windows.taps(padded), self.shares, strict=True):
            tap += share * dy
        return self.windows.crop(padded)


@average_slope.register(MaxPool2d)
def _average_pool(layer: MaxPool2d, a: np.ndarray, b: np.ndarray) -> AverageSlope:
    windows = Windows.over(a.shape[2:], **layer.config())
    # padding is -inf and never the largest; the sums of shares_of_largest need a number
    low = np.finfo(a.dtype).min / 4
    ends = (np.stack([tap for *_, tap in windows.taps(windows.pad(x, fill=low))]) for x in (a, b))
    return _PoolSlope(windows, *shares_of_largest(*ends))


def share_below(kink: float, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Kinks]:
    """Share of the way from a to b that lies below a kink, and where the kink is crossed.

    Parameters
    ----------
    kink : float
    a, b : float arrays of shape (N, ...); a value on the kink counts as below

    Returns
    -------
    share : array of that shape, 0 to 1
    kinks : Kinks, of the N segments

    Examples
    --------
    >>> share, kinks = share_below(6.0, np.array([0.0, 7.0, 9.0]), np.array([5.0, 9.0, 5.0]))
    >>> share.tolist(), kinks.segment.tolist(), kinks.position.tolist()
    ([1.0, 0.0, 0.25], [2], [0.75])

    """
    below = a <= kink
    crossed = below != (b <= kink)
    share = below.astype(a.dtype)
    # few cross on a short segment; a and b are on two sides there, so that nothing cancels in b - a
    start, end = a[crossed], b[crossed]
    position = (kink - start) / (end - start)
    share[crossed] = np.where(start <= kink, position, 1.0 - position)
    return share, Kinks(np.nonzero(crossed)[0], position)


def shares_of_largest(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Kinks]:
    """Share of the way for which each of T values, moving evenly from a to b, is the largest.

    Parameters
    ----------
    a, b : arrays of shape (T, N, ...); of equal values that stay equal the first is the largest

    Returns
    -------
    shares : array of that shape, adding up to 1 along the first axis
    kinks : Kinks, where another becomes the largest, of the N segments

    Examples
    --------
    >>> shares, kinks = shares_of_largest(np.array([[0.0], [1.0], [0.2]]), np.array([[4.0], [1.0], [0.2]]))
    >>> shares[:, 0].tolist(), kinks.position.tolist()
    ([0.75, 0.25, 0.0], [0.25])

    """
    shares = np.zeros(a.shape, a.dtype)
    first, last = a.argmax(axis=0)[None], b.argmax(axis=0)[None]
    np.put_along_axis(shares, first, 1.0, axis=0)
    # a tap that leads at both ends leads all the way, lines being straight; only the others are worth the work
    moving = (first != last)[0]
    shares[:, moving], start = _shares_of_lines(a[:, moving], b[:, moving])
    later = shares[:, moving] > 0
    np.put_along_axis(later, first[:, moving], False, axis=0)
    segment = np.broadcast_to(np.nonzero(moving)[0], later.shape)
    return shares, Kinks(segment[later], start[later])


def _shares_of_lines(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return shares (T, M), and from where on each leads: where it overtakes the last, until it is overtaken."""
    start, end = np.zeros(a.shape, a.dtype), np.ones(a.shape, a.dtype)
    for i in range(len(a)):
        for j in range(i + 1, len(a)):
            behind, gains = a[i] - a[j], (b[j] - a[j]) - (b[i] - a[i])
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                meet = np.clip(behind / gains, 0.0, 1.0)
            # j gains on i: before they meet i leads, after it j; and the other way round
            up, down, level = gains > 0, gains < 0, gains == 0
            end[i][up], start[j][up] = np.minimum(end[i], meet)[up], np.maximum(start[j], meet)[up]
            end[j][down], start[i][down] = np.minimum(end[j], meet)[down], np.maximum(start[i], meet)[down]
            end[i][level & (behind < 0)] = end[j][level & (behind >= 0)] = -1.0
    shares = np.maximum(end - start, 0.0)
    return shares / shares.sum(axis=0), start
