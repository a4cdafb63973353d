"""Functions of one number, one thread a value; see ``minicnn.kernels.reference.pointwise``.

One kernel for each function and dtype, compiled when it is first used.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import cuda

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.launch import launch_per_value, scalar_like
from minicnn.kernels.scalar_functions import scalar_functions

__all__ = ["pointwise", "pointwise_input_grad"]

_device = cuda.jit(device=True)


@_device
def _exp(x):
    return math.exp(x)


@_device
def _erf(x):
    return math.erf(x)


@cache
def _functions(dtype):
    return scalar_functions(dtype.type, _device, _exp, _erf)


@cache
def _value_kernel(function, dtype):
    value, _ = _functions(dtype)[function]

    @cuda.jit
    def apply(x, y, a, b, c, size):
        i = cuda.grid(1)
        if i < size:
            y[i] = value(x[i], a, b, c)

    return apply


@cache
def _gradient_kernel(function, dtype):
    _, slope = _functions(dtype)[function]

    @cuda.jit
    def apply_slope(dy, x, dx, a, b, c, size):
        i = cuda.grid(1)
        if i < size:
            dx[i] = slope(x[i], a, b, c) * dy[i]

    return apply_slope


def _three(x, constants):
    """Return the constants in x's dtype, with zeros for those that a function has not."""
    return [scalar_like(x, value) for value in (*constants, 0.0, 0.0, 0.0)[:3]]


@on_device
def pointwise(x, function, constants=()):
    """One of the functions of each value: ``reference.pointwise``."""
    y = empty(x.shape, x.dtype)
    kernel = _value_kernel(function, np.dtype(x.dtype))
    launch_per_value(kernel, x.size, x.memory, y.memory, *_three(x, constants))
    return y


@on_device
def pointwise_input_grad(dy, x, function, constants=()):
    """Gradient with respect to the input: ``reference.pointwise_input_grad``."""
    dx = empty(dy.shape, dy.dtype)
    kernel = _gradient_kernel(function, np.dtype(x.dtype))
    launch_per_value(kernel, dy.size, dy.memory, x.memory, dx.memory, *_three(x, constants))
    return dx
