"""Means over pictures that are not independent, with intervals that know it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Figure", "interval"]

DRAWS = 2000


@dataclass(frozen=True)
class Figure:
    """A mean over the pictures with its 95 % interval; shares and errors in [0, 1]."""

    value: float
    low: float
    high: float


def interval(values: np.ndarray, groups: np.ndarray, seed: int = 0, draws: int = DRAWS) -> Figure:
    """Mean, and the 2.5 and 97.5 % quantiles of the means of whole groups drawn with replacement.

    Parameters
    ----------
    values : array of shape (N,)
    groups : array of shape (N,), ints 0 to G - 1; pictures of one object are no independent trials
    seed, draws : ints

    Returns
    -------
    figure : Figure

    Source: Efron 1979 (bootstrap), by clusters.

    """
    sums, counts = np.bincount(groups, weights=values), np.bincount(groups)
    drawn = np.random.default_rng(seed).integers(len(counts), size=(draws, len(counts)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), (0.025, 0.975))
    return Figure(float(values.mean()), float(low), float(high))
