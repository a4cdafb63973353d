"""Derivatives of functions of which nothing is known: differences at many steps, extrapolated to the step 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["STEPS", "Slope", "differentiate"]

STEPS = 14  # each a quarter of the one before: from a quarter of the reach to a 300-millionth of it
UNDERFLOW = 1e-150  # squares of smaller numbers are 0
ROUNDINGS = 4096  # a change of more units in the last place of the largest value is no rounding
UNRESOLVED = 1e-3  # share of the slope; an error beyond it says that there is no slope, but a kink or a jump


class Slope(NamedTuple):
    """The derivative of each value of an array, by a step t from 0.

    Attributes
    ----------
    value : array
    error : array of the same shape, how far it may be off; infinite where f is no number
    resolved : boolean array, False where the function bends or jumps at 0 or is no number

    """

    value: np.ndarray
    error: np.ndarray
    resolved: np.ndarray


def differentiate(f: Callable[[float], np.ndarray], reach: float, noise: float = 0.0) -> Slope:
    """Return the derivative f'(0) of a function of a step, whose values are arrays of one shape.

    For each value the step is chosen by itself.  D(h) = (f(h) - f(-h)) / 2h has an error of order h^2, which
    T(h) = (16 D(h) - D(4h)) / 15 is free of (Richardson).  The one-sided slopes differ by
    S(h) = (f(h) - 2 f(0) + f(-h)) / h, which falls in proportion to h where f is smooth, and stays at a kink: so
    |T(h) - T(4h)| + |S(h) - S(4h) / 4|, plus f's rounding over h, says how far T(h) may be off, at kinks too.
    Taken is the T(h) with the least error of those that agree with every shorter step.

    Parameters
    ----------
    f : function of a float
    reach : float > 0, the largest step that makes sense
    noise : float, by how much rounding is known to move values, besides what they show themselves

    Examples
    --------
    >>> slope = differentiate(lambda t: np.array([np.exp(t), abs(t), abs(t - 1e-6)]), 1.0)
    >>> slope.value.round(6).tolist(), slope.resolved.tolist()
    ([1.0, 0.0, -1.0], [True, False, True])

    References
    ----------
    .. [1] Richardson 1911, "The approximate arithmetical solution by finite differences".
    .. [2] Lepski 1991, "On a problem of adaptive estimation", on choosing the longest step that agrees.

    """
    steps = reach / 4.0 ** np.arange(1, STEPS + 1)
    middle = np.asarray(f(0.0))
    eps = float(np.finfo(middle.dtype).eps)  # a function may compute in single precision
    h = steps.reshape(-1, *[1] * middle.ndim)
    with np.errstate(all="ignore"):  # a long step may leave where the function is defined
        above, below = (np.stack([np.asarray(f(s * t), np.float64) for t in steps]) for s in (1, -1))
        slopes, bends = (above - below) / (2 * h), (above - 2 * middle + below) / h
        better = (16 * slopes[1:] - slopes[:-1]) / 15
        errors = np.abs(np.diff(better, axis=0)) + np.abs(bends[2:] - bends[1:-1] / 4)
        changes = np.minimum(*(np.where(side == middle, np.inf, np.abs(side - middle)) for side in (above, below)))
        seen = np.maximum(_noise(np.abs(middle) * eps, slopes, h, eps), _quantum(changes, middle, eps))
        errors += 4 * np.maximum(seen, noise) / h[2:]
    return _choose(better[1:], np.where(np.isfinite(errors), errors, np.inf), np.abs(middle) / reach)


def _noise(rounding: np.ndarray, slopes: np.ndarray, h: np.ndarray, eps: float) -> np.ndarray:
    """Return by how much rounding moves each value: what its size says, or what the shortest steps show."""
    # x + h v is rounded too, which moves f by its slope
    typical = np.nan_to_num(np.abs(slopes[-4]), posinf=0.0)
    floor = 4 * rounding + 16 * eps * h[0] * np.maximum(typical, _rms(typical))
    # between steps so short that f is straight, only rounding changes the quotient; a kink may lie between two
    seen = np.median(np.abs(np.diff(slopes[-6:], axis=0)) * h[-5:], axis=0)
    return np.maximum(floor, 4 * seen)


def _quantum(changes: np.ndarray, middle: np.ndarray, eps: float) -> np.ndarray:
    """Return the least change of values that short steps leave as they are: one that rounding in between makes."""
    least = changes.min(axis=0)
    largest = float(np.abs(np.nan_to_num(middle, posinf=0.0, neginf=0.0)).max(initial=0.0))
    is_rounding = np.isinf(changes[-1]) & (least <= ROUNDINGS * eps * largest)
    return np.where(is_rounding, least, 0.0)


def _choose(values: np.ndarray, errors: np.ndarray, size: np.ndarray) -> Slope:
    """Return of the values for each step, in order of falling steps, the best that agrees with those after it."""
    agrees = np.ones_like(errors, bool)
    for k in range(len(values) - 1):
        with np.errstate(invalid="ignore"):
            near = np.abs(values[k + 1 :] - values[k]) <= errors[k + 1 :] + errors[k]
        agrees[k] = near.all(axis=0)
    errors = np.where(agrees, errors, np.inf)
    best = errors.argmin(axis=0)[None]
    value, error = (np.take_along_axis(a, best, axis=0)[0] for a in (values, errors))
    # at a kink the error is of the slope's own size
    sizes = np.where(np.isfinite(error), np.abs(value), 0.0)
    resolved = error <= UNRESOLVED * (np.maximum(sizes, _rms(sizes)) + _rms(np.nan_to_num(size))) + UNDERFLOW
    return Slope(value, error, resolved)


def _rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.mean(a * a))) if a.size else 0.0
