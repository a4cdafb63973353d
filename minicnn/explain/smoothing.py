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
        width = [(0, 0)] * x.ndim
        width[axis] = (reach, reach)
        padded = np.moveaxis(np.pad(x, width, mode="edge"), axis, -1)
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(taps), axis=-1)
        x = np.moveaxis(windows @ taps, -1, axis)
    return np.ascontiguousarray(x)
