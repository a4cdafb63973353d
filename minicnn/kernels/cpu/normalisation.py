"""Local response normalisation across channels, and batch normalisation as inference uses it.

Schedule: threads take the channels of PIXELS pixels at a time, whose squares, window sums and powers stay in a
core's cache; batch normalisation is one multiplication with addition for each value.
Memory: three such blocks a thread.
Gain: NumPy makes a pass over memory for each of some ten steps; the usual exponent 3/4 takes two square roots,
which vectorise, instead of a power, which does not.
Reference: ``reference.local_response_norm``, ``reference.batch_norm2d`` and their gradients.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int64

from minicnn.kernels import reference
from minicnn.kernels.cpu.dtype import dense, float32_or
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.recorder import capturable

__all__ = [
    "batch_norm2d",
    "batch_norm2d_input_grad",
    "local_response_norm",
    "local_response_norm_input_grad",
]

PIXELS = 128  # a thread takes the channels of this many pixels at a time: they stay in its cache


@capturable
@float32_or(reference.local_response_norm)
def local_response_norm(x, size, *, alpha=0.0001, beta=0.75, k=1.0):
    """Local response normalisation, as ``reference.local_response_norm``."""
    y = empty(x.shape)
    _normalise(_channels(x), size, alpha / size, beta, k, _channels(y))
    return y


@capturable
@float32_or(reference.local_response_norm_input_grad)
def local_response_norm_input_grad(x, dy, size, *, alpha=0.0001, beta=0.75, k=1.0):
    """Gradient with respect to the input, as ``reference.local_response_norm_input_grad``."""
    dx = empty(x.shape)
    _normalise_input_grad(_channels(x), _channels(dy), size, alpha / size, beta, k, _channels(dx))
    return dx


@float32_or(reference.batch_norm2d)
def batch_norm2d(x, running_mean, running_var, weight=None, bias=None, *, eps=1e-05):
    """Batch normalisation with fixed statistics, as ``reference.batch_norm2d``, as one y = scale x + shift."""
    # y = weight (x - mean) / sqrt(var + eps) + bias: four numbers a channel become two, in float64
    scale = _scale(running_var, weight, eps)
    shift = -running_mean.astype(np.float64) * scale + (0 if bias is None else bias)
    return _scale_channels(x, scale, shift)


@float32_or(reference.batch_norm2d_input_grad)
def batch_norm2d_input_grad(dy, running_var, weight=None, *, eps=1e-05):
    """Gradient with respect to the input, as ``reference.batch_norm2d_input_grad``."""
    scale = _scale(running_var, weight, eps)
    # y is linear in x once the statistics are fixed: dx = scale dy
    return _scale_channels(dy, scale, np.zeros_like(scale))


def _scale(variance, weight, eps):
    scale = 1 / np.sqrt(variance.astype(np.float64) + eps)
    return scale if weight is None else scale * weight


def _scale_channels(x, scale, shift):
    y = np.empty(x.shape, np.float32)
    _scale_and_shift(_channels(x), scale.astype(np.float32), shift.astype(np.float32), _channels(y))
    return y


def _channels(array):
    """(N, C, H, W) as (N, C, H W)."""
    return dense(array).reshape(*array.shape[:2], -1)


@inner
def _scale_and_shift_map(map, x, scale, shift, y):
    n, c = divmod(map, x.shape[1])
    for i in range(x.shape[2]):
        y[n, c, i] = x[n, c, i] * scale[c] + shift[c]


@kernel(reads(3), reads(1), reads(1), writes(3))
def _scale_and_shift(x, scale, shift, y):
    parallel_for(_scale_and_shift_map, x.shape[0] * x.shape[1], (x, scale, shift, y))


@inner
def _raise_inverse(d, beta):
    """Replace each d by d^-beta."""
    if beta == 0.75:
        for i in range(len(d)):
            # d^(-3/4) = 1 / (d^(1/2) d^(1/4))
            root = np.sqrt(d[i])
            d[i] = np.float32(1) / (root * np.sqrt(root))
    else:
        for i in range(len(d)):
            d[i] = d[i] ** -beta


@inner
def _add_window(values, c, below, above, total):
    """Add to ``total`` the channels c - below, ..., c + above that exist."""
    # channels outside, pixels inside: the inner loop is over consecutive values, as vectors need
    for j in range(max(0, c - below), min(len(values), c + above + 1)):
        for i in range(len(total)):
            total[i] += values[j, i]


@inner
def _denominators(x, size, share, k):
    """d[c] = k + share sum_j x[j]^2 for the channels of a few pixels."""
    # (C, PIXELS), or fewer pixels at the end of a map
    squares, d = x * x, np.zeros(x.shape, np.float32)
    for c in range(len(x)):
        # of an even size, the window has one channel more before c than after it
        _add_window(squares, c, size // 2, (size - 1) // 2, d[c])
        for i in range(x.shape[1]):
            d[c, i] = k + share * d[c, i]
    return d


@inner
def _pixels_of(task, x):
    """Return the image and the pixels of a task."""
    n, block = divmod(task, (x.shape[2] + PIXELS - 1) // PIXELS)
    return n, slice(block * PIXELS, block * PIXELS + PIXELS)


@inner
def _tasks(x):
    return len(x) * ((x.shape[2] + PIXELS - 1) // PIXELS)


@inner
def _normalise_pixels(task, image, size, share, beta, k, out):
    n, pixels = _pixels_of(task, image)
    # a copy (C, PIXELS), since the channels of a map lie H W values apart; y is a view of the output
    x, y = np.ascontiguousarray(image[n, :, pixels]), out[n, :, pixels]
    d = _denominators(x, size, share, k)
    for c in range(len(x)):
        _raise_inverse(d[c], beta)
        for i in range(x.shape[1]):
            # y = x d^-beta
            y[c, i] = x[c, i] * d[c, i]


@kernel(reads(3), int64, float32, float32, float32, writes(3))
def _normalise(x, size, share, beta, k, y):
    parallel_for(_normalise_pixels, _tasks(x), (x, size, share, beta, k, y))


@inner
def _normalise_pixels_input_grad(task, image, cotangent, size, share, beta, k, out):
    n, pixels = _pixels_of(task, image)
    x, dy = np.ascontiguousarray(image[n, :, pixels]), np.ascontiguousarray(cotangent[n, :, pixels])
    dx = out[n, :, pixels]
    d = _denominators(x, size, share, k)
    # what each channel passes on to those whose windows it lies in: dy x d^(-beta - 1)
    shared = np.empty(x.shape, np.float32)
    for c in range(len(x)):
        for i in range(x.shape[1]):
            # the division comes first, while d is not yet raised to -beta
            shared[c, i] = dy[c, i] * x[c, i] / d[c, i]
        _raise_inverse(d[c], beta)
        for i in range(x.shape[1]):
            shared[c, i] *= d[c, i]
    # dx[c] = dy[c] d[c]^-beta - 2 share beta x[c] sum_j shared[j]
    total = np.empty(x.shape[1], np.float32)
    for c in range(len(x)):
        total[:] = 0
        # the forward's window turned round: the j whose windows hold c
        _add_window(shared, c, (size - 1) // 2, size // 2, total)
        for i in range(x.shape[1]):
            dx[c, i] = dy[c, i] * d[c, i] - np.float32(2) * share * beta * x[c, i] * total[i]


@kernel(reads(3), reads(3), int64, float32, float32, float32, writes(3))
def _normalise_input_grad(x, dy, size, share, beta, k, dx):
    parallel_for(_normalise_pixels_input_grad, _tasks(x), (x, dy, size, share, beta, k, dx))
