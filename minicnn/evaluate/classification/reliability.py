"""Whether probabilities hold: how often a network is right where it says 90 %."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.errors import ShapeError

__all__ = ["BINS", "Bin", "Reliability", "reliability"]

BINS = 15  # as in Guo et al.


class Bin(NamedTuple):
    """Answers whose confidence lies between two values.

    Attributes
    ----------
    answers : int, how many
    confidence, accuracy : floats, their mean confidence, and the share that is right; NaN without answers

    """

    answers: int
    confidence: float
    accuracy: float


class Reliability(NamedTuple):
    """How far confidence and accuracy are apart.

    Attributes
    ----------
    ece : float, expected calibration error: mean over the answers of their bin's |accuracy - confidence|
    mce : float, maximum calibration error: the largest of the bins
    bins : list of Bin, evenly spaced over (0, 1]

    """

    ece: float
    mce: float
    bins: list[Bin]


def reliability(confidences: np.ndarray, hits: np.ndarray, num_bins: int = BINS) -> Reliability:
    """Compare confidences with what came true, in bins ((m - 1) / M, m / M].

    Parameters
    ----------
    confidences : floats of shape (N,) in [0, 1], the probabilities of the classes that were named
    hits : bool array of shape (N,), whether they were right
    num_bins : int, M

    Raises
    ------
    ShapeError
        If there are no answers, or a confidence is no probability.

    References
    ----------
    .. [1] Guo et al. 2017, "On calibration of modern neural networks", equations 2, 3 and 5.

    Examples
    --------
    >>> result = reliability(np.array([0.95, 0.85, 0.55]), np.array([True, True, False]), num_bins=2)
    >>> round(result.ece, 3), result.bins[1].answers  # |2/3 - 0.783|
    (0.117, 3)

    """
    confidences, hits = np.asarray(confidences, np.float64), np.asarray(hits, bool)
    if confidences.ndim != 1 or confidences.shape != hits.shape or not len(hits):
        raise ShapeError(f"reliability: expected a hit for each confidence, got {confidences.shape}, {hits.shape}")
    if not ((confidences >= 0) & (confidences <= 1)).all():
        raise ShapeError("reliability: expected confidences from 0 to 1")
    # upper edges belong to their bin, and 0 to the first
    numbers = np.clip(np.ceil(confidences * num_bins).astype(np.int64) - 1, 0, None)
    counts = np.bincount(numbers, minlength=num_bins)
    with np.errstate(invalid="ignore"):
        confidence, accuracy = (
            np.bincount(numbers, weights=values, minlength=num_bins) / counts for values in (confidences, hits)
        )
    gaps = np.abs(accuracy - confidence)[counts > 0]
    bins = [Bin(int(n), float(c), float(a)) for n, c, a in zip(counts, confidence, accuracy, strict=True)]
    return Reliability(float(gaps @ counts[counts > 0] / len(hits)), float(gaps.max()), bins)
