"""ReLU and its kin, one thread a value; see ``minicnn.kernels.reference.activation``."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numba import cuda

from minicnn.kernels.cuda.arrays import empty, on_device, upload
from minicnn.kernels.cuda.launch import channel_index, launch_per_value, scalar_like
from minicnn.kernels.cuda.reduction import sum_per_channel

__all__ = [
    "hardtanh",
    "leaky_relu",
    "leaky_relu_input_grad",
    "prelu",
    "prelu_input_grad",
    "prelu_weight_grad",
    "relu",
    "relu_input_grad",
    "tanh",
    "tanh_input_grad",
]


@cuda.jit
def _clip(x, y, mask, low, high, size):
    i = cuda.grid(1)
    if i < size:
        value = x[i]
        mask[i] = value > low and value < high
        # comparisons, not min and max: a NaN fails them all and passes through, as in NumPy
        y[i] = low if value < low else (high if value > high else value)


@cuda.jit
def _rectify_grad(dy, mask, dx, where_input, where_cotangent, size):
    i = cuda.grid(1)
    if i < size:
        value = dy[i]
        # [x > 0] asked by gradient and guided, [dy > 0] by deconvnet and guided
        kept = (mask[i] or not where_input) and (value > 0 or not where_cotangent)
        dx[i] = value if kept else dy.dtype.type(0)


@cuda.jit
def _slope(x, weight, y, mask, channels, area, size):
    i = cuda.grid(1)
    if i < size:
        value = x[i]
        mask[i] = value > 0
        # one slope for all where channels is 1, as the index is then 0
        y[i] = value if value > 0 else weight[channel_index(i, area, channels)] * value


@cuda.jit
def _slope_grad(dy, mask, weight, dx, channels, area, size):
    i = cuda.grid(1)
    if i < size:
        # the mask of the forward decides, so x is not read again
        dx[i] = dy[i] if mask[i] else weight[channel_index(i, area, channels)] * dy[i]


@cuda.jit
def _slope_grad_terms(x, dy, mask, y, size):
    i = cuda.grid(1)
    if i < size:
        # dy/dweight is x where x <= 0, else 0
        y[i] = x.dtype.type(0) if mask[i] else dy[i] * x[i]


@cuda.jit
def _tanh(x, y, size):
    i = cuda.grid(1)
    if i < size:
        y[i] = math.tanh(x[i])


@cuda.jit
def _tanh_grad(dy, y, dx, size):
    i = cuda.grid(1)
    if i < size:
        # tanh' = 1 - tanh^2, from the output, so the input need not be kept
        dx[i] = dy[i] * (1 - y[i] * y[i])


def _run_clip(x, low, high):
    y, mask = empty(x.shape, x.dtype), empty(x.shape, np.bool_)
    bounds = scalar_like(x, low), scalar_like(x, high)
    launch_per_value(_clip, x.size, x.memory, y.memory, mask.memory, *bounds)
    return y, mask


@on_device
def relu(x):
    """Rectifier and its mask: ``reference.relu``."""
    return _run_clip(x, 0, np.inf)


@on_device
def hardtanh(x, min_val, max_val):
    """Values clipped to an interval, and their mask: ``reference.hardtanh``."""
    return _run_clip(x, min_val, max_val)


@on_device
def relu_input_grad(dy, mask, rule):
    """Gradient through ReLU or ``hardtanh`` by one of three rules: ``reference.relu_input_grad``."""
    dx = empty(dy.shape, dy.dtype)
    where = int(rule.where_input_positive), int(rule.where_cotangent_positive)
    launch_per_value(_rectify_grad, dy.size, dy.memory, mask.memory, dx.memory, *where)
    return dx


@lru_cache(64)
def _slopes(dtype, negative_slope):
    """Slope in the GPU's memory, sent once."""
    return upload(np.full(1, negative_slope, dtype))


def _apply_slopes(x, slopes, channels):
    y, mask = empty(x.shape, x.dtype), empty(x.shape, np.bool_)
    launch_per_value(_slope, x.size, x.memory, slopes.memory, y.memory, mask.memory, channels, _area(x))
    return y, mask


def _apply_slopes_grad(dy, mask, slopes, channels):
    dx = empty(dy.shape, dy.dtype)
    launch_per_value(_slope_grad, dy.size, dy.memory, mask.memory, slopes.memory, dx.memory, channels, _area(dy))
    return dx


def _area(x):
    return int(np.prod(x.shape[2:], dtype=np.int64))


@on_device
def leaky_relu(x, negative_slope):
    """Leaky rectifier and its mask: ``reference.leaky_relu``."""
    return _apply_slopes(x, _slopes(x.dtype, negative_slope), 1)


@on_device
def leaky_relu_input_grad(dy, mask, negative_slope):
    """Gradient with respect to the input of a leaky rectifier: ``reference.leaky_relu_input_grad``."""
    return _apply_slopes_grad(dy, mask, _slopes(dy.dtype, negative_slope), 1)


@on_device
def prelu(x, weight):
    """Leaky rectifier with a learned slope for each channel, and its mask: ``reference.prelu``."""
    return _apply_slopes(x, weight, weight.size)


@on_device
def prelu_input_grad(dy, mask, weight):
    """Gradient with respect to the input of a learned rectifier: ``reference.prelu_input_grad``."""
    return _apply_slopes_grad(dy, mask, weight, weight.size)


@on_device
def prelu_weight_grad(x, dy, mask, weight):
    """Gradient with respect to the learned slopes: ``reference.prelu_weight_grad``."""
    # terms of the sum first, (N, C, ...); then a block sums each channel
    terms = empty(x.shape, x.dtype)
    launch_per_value(_slope_grad_terms, x.size, x.memory, dy.memory, mask.memory, terms.memory)
    # one slope shared by all channels: all values count as one channel
    if weight.size == 1:
        return sum_per_channel(terms.reshape(1, 1, -1), None)
    return sum_per_channel(terms.reshape(*x.shape[:2], _area(x)), None)


@on_device
def tanh(x):
    """Hyperbolic tangent: ``reference.tanh``."""
    y = empty(x.shape, x.dtype)
    launch_per_value(_tanh, x.size, x.memory, y.memory)
    return y


@on_device
def tanh_input_grad(dy, y):
    """Gradient with respect to the input of a hyperbolic tangent: ``reference.tanh_input_grad``."""
    dx = empty(dy.shape, dy.dtype)
    launch_per_value(_tanh_grad, dy.size, dy.memory, y.memory, dx.memory)
    return dx
