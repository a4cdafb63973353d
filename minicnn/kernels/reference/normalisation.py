"""Local response normalisation across channels, and batch normalisation as inference uses it."""

import numpy as np

__all__ = [
    "batch_norm2d",
    "batch_norm2d_bias_grad",
    "batch_norm2d_input_grad",
    "batch_norm2d_weight_grad",
    "local_response_norm",
    "local_response_norm_input_grad",
]


def local_response_norm(x, size, *, alpha=1e-4, beta=0.75, k=1.0):
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

    Source: Krizhevsky et al. 2012, section 3.3.

    """
    return x * _denominator(x, size, alpha, k) ** x.dtype.type(-beta)


def local_response_norm_input_grad(x, dy, size, *, alpha=1e-4, beta=0.75, k=1.0):
    """Gradient with respect to the input of a local response normalisation.

    dx[i] = dy[i] d[i]^-beta - (2 alpha beta / size) x[i] sum_j dy[j] x[j] d[j]^(-beta - 1) over the channels j
    whose window holds i.
    """
    d = _denominator(x, size, alpha, k)
    scaled = dy * d ** x.dtype.type(-beta)
    shared = _channel_sums(scaled * x / d, (size - 1) // 2, size // 2)
    return scaled - x.dtype.type(2 * alpha * beta / size) * x * shared


def _denominator(x, size, alpha, k):
    return x.dtype.type(k) + x.dtype.type(alpha / size) * _channel_sums(x * x, size // 2, (size - 1) // 2)


def _channel_sums(values, below, above):
    """Sum over channels c - below, ..., c + above, those that exist."""
    total = np.zeros_like(values)
    channels = values.shape[1]
    for shift in range(-below, above + 1):
        low, high = max(0, -shift), min(channels, channels - shift)
        if low < high:
            total[:, low:high] += values[:, low + shift : high + shift]
    return total


def batch_norm2d(x, running_mean, running_var, weight=None, bias=None, *, eps=1e-5):
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

    Source: Ioffe, Szegedy 2015, algorithm 2.

    """
    y = _standardised(x, running_mean, running_var, eps)
    y = y if weight is None else y * weight[:, None, None]
    return y if bias is None else y + bias[:, None, None]


def batch_norm2d_input_grad(dy, running_var, weight=None, *, eps=1e-5):
    """Gradient with respect to the input: dx = dy weight / sqrt(var + eps)."""
    scale = 1 / np.sqrt(running_var + running_var.dtype.type(eps))
    return dy * (scale if weight is None else scale * weight)[:, None, None]


def batch_norm2d_weight_grad(x, dy, running_mean, running_var, *, eps=1e-5):
    """Gradient with respect to the weight: sum over n, h, w of dy (x - mean) / sqrt(var + eps), of shape (C,)."""
    return (dy * _standardised(x, running_mean, running_var, eps)).sum(axis=(0, 2, 3))


def batch_norm2d_bias_grad(dy):
    """Gradient with respect to the bias: sum over n, h, w of dy, of shape (C,)."""
    return dy.sum(axis=(0, 2, 3))


def _standardised(x, mean, var, eps):
    return (x - mean[:, None, None]) / np.sqrt(var + var.dtype.type(eps))[:, None, None]
