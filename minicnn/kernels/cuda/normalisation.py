"""Local response and batch normalisation; see ``minicnn.kernels.reference.normalisation``.

Neighbouring threads have neighbouring pixels of one channel, so every read of a channel is one of whole lines.
"""

from __future__ import annotations

from numba import cuda

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.launch import channel, divided, each, number
from minicnn.kernels.cuda.reduction import sum_of_products

__all__ = [
    "batch_norm2d",
    "batch_norm2d_bias_grad",
    "batch_norm2d_input_grad",
    "batch_norm2d_weight_grad",
    "local_response_norm",
    "local_response_norm_input_grad",
]


@cuda.jit(device=True)
def _stack(i, channels, area):
    """Channel of value i, and where its pixel lies in channel 0."""
    plane, pixel = divided(i, area)
    image, c = divided(plane, channels)
    return c, image * channels * area + pixel


@cuda.jit(device=True)
def _denominator(x, base, c, channels, area, below, above, alpha, k):
    total = x.dtype.type(0)
    for j in range(max(c - below, 0), min(c + above + 1, channels)):
        total += x[base + j * area] * x[base + j * area]
    return k + alpha * total


@cuda.jit
def _lrn(x, y, channels, area, below, above, alpha, beta, k, size):
    i = cuda.grid(1)
    if i < size:
        c, base = _stack(i, channels, area)
        y[i] = x[i] * _denominator(x, base, c, channels, area, below, above, alpha, k) ** -beta


@cuda.jit
def _lrn_terms(x, dy, scaled, shared, channels, area, below, above, alpha, beta, k, size):
    """Dy d^-beta, and dy x d^(-beta - 1), which every window that holds the channel sums."""
    i = cuda.grid(1)
    if i < size:
        c, base = _stack(i, channels, area)
        d = _denominator(x, base, c, channels, area, below, above, alpha, k)
        scaled[i] = dy[i] * d**-beta
        shared[i] = scaled[i] * x[i] / d


@cuda.jit
def _lrn_grad(x, scaled, shared, dx, channels, area, below, above, factor, size):
    i = cuda.grid(1)
    if i < size:
        c, base = _stack(i, channels, area)
        total = x.dtype.type(0)
        for j in range(max(c - above, 0), min(c + below + 1, channels)):
            total += shared[base + j * area]
        dx[i] = scaled[i] - factor * x[i] * total


@cuda.jit
def _standardise(x, mean, var, weight, bias, y, weighted, biased, channels, area, eps, size):
    i = cuda.grid(1)
    if i < size:
        c = channel(i, area, channels)
        value = (x[i] - mean[c]) / (var[c] + eps) ** x.dtype.type(0.5)
        if weighted:
            value *= weight[c]
        if biased:
            value += bias[c]
        y[i] = value


@cuda.jit
def _scale(dy, var, weight, dx, weighted, channels, area, eps, size):
    i = cuda.grid(1)
    if i < size:
        c = channel(i, area, channels)
        factor = dy.dtype.type(1) / (var[c] + eps) ** dy.dtype.type(0.5)
        dx[i] = dy[i] * (factor * weight[c] if weighted else factor)


def _window(x, size):
    return x.shape[1], x.shape[2] * x.shape[3], size // 2, (size - 1) // 2


@on_device
def local_response_norm(x, size, *, alpha=1e-4, beta=0.75, k=1.0):
    """Local response normalisation: ``reference.local_response_norm``."""
    y = empty(x.shape, x.dtype)
    constants = number(x, alpha / size), number(x, beta), number(x, k)
    each(_lrn, x.size, x.memory, y.memory, *_window(x, size), *constants)
    return y


@on_device
def local_response_norm_input_grad(x, dy, size, *, alpha=1e-4, beta=0.75, k=1.0):
    """Gradient with respect to the input, in two passes: ``reference.local_response_norm_input_grad``."""
    scaled, shared, dx = (empty(x.shape, x.dtype) for _ in range(3))
    constants = number(x, alpha / size), number(x, beta), number(x, k)
    arrays = x.memory, dy.memory, scaled.memory, shared.memory
    each(_lrn_terms, x.size, *arrays, *_window(x, size), *constants)
    factor = number(x, 2 * alpha * beta / size)
    each(_lrn_grad, x.size, x.memory, scaled.memory, shared.memory, dx.memory, *_window(x, size), factor)
    return dx


@on_device
def batch_norm2d(x, running_mean, running_var, weight=None, bias=None, *, eps=1e-5):
    """Batch normalisation with fixed statistics: ``reference.batch_norm2d``."""
    return _standardised(x, running_mean, running_var, weight, bias, eps)


def _standardised(x, mean, var, weight, bias, eps):
    y, channels, area = empty(x.shape, x.dtype), x.shape[1], x.shape[2] * x.shape[3]
    parameters = [p.memory for p in (mean, var, weight or var, bias or var)]
    given = int(weight is not None), int(bias is not None)
    each(_standardise, x.size, x.memory, *parameters, y.memory, *given, channels, area, number(x, eps))
    return y


@on_device
def batch_norm2d_input_grad(dy, running_var, weight=None, *, eps=1e-5):
    """Gradient with respect to the input of a batch normalisation: ``reference.batch_norm2d_input_grad``."""
    dx, channels, area = empty(dy.shape, dy.dtype), dy.shape[1], dy.shape[2] * dy.shape[3]
    parameters = running_var.memory, (weight or running_var).memory
    given = int(weight is not None)
    each(_scale, dy.size, dy.memory, *parameters, dx.memory, given, channels, area, number(dy, eps))
    return dx


@on_device
def batch_norm2d_weight_grad(x, dy, running_mean, running_var, *, eps=1e-5):
    """Gradient with respect to the weight of a batch normalisation: ``reference.batch_norm2d_weight_grad``."""
    standardised = _standardised(x, running_mean, running_var, None, None, eps)
    flat = *x.shape[:2], x.shape[2] * x.shape[3]
    return sum_of_products(standardised.reshape(flat), dy.reshape(flat))


@on_device
def batch_norm2d_bias_grad(dy):
    """Gradient with respect to the bias of a batch normalisation: ``reference.batch_norm2d_bias_grad``."""
    return sum_of_products(dy.reshape(*dy.shape[:2], dy.shape[2] * dy.shape[3]), None)
