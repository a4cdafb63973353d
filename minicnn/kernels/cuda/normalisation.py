"""Local response and batch normalisation; see ``minicnn.kernels.reference.normalisation``.

Neighbouring threads have neighbouring pixels of one channel, so every read of a channel is one of whole lines.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import cuda

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.launch import channel_index, divmod_u32, launch_per_value, optional, scalar_like
from minicnn.kernels.cuda.reduction import sum_per_channel

__all__ = [
    "batch_norm2d",
    "batch_norm2d_bias_grad",
    "batch_norm2d_input_grad",
    "batch_norm2d_weight_grad",
    "local_response_norm",
    "local_response_norm_input_grad",
]


class _Lrn(NamedTuple):
    """Channels of an image, pixels of a channel, channels below and above in a window, and the constants."""

    channels: int
    area: int
    below: int
    above: int
    alpha: Any  # divided by the window's size
    beta: Any
    k: Any


@cuda.jit(device=True)
def _locate(i, channels, area):
    """Channel of value i, and where its pixel lies in channel 0."""
    plane, pixel = divmod_u32(i, area)
    image, c = divmod_u32(plane, channels)
    return c, image * channels * area + pixel


@cuda.jit(device=True)
def _denominator(x, base, c, g):
    total = x.dtype.type(0)
    # the window, cut off at the first and the last channel
    for j in range(max(c - g.below, 0), min(c + g.above + 1, g.channels)):
        total += x[base + j * g.area] * x[base + j * g.area]
    return g.k + g.alpha * total


@cuda.jit
def _lrn(x, y, g, size):
    i = cuda.grid(1)
    if i < size:
        c, base = _locate(i, g.channels, g.area)
        # y = x d^-beta
        y[i] = x[i] * _denominator(x, base, c, g) ** -g.beta


@cuda.jit
def _lrn_terms(x, dy, scaled, shared, g, size):
    """Dy d^-beta, and dy x d^(-beta - 1), which every window that holds the channel sums."""
    i = cuda.grid(1)
    if i < size:
        c, base = _locate(i, g.channels, g.area)
        d = _denominator(x, base, c, g)
        # one thread a value computes both, once, rather than once for every window that holds it
        scaled[i] = dy[i] * d**-g.beta
        shared[i] = scaled[i] * x[i] / d


@cuda.jit
def _lrn_grad(x, scaled, shared, dx, g, factor, size):
    i = cuda.grid(1)
    if i < size:
        c, base = _locate(i, g.channels, g.area)
        total = x.dtype.type(0)
        # channel j's window holds c if c - above <= j <= c + below: the mirror of the forward's window
        for j in range(max(c - g.above, 0), min(c + g.below + 1, g.channels)):
            total += shared[base + j * g.area]
        # dx = dy d^-beta - (2 alpha beta / size) x sum_j dy_j x_j d_j^(-beta - 1)
        dx[i] = scaled[i] - factor * x[i] * total


@cuda.jit
def _standardise(x, mean, var, eps, affine, y, g, size):
    i = cuda.grid(1)
    if i < size:
        # g is (channels, area)
        c = channel_index(i, g[1], g[0])
        weight, bias = affine
        # the power in x's dtype, so that float32 is not computed in float64
        value = (x[i] - mean[c]) / (var[c] + eps) ** x.dtype.type(0.5)
        if weight.given:
            value *= weight.values[c]
        if bias.given:
            value += bias.values[c]
        y[i] = value


@cuda.jit
def _scale(dy, var, eps, weight, dx, g, size):
    i = cuda.grid(1)
    if i < size:
        c = channel_index(i, g[1], g[0])
        # mean and variance are constants, so the layer is a factor for each channel
        factor = dy.dtype.type(1) / (var[c] + eps) ** dy.dtype.type(0.5)
        dx[i] = dy[i] * (factor * weight.values[c] if weight.given else factor)


def _channels_and_area(x):
    return x.shape[1], x.shape[2] * x.shape[3]


def _lrn_geometry(x, size, alpha, beta, k):
    # alpha is divided here, once
    constants = (scalar_like(x, value) for value in (alpha / size, beta, k))
    # size channels: size // 2 below c, (size - 1) // 2 above it, and c
    return _Lrn(*_channels_and_area(x), size // 2, (size - 1) // 2, *constants)


@on_device
def local_response_norm(x, size, *, alpha=1e-4, beta=0.75, k=1.0):
    """Local response normalisation: ``reference.local_response_norm``."""
    y = empty(x.shape, x.dtype)
    launch_per_value(_lrn, x.size, x.memory, y.memory, _lrn_geometry(x, size, alpha, beta, k))
    return y


@on_device
def local_response_norm_input_grad(x, dy, size, *, alpha=1e-4, beta=0.75, k=1.0):
    """Gradient with respect to the input, in two passes: ``reference.local_response_norm_input_grad``."""
    scaled, shared, dx = (empty(x.shape, x.dtype) for _ in range(3))
    g, factor = _lrn_geometry(x, size, alpha, beta, k), scalar_like(x, 2 * alpha * beta / size)
    launch_per_value(_lrn_terms, x.size, x.memory, dy.memory, scaled.memory, shared.memory, g)
    launch_per_value(_lrn_grad, x.size, x.memory, scaled.memory, shared.memory, dx.memory, g, factor)
    return dx


@on_device
def batch_norm2d(x, running_mean, running_var, weight=None, bias=None, *, eps=1e-5):
    """Batch normalisation with fixed statistics: ``reference.batch_norm2d``."""
    return _run_standardise(x, running_mean, running_var, weight, bias, eps)


def _run_standardise(x, mean, var, weight, bias, eps):
    # var stands in for a missing weight or bias
    y, affine = empty(x.shape, x.dtype), (optional(weight, var), optional(bias, var))
    arguments = mean.memory, var.memory, scalar_like(x, eps), affine, y.memory, _channels_and_area(x)
    launch_per_value(_standardise, x.size, x.memory, *arguments)
    return y


@on_device
def batch_norm2d_input_grad(dy, running_var, weight=None, *, eps=1e-5):
    """Gradient with respect to the input of a batch normalisation: ``reference.batch_norm2d_input_grad``."""
    dx = empty(dy.shape, dy.dtype)
    arguments = running_var.memory, scalar_like(dy, eps), optional(weight, running_var), dx.memory
    launch_per_value(_scale, dy.size, dy.memory, *arguments, _channels_and_area(dy))
    return dx


@on_device
def batch_norm2d_weight_grad(x, dy, running_mean, running_var, *, eps=1e-5):
    """Gradient with respect to the weight of a batch normalisation: ``reference.batch_norm2d_weight_grad``."""
    standardised = _run_standardise(x, running_mean, running_var, None, None, eps)
    # dweight[c] = sum over n, h, w of dy times the standardised x
    flat = *x.shape[:2], x.shape[2] * x.shape[3]
    return sum_per_channel(standardised.reshape(flat), dy.reshape(flat))


@on_device
def batch_norm2d_bias_grad(dy):
    """Gradient with respect to the bias of a batch normalisation: ``reference.batch_norm2d_bias_grad``."""
    return sum_per_channel(dy.reshape(*dy.shape[:2], dy.shape[2] * dy.shape[3]), None)
