"""Means over pictures with intervals, also where pictures are not independent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Calibration", "Estimate", "bootstrap_mean", "bootstrap_statistic", "calibration", "wilson"]

DRAWS = 2000
NORMAL_QUANTILE = 1.959963984540054  # 97.5 % of a normal distribution lie below


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


@dataclass(frozen=True)
class Calibration:
    """How confidences and what came true agree.

    Attributes
    ----------
    brier : float, mean of (confidence - hit)^2: 0 is certain and right, 0.25 what "one half" has always
    bins : (number of answers, their mean confidence, share of hits) of each fifth, the least confident first

    """

    brier: float
    bins: list[tuple[int, float, float]]

    def text(self) -> str:
        """Return it in a line."""
        parts = ", ".join(f"{confidence:.0%} -> {share:.0%} of {count}" for count, confidence, share in self.bins)
        return f"confidence -> boxes that were right: {parts}; Brier score {self.brier:.3f}"


def calibration(confidences: np.ndarray, hits: np.ndarray) -> Calibration:
    """Agreement of confidences (N,) in [0, 1] with hits (N,), bool, by fifths.

    References
    ----------
    .. [1] Brier 1950, "Verification of forecasts expressed in terms of probability".

    Examples
    --------
    >>> calibration(np.array([0.2, 0.8, 0.9]), np.array([False, True, True])).text()
    'confidence -> boxes that were right: 20% -> 0% of 1, 80% -> 100% of 1, 90% -> 100% of 1; Brier score 0.030'

    """
    # stable, so that equal confidences stay in the pictures' order
    fifths = np.array_split(np.argsort(confidences, kind="stable"), 5)
    bins = [(len(n), float(confidences[n].mean()), float(hits[n].mean())) for n in fifths if len(n)]
    return Calibration(float(((confidences - hits) ** 2).mean()), bins)


def wilson(hits: int, count: int) -> Estimate:
    """Share of hits among independent trials, with Wilson's interval of 95 %.

    Raises
    ------
    ZeroDivisionError
        If there are no trials.

    References
    ----------
    .. [1] Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Examples
    --------
    >>> wilson(9, 10).text(per_cent=True), wilson(10, 10).text(per_cent=True)
    ('90.0% [59.6%, 98.2%]', '100.0% [72.2%, 100.0%]')

    """
    share, square = hits / count, NORMAL_QUANTILE**2 / count
    middle = (share + square / 2) / (1 + square)
    half = (share * (1 - share) * square + square**2 / 4) ** 0.5 / (1 + square)
    return Estimate(share, max(middle - half, 0.0), min(middle + half, 1.0))


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
