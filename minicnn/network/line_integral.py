"""The gradient of a class score integrated along a straight line, for networks that are linear between kinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicnn._utils.types import Progress
from minicnn.kernels import reference
from minicnn.layers import Keep, sequence
from minicnn.layers.transforms.average_slopes import Kinks, average_slopes
from minicnn.layers.transforms.fold_batch_norm import fold_batch_norm

__all__ = ["LineIntegral", "integrate_gradient"]

CUT = 4  # parts that a segment is cut in; with 5 points a fifth of the work is spent on the last one
SHORTEST = 1e-12  # share of the line, below which positions of kinks are rounding


class LineIntegral(NamedTuple):
    """The gradient integrated along a line, times the way.

    Attributes
    ----------
    contributions : float64 array of shape (C, H, W), (x - x') integral_0^1 dS / dx at x' + t (x - x') dt
    start, end : float, the scores at x' and at x
    segments : int, into how many the line was cut
    kinks : int, how many kinks of rectifiers and pools were located on it; several may lie at one point
    uncertainty : float, by how much ``contributions`` moved when the segments were last cut, a sum of absolute
        values; what is left is less

    """

    contributions: np.ndarray
    start: float
    end: float
    segments: int
    kinks: int
    uncertainty: float


def integrate_gradient(
    layers: sequence.NamedLayers,
    start: np.ndarray,
    end: np.ndarray,
    target: int,
    tolerance: float,
    progress: Progress = iter,
) -> LineIntegral:
    """Integral of a class score's gradient along the line from one input to another.

    The line is cut into segments.  On each, every rectifier and every pool has its average slope (see
    ``minicnn.layers.transforms.average_slopes``): the sum of the contributions is the change of the score exactly,
    and on a segment where only units of one layer bend the contributions are exact too.  Where units of several
    layers bend they interact; such a segment is cut at its kinks until its contributions stay.

    A segment without a kink, all units on the same sides at both ends, is part of one linear piece, pieces being
    convex.  With a tolerance of 0 segments are cut until none has a kink inside: every piece is visited.

    Parameters
    ----------
    layers : up to the scores, in float64, linear between kinks
    start, end : float64 arrays of shape (C, H, W)
    target : int, the class
    tolerance : float >= 0, by how much the contributions may move at the last cut, as a share of the sum of their
        absolute values; 0 visits every linear piece
    progress : wraps the range of a hundred parts of the line

    Returns
    -------
    integral : LineIntegral

    References
    ----------
    .. [1] Sotoudeh, Thakur 2019, "Computing linear restrictions of neural networks": integrated gradients are sums
       over the line's linear pieces.

    Examples
    --------
    >>> from minicnn.layers import Linear, ReLU
    >>> weights = [np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([[1.0, 1.0]])]
    >>> full = [Linear(w.shape[1], len(w), bias=False, weight=w) for w in weights]
    >>> layers = sequence.name_layers([full[0], ReLU(), full[1]])
    >>> integrate_gradient(layers, np.array([0.0, 1.0]), np.array([2.0, 1.0]), 0, 0.0).contributions.tolist()
    [3.0, 0.0]

    """
    line = _Line(layers, start, end, target)
    first = line.segments(np.linspace(0.0, 1.0, CUT + 1))
    # segments are cut as far as their share of the line says
    allowed = tolerance * float(np.abs(first.contributions.sum(axis=0)).sum())
    ticks = _Ticks(progress)
    parts = [_cut(line, first, n, allowed, ticks) for n in range(CUT)]
    return _sum(parts)._replace(start=first.scores[0], end=first.scores[-1])


class _Segments(NamedTuple):
    """Consecutive segments.

    Attributes
    ----------
    ends : array of shape (T + 1,), shares of the way
    contributions : array of shape (T, C, H, W)
    scores : array of shape (T + 1,), at the ends
    kinks : list of T arrays, where on the line each segment's kinks are, in order

    """

    ends: np.ndarray
    contributions: np.ndarray
    scores: np.ndarray
    kinks: list[np.ndarray]


class _Line:
    """A line through input space, and a network that differentiates along it."""

    def __init__(self, layers: sequence.NamedLayers, start: np.ndarray, end: np.ndarray, target: int):
        self._kinks: list[Kinks] = []
        # fewer steps, the same function
        self._layers = average_slopes(fold_batch_norm(layers), self._kinks.append)
        self._start, self._way, self._target = start, end - start, target

    def segments(self, ends: np.ndarray) -> _Segments:
        """Return what lies between consecutive positions, shares of the way, (T + 1,)."""
        self._kinks.clear()
        column = ends.reshape(-1, *[1] * self._way.ndim)
        scores, tape = sequence.forward(self._layers, self._start + column * self._way, reference, Keep.MASKS)
        dy = np.zeros_like(scores)
        dy[:-1, self._target] = 1.0
        dx, _ = sequence.backward(self._layers, dy, tape, reference)
        contributions = dx[:-1] * self._way * np.diff(column, axis=0)
        return _Segments(ends, contributions, scores[:, self._target], self._located(ends))

    def _located(self, ends: np.ndarray) -> list[np.ndarray]:
        """Return where on the line each segment's kinks are, in order."""
        segment = np.concatenate([kinks.segment for kinks in self._kinks] or [np.empty(0, int)])
        position = np.concatenate([kinks.position for kinks in self._kinks] or [np.empty(0)])
        place = ends[segment] + position * np.diff(ends)[segment]
        return [np.sort(place[segment == n]) for n in range(len(ends) - 1)]


class _Ticks:
    """A progress bar over the line, which is worked through from its start to its end."""

    def __init__(self, progress: Progress):
        self._ticks, self._count = iter(progress(range(100))), 0

    def reach(self, share: float) -> None:
        """Move the bar to that share of the line."""
        while self._count < round(100 * share):
            next(self._ticks, None)
            self._count += 1


def _cut(line: _Line, whole: _Segments, n: int, allowed: float, ticks: _Ticks) -> LineIntegral:
    """Integral over segment n, cut at its kinks until it stays."""
    before, kinks, (a, b) = whole.contributions[n], whole.kinks[n], whole.ends[n : n + 2]
    inside = kinks[(kinks > a + SHORTEST) & (kinks < b - SHORTEST)]
    if not len(inside):
        ticks.reach(b)
        return _part(before, 1, len(kinks), 0.0)
    parts = line.segments(np.array([a, *_choose_cuts(inside), b]))
    after = parts.contributions.sum(axis=0)
    moved = float(np.abs(after - before).sum())
    if moved < allowed * (b - a):
        ticks.reach(b)
        return _part(after, len(parts.kinks), sum(map(len, parts.kinks)), moved)
    return _sum([_cut(line, parts, i, allowed, ticks) for i in range(len(parts.kinks))])


def _choose_cuts(kinks: np.ndarray) -> np.ndarray:
    """Return up to three kinks that cut a segment, with as many kinks between them; kinks are in order."""
    if len(kinks) >= CUT:
        kinks = kinks[[len(kinks) * n // CUT for n in range(1, CUT)]]
    # of kinks at one point the first
    return kinks[np.diff(kinks, prepend=-1.0) > SHORTEST]


def _part(contributions: np.ndarray, segments: int, kinks: int, uncertainty: float) -> LineIntegral:
    return LineIntegral(contributions, 0.0, 0.0, segments, kinks, uncertainty)


def _sum(parts: Sequence[LineIntegral]) -> LineIntegral:
    """Return the integral over consecutive parts; the scores at its ends are for the caller to fill in."""
    return _part(
        np.sum([part.contributions for part in parts], axis=0),
        sum(part.segments for part in parts),
        sum(part.kinks for part in parts),
        sum(part.uncertainty for part in parts),
    )
