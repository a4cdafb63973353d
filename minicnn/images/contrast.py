"""The picture of an optimised input, its contrast stretched."""

from __future__ import annotations

import numpy as np

from minicnn.images.input_range import input_limits
from minicnn.images.preprocess import Preprocess

__all__ = ["stretch_contrast"]

LEFT_OUT = 0.005  # of the values at either end, which are clipped


def stretch_contrast(preprocess: Preprocess, x: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the picture of an input, its contrast stretched, and which pixel values are black and white in it.

    The mean is added (paper, section 2); then all but 0.5 % of the values at either end go linearly to 0..255, all
    channels alike.  Optimised inputs are not bound to what a picture can be: some leave 0..255 by far, others keep
    so near to the mean that nothing would be seen.

    Parameters
    ----------
    preprocess : Preprocess
    x : array of shape (C, H, W)

    Returns
    -------
    picture : uint8 array of shape (H, W, 3)
    (black, white) : two pixel values

    Examples
    --------
    >>> import minicnn
    >>> preprocess = minicnn.load("digits").preprocess
    >>> faint = np.zeros((1, 28, 28), np.float32)
    >>> faint[0, 10:18] = 0.1
    >>> picture, (black, white) = stretch_contrast(preprocess, faint)
    >>> int(picture.min()), int(picture.max()), round(black), round(white)
    (0, 255, 33, 41)

    """
    # shares of the way from black to white, so that the channels of a picture are stretched alike
    black, white = (limit.astype(np.float64) for limit in input_limits(preprocess))
    share = (x - black) / (white - black)
    low, high = (float(q) for q in np.quantile(share, (LEFT_OUT, 1 - LEFT_OUT)))
    # a single colour, or values that are no numbers, can't be stretched
    if not high > low:
        low, high = 0.0, 1.0
    picture = preprocess.to_image(black + (white - black) * (share - low) / (high - low))
    return picture, (255 * low, 255 * high)
