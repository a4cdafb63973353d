"""Where a network stops being linear: directional derivatives, and the step to the nearest kink.

Rectifiers and max-pools are linear between kinks.  Along x + t v a rectifier's input x_i + t v_i reaches its kink
at 0 after |t| = |x_i / v_i|; in a pool tap j overtakes the maximum m after (x_m - x_j) / |v_j - v_m|.  The
directional derivatives v are carried forward layer by layer (forward mode), from the values alone: the masks and
switches that the layers keep for their backward are not trusted here, they are what is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.kernels import reference
from minicnn.kernels.reference.windows import Windows
from minicnn.layers import (
    Keep,
    Kind,
    Layer,
    LeakyReLU,
    MaxPool2d,
    PReLU,
    ReLU,
    ReLU6,
    sequence,
)
from minicnn.layers.transforms.fuse import ConvReLU2d

__all__ = [
    "affine_piece",
    "around",
    "clearance",
    "complex_step",
    "parameter_tangent",
    "rivals",
    "room",
    "tangent",
    "without_constant",
]

RECTIFIERS = (ReLU, ReLU6, LeakyReLU, PReLU)
TINY = 1e-30  # a complex step has no difference to cancel, so that it may be as small as numbers go


def without_constant(layer: Layer) -> Layer:
    """Return the linear part of an affine layer: A of y = A x + b."""
    zeros = {name: np.zeros_like(a) for name, a in layer.state().items() if name in ("bias", "running_mean")}
    return layer.with_state(zeros)


def complex_step(layer: Layer, x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Directional derivative of a smooth layer, Im f(x + i t v) / t: exact to rounding, no step to choose."""
    y, _ = layer.forward(x + 1j * TINY * v, reference)
    return y.imag / TINY


def tangent(layer: Layer, x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Directional derivative J v of a layer at x, from its forward pass alone.

    Raises
    ------
    MinicnnError
        If it is not known how this class of layer behaves.

    """
    if layer.kind <= Kind.AFFINE:
        return without_constant(layer).forward(v, reference)[0]
    if layer.kind is Kind.SMOOTH:
        return complex_step(layer, x, v)
    if isinstance(layer, RECTIFIERS):
        return _slope(layer, x) * v
    if isinstance(layer, MaxPool2d):
        taps, moves = _taps(layer, x, -np.inf), _taps(layer, v, 0.0)
        return np.take_along_axis(moves, taps.argmax(axis=0)[None], axis=0)[0]
    if isinstance(layer, ConvReLU2d):
        before, rectifier = _halves(layer)
        return _slope(rectifier, before(x)) * (before(v) - before(np.zeros_like(v)))
    raise MinicnnError(f"verify: no rule for {type(layer).__name__}; add it to minicnn/verify/kinks.py")


def parameter_tangent(layer: Layer, x: np.ndarray, moves: Mapping[str, np.ndarray]) -> np.ndarray | float:
    """Directional derivative of a layer's output along its parameters: the layer is linear in them."""
    own = {name: a for name, a in moves.items() if name in layer.parameter_shapes()}
    if not own:
        return 0.0
    if isinstance(layer, PReLU):
        return (x <= 0) * reference.prelu(-np.abs(x), own["weight"])[0]
    still = {name: np.zeros_like(a) for name, a in layer.state().items() if name in ("weight", "bias")}
    return layer.with_state(still | own).forward(x, reference)[0]


def affine_piece(layer: Layer, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Output at z of the affine function that a layer is around x: masks and switches stay those of x.

    Raises
    ------
    MinicnnError
        If the layer is nowhere affine.

    """
    if layer.kind <= Kind.AFFINE:
        return layer.forward(z, reference)[0]
    if isinstance(layer, ReLU6):
        return np.where(x >= 6, 6.0, _slope(layer, x) * z)
    if isinstance(layer, RECTIFIERS):
        return _slope(layer, x) * z
    if isinstance(layer, MaxPool2d):
        return tangent(layer, x, z)
    raise MinicnnError(f"verify: {type(layer).__name__} is not affine between kinks")


def room(layer: Layer, x: np.ndarray, v: np.ndarray, ahead: bool = False) -> np.ndarray | float:
    """Step t along x + t v up to each output's nearest kink; infinity where there is none.

    Parameters
    ----------
    layer, x : as the layer meets it
    v : array of the shape of x, the direction
    ahead : count steps t > 0 only, instead of both ways

    Returns
    -------
    t : array of the shape of y, >= 0, or infinity for a layer without kinks

    """
    if isinstance(layer, ConvReLU2d):
        before, rectifier = _halves(layer)
        return room(rectifier, before(x), before(v) - before(np.zeros_like(v)), ahead)
    if isinstance(layer, ReLU6):
        return np.minimum(_steps_to(x, v, 0, ahead), _steps_to(x, v, 6, ahead))
    if isinstance(layer, RECTIFIERS):
        return _steps_to(x, v, 0, ahead)
    if not isinstance(layer, MaxPool2d):
        return np.inf
    gaps, closing = rivals(layer, x, v)
    return _quotient(gaps, closing if ahead else np.abs(closing)).min(axis=0)


def rivals(layer: MaxPool2d, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each tap is below its window's maximum, and how fast it closes up; (R S, N, C, P, Q) both."""
    taps, moves = _taps(layer, x, -np.inf), _taps(layer, v, 0.0)
    first = taps.argmax(axis=0)[None]
    with np.errstate(invalid="ignore"):  # a window on padding alone
        gaps = np.take_along_axis(taps, first, axis=0) - taps
    return gaps, moves - np.take_along_axis(moves, first, axis=0)


def clearance(layer: Layer, x: np.ndarray) -> np.ndarray | float:
    """How far each output's pre-activation is from a kink: |x|, or the gap between a window's two largest."""
    if isinstance(layer, ConvReLU2d):
        before, rectifier = _halves(layer)
        return clearance(rectifier, before(x))
    if isinstance(layer, ReLU6):
        return np.minimum(np.abs(x), np.abs(x - 6))
    if isinstance(layer, RECTIFIERS):
        return np.abs(x)
    if not isinstance(layer, MaxPool2d):
        return np.inf
    taps = np.sort(_taps(layer, x, -np.inf), axis=0)
    with np.errstate(invalid="ignore"):
        return taps[-1] - taps[-2] if len(taps) > 1 else np.full(taps.shape[1:], np.inf)


def _slope(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Return a rectifier's derivative, each value on its own side; at a kink the stated convention."""
    if isinstance(layer, ReLU6):
        return np.where(x > 0, np.where(x < 6, 1.0, 0.0), 0.0)
    if isinstance(layer, LeakyReLU):
        return np.where(x > 0, 1.0, layer.negative_slope)
    if isinstance(layer, PReLU):
        return np.where(x > 0, 1.0, layer.weight.reshape(-1, *[1] * (x.ndim - 2)))
    return np.where(x > 0, 1.0, 0.0)


def _steps_to(x, v, kink, ahead):
    """Return how many steps v take x to a kink; one that lies there already leaves it at once."""
    distance = x - kink
    closing = np.where(distance == 0, np.abs(v), -np.sign(distance) * v) if ahead else np.abs(v)
    return _quotient(np.abs(distance), closing)


def _quotient(distance, speed):
    """Return distance / speed; infinity where nothing moves, a tie that stays one included."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(speed > 0, distance / speed, np.inf)


def _taps(layer: MaxPool2d, x: np.ndarray, fill: float) -> np.ndarray:
    """Every window's taps in row order, (R S, N, C, P, Q)."""
    geometry = layer.config()
    windows = Windows.over(x.shape[2:], **geometry)
    return np.stack([tap for _, _, tap in windows.taps(windows.pad(x, fill=fill))])


def _halves(layer: ConvReLU2d):
    """Return a rectified convolution in two: what comes before the rectifier, and the rectifier."""
    scale, shift = layer._scale_and_shift()

    def before(x):
        y, _ = replace(layer.convolution, bias=False).forward(x, reference)
        y = y if scale is None else y * scale[:, None, None]
        return y if shift is None else y + shift[:, None, None]

    return before, ReLU() if layer.clip_max is None else ReLU6()


@dataclass
class Around:
    """What a forward pass in both modes saw: steps to kinks and tangents by layer, and whether one is smooth."""

    rooms: dict[str, np.ndarray | float] = field(default_factory=dict)
    tangents: dict[str, np.ndarray] = field(default_factory=dict)
    smooth: bool = False
    ahead: bool = False

    def all_steps(self) -> np.ndarray:
        """Return the steps of all units that can have a kink, in one array."""
        return np.concatenate([np.ravel(t) for t in self.rooms.values() if not np.isscalar(t)] or [np.empty(0)])

    def nearest(self) -> float:
        """Return the step to the nearest kink of all.

        A unit with no influence counts too: when it crosses its kink it may become the maximum of a pool.
        """
        return float(self.all_steps().min(initial=np.inf))


@dataclass(frozen=True, eq=False, repr=False)
class Tangent(Layer):
    """A layer on pairs (x, v), stacked along the batch axis, so that blocks carry tangents without knowing."""

    layer: Layer
    name: str
    seen: Around
    moves: Mapping[str, np.ndarray]

    def forward(self, xv, kernels, keep=Keep.NOTHING, rng=None):
        """Return (y, J v + the parameters' share), and note the step to the nearest kink."""
        x, v = np.split(xv, 2)
        own = {
            name.rpartition(".")[2]: a for name, a in self.moves.items() if name.rpartition(".")[0] == self.name
        }
        self.seen.rooms[self.name] = room(self.layer, x, v, self.seen.ahead)
        self.seen.tangents[self.name] = v
        self.seen.smooth |= self.layer.kind is Kind.SMOOTH
        w = tangent(self.layer, x, v) + parameter_tangent(self.layer, x, own)
        y, _ = self.layer.forward(x, kernels)
        return np.concatenate([y, w]), None


def around(
    layers: sequence.NamedLayers,
    x: np.ndarray,
    v: np.ndarray,
    moves: Mapping[str, np.ndarray] | None = None,
    ahead: bool = False,
) -> tuple[np.ndarray, np.ndarray, Around]:
    """Return a chain's output at x, its directional derivative along v, and the kinks along the way.

    ``moves`` gives the direction of parameters too, by dotted name; ``ahead`` counts kinks at t > 0 only.
    """
    seen = Around(ahead=ahead)
    both = sequence.map_layers(layers, lambda name, layer: Tangent(layer, name, seen, moves or {}))
    yw, _ = sequence.forward(both, np.concatenate([x, v]), reference)
    y, w = np.split(yw, 2)
    return y, w, seen
