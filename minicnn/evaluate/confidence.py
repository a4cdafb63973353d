"""Means over pictures that are not independent, with intervals that know it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Estimate", "bootstrap_mean", "bootstrap_statistic"]

DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean over pictures with its 95 % interval.

    Attributes
    ----------
    value : float, the mean
    low, high : float, the ends of the interval; NaN where there is none

    Examples
    --------
    >>> Estimate(0.75, 0.5, 1.0).text(per_cent=True)
    '75.0% [50.0%, 100.0%]'

    """

    value: float
    low: float
    high: float

    def text(self, per_cent: bool = False) -> str:
        """Return the mean, and in brackets the interval, if there is one."""
        form = ".1%" if per_cent else ".3f"
        interval = f" [{self.low:{form}}, {self.high:{form}}]" if self.low <= self.high else ""
        return f"{self.value:{form}}{interval}"


def bootstrap_mean(values: np.ndarray, groups: np.ndarray, seed: int = 0, draws: int = DRAWS) -> Estimate:
    """Mean, and the 2.5 and 97.5 % quantiles of the means of whole groups drawn with replacement.

    Parameters
    ----------
    values : array of shape (N,)
    groups : array of shape (N,), ints 0 to G - 1; pictures of one object are no independent trials
    seed, draws : ints

    Returns
    -------
    estimate : Estimate; of one group without an interval, as nothing says how another would differ

    References
    ----------
    .. [1] Efron 1979, "Bootstrap methods: another look at the jackknife"; here whole clusters are drawn.

    Examples
    --------
    >>> import numpy as np
    >>> estimate = bootstrap_mean(np.array([0.0, 1.0, 1.0, 1.0]), groups=np.array([0, 1, 2, 3]))
    >>> estimate.value, estimate.low, estimate.high
    (0.75, 0.25, 1.0)

    """
    # a draw needs the sum and the size of each group, not its pictures
    sums, counts = np.bincount(groups, weights=values), np.bincount(groups)
    # one group tells nothing of the spread between groups
    if len(counts) < 2:
        return Estimate(float(values.mean()), np.nan, np.nan)
    rng, means = np.random.default_rng(seed), np.empty(draws)
    for n in range(draws):  # one draw at a time, so that memory does not grow with the number of draws
        drawn = rng.integers(len(counts), size=len(counts))
        # a ratio of sums, so that pictures weigh alike whatever the size of their group
        means[n] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(float(values.mean()), float(low), float(high))


def bootstrap_statistic(
    hits: np.ndarray,
    groups: np.ndarray,
    statistic: Callable[[np.ndarray], float],
    seed: int = 0,
    draws: int = DRAWS,
) -> Estimate:
    """Statistic of the shares of M kinds of hits, and its 2.5 and 97.5 % quantiles as whole groups are drawn.

    Parameters
    ----------
    hits : bool array of shape (N, M)
    groups : array of shape (N,), ints 0 to G - 1
    statistic : function of the M shares, such as their maximum; computed anew in each draw
    seed, draws : ints

    Returns
    -------
    estimate : Estimate; of one group without an interval

    Examples
    --------
    >>> hits = np.array([[True, False], [True, True], [False, False]])
    >>> bootstrap_statistic(hits, np.arange(3), lambda shares: float(shares.max())).text()
    '0.667 [0.000, 1.000]'

    """
    value = statistic(hits.mean(axis=0))
    counts = np.bincount(groups)
    if len(counts) < 2:
        return Estimate(value, np.nan, np.nan)
    sums = np.zeros((len(counts), hits.shape[1]))
    np.add.at(sums, groups, hits)
    rng, values = np.random.default_rng(seed), np.empty(draws)
    for n in range(draws):
        weights = np.bincount(rng.integers(len(counts), size=len(counts)), minlength=len(counts))
        # whole numbers, whose sums are exact in any order
        values[n] = statistic((weights @ sums) / (weights @ counts))
    low, high = np.quantile(values, (0.025, 0.975))
    return Estimate(value, float(low), float(high))
