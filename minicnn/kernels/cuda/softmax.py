"""Softmax, log-softmax, cross-entropy; see ``minicnn.kernels.reference.softmax``.

A block has one image and pixel: its threads share the classes, then combine maximum and sum.
"""

from __future__ import annotations

import math

import numpy as np
from numba import cuda, float32, float64

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.launch import divmod_u32, launch_per_value, scalar_like
from minicnn.kernels.cuda.reduction import WARPS, WIDTH, block_max, block_sum, first_of_line, larger

__all__ = [
    "cross_entropy",
    "cross_entropy_input_grad",
    "log_softmax",
    "log_softmax_input_grad",
    "softmax",
    "softmax_input_grad",
]


def _make_softmax(real):
    @cuda.jit
    def softmax_kernel(x, y, classes, area, logarithm):
        partials = cuda.shared.array(WARPS, real)
        t, base = cuda.threadIdx.x, first_of_line(classes, area)
        # classes of one pixel lie ``area`` apart; a thread without a class has the first one's score
        largest = x[base]
        for c in range(t, classes, WIDTH):
            largest = larger(largest, x[base + c * area])
        largest = block_max(largest, partials)
        total = real(0)
        for c in range(t, classes, WIDTH):
            # shifted by the maximum, so that nothing overflows
            total += math.exp(x[base + c * area] - largest)
        total = block_sum(total, partials)
        for c in range(t, classes, WIDTH):
            shifted = x[base + c * area] - largest
            # the logarithm of the sum, not of the quotient, which may underflow to 0
            y[base + c * area] = shifted - math.log(total) if logarithm else math.exp(shifted) / total

    return softmax_kernel


def _make_softmax_grad(real):
    @cuda.jit
    def softmax_grad_kernel(dy, y, dx, classes, area, logarithm):
        partials = cuda.shared.array(WARPS, real)
        t, base = cuda.threadIdx.x, first_of_line(classes, area)
        total = real(0)
        for c in range(t, classes, WIDTH):
            at = base + c * area
            # sum_j dy_j y_j for the softmax, sum_j dy_j for its logarithm
            total += dy[at] if logarithm else dy[at] * y[at]
        total = block_sum(total, partials)
        for c in range(t, classes, WIDTH):
            at = base + c * area
            # log-softmax: dy - exp(y) sum dy; softmax: y (dy - sum dy y)
            dx[at] = dy[at] - math.exp(y[at]) * total if logarithm else y[at] * (dy[at] - total)

    return softmax_grad_kernel


_FORWARD = {"float32": _make_softmax(float32), "float64": _make_softmax(float64)}
_BACKWARD = {"float32": _make_softmax_grad(float32), "float64": _make_softmax_grad(float64)}


@cuda.jit
def _subtract_label(probabilities, labels, dx, classes, count, size):
    i = cuda.grid(1)
    if i < size:
        image, c = divmod_u32(i, classes)
        # (softmax - one_hot) / N
        dx[i] = (probabilities[i] - 1 if labels[image] == c else probabilities[i]) / count


@cuda.jit
def _label_mean(logarithms, labels, y, classes, images):
    """Mean of -logarithms[n, labels[n]], by one thread: N values."""
    total = logarithms.dtype.type(0)
    for n in range(images):
        total -= logarithms[n * classes + labels[n]]
    y[0] = total / logarithms.dtype.type(images)


def _normalise(x, logarithm):
    y, area = empty(x.shape, x.dtype), int(np.prod(x.shape[2:], dtype=np.int64))
    _FORWARD[x.dtype.name][len(x) * area, WIDTH](x.memory, y.memory, x.shape[1], area, logarithm)
    return y


def _gradient(dy, y, logarithm):
    dx, area = empty(y.shape, y.dtype), int(np.prod(y.shape[2:], dtype=np.int64))
    _BACKWARD[y.dtype.name][len(y) * area, WIDTH](dy.memory, y.memory, dx.memory, y.shape[1], area, logarithm)
    return dx


@on_device
def softmax(x):
    """Probabilities along axis 1: ``reference.softmax``."""
    return _normalise(x, 0)


@on_device
def softmax_input_grad(dy, y):
    """Gradient with respect to the scores, from the probabilities: ``reference.softmax_input_grad``."""
    return _gradient(dy, y, 0)


@on_device
def log_softmax(x):
    """Logarithms of the probabilities along axis 1: ``reference.log_softmax``."""
    return _normalise(x, 1)


@on_device
def log_softmax_input_grad(dy, y):
    """Gradient with respect to the scores, from the logarithms: ``reference.log_softmax_input_grad``."""
    return _gradient(dy, y, 1)


@on_device
def cross_entropy(scores, labels):
    """Mean of -log softmax at the labels, a NumPy scalar: ``reference.cross_entropy``."""
    loss, logarithms = empty((1,), scores.dtype), _normalise(scores, 1)
    # one thread: only N values are read, in a fixed order
    _label_mean[1, 1](logarithms.memory, labels.memory, loss.memory, scores.shape[1], len(scores))
    return np.asarray(loss)[0]


@on_device
def cross_entropy_input_grad(scores, labels):
    """Gradient of the mean cross-entropy with respect to the scores: ``reference.cross_entropy_input_grad``."""
    dx, probabilities = empty(scores.shape, scores.dtype), _normalise(scores, 0)
    count = scalar_like(scores, len(scores))
    launch_per_value(
        _subtract_label, dx.size, probabilities.memory, labels.memory, dx.memory, scores.shape[1], count
    )
    return dx
