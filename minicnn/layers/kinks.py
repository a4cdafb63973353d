"""Where a layer stops being linear: its directional derivative, and the step to its nearest kink.

Rectifiers and max-pools are linear between kinks.  Along x + t v a rectifier's input x_i + t v_i reaches its kink
at 0 after |t| = |x_i / v_i|; in a pool tap j overtakes the maximum m after (x_m - x_j) / |v_j - v_m|.  All is
computed from the values alone: the masks and switches that the layers keep for their backward are not trusted
here, they are what is checked.

What a layer's kind does not tell is in ``piecewise``: a function of each value says its ``kinks``, other layers
are registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce, singledispatch
from math import inf, isfinite
from typing import Any, NamedTuple, Protocol

import numpy as np

from minicnn._utils.derivative import differentiate
from minicnn._utils.types import Shape
from minicnn.errors import MinicnnError
from minicnn.kernels import reference
from minicnn.kernels.reference.windows import Windows
from minicnn.layers import (
    AdaptiveMaxPool2d,
    Amax,
    Kind,
    Layer,
    LeakyReLU,
    MaxPool2d,
    Minimum,
    PReLU,
    ReLU,
    ReLU6,
    ZeroPad2d,
)
from minicnn.layers.resampling.padding import ValueBorder
from minicnn.layers.transforms.fuse import ConvReLU2d
from minicnn.layers.transforms.own import check_kinks, has_rule, is_own, says_kinks
from minicnn.layers.transforms.pack import Packed
from minicnn.shapes import adaptive_windows

__all__ = [
    "affine_piece",
    "clearance",
    "complex_step",
    "distance_to_kink",
    "linear_part",
    "parameter_tangent",
    "piecewise",
    "pool_gaps",
    "tangent",
]

TINY = 1e-30  # a complex step has no difference to cancel, so that it may be as small as numbers go


def linear_part(layer: Layer) -> Layer:
    """Return the linear part of an affine layer: A of y = A x + b."""
    if isinstance(layer, ValueBorder):
        return ZeroPad2d(layer.padding)
    zeros = {name: np.zeros_like(a) for name, a in layer.state().items() if name in ("bias", "running_mean")}
    return layer.with_state(zeros)


def complex_step(layer: Layer, x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Directional derivative of a smooth layer, Im f(x + i t v) / t: exact to rounding, no step to choose."""
    y, _ = layer.forward(x + 1j * TINY * v, reference)
    return y.imag / TINY


def tangent(layer: Layer, x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Directional derivative J v of a layer at x, from its forward pass alone; of one's own layer extrapolated.

    Raises
    ------
    MinicnnError
        If it is not known how this class of layer behaves.

    """
    if is_own(layer):
        size = (np.abs(x).max(initial=0.0) or 1.0) / (np.abs(v).max(initial=0.0) or 1.0)
        return differentiate(lambda t: layer.forward(x + t * v, reference)[0], size).value
    if layer.kind <= Kind.AFFINE:
        return linear_part(layer).forward(v, reference)[0]
    if layer.kind == Kind.SMOOTH:
        return complex_step(layer, x, v)
    return _rule(layer).tangent(x, v)


def parameter_tangent(layer: Layer, x: np.ndarray, moves: Mapping[str, np.ndarray]) -> np.ndarray | float:
    """Directional derivative of a layer's output along its parameters, in which the layer is linear.

    ``moves`` holds the directions by parameter; other names are ignored.
    """
    own = {name: a for name, a in moves.items() if name in layer.parameter_shapes()}
    if not own:
        return 0.0
    if isinstance(layer, PReLU):
        # on the side x <= 0 the output is w x = -w |x|, and its derivative along w has the direction's w
        return (x <= 0) * reference.prelu(-np.abs(x), own["weight"])[0]
    # y is linear in weight and bias together: what has no direction must be 0, not itself
    fixed = {name: np.zeros_like(a) for name, a in layer.state().items() if name in ("weight", "bias")}
    return layer.with_state(fixed | own).forward(x, reference)[0]


def affine_piece(layer: Layer, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Output at z of the affine function that a layer is around x: masks and switches stay those of x.

    Raises
    ------
    MinicnnError
        If the layer is nowhere affine.

    """
    if layer.kind <= Kind.AFFINE:
        return layer.forward(z, reference)[0]
    if is_own(layer) and not (says_kinks(layer) or has_rule(piecewise, layer)):
        return layer.forward(x, reference)[0] + tangent(layer, x, z - x)
    return _rule(layer).affine_piece(x, z)


def distance_to_kink(layer: Layer, x: np.ndarray, v: np.ndarray, ahead: bool = False) -> np.ndarray | float:
    """Step t along x + t v up to each output's nearest kink; infinity where there is none.

    Parameters
    ----------
    layer, x : a layer and its input
    v : array of the shape of x, the direction
    ahead : count steps t > 0 only, instead of both ways

    Returns
    -------
    t : array of the shape of y, >= 0, or infinity for a layer without kinks

    """
    return _rule(layer).distance_to_kink(x, v, ahead) if _has_kinks(layer) else inf


def clearance(layer: Layer, x: np.ndarray) -> np.ndarray | float:
    """How far each output's pre-activation is from a kink: |x|, or the gap between a window's two largest."""
    return _rule(layer).clearance(x) if _has_kinks(layer) else inf


def _has_kinks(layer: Layer) -> bool:
    """Return whether the layer has kinks, at places that can be told: ``piecewise`` knows them."""
    if is_own(layer) and not (says_kinks(layer) or has_rule(piecewise, layer)):
        return False
    return layer.kind in (Kind.PIECEWISE_LINEAR, Kind.NONLINEAR)


def _rule(layer: Layer) -> Piecewise:
    check_kinks(layer, repr(layer), piecewise)
    return piecewise(layer) if has_rule(piecewise, layer) else _Bent(layer)


def pool_gaps(layer: MaxPool2d | Packed, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each tap is below its window's maximum, and how fast it closes up; (R S, N, C, P, Q) both."""
    return _MaxJoin(layer).gaps(x, v) if isinstance(layer, Packed) else _MaxPool(layer).gaps(x, v)


class Piecewise(Protocol):
    """What is asked of a layer with kinks, at an input x; v and z have the shape of x."""

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Directional derivative J v; at a kink by the stated convention."""

    def affine_piece(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Output at z of the affine function around x; a layer curved between kinks raises MinicnnError."""

    def distance_to_kink(self, x: np.ndarray, v: np.ndarray, ahead: bool) -> np.ndarray:
        """Step t along x + t v to each output's nearest kink."""

    def clearance(self, x: np.ndarray) -> np.ndarray:
        """Distance of each output from its nearest kink, in units of x."""


class _Rectifier(NamedTuple):
    """y = x between 0 and the ceiling, negative_slope x below, the ceiling above.

    Attributes
    ----------
    negative_slope : float, or array of shape (C,)
    ceiling : float

    """

    negative_slope: float | np.ndarray = 0.0
    ceiling: float = inf

    @property
    def kinks(self) -> tuple[float, ...]:
        """Inputs at which the slope changes."""
        return (0, self.ceiling) if isfinite(self.ceiling) else (0,)

    def slope(self, x: np.ndarray) -> np.ndarray:
        """Return the derivative, each value on its own side; 0 at the ceiling, negative_slope at 0."""
        # (C, 1, ...), which broadcasts against (N, C, ...)
        below = np.reshape(self.negative_slope, (-1, *[1] * (x.ndim - 2)))
        return np.where(x < self.ceiling, np.where(x > 0, 1.0, below), 0.0)

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.slope(x) * v

    def affine_piece(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.where(x >= self.ceiling, self.ceiling, self.slope(x) * z)

    def distance_to_kink(self, x: np.ndarray, v: np.ndarray, ahead: bool) -> np.ndarray:
        return reduce(np.minimum, (_steps_to(kink, x, v, ahead) for kink in self.kinks))

    def clearance(self, x: np.ndarray) -> np.ndarray:
        return reduce(np.minimum, (np.abs(x - kink) for kink in self.kinks))


class _Bent(NamedTuple):
    """A function of each value that bends or jumps at some ``kinks``; curved in between or not."""

    layer: Any  # with ``kinks``

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        return tangent(self.layer, x, v) if is_own(self.layer) else complex_step(self.layer, x, v)

    def affine_piece(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        if self.layer.kind != Kind.PIECEWISE_LINEAR:
            raise MinicnnError(f"{self.layer!r} is curved between its kinks: it is nowhere affine")
        return self.layer.forward(x, reference)[0] + self.tangent(x, z - x)

    def distance_to_kink(self, x: np.ndarray, v: np.ndarray, ahead: bool) -> np.ndarray:
        steps = (_steps_to(kink, x, v, ahead) for kink in self.layer.kinks)
        return reduce(np.minimum, steps, np.full(x.shape, inf))

    def clearance(self, x: np.ndarray) -> np.ndarray:
        return reduce(np.minimum, (np.abs(x - kink) for kink in self.layer.kinks), np.full(x.shape, inf))


class _MaxPool(NamedTuple):
    """The largest tap of each window, the first of several in row order."""

    layer: Any  # a MaxPool2d, AdaptiveMaxPool2d or Amax

    def taps(self, x: np.ndarray, fill: float) -> np.ndarray:
        """Every window's taps in row order, (R S, N, C, P, Q)."""
        if isinstance(self.layer, MaxPool2d):
            windows = Windows.over(x.shape[2:], **self.layer.config())
            return np.stack([tap for _, _, tap in windows.taps(windows.pad(x, fill=fill))])
        if isinstance(self.layer, AdaptiveMaxPool2d):
            return _adaptive_taps(x, self.layer.output_shape(x.shape[1:])[1:], fill)
        axes = [axis + 1 for axis in self.layer.axes(x.shape[1:])]
        values = np.moveaxis(x, axes, range(len(axes)))
        return values.reshape(-1, len(x), *self.layer.output_shape(x.shape[1:]))

    def gaps(self, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # padding is -inf and never the maximum; it does not move either
        taps, moves = self.taps(x, -inf), self.taps(v, 0.0)
        # (1, N, C, P, Q): of equal taps the first in row order, as in the pool itself
        first = taps.argmax(axis=0)[None]
        with np.errstate(invalid="ignore"):  # a window of padding alone: inf - inf
            gaps = np.take_along_axis(taps, first, axis=0) - taps
        return gaps, moves - np.take_along_axis(moves, first, axis=0)

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        taps, moves = self.taps(x, -inf), self.taps(v, 0.0)
        return np.take_along_axis(moves, taps.argmax(axis=0)[None], axis=0)[0]

    def affine_piece(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        return self.tangent(x, z)

    def distance_to_kink(self, x: np.ndarray, v: np.ndarray, ahead: bool) -> np.ndarray:
        gaps, closing = self.gaps(x, v)
        return _divide(gaps, closing if ahead else np.abs(closing)).min(axis=0)

    def clearance(self, x: np.ndarray) -> np.ndarray:
        # along the axis of R S taps, the two largest last
        taps = np.sort(self.taps(x, -inf), axis=0)
        with np.errstate(invalid="ignore"):
            return taps[-1] - taps[-2] if len(taps) > 1 else np.full(taps.shape[1:], inf)


def _adaptive_taps(x: np.ndarray, out: Shape, fill: float) -> np.ndarray:
    """Return an adaptive pool's taps, (R S, N, C, P, Q), ``fill`` behind the end of shorter windows."""
    axes = [adaptive_windows(n, p) for n, p in zip(x.shape[2:], out, strict=True)]
    rows, columns = [np.arange(max(e - s for s, e in windows)) for windows in axes]
    (top, bottom), (left, right) = (np.array(windows).T for windows in axes)
    taps = []
    for r in rows:
        for s in columns:
            inside = (top + r < bottom)[:, None] & (left + s < right)
            tap = x[:, :, np.minimum(top + r, bottom - 1)[:, None], np.minimum(left + s, right - 1)]
            taps.append(np.where(inside, tap, fill))
    return np.stack(taps)


class _MaxJoin(_MaxPool):
    """The largest of several inputs, or the smallest: the taps are the inputs, for the smallest with a minus."""

    @property
    def sign(self) -> int:
        return -1 if isinstance(self.layer.join, Minimum) else 1

    def taps(self, x: np.ndarray, fill: float) -> np.ndarray:
        return self.sign * np.stack(np.broadcast_arrays(*self.layer.unpack(x)))

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.sign * super().tangent(x, v)


class _RectifiedConvolution(NamedTuple):
    """A convolution, perhaps its normalisation, and a rectifier, as one step of a compiled device."""

    layer: ConvReLU2d

    @property
    def rectifier(self) -> _Rectifier:
        return _Rectifier(ceiling=inf if self.layer.clip_max is None else self.layer.clip_max)

    def before(self, x: np.ndarray) -> np.ndarray:
        """Return the rectifier's input."""
        scale, shift = self.layer.scale_and_shift()
        y, _ = replace(self.layer.convolution, bias=False).forward(x, reference)
        y = y if scale is None else y * scale[:, None, None]
        return y if shift is None else y + shift[:, None, None]

    def before_linear(self, v: np.ndarray) -> np.ndarray:
        """Return the change of the rectifier's input for a change v of x."""
        # the shift is in both and cancels
        return self.before(v) - self.before(np.zeros_like(v))

    def tangent(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.rectifier.tangent(self.before(x), self.before_linear(v))

    def affine_piece(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        return self.rectifier.affine_piece(self.before(x), self.before(z))

    def distance_to_kink(self, x: np.ndarray, v: np.ndarray, ahead: bool) -> np.ndarray:
        return self.rectifier.distance_to_kink(self.before(x), self.before_linear(v), ahead)

    def clearance(self, x: np.ndarray) -> np.ndarray:
        return self.rectifier.clearance(self.before(x))


@singledispatch
def piecewise(layer: Layer) -> Piecewise:
    """Return what is known of a layer between its kinks: a function of each value, unless registered."""
    return _Bent(layer)


piecewise.register(ReLU, lambda layer: _Rectifier())
piecewise.register(ReLU6, lambda layer: _Rectifier(ceiling=6))
piecewise.register(LeakyReLU, lambda layer: _Rectifier(layer.negative_slope))
piecewise.register(PReLU, lambda layer: _Rectifier(layer.weight))
piecewise.register(MaxPool2d, _MaxPool)
piecewise.register(AdaptiveMaxPool2d, _MaxPool)
piecewise.register(Amax, _MaxPool)
piecewise.register(Packed, _MaxJoin)
piecewise.register(ConvReLU2d, _RectifiedConvolution)


def _steps_to(kink: float, x: np.ndarray, v: np.ndarray, ahead: bool) -> np.ndarray:
    """Return how many steps v take x to a kink; one that lies there already leaves it at once."""
    distance = x - kink
    # with ahead, the speed towards the kink, below 0 where x moves away
    closing = np.where(distance == 0, np.abs(v), -np.sign(distance) * v) if ahead else np.abs(v)
    return _divide(np.abs(distance), closing)


def _divide(distance: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Return distance / speed; infinity where nothing moves, a tie that stays one included."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(speed > 0, distance / speed, inf)
