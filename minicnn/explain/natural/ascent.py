"""Ascent of a class score, or of a unit, among pictures with the spectrum and the colours of photographs.

    maximise over z:  S_c(A x(z)) - T log sum_k exp(S_k(A x(z)) / T)

x(z) is the picture of ``Canvas``, each octave of z no stronger than in photographs; A turns, scales and shifts it
at random before each step, so that what is drawn does not hang on its place (Mordvintsev et al. 2015; Olah et al.
2017).  The second term holds down the classes that would rise with the first: without it SqueezeNet's lighthouse
is a flock of birds.  None of this is in the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minicnn._utils.types import Progress
from minicnn.errors import MinicnnError
from minicnn.explain.gradient_ascent import AscentResult
from minicnn.explain.natural.prior import Canvas
from minicnn.explain.natural.warp import Warp

__all__ = ["NaturalAscent", "natural_ascent"]

MOMENTUM = 0.9
START = 0.05  # of the photographs' contrast, in the noise from which the ascent starts
ValueAndGradient = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class NaturalAscent:
    """Settings of the ascent in the style of later work; no default depends on the network's units or size.

    Parameters
    ----------
    steps : int, at least 1
    step : float
        Root mean square of the first steps, where 1 is the contrast of photographs; from half way it falls to 0.
    temperature : float > 0
        T of the rivals' term; at 1 the objective is the log of the class's probability.
    contrast, colour : float > 0
        The largest power of each octave's luminance and colours, as a root, where photographs have 1.
    angle : float, 0 to 45 degrees, by which the picture is turned at most
    nearest, farthest : floats, the range of scales
    shift : float, 0 to 0.5, by which it is shifted at most, in parts of its size

    Raises
    ------
    MinicnnError
        If a number is out of range.

    Examples
    --------
    >>> NaturalAscent(steps=40).angle
    20.0

    """

    steps: int = 200
    step: float = 0.3
    temperature: float = 3.0
    contrast: float = 1.1
    colour: float = 2.0
    angle: float = 20.0
    nearest: float = 1.4
    farthest: float = 0.6
    shift: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        whole = isinstance(self.steps, int) and self.steps >= 1
        _check(whole, "steps", "a whole number >= 1")
        for name in ("step", "temperature", "contrast", "colour"):
            _check(0 < getattr(self, name) < np.inf, name, "a number > 0")
        _check(0 <= self.angle <= 45, "angle", "0 to 45 degrees")
        _check(
            0.1 <= self.farthest <= self.nearest <= 10, "farthest and nearest", "0.1 <= farthest <= nearest <= 10"
        )
        _check(0 <= self.shift <= 0.5, "shift", "0 to 0.5")

    def draw_warp(self, size: tuple[int, int], rng: np.random.Generator) -> Warp:
        """Return one way to look at a picture of (H, W) pixels."""
        scale = float(np.exp(rng.uniform(np.log(self.farthest), np.log(self.nearest))))
        angle = float(rng.uniform(-self.angle, self.angle))
        vertical, horizontal = rng.uniform(-self.shift, self.shift, 2)
        return Warp(size, angle, scale, (float(vertical * size[0]), float(horizontal * size[1])))


def _check(condition: bool, name: str, expected: str) -> None:
    if not condition:
        raise MinicnnError(f"NaturalAscent: {name}: expected {expected}")


def natural_ascent(
    value_and_gradient: ValueAndGradient,
    canvas: Canvas,
    settings: NaturalAscent,
    seed: int,
    progress: Progress = iter,
) -> AscentResult:
    """Return where the ascent ends, as an input that is the picture to the last of its 256 levels.

    Parameters
    ----------
    value_and_gradient : function of x (1, C, H, W), float32, that returns (float, array of that shape)
    canvas : Canvas
    settings : NaturalAscent
    seed : int, of the start and of how the picture is looked at
    progress : wraps the range of steps

    Returns
    -------
    result : AscentResult, its values and norms of the picture as it was looked at in each step, the last as it is

    Raises
    ------
    MinicnnError
        If the gradient vanishes at every step, or the value is no finite number.

    """
    rng, (_, height, width) = np.random.default_rng(seed), canvas.shape
    radii = np.full(canvas.shape[0], settings.colour)
    radii[0] = settings.contrast
    z = START * np.fft.rfft2(rng.standard_normal(canvas.shape)) / np.sqrt(np.prod(canvas.shape[1:]))
    velocity, values, norms = np.zeros_like(z), [], []
    for k in progress(range(settings.steps)):
        warp = settings.draw_warp((height, width), rng)
        value, dz = _value_and_gradient(value_and_gradient, canvas, z, warp)
        values.append(value)
        norms.append(canvas.norm(dz))
        # the direction alone counts, as in the paper's ascent; where there is none, momentum carries on
        direction = dz / norms[-1] if norms[-1] > 0 else np.zeros_like(dz)
        velocity = MOMENTUM * velocity + (1 - MOMENTUM) * direction
        z = canvas.limit(z + settings.step * min(1.0, 2 - 2 * k / settings.steps) * velocity, radii)
    if not any(norms):
        raise MinicnnError("the gradient vanishes at every step, so there is no direction of ascent")
    x, slope = canvas.to_input(canvas.to_plane(z))
    x = canvas.round(x)[None]
    value, dx = value_and_gradient(x)
    norm = canvas.norm(canvas.to_plane_adjoint(slope * dx[0]))
    return AscentResult(x, [*values, value], [*norms, norm], "steps done")


def _value_and_gradient(
    value_and_gradient: ValueAndGradient, canvas: Canvas, z: np.ndarray, warp: Warp
) -> tuple[float, np.ndarray]:
    """Return the value of the picture z as the warp shows it, and the gradient with respect to z."""
    x, slope = canvas.to_input(warp.apply(canvas.to_plane(z)))
    value, dx = value_and_gradient(x.astype(np.float32)[None])
    if not np.isfinite(value) or not np.isfinite(dx).all():
        raise MinicnnError(f"the score is {value} or its gradient is no finite number; is the network broken?")
    return value, canvas.to_plane_adjoint(warp.adjoint(slope * dx[0]))
