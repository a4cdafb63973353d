"""Gradient ascent on an input, with the regularisers that people put on it.

The paper has one, lambda ||I||^2.  The others are off unless asked for: the ball is Le et al.'s (2012), random
starts are Erhan et al.'s (2009); clipping, blur, total variation, jitter and going from coarse to fine are later
inventions (Yosinski et al. 2015; Mahendran, Vedaldi 2015; Mordvintsev et al. 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minicnn._utils.types import Progress
from minicnn.errors import MinicnnError
from minicnn.images.gaussian_blur import gaussian_blur

__all__ = ["LAMBDA", "NOT_IN_PAPER", "Ascent", "AscentResult", "Objective", "gradient_ascent"]

LAMBDA = 1.4  # of an image with one input value; see Ascent
STEP, RADIUS, START = (
    0.05,
    10.0,
    0.1,
)  # in units of the input, see ``images.input_range``; START is of random images
NOT_IN_PAPER = ("clip", "jitter", "blur", "total_variation", "levels")  # settings that later work has added


@dataclass(frozen=True)
class Ascent:
    """Settings of gradient ascent; the defaults are the paper's where it speaks.

    Parameters
    ----------
    steps : int, at least 1
    step : float; None for 0.05 u
        Root mean square of the first step, in input units; it falls to 0 linearly.  The direction alone comes
        from the gradient, so that one setting serves nets whose gradients differ by orders of magnitude.
    l2 : float, lambda of the penalty lambda ||I||^2; None for 1.4 / sqrt(C H W) / u^2
        Where the ascent ends, 2 lambda ||I|| is the gradient's norm, so that this lambda gives images of the same
        contrast whatever their size.
    radius : float, of the ball that ``constraint="l2_ball"`` keeps to; None for 10 u
    jitter : int, pixels by which the image is shifted at random before each step.  Later than the paper.
    blur : float, sigma in pixels of a Gaussian applied to the image every tenth step; 0 for none.  Later.
    total_variation : float, weight of the sum of squared differences between neighbours.  Later.
    clip : bool, keep to values between black and white.  Later.
    levels : int, 1 to 12; ascend first on images of 1 / 2^(levels - 1), ..., 1/2 of the size, enlarged bilinearly.
        Later.
    restarts : int, further ascents from random images of deviation 0.1 u; the best counts.  Erhan et al.'s

    Notes
    -----
    u is the unit of the network's inputs, ``minicnn.images.input_range.input_unit``: 1 where they have a deviation
    of 1, 78 where they go from 0 to 255.  A network that is fed I = u J has in J the objective
    S(u J) - lambda u^2 ||J||^2: for the same pictures steps are u times as long, and lambda u^2 times smaller.

    Raises
    ------
    MinicnnError
        If a number is out of range.

    Examples
    --------
    >>> settings = Ascent(steps=50, jitter=2)
    >>> settings.non_paper_settings()
    {'jitter': 2}
    >>> round(settings.in_units((1, 28, 28), unit=1.0).l2, 3)
    0.05
    >>> Ascent().in_units((3, 224, 224), unit=80.0).step
    4.0

    """

    steps: int = 200
    step: float | None = None
    l2: float | None = None
    radius: float | None = None
    jitter: int = 0
    blur: float = 0.0
    total_variation: float = 0.0
    clip: bool = False
    levels: int = 1
    restarts: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        for name, minimum in (("steps", 1), ("levels", 1), ("jitter", 0), ("restarts", 0)):
            value = getattr(self, name)
            _check(isinstance(value, int) and value >= minimum, name, f"a whole number >= {minimum}")
        for name in ("l2", "blur", "total_variation"):
            value = getattr(self, name)
            _check((name == "l2" and value is None) or 0 <= value < np.inf, name, "a number >= 0")
        _check(self.levels <= 12, "levels", "at most 12")
        _check(self.blur <= 1000, "blur", "at most 1000 pixels")
        for name in ("step", "radius"):
            value = getattr(self, name)
            _check(value is None or 0 < value < np.inf, name, "a number > 0")

    def non_paper_settings(self) -> dict[str, Any]:
        """Return the settings in use that the paper does not have, by name."""
        return {name: getattr(self, name) for name in NOT_IN_PAPER if getattr(self, name) != getattr(Ascent, name)}

    def in_units(self, shape: Sequence[int], unit: float) -> Ascent:
        """Return the same with numbers for what is None, for inputs of that shape, (C, H, W), and unit."""
        return replace(
            self,
            step=STEP * unit if self.step is None else self.step,
            l2=LAMBDA / float(np.sqrt(np.prod(shape))) / unit**2 if self.l2 is None else self.l2,
            radius=RADIUS * unit if self.radius is None else self.radius,
        )


def _check(condition: bool, name: str, expected: str) -> None:
    if not condition:
        raise MinicnnError(f"Ascent: {name}: expected {expected}")


class Objective(NamedTuple):
    """What is maximised.

    Attributes
    ----------
    value_and_gradient : function of x (1, C, H, W) that returns (float, array of that shape)
    zero : the zero image, where the ascent starts
    limits : arrays of the image's shape for black and white, or None where nobody says what these are
    ball : bool, whether the norm is bounded instead of penalised
    unit : float, by how much inputs vary: what random starts are measured in

    """

    value_and_gradient: Callable[[np.ndarray], tuple[float, np.ndarray]]
    zero: np.ndarray
    limits: tuple[np.ndarray, np.ndarray] | None = None
    ball: bool = False
    unit: float = 1.0


class AscentResult(NamedTuple):
    """Where an ascent ended.

    Attributes
    ----------
    x : float32 array of shape (1, C, H, W)
    values : floats, the maximised value before each step and after the last
    gradient_norms : floats, the norm of its gradient at the same places
    stopped : str, "steps done", or why it ended earlier

    """

    x: np.ndarray
    values: list[float]
    gradient_norms: list[float]
    stopped: str


def gradient_ascent(objective: Objective, settings: Ascent, seed: int, progress: Progress = iter) -> AscentResult:
    """Return the best of the ascents from the zero image and from random ones.

    Parameters
    ----------
    objective : Objective
    settings : Ascent, without None
    seed : int, of jitter and random starts
    progress : wraps each ascent's range of steps

    Raises
    ------
    MinicnnError
        If the gradient vanishes at the start, the score or its gradient is no finite number, or clipping is asked
        for and there are no limits.

    """
    if settings.clip and objective.limits is None:
        raise MinicnnError("clip: this network has no preprocessing that says what black and white are")
    # the zero image comes first, so that of equally good ends the paper's own is chosen
    rng, zero = np.random.default_rng(seed), objective.zero
    starts = [zero] + [
        rng.normal(0, START * objective.unit, zero.shape).astype(zero.dtype) for _ in range(settings.restarts)
    ]
    results = [_ascend(objective, start, settings, rng, progress) for start in starts]
    # no ascent has left its start
    if all(result.values[-1] == result.values[0] and result.gradient_norms[0] == 0 for result in results):
        raise MinicnnError(
            "the gradient vanishes at the zero image, so there is no direction of ascent; restarts=3 tries random "
            "images"
        )
    # ascents are ranked by what they maximise, S - lambda ||I||^2; scores alone would favour the larger image
    penalty = 0.0 if objective.ball else _number(settings.l2)
    return max(results, key=lambda result: result.values[-1] - penalty * _norm(result.x) ** 2)


def _ascend(
    objective: Objective, start: np.ndarray, settings: Ascent, rng: np.random.Generator, progress: Progress
) -> AscentResult:
    """Ascend from one image: coarse levels first, each with its share of the steps."""
    values: list[float] = []
    norms: list[float] = []
    # each level gets a run of consecutive steps; k counts on through all levels, and the step length falls with it
    x, shares = start, np.array_split(np.arange(settings.steps), settings.levels)
    steps = iter(progress(range(settings.steps)))
    for level, share in zip(range(settings.levels - 1, -1, -1), shares, strict=True):
        # the ascent moves the small image, of 1 / 2^level of the size; the network sees it enlarged
        up = _enlargement(start.shape[2:], 2**level)
        small = _shrink(x, up)
        for k in share:
            next(steps, None)
            shift = tuple(rng.integers(-settings.jitter, settings.jitter + 1, 2)) if settings.jitter else (0, 0)
            x = np.roll(_enlarge(small, up), shift, (2, 3))
            value, gradient = objective.value_and_gradient(x)
            values.append(value)
            norms.append(_finite_norm(value, gradient, k))
            # back through the shift and the enlargement, by the adjoint of each in reverse order
            gradient = _enlarge_input_grad(np.roll(gradient, (-shift[0], -shift[1]), (2, 3)), up)
            # without a gradient all further steps would only follow the regularisers
            if norms[-1] == 0:
                return AscentResult(_enlarge(small, up), values, norms, f"the gradient vanished at step {k}")
            small = _step(small, gradient, k, objective, settings, up)
        x = _enlarge(small, up)
    for _ in steps:  # so that a progress bar sees its end
        pass
    value, gradient = objective.value_and_gradient(x)
    norm = _finite_norm(value, gradient, settings.steps)
    return AscentResult(x, [*values, value], [*norms, norm], "steps done")


def _number(value: float | None) -> float:
    """Return a setting that ``in_units`` has made a number."""
    assert value is not None
    return value


def _norm(x: np.ndarray) -> float:
    """Euclidean norm, summed in float64 and in one order, whatever the number of threads."""
    return float(np.sqrt((x.astype(np.float64) ** 2).sum()))


def _finite_norm(value: float, gradient: np.ndarray, k: int) -> float:
    norm = _norm(gradient)
    if not np.isfinite((value, norm)).all():
        raise MinicnnError(f"at step {k} the score is {value} and its gradient's norm {norm}; try a smaller step")
    return norm


def _step(
    x: np.ndarray, gradient: np.ndarray, k: int, objective: Objective, settings: Ascent, up: Enlargement
) -> np.ndarray:
    """Return the image (1, C, h, w) after step k: regularised direction, blur, clipping, ball."""
    direction = gradient
    if settings.total_variation:
        # total variation adds -weight times the gradient of the squared differences between neighbours
        direction = direction + settings.total_variation * _laplacian(x)
    if not objective.ball:
        # the gradient of -lambda ||x||^2
        direction = direction - 2 * _number(settings.l2) * x
    # the direction is brought to a root mean square of 1: gradients of nets differ by orders of magnitude
    length = _norm(direction) / np.sqrt(direction.size)
    step = _number(settings.step) * (1 - k / settings.steps)
    x = x + (np.float32(step / length) * direction if length > 0 else 0)
    if settings.blur and k % 10 == 9:
        # every tenth step only, or the blur would undo what the steps in between draw
        x = gaussian_blur(x, settings.blur)
    if settings.clip and objective.limits is not None:
        # a negative scale in the preprocessing makes white the smaller value
        low, high = (_shrink(limit[None], up) for limit in objective.limits)
        x = np.clip(x, np.minimum(low, high), np.maximum(low, high))
    # the ball is one of full-size images; enlarging is linear, so that scaling the small image scales that norm
    norm = _norm(_enlarge(x, up))
    radius = _number(settings.radius)
    return (x * np.float32(radius / norm) if objective.ball and norm > radius else x).astype(np.float32)


def _laplacian(x: np.ndarray) -> np.ndarray:
    """Sum over the four neighbours of their differences: the downhill direction of squared differences."""
    # repeated edges make the differences across the border zero
    p = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    return p[:, :, 2:, 1:-1] + p[:, :, :-2, 1:-1] + p[:, :, 1:-1, 2:] + p[:, :, 1:-1, :-2] - 4 * x


# coarse to fine: x = U_h small U_w^T, with matrices so that the adjoint is exact


Enlargement: TypeAlias = tuple[np.ndarray, np.ndarray] | None  # U_h (H, h) and U_w (W, w); None for the full size


def _enlargement(size: Sequence[int], factor: int) -> Enlargement:
    """Matrices that enlarge images of 1 / factor of a size (H, W) bilinearly."""
    if factor == 1:
        return None
    rows, columns = (_interpolation(n, max(1, -(-n // factor))) for n in size)
    return rows, columns


def _interpolation(n: int, m: int) -> np.ndarray:
    """Matrix (n, m) of linear interpolation between the centres of m pixels."""
    # the centre of each of the n pixels in units of the m; held inside, so that the border is repeated
    place = np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1)
    below = np.minimum(place.astype(int), m - 1)
    above = np.minimum(below + 1, m - 1)
    # each row has the weights of two neighbours; at the border both are one pixel, and their weights add up
    matrix = np.zeros((n, m), np.float32)
    np.add.at(matrix, (np.arange(n), below), 1 - (place - below))
    np.add.at(matrix, (np.arange(n), above), place - below)
    return matrix


def _enlarge(x: np.ndarray, up: Enlargement) -> np.ndarray:
    # (H, h) @ (1, C, h, w) @ (w, W)
    return x if up is None else up[0] @ x @ up[1].T


def _enlarge_input_grad(gradient: np.ndarray, up: Enlargement) -> np.ndarray:
    """Adjoint of ``_enlarge``: the gradient with respect to the small image."""
    return gradient if up is None else up[0].T @ gradient @ up[1]


def _shrink(x: np.ndarray, up: Enlargement) -> np.ndarray:
    """Mean of the pixels that each small pixel spreads to: the small image nearest to x."""
    if up is None:
        return x
    # the denominator (h, w) is how much weight each small pixel hands out in all
    return _enlarge_input_grad(x, up) / (up[0].sum(0)[:, None] * up[1].sum(0))
