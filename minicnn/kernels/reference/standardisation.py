"""Normalisation by statistics of the input itself: layer, group and instance normalisation; scale and shift.

An operation sees its array, whatever its shape, as ``view``: (A, D, B), without moving a value.  Layer
normalisation of N x H x W x C is (N H W, C, 1), of the channels of N x C x H x W (N, C, H W), group normalisation
(N G, C / G H W, 1).
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "scale_and_shift",
    "scale_and_shift_bias_grad",
    "scale_and_shift_input_grad",
    "scale_and_shift_weight_grad",
    "standardise",
    "standardise_input_grad",
]

View = tuple[int, int, int]


def standardise(
    x: np.ndarray, view: View, *, eps: float = 1e-5, centred: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Values with mean 0 and variance 1 along the middle axis: y = (x - mean) / sqrt(var + eps).

    Parameters
    ----------
    x : array of any shape
    view : (A, D, B), as which x is seen
    eps : float, added to the variance, which divides by D
    centred : bool; without it the mean counts as 0, and the variance is the mean of x^2

    Returns
    -------
    y : array of x's shape
    inverse : array of shape (A, 1, B), 1 / sqrt(var + eps)

    See Also
    --------
    standardise_input_grad : its gradient
    torch.nn.functional.layer_norm : the same in PyTorch, along the last axes

    References
    ----------
    Ba, Kiros, Hinton 2016, equations 3 and 4; Zhang, Sennrich 2019, equation 4, without the mean.

    Examples
    --------
    >>> y, inverse = standardise(np.array([[1.0, 5.0]]), (1, 2, 1), eps=0.0)
    >>> y.tolist(), inverse.ravel().tolist()
    ([[-1.0, 1.0]], [0.5])

    """
    values = x.reshape(view)
    if centred:
        values = values - _mean(values)
    inverse = 1 / np.sqrt(_mean(values * values) + x.real.dtype.type(eps))
    return (values * inverse).reshape(x.shape), inverse


def standardise_input_grad(
    dy: np.ndarray, y: np.ndarray, inverse: np.ndarray, view: View, *, centred: bool = True
) -> np.ndarray:
    """Gradient with respect to the input: dx = (dy - mean(dy) - y mean(dy y)) / sqrt(var + eps).

    The first mean is 0 where the values are not centred.

    Examples
    --------
    >>> y, inverse = standardise(np.array([[1.0, 5.0]]), (1, 2, 1), eps=4.0)
    >>> standardise_input_grad(np.array([[1.0, 0.0]]), y, inverse, (1, 2, 1)).round(4).tolist()
    [[0.0884, -0.0884]]

    """
    dz, z = dy.reshape(view), y.reshape(view)
    through_scale = z * _mean(dz * z)
    dz = dz - _mean(dz) if centred else dz
    return ((dz - through_scale) * inverse).reshape(dy.shape)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over axis 1 of (A, D, B), of shape (A, 1, B)."""
    # NumPy adds in pairs along the last axis alone
    return values[:, :, 0].mean(axis=1)[:, None, None] if values.shape[2] == 1 else values.mean(axis=1)[:, None]


def scale_and_shift(
    x: np.ndarray, view: View, weight: np.ndarray | None = None, bias: np.ndarray | None = None
) -> np.ndarray:
    """Each value times a weight plus a bias, one of each along the middle axis.

    Parameters
    ----------
    x : array of any shape
    view : (A, D, B), as which x is seen
    weight, bias : arrays of D values, or None for 1 and 0

    Returns
    -------
    y : array of x's shape

    Examples
    --------
    >>> scale_and_shift(np.array([[1.0, 5.0]]), (1, 2, 1), np.array([2.0, 3.0]), np.array([0.0, 1.0])).tolist()
    [[2.0, 16.0]]

    """
    y = x.reshape(view)
    y = y if weight is None else y * weight.reshape(-1, 1)
    return (y if bias is None else y + bias.reshape(-1, 1)).reshape(x.shape)


def scale_and_shift_input_grad(dy: np.ndarray, view: View, weight: np.ndarray | None = None) -> np.ndarray:
    """Gradient with respect to the input: dx = weight dy.

    Examples
    --------
    >>> scale_and_shift_input_grad(np.array([[1.0, 1.0]]), (1, 2, 1), np.array([2.0, 3.0])).tolist()
    [[2.0, 3.0]]

    """
    return scale_and_shift(dy, view, weight)


def scale_and_shift_weight_grad(x: np.ndarray, dy: np.ndarray, view: View) -> np.ndarray:
    """Gradient with respect to the weight: the sum of dy x over the first and the last axis, of shape (D,).

    Examples
    --------
    >>> scale_and_shift_weight_grad(np.array([[1.0], [2.0]]), np.array([[1.0], [10.0]]), (2, 1, 1)).tolist()
    [21.0]

    """
    return (x * dy).reshape(view).sum(axis=(0, 2))


def scale_and_shift_bias_grad(dy: np.ndarray, view: View) -> np.ndarray:
    """Gradient with respect to the bias: the sum of dy over the first and the last axis, of shape (D,).

    Examples
    --------
    >>> scale_and_shift_bias_grad(np.array([[1.0], [10.0]]), (2, 1, 1)).tolist()
    [11.0]

    """
    return dy.reshape(view).sum(axis=(0, 2))
