"""How alike two maps are: by the order of their pixels (Spearman), and by structure (SSIM)."""

from __future__ import annotations

import numpy as np

from minicnn.errors import ShapeError
from minicnn.images.gaussian_blur import gaussian_blur

__all__ = ["rank_correlation", "structural_similarity"]

SIGMA, BORDER = 1.5, 5  # of the window, in pixels; what it reaches over
K1, K2 = 0.01, 0.03


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two maps' pixels.

    rho = cov(r(a), r(b)) / (std(r(a)) std(r(b))),  r the ranks, equal values sharing their mean rank.

    Parameters
    ----------
    a, b : arrays of one shape

    Returns
    -------
    rho : float in [-1, 1]; NaN where a map is constant, as it has no order

    Raises
    ------
    ShapeError
        If the shapes differ.

    References
    ----------
    .. [1] Spearman 1904, "The proof and measurement of association between two things".

    Examples
    --------
    >>> import numpy as np
    >>> rank_correlation(np.array([1, 2, 3, 4]), np.array([10, 20, 40, 30]))
    0.8

    """
    _check_shapes(a, b, "rank_correlation")
    p, q = (_ranks(m) for m in (a, b))
    # Spearman's rho is the correlation of the ranks
    p, q = p - p.mean(), q - q.mean()
    scale = np.sqrt((p @ p) * (q @ q))
    # rounding can lead just beyond 1; ranks that are all equal have no correlation
    return float(np.clip(p @ q / scale, -1, 1)) if scale > 0 else np.nan


def structural_similarity(a: np.ndarray, b: np.ndarray, data_range: float = 1.0) -> float:
    """Mean structural similarity of two maps.

    SSIM = (2 m_a m_b + c1)(2 s_ab + c2) / ((m_a^2 + m_b^2 + c1)(s_a^2 + s_b^2 + c2)),  m, s^2 and s_ab the means,
    variances and covariance under a Gaussian window of 1.5 pixels, c1 = (0.01 L)^2, c2 = (0.03 L)^2; the mean is
    over the places where the window, cut at 5 pixels, is inside of the maps, if there are any.

    Parameters
    ----------
    a, b : arrays of shape (H, W)
    data_range : L > 0, the range of the values

    Returns
    -------
    ssim : float in [-1, 1]; 1 for equal maps

    Raises
    ------
    ShapeError
        If the shapes differ or are not (H, W).

    References
    ----------
    .. [1] Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity",
       equation 13.

    Examples
    --------
    >>> import numpy as np
    >>> map = np.random.default_rng(0).random((16, 16))
    >>> structural_similarity(map, map)
    1.0

    """
    _check_shapes(a, b, "structural_similarity")
    if a.ndim != 2:
        raise ShapeError(f"structural_similarity: expected maps of shape (H, W), got {a.shape}")
    a, b = a.astype(np.float64), b.astype(np.float64)
    # first and second moments under a Gaussian window around each pixel
    mean_a, mean_b, square_a, square_b, product = (gaussian_blur(m, SIGMA) for m in (a, b, a * a, b * b, a * b))
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    # E[ab] - E[a] E[b], and below the sum of both E[a^2] - E[a]^2
    covariance = product - mean_a * mean_b
    variances = square_a - mean_a**2 + square_b - mean_b**2
    ssim = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    ssim /= (mean_a**2 + mean_b**2 + c1) * (variances + c2)
    # near the border the window sees repeated edges; a map too small for anything else counts as a whole
    inner = ssim[BORDER:-BORDER, BORDER:-BORDER]
    return float((inner if inner.size else ssim).mean())


def _check_shapes(a: np.ndarray, b: np.ndarray, where: str) -> None:
    if a.shape != b.shape:
        raise ShapeError(f"{where}: expected two maps of one shape, got {a.shape} and {b.shape}")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 of all values, equal ones sharing their mean."""
    _, inverse, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    # equal values hold the ranks from ends - counts to ends - 1, whose mean this is
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[inverse.ravel()]
