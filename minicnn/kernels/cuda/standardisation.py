"""Normalisation by the input's own statistics; see ``minicnn.kernels.reference.standardisation``.

A block has one of the A x B lines of D values: its threads share them, and add up the sums of a line together.
"""

from __future__ import annotations

import math

from numba import cuda, float32, float64

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.launch import channel_index, launch_per_value, optional, scalar_like
from minicnn.kernels.cuda.reduction import WARPS, WIDTH, block_sum, first_of_line, sum_per_channel

__all__ = [
    "scale_and_shift",
    "scale_and_shift_bias_grad",
    "scale_and_shift_input_grad",
    "scale_and_shift_weight_grad",
    "standardise",
    "standardise_input_grad",
]


def _make_standardise(real):
    @cuda.jit
    def standardise_kernel(x, y, inverse, depth, breadth, eps, centred):
        partials = cuda.shared.array(WARPS, real)
        t, base = cuda.threadIdx.x, first_of_line(depth, breadth)
        mean, total = real(0), real(0)
        if centred:
            for d in range(t, depth, WIDTH):
                total += x[base + d * breadth]
            mean, total = block_sum(total, partials) / real(depth), real(0)
        for d in range(t, depth, WIDTH):
            value = x[base + d * breadth] - mean
            total += value * value
        scale = real(1) / real(math.sqrt(block_sum(total, partials) / real(depth) + eps))
        for d in range(t, depth, WIDTH):
            y[base + d * breadth] = (x[base + d * breadth] - mean) * scale
        if t == 0:
            inverse[cuda.blockIdx.x] = scale

    return standardise_kernel


def _make_standardise_grad(real):
    @cuda.jit
    def standardise_grad_kernel(dy, y, inverse, dx, depth, breadth, centred):
        partials = cuda.shared.array(WARPS, real)
        t, base = cuda.threadIdx.x, first_of_line(depth, breadth)
        total, product = real(0), real(0)
        for d in range(t, depth, WIDTH):
            at = base + d * breadth
            total += dy[at]
            product += dy[at] * y[at]
        mean = block_sum(total, partials) / real(depth) if centred else real(0)
        product, scale = block_sum(product, partials) / real(depth), inverse[cuda.blockIdx.x]
        for d in range(t, depth, WIDTH):
            at = base + d * breadth
            dx[at] = (dy[at] - mean - y[at] * product) * scale

    return standardise_grad_kernel


_FORWARD = {"float32": _make_standardise(float32), "float64": _make_standardise(float64)}
_BACKWARD = {"float32": _make_standardise_grad(float32), "float64": _make_standardise_grad(float64)}


@cuda.jit
def _scale_and_shift(x, y, weight, bias, depth, breadth, size):
    i = cuda.grid(1)
    if i < size:
        d, value = channel_index(i, breadth, depth), x[i]
        if weight.given:
            value *= weight.values[d]
        if bias.given:
            value += bias.values[d]
        y[i] = value


@on_device
def standardise(x, view, *, eps=1e-5, centred=True):
    """Values with mean 0 and variance 1 along the middle axis: ``reference.standardise``."""
    lines, depth, breadth = view
    y, inverse = empty(x.shape, x.dtype), empty((lines, 1, breadth), x.dtype)
    arguments = depth, breadth, scalar_like(x, eps), int(centred)
    if x.size:
        kernel = _FORWARD[x.dtype.name][lines * breadth, WIDTH]
        kernel(x.memory, y.memory, inverse.memory, *arguments)
    return y, inverse


@on_device
def standardise_input_grad(dy, y, inverse, view, *, centred=True):
    """Gradient with respect to the input: ``reference.standardise_input_grad``."""
    lines, depth, breadth = view
    dx = empty(dy.shape, dy.dtype)
    if dy.size:
        kernel = _BACKWARD[dy.dtype.name][lines * breadth, WIDTH]
        kernel(dy.memory, y.memory, inverse.memory, dx.memory, depth, breadth, int(centred))
    return dx


@on_device
def scale_and_shift(x, view, weight=None, bias=None):
    """Each value times a weight plus a bias: ``reference.scale_and_shift``."""
    y = empty(x.shape, x.dtype)
    affine = optional(weight, x), optional(bias, x)
    launch_per_value(_scale_and_shift, x.size, x.memory, y.memory, *affine, view[1], view[2])
    return y


@on_device
def scale_and_shift_input_grad(dy, view, weight=None):
    """Gradient with respect to the input: ``reference.scale_and_shift_input_grad``."""
    dx = empty(dy.shape, dy.dtype)
    affine = optional(weight, dy), optional(None, dy)
    launch_per_value(_scale_and_shift, dy.size, dy.memory, dx.memory, *affine, view[1], view[2])
    return dx


@on_device
def scale_and_shift_weight_grad(x, dy, view):
    """Gradient with respect to the weight: ``reference.scale_and_shift_weight_grad``."""
    return sum_per_channel(x.reshape(view), dy.reshape(view))


@on_device
def scale_and_shift_bias_grad(dy, view):
    """Gradient with respect to the bias: ``reference.scale_and_shift_bias_grad``."""
    return sum_per_channel(dy.reshape(view), None)
