"""Gaussian blur of maps, in plain NumPy."""

from __future__ import annotations

import numpy as np

__all__ = ["gaussian_blur"]


def gaussian_blur(x: np.ndarray, sigma: float) -> np.ndarray:
    """Convolve the last two axes with a Gaussian.

    y = x * g with g(u, v) = exp(-(u^2 + v^2) / 2 sigma^2) / Z, which is separable: one pass for each axis.  The
    borders are repeated, the Gaussian is cut off at three sigma.

    Parameters
    ----------
    x : float array of shape (..., H, W)
    sigma : float >= 0, in pixels; 0 changes nothing

    Returns
    -------
    y : array of the shape and dtype of x

    See Also
    --------
    scipy.ndimage.gaussian_filter : the same with mode="nearest" and truncate=3, but for the last bits

    Examples
    --------
    >>> impulse = np.array([[0.0, 0.0, 1.0, 0.0, 0.0]])
    >>> gaussian_blur(impulse, 0.5).round(3).tolist()
    [[0.0, 0.106, 0.787, 0.106, 0.0]]

    """
    if sigma == 0:
        return x
    # beyond three standard deviations the weight is negligible; what is left is brought to a sum of 1
    radius = int(3 * sigma + 1)
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).astype(x.dtype)
    # a Gaussian is separable: two passes of 2 r + 1 taps do the work of (2 r + 1)^2
    for axis in (x.ndim - 2, x.ndim - 1):
        x = np.moveaxis(_convolve_first_axis(np.moveaxis(x, axis, 0), taps, radius), 0, axis)
    return np.ascontiguousarray(x)


def _convolve_first_axis(x: np.ndarray, taps: np.ndarray, radius: int) -> np.ndarray:
    """Convolve along the first axis; the taps are symmetric, so that two of them share one product."""
    padded = np.pad(x, [(radius, radius)] + [(0, 0)] * (x.ndim - 1), mode="edge")
    # shifted[k][i] is padded[i + k], the pixel under tap k of output i; slices, not copies
    shifted = [padded[k : k + len(x)] for k in range(2 * radius + 1)]
    y = taps[radius] * shifted[radius]
    for k in range(radius):
        y += taps[k] * (shifted[k] + shifted[2 * radius - k])
    return y
