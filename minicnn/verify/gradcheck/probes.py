"""A gradient g against directional derivatives: <g, v> for random directions v, and for unit vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from minicnn._utils.derivative import differentiate
from minicnn._utils.types import Shape
from minicnn.verify.gradcheck.report import UNDECIDED, Row, RowLabel
from minicnn.verify.rounding import inner, tolerance

__all__ = ["Claim", "Derivative", "Measured", "Sampling", "check_claim", "extrapolate", "failed", "step_within"]

WORK = 500_000_000  # multiply-adds spent on the entries of one tensor: about a second


class Sampling(NamedTuple):
    """How much is checked: Gaussian directions for every gradient; each entry where there are at most so many."""

    directions: int = 3
    entries: int = 64

    def limit_work(self, multiply_adds: int) -> Sampling:
        """Return the sampling for a layer of so much work: entry by entry where that is little."""
        return self._replace(entries=min(self.entries, WORK // max(multiply_adds, 1)))


class Claim(NamedTuple):
    """A gradient as a backward pass gives it.

    Attributes
    ----------
    array : x or a parameter, in float64
    gradient : with respect to it, or None if the backward pass gives none
    scale : its rounding in units of u

    """

    array: np.ndarray
    gradient: np.ndarray | None
    scale: np.ndarray


class Measured(NamedTuple):
    """A directional derivative by the forward pass, and how far rounding can take it."""

    value: float
    tolerance: float


# function of v; None where x lies on a kink in this direction
Derivative: TypeAlias = Callable[[np.ndarray], "Measured | None"]


class _Direction(NamedTuple):
    where: str
    v: np.ndarray


class _Error(NamedTuple):
    """How far <gradient, v> is from the derivative along v; ulps of the derivative, in the gradient's dtype."""

    error: float
    tolerance: float
    ulps: float
    where: str

    @property
    def severity(self) -> float:
        """Error in units of the tolerance."""
        if not np.isfinite(self.error):
            return np.inf
        if self.tolerance > 0:
            return self.error / self.tolerance
        return np.inf if self.error > 0 else 0.0


def extrapolate(
    f: Callable[[float], np.ndarray], dy: np.ndarray, reach: float, rounding: float = 0.0, noise: float = 0.0
) -> Measured | None:
    """Return <J v, dy> for f(t) = y(x + t v), extrapolated; None if outputs that count lie on a kink.

    ``rounding`` is known of <y, dy>, in units of u, besides what is seen of f; ``noise`` of each value of f.
    """
    slope, counts = differentiate(f, reach, noise), dy != 0
    if not slope.resolved[counts].all():
        return None
    value, summation = inner(np.where(counts, slope.value, 0.0), dy)
    error = float((slope.error[counts] * np.abs(dy[counts])).sum()) + summation
    # the longest step that is extrapolated is a 64th of the reach
    return Measured(value, error + tolerance(np.float64, np.array([rounding])) * 64 / reach)


def check_claim(
    label: RowLabel,
    claim: Claim,
    derivative: Derivative,
    dtype: DTypeLike,
    rng: np.random.Generator,
    sampling: Sampling,
) -> Row:
    """Compare <gradient, v> with the derivative along v, for unit vectors and Gaussian directions."""
    array, gradient, scale = claim
    if gradient is None or gradient.shape != array.shape or gradient.dtype != dtype:
        got = "missing" if gradient is None else f"{gradient.dtype} {gradient.shape}"
        return failed(label, f"gradient is {got}, expected {array.shape}")
    gradient = gradient.astype(np.float64)
    if not np.isfinite(gradient).all():
        return failed(label, "gradient is not finite")
    every_entry = array.size <= sampling.entries
    directions = list(_unit_vectors(array.shape)) if every_entry else []
    directions += _random_directions(array.shape, rng, sampling.directions)
    measured = [_measure(d, gradient, scale, derivative, dtype) for d in directions]
    errors = [error for error in measured if error is not None]
    if not errors:
        return failed(label, UNDECIDED)
    worst = max(errors, key=lambda error: error.severity)
    norm = float(np.linalg.norm(gradient))
    # the Gaussian directions are the last ones
    typical = float(np.median([error.tolerance for error in errors[-sampling.directions :]]))
    return Row(
        *label,
        probes=len(errors),
        every_entry=every_entry,
        error=worst.error,
        tolerance=worst.tolerance,
        ulps=worst.ulps,
        where=worst.where,
        sees=typical / norm if norm > 0 else 0.0,
    )


def failed(label: RowLabel, where: str) -> Row:
    """Return the row of what could not be compared, or need not be: ``where`` says why."""
    return Row(
        *label,
        probes=0,
        every_entry=False,
        error=np.inf,
        tolerance=0.0,
        ulps=np.inf,
        where=where,
        sees=np.inf,
    )


def _measure(
    direction: _Direction, gradient: np.ndarray, scale: np.ndarray, derivative: Derivative, dtype: DTypeLike
) -> _Error | None:
    measured = derivative(direction.v)
    if measured is None:
        return None
    claimed, summation = inner(gradient, direction.v)
    # rounding of the measured derivative, of the gradient's entries, and of the sum <gradient, v>
    limit = measured.tolerance + tolerance(dtype, scale * direction.v) + summation
    error = abs(measured.value - claimed)
    last_place = float(np.spacing(np.asarray(abs(claimed), dtype)))
    return _Error(error, limit, error / last_place, direction.where)


def _random_directions(shape: Shape, rng: np.random.Generator, count: int) -> Iterator[_Direction]:
    for k in range(count):
        yield _Direction(f"direction {k}", rng.standard_normal(shape))


def _unit_vectors(shape: Shape) -> Iterator[_Direction]:
    for index in np.ndindex(shape):
        v = np.zeros(shape)
        v[index] = 1
        yield _Direction(str(tuple(map(int, index))), v)


def step_within(free: float, x: np.ndarray, v: np.ndarray) -> float:
    """Half the way to the nearest kink, and no more than the size of x itself."""
    # the step for which x and its change are equally large
    reach = (np.abs(x).max(initial=0.0) or 1.0) / (np.abs(v).max(initial=0.0) or 1.0)
    return float(min(free / 2, reach))
