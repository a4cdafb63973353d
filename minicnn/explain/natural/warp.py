"""Looking at a picture shifted, turned and nearer or farther, and the adjoint of that.

A rotation is three shears (Paeth 1986), a change of scale and a shift are one matrix for each axis.  All of them
are linear, and the adjoint of each is a gather too: a row that was shifted by t is shifted back by -t, a matrix is
transposed.  No value is added to from two places, so that the bits do not depend on an order.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Warp"]


class Warp:
    """A linear map of pictures: turned, scaled and shifted about the centre, 0 outside of the picture.

    Parameters
    ----------
    size : (H, W) in pixels
    angle : float, degrees by which the picture is turned, at most 90
    scale : float > 0, above 1 nearer, below 1 farther
    shift : (vertical, horizontal) in pixels

    References
    ----------
    .. [1] Paeth 1986, "A fast algorithm for general raster rotation".

    Examples
    --------
    The adjoint of A is the map with <A x, y> = <x, A' y>:

    >>> warp, rng = Warp((5, 6), angle=20, scale=0.8, shift=(1, 0)), np.random.default_rng(0)
    >>> x, y = rng.random((2, 3, 5, 6))
    >>> bool(np.isclose((warp.apply(x) * y).sum(), (x * warp.adjoint(y)).sum()))
    True

    """

    def __init__(self, size: tuple[int, int], angle: float, scale: float, shift: tuple[float, float]):
        radians = np.deg2rad(angle)
        # rotation = shear of rows, shear of columns, shear of rows, by these slopes
        self._slopes = -float(np.tan(radians / 2)), float(np.sin(radians))
        self._rows, self._columns = (_resampling(n, scale, by) for n, by in zip(size, shift, strict=True))

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Return how the picture x (C, H, W) looks, in its shape and dtype."""
        of_rows, of_columns = self._slopes
        x = _shear_rows(_shear_columns(_shear_rows(x, of_rows), of_columns), of_rows)
        return self._rows.astype(x.dtype) @ x @ self._columns.T.astype(x.dtype)

    def adjoint(self, dy: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to x, from that with respect to ``apply``'s result."""
        of_rows, of_columns = self._slopes
        dy = self._rows.T.astype(dy.dtype) @ dy @ self._columns.astype(dy.dtype)
        # each shear's adjoint is the shear by the opposite slope, in the reverse order
        return _shear_rows(_shear_columns(_shear_rows(dy, -of_rows), -of_columns), -of_rows)


def _resampling(n: int, scale: float, shift: float) -> np.ndarray:
    """Matrix (n, n) that magnifies n pixels by a scale about their centre and shifts them, antialiased."""
    centre = (n - 1) / 2
    # where in the picture each pixel of the result looks, and how far around
    place, reach = (np.arange(n) - centre) / scale + centre + shift, max(1.0, 1 / scale)
    # pixels outside of the picture take part in the sum of the weights, with a value of 0
    margin = int(np.ceil(np.abs(place - centre).max() + reach))
    grid = np.arange(-margin, n + margin)
    weights = np.maximum(0, 1 - np.abs(place[:, None] - grid) / reach)
    return (weights / weights.sum(1, keepdims=True))[:, margin : margin + n]


def _shear_rows(x: np.ndarray, slope: float) -> np.ndarray:
    """Shift row r of x (C, H, W) by slope (r - centre) pixels, between pixels linearly, 0 from outside."""
    if slope == 0:
        return x
    _, height, width = x.shape
    shifts = slope * (np.arange(height) - (height - 1) / 2)
    whole = np.floor(shifts).astype(int)
    part = (shifts - whole).astype(x.dtype)[:, None]
    # a zero on either side stands for everything outside
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    columns = np.clip(np.arange(width + 1) + whole[:, None] + 1, 0, width + 1)
    index = columns + (width + 2) * np.arange(height)[:, None]
    # x[r, c + whole], and one more at the end of each row
    shifted = padded.reshape(len(x), -1).take(index, axis=1)
    # y[r, c] = (1 - part) x[r, c + whole] + part x[r, c + whole + 1]
    return np.asarray(shifted[:, :, :-1] + part * (shifted[:, :, 1:] - shifted[:, :, :-1]))


def _shear_columns(x: np.ndarray, slope: float) -> np.ndarray:
    return _shear_rows(x.swapaxes(1, 2), slope).swapaxes(1, 2)
