"""Gradient ascent on an input, with the regularisers that people put on it.

The paper has one, lambda ||I||^2.  The others are off unless asked for: the ball is Le et al.'s (2012), random
starts are Erhan et al.'s (2009); clipping, blur, total variation, jitter and climbing from coarse to fine are
later inventions (Yosinski et al. 2015; Mahendran, Vedaldi 2015; Mordvintsev et al. 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.images.gaussian_blur import gaussian_blur

__all__ = ["LAMBDA", "Ascent", "gradient_ascent"]

LAMBDA = 1.4  # of an image with one input value; see Ascent


@dataclass(frozen=True)
class Ascent:
    """How to climb.

    Parameters
    ----------
    steps : int, at least 1
    step : float
        Root mean square of the first step, in input units; it falls to 0 linearly.  The direction alone comes
        from the gradient, so that one setting serves nets whose gradients differ by orders of magnitude.
    l2 : float, lambda of the penalty lambda ||I||^2; None for 1.4 / sqrt(C H W)
        Where climbing ends, 2 lambda ||I|| is the gradient's norm, so that this lambda gives images of the same
        contrast whatever their size.
    radius : float, of the ball that ``constraint="l2_ball"`` keeps to
    jitter : int, pixels by which the image is shifted at random before each step.  Later than the paper.
    blur : float, sigma in pixels of a Gaussian applied to the image every tenth step; 0 for none.  Later.
    total_variation : float, weight of the sum of squared differences between neighbours.  Later.
    clip : bool, keep to values between black and white.  Later.
    levels : int, 1 to 12; climb first on images of 1 / 2^(levels - 1), ..., 1/2 of the size, enlarged bilinearly.
        Later.
    restarts : int, further climbs from random images of standard deviation 0.1; the best counts.  Erhan et al.'s

    """

    steps: int = 200
    step: float = 0.05
    l2: float | None = None
    radius: float = 10.0
    jitter: int = 0
    blur: float = 0.0
    total_variation: float = 0.0
    clip: bool = False
    levels: int = 1
    restarts: int = 0

    def __post_init__(self):
        """Refuse what can't be meant."""
        for name, least in (("steps", 1), ("levels", 1), ("jitter", 0), ("restarts", 0)):
            value = getattr(self, name)
            _need(isinstance(value, int) and value >= least, name, f"a whole number >= {least}")
        for name in ("l2", "blur", "total_variation"):
            value = getattr(self, name)
            _need((name == "l2" and value is None) or 0 <= value < np.inf, name, "a number >= 0")
        _need(self.levels <= 12, "levels", "at most 12")
        _need(self.blur <= 1000, "blur", "at most 1000 pixels")
        for name in ("step", "radius"):
            _need(0 < getattr(self, name) < np.inf, name, "a number > 0")

    def later(self) -> dict[str, Any]:
        """Return the settings in use that are later than the paper, by name."""
        names = ("clip", "jitter", "blur", "total_variation", "levels")
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(Ascent, name)}

    def resolved(self, shape: Sequence[int]) -> Ascent:
        """Return the same with its lambda for inputs of that shape, (C, H, W)."""
        return self if self.l2 is not None else replace(self, l2=LAMBDA / float(np.sqrt(np.prod(shape))))


def _need(condition: bool, name: str, expected: str) -> None:
    if not condition:
        raise MinicnnError(f"Ascent: {name}: expected {expected}")


def gradient_ascent(
    value_and_gradient: Callable,
    zero: np.ndarray,
    settings: Ascent,
    limits: tuple[np.ndarray, np.ndarray] | None,
    ball: bool,
    seed: int,
    progress: Callable[[Iterable[int]], Iterable[int]],
):
    """Return (x, values, gradient norms, why it stopped) of the best climb.

    Parameters
    ----------
    value_and_gradient : x of shape (1, C, H, W) -> (float, array of that shape)
    zero : the zero image
    settings : Ascent, resolved
    limits : arrays of the image's shape for black and white, or None
    ball : whether the norm is bounded instead of penalised
    seed : int
    progress : wraps each climb's range of steps

    Raises
    ------
    MinicnnError
        If the gradient vanishes at the start, the score or its gradient is no finite number, or clipping is asked
        for and ``limits`` is None.

    """
    if settings.clip and limits is None:
        raise MinicnnError("clip: this network has no preprocessing that says what black and white are")
    rng = np.random.default_rng(seed)
    starts = [zero] + [rng.normal(0, 0.1, zero.shape).astype(zero.dtype) for _ in range(settings.restarts)]
    climbs = [_one(value_and_gradient, start, settings, limits, ball, rng, progress) for start in starts]
    if all(values[-1] == values[0] and norms[0] == 0 for _, values, norms, _ in climbs):
        raise MinicnnError(
            "the gradient vanishes at the zero image, so there is nowhere to climb; restarts=3 tries random images"
        )
    penalty = 0.0 if ball else settings.l2
    return max(climbs, key=lambda found: found[1][-1] - penalty * _norm(found[0]) ** 2)


def _one(value_and_gradient, start, settings, limits, ball, rng, progress):
    """Climb once: coarse levels first, each with its share of the steps."""
    values, norms = [], []
    x, shares = start, np.array_split(np.arange(settings.steps), settings.levels)
    steps = iter(progress(range(settings.steps)))
    for level, share in zip(range(settings.levels - 1, -1, -1), shares, strict=True):
        up = _enlargements(start.shape[2:], 2**level)
        small = _shrunk(x, up)
        for k in share:
            next(steps, None)
            shift = tuple(rng.integers(-settings.jitter, settings.jitter + 1, 2)) if settings.jitter else (0, 0)
            x = np.roll(_enlarged(small, up), shift, (2, 3))
            value, gradient = value_and_gradient(x)
            values.append(value)
            norms.append(_checked_norm(value, gradient, k))
            gradient = _small_gradient(np.roll(gradient, (-shift[0], -shift[1]), (2, 3)), up)
            if norms[-1] == 0:
                return _enlarged(small, up), values, norms, f"the gradient vanished at step {k}"
            small = _stepped(small, gradient, k, settings, limits, ball, up)
        x = _enlarged(small, up)
    for _ in steps:
        pass
    value, gradient = value_and_gradient(x)
    return x, [*values, value], [*norms, _checked_norm(value, gradient, settings.steps)], "steps done"


def _norm(x):
    """Euclidean norm, summed in float64 and in one order, whatever the number of threads."""
    return float(np.sqrt((x.astype(np.float64) ** 2).sum()))


def _checked_norm(value, gradient, k):
    norm = _norm(gradient)
    if not np.isfinite((value, norm)).all():
        raise MinicnnError(f"at step {k} the score is {value} and its gradient's norm {norm}; try a smaller step")
    return norm


def _stepped(x, gradient, k, settings, limits, ball, up):
    direction = gradient
    if settings.total_variation:
        direction = direction + settings.total_variation * _laplacian(x)
    if not ball:
        direction = direction - 2 * settings.l2 * x
    length = _norm(direction) / np.sqrt(direction.size)
    step = settings.step * (1 - k / settings.steps)
    x = x + (np.float32(step / length) * direction if length > 0 else 0)
    if settings.blur and k % 10 == 9:
        x = gaussian_blur(x, settings.blur)
    if settings.clip:
        low, high = (_shrunk(limit[None], up) for limit in limits)
        x = np.clip(x, np.minimum(low, high), np.maximum(low, high))
    norm = _norm(_enlarged(x, up))
    return (x * np.float32(settings.radius / norm) if ball and norm > settings.radius else x).astype(np.float32)


def _laplacian(x):
    """Sum over the four neighbours of their differences: the downhill direction of squared differences."""
    p = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    return p[:, :, 2:, 1:-1] + p[:, :, :-2, 1:-1] + p[:, :, 1:-1, 2:] + p[:, :, 1:-1, :-2] - 4 * x


def _enlargements(size, factor):
    """Matrices (H, h) and (W, w) that enlarge bilinearly; None where there is nothing to enlarge."""
    if factor == 1:
        return None
    matrices = []
    for n in size:
        m = max(1, -(-n // factor))
        place = np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1)
        below = np.minimum(place.astype(int), m - 1)
        above = np.minimum(below + 1, m - 1)
        matrix = np.zeros((n, m), np.float32)
        np.add.at(matrix, (np.arange(n), below), 1 - (place - below))
        np.add.at(matrix, (np.arange(n), above), place - below)
        matrices.append(matrix)
    return matrices


def _enlarged(x, up):
    return x if up is None else up[0] @ x @ up[1].T


def _small_gradient(gradient, up):
    """Adjoint of ``_enlarged``: the gradient with respect to the small image."""
    return gradient if up is None else up[0].T @ gradient @ up[1]


def _shrunk(x, up):
    """Small image nearest to x: the mean of the pixels that each small pixel spreads to."""
    if up is None:
        return x
    return _small_gradient(x, up) / (up[0].sum(0)[:, None] * up[1].sum(0))
