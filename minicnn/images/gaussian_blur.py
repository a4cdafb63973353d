"""Gaussian smoothing of maps, in plain NumPy."""

import numpy as np

__all__ = ["gaussian_blur"]


def gaussian_blur(x: np.ndarray, sigma: float) -> np.ndarray:
    """Convolution of the last two axes with a Gaussian, borders repeated, cut at three sigma.

    Parameters
    ----------
    x : float array of shape (..., H, W)
    sigma : float >= 0, in pixels; 0 changes nothing

    Returns
    -------
    y : array of the shape and dtype of x

    """
    if sigma == 0:
        return x
    reach = int(3 * sigma + 1)
    taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).astype(x.dtype)
    for axis in (x.ndim - 2, x.ndim - 1):
        x = np.moveaxis(_along_first(np.moveaxis(x, axis, 0), taps, reach), 0, axis)
    return np.ascontiguousarray(x)


def _along_first(x: np.ndarray, taps: np.ndarray, reach: int) -> np.ndarray:
    """Weighted sum of x shifted along its first axis; the taps are symmetric, so that pairs share one product."""
    padded = np.pad(x, [(reach, reach)] + [(0, 0)] * (x.ndim - 1), mode="edge")
    shifted = [padded[k : k + len(x)] for k in range(2 * reach + 1)]
    y = taps[reach] * shifted[reach]
    for k in range(reach):
        y += taps[k] * (shifted[k] + shifted[2 * reach - k])
    return y
