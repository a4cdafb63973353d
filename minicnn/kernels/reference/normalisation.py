"""Local response normalisation across channels; batch normalisation as inference and as training use it."""

from __future__ import annotations

import numpy as np

__all__ = [
    "batch_norm2d",
    "batch_norm2d_bias_grad",
    "batch_norm2d_input_grad",
    "batch_norm2d_training",
    "batch_norm2d_training_bias_grad",
    "batch_norm2d_training_input_grad",
    "batch_norm2d_training_weight_grad",
    "batch_norm2d_weight_grad",
    "local_response_norm",
    "local_response_norm_input_grad",
]


def local_response_norm(
    x: np.ndarray, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> np.ndarray:
    """Local response normalisation.

    y[c] = x[c] / d[c]^beta with d[c] = k + (alpha / size) sum_j x[j]^2 over the ``size`` channels
    j = c - size // 2, ..., c + (size - 1) // 2 that exist.

    Parameters
    ----------
    x : array of shape (N, C, H, W)
    size, alpha, beta, k : torch's convention: alpha is divided by the window's size

    Returns
    -------
    y : array of shape (N, C, H, W)

    See Also
    --------
    local_response_norm_input_grad : its gradient
    torch.nn.functional.local_response_norm : the same in PyTorch

    References
    ----------
    Krizhevsky et al. 2012, section 3.3.

    Examples
    --------
    Three channels of one pixel, each divided by a window of itself and its neighbours:

    >>> x = np.array([1.0, 2.0, 4.0]).reshape(1, 3, 1, 1)
    >>> local_response_norm(x, 3, alpha=3.0, beta=1.0).round(4).ravel().tolist()
    [0.1667, 0.0909, 0.1905]

    """
    # in x's dtype: a NumPy float64 among the settings would turn float32 into float64
    return x * _denominator(x, size, alpha, k) ** x.dtype.type(-beta)


def local_response_norm_input_grad(
    x: np.ndarray, dy: np.ndarray, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> np.ndarray:
    """Gradient with respect to the input of a local response normalisation.

    dx[i] = dy[i] d[i]^-beta - (2 alpha beta / size) x[i] sum_j dy[j] x[j] d[j]^(-beta - 1) over the channels j
    whose window holds i.

    Examples
    --------
    >>> x, dy = np.array([1.0, 2.0]).reshape(1, 2, 1, 1), np.ones((1, 2, 1, 1))
    >>> local_response_norm_input_grad(x, dy, 1, alpha=1.0, beta=1.0).ravel().tolist()
    [0.0, -0.12]

    """
    d = _denominator(x, size, alpha, k)
    scaled = dy * d ** x.dtype.type(-beta)
    # dy[j] x[j] d[j]^(-beta - 1) over the j whose window holds i: below and above change places
    shared = _channel_sums(scaled * x / d, (size - 1) // 2, size // 2)
    return scaled - x.dtype.type(2 * alpha * beta / size) * x * shared


def _denominator(x: np.ndarray, size: int, alpha: float, k: float) -> np.ndarray:
    """d[c] = k + (alpha / size) sum_j x[j]^2."""
    return x.dtype.type(k) + x.dtype.type(alpha / size) * _channel_sums(x * x, size // 2, (size - 1) // 2)


def _channel_sums(values: np.ndarray, below: int, above: int) -> np.ndarray:
    """Sum over channels c - below, ..., c + above, those that exist."""
    total = np.zeros_like(values)
    channels = values.shape[1]
    for shift in range(-below, above + 1):
        # the channels c for which c + shift exists
        low, high = max(0, -shift), min(channels, channels - shift)
        if low < high:
            total[:, low:high] += values[:, low + shift : high + shift]
    return total


def batch_norm2d(
    x: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    *,
    eps: float = 1e-5,
) -> np.ndarray:
    """Batch normalisation with fixed statistics: y = weight (x - mean) / sqrt(var + eps) + bias, per channel.

    Parameters
    ----------
    x : array of shape (N, C, H, W)
    running_mean, running_var : arrays of shape (C,)
    weight, bias : arrays of shape (C,), or None for 1 and 0
    eps : float; 1e-5 in torch, 1e-3 in TensorFlow

    Returns
    -------
    y : array of shape (N, C, H, W)

    See Also
    --------
    batch_norm2d_input_grad, batch_norm2d_weight_grad, batch_norm2d_bias_grad : its gradients
    torch.nn.functional.batch_norm : the same in PyTorch, with training=False

    References
    ----------
    Ioffe, Szegedy 2015, algorithm 2.

    Examples
    --------
    >>> x = np.array([[[[1.0, 5.0]]]])
    >>> batch_norm2d(x, np.array([3.0]), np.array([4.0]), np.array([10.0]), np.array([1.0]), eps=0).tolist()
    [[[[-9.0, 11.0]]]]

    """
    y = _standardise(x, running_mean, running_var, eps)
    # (C,) broadcasts along axis 1 as (C, 1, 1)
    y = y if weight is None else y * weight[:, None, None]
    return y if bias is None else y + bias[:, None, None]


def batch_norm2d_input_grad(
    dy: np.ndarray, running_var: np.ndarray, weight: np.ndarray | None = None, *, eps: float = 1e-5
) -> np.ndarray:
    """Gradient with respect to the input: dx = dy weight / sqrt(var + eps).

    Examples
    --------
    >>> batch_norm2d_input_grad(np.array([[[[1.0, 2.0]]]]), np.array([4.0]), np.array([10.0]), eps=0).tolist()
    [[[[5.0, 10.0]]]]

    """
    # (C,); the mean is fixed, so it does not enter the gradient
    scale = 1 / np.sqrt(running_var + running_var.dtype.type(eps))
    return dy * (scale if weight is None else scale * weight)[:, None, None]


def batch_norm2d_weight_grad(
    x: np.ndarray, dy: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray, *, eps: float = 1e-5
) -> np.ndarray:
    """Gradient with respect to the weight: sum over n, h, w of dy (x - mean) / sqrt(var + eps), of shape (C,).

    Examples
    --------
    >>> x, dy = np.array([[[[1.0, 5.0]]]]), np.array([[[[1.0, 2.0]]]])
    >>> batch_norm2d_weight_grad(x, dy, np.array([3.0]), np.array([4.0]), eps=0).tolist()
    [1.0]

    """
    return (dy * _standardise(x, running_mean, running_var, eps)).sum(axis=(0, 2, 3))


def batch_norm2d_bias_grad(dy: np.ndarray) -> np.ndarray:
    """Gradient with respect to the bias: sum over n, h, w of dy, of shape (C,).

    Examples
    --------
    >>> batch_norm2d_bias_grad(np.array([[[[1.0, 2.0]]]])).tolist()
    [3.0]

    """
    return dy.sum(axis=(0, 2, 3))


def batch_norm2d_training(
    x: np.ndarray, weight: np.ndarray | None = None, bias: np.ndarray | None = None, *, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Batch normalisation with the batch's own statistics, each a channel's, over images and pixels.

    mean = sum x / M,  var = sum (x - mean)^2 / M,  y = weight (x - mean) / sqrt(var + eps) + bias,  M = N H W.

    Parameters
    ----------
    x : array of shape (N, C, H, W)
    weight, bias : arrays of shape (C,), or None for 1 and 0
    eps : float

    Returns
    -------
    y : array of shape (N, C, H, W)
    mean, var : arrays of shape (C,); of the M values, not of M - 1

    See Also
    --------
    batch_norm2d_training_input_grad, batch_norm2d_training_weight_grad : its gradients
    torch.nn.functional.batch_norm : the same in PyTorch, with training=True

    References
    ----------
    Ioffe, Szegedy 2015, algorithm 1.

    Examples
    --------
    >>> y, mean, var = batch_norm2d_training(np.array([[[[1.0, 5.0]]]]), eps=0)
    >>> y.tolist(), mean.tolist(), var.tolist()
    ([[[[-1.0, 1.0]]]], [3.0], [4.0])

    """
    mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    return batch_norm2d(x, mean, var, weight, bias, eps=eps), mean, var


def batch_norm2d_training_input_grad(
    x: np.ndarray,
    dy: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    weight: np.ndarray | None,
    dweight: np.ndarray,
    dbias: np.ndarray,
    *,
    eps: float = 1e-5,
) -> np.ndarray:
    """Gradient with respect to the input, which moves the statistics too, from those of weight and bias.

    With z = (x - mean) / sqrt(var + eps), dweight = sum dy z and dbias = sum dy over the M values of a channel:
    dx = weight / sqrt(var + eps) (dy - (dbias + z dweight) / M).  What dy has in common with a shift or a stretch
    of the channel, which the normalisation undoes, is taken out.

    References
    ----------
    Ioffe, Szegedy 2015, section 3, the equations of the chain rule, multiplied out.

    Examples
    --------
    >>> x, dy = np.array([[[[1.0, 5.0, 3.0]]]]), np.array([[[[1.0, 0.0, 0.0]]]])
    >>> y, mean, var = batch_norm2d_training(x, eps=0)
    >>> dweight, dbias = batch_norm2d_training_weight_grad(x, dy, mean, var, eps=0), dy.sum(axis=(0, 2, 3))
    >>> dx = batch_norm2d_training_input_grad(x, dy, mean, var, None, dweight, dbias, eps=0)
    >>> dx.round(4).ravel().tolist()
    [0.1021, 0.1021, -0.2041]

    """
    values = x.dtype.type(x.size // x.shape[1])
    shared = dbias[:, None, None] + _standardise(x, mean, var, eps) * dweight[:, None, None]
    # as if the statistics were fixed, of what is left of dy
    return batch_norm2d_input_grad(dy - shared / values, var, weight, eps=eps)


def batch_norm2d_training_weight_grad(
    x: np.ndarray, dy: np.ndarray, mean: np.ndarray, var: np.ndarray, *, eps: float = 1e-5
) -> np.ndarray:
    """Gradient with respect to the weight, which moves no statistics: as with fixed ones, of shape (C,)."""
    return batch_norm2d_weight_grad(x, dy, mean, var, eps=eps)


def batch_norm2d_training_bias_grad(dy: np.ndarray) -> np.ndarray:
    """Gradient with respect to the bias: sum over n, h, w of dy, of shape (C,)."""
    return batch_norm2d_bias_grad(dy)


def _standardise(x: np.ndarray, mean: np.ndarray, var: np.ndarray, eps: float) -> np.ndarray:
    """(x - mean) / sqrt(var + eps), per channel."""
    return (x - mean[:, None, None]) / np.sqrt(var + var.dtype.type(eps))[:, None, None]
