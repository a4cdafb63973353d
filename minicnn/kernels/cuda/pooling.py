"""Pools, by gathering: one thread an output, forward and backward; see ``minicnn.kernels.reference.pooling``.

Backward, the thread of an input pixel visits the windows that hold it, in row order, and adds what they send it:
no atomics, so the same bits on every run.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from numba import cuda

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.launch import divided, each, number
from minicnn.kernels.cuda.reduction import sum_of_products
from minicnn.kernels.reference.windows import Windows

__all__ = [
    "avg_pool2d",
    "avg_pool2d_input_grad",
    "global_avg_pool2d",
    "global_avg_pool2d_input_grad",
    "max_pool2d",
    "max_pool2d_input_grad",
]

_Pool = namedtuple("_Pool", "height width rows columns r s step_y step_x top left far_y far_x bottom right")


def _pool(windows: Windows) -> _Pool:
    (top, bottom), (left, right) = windows.padding
    numbers = *windows.size, *windows.output_size, *windows.kernel_size, *windows.stride, top, left
    return _Pool(*numbers, *windows.dilation, bottom, right)


@cuda.jit(device=True)
def _pixel(i, height, width):
    """Map, row and column of value i."""
    rest, w = divided(i, width)
    plane, h = divided(rest, height)
    return plane, h, w


@cuda.jit
def _max(x, y, switches, g, least, size):
    i = cuda.grid(1)
    if i < size:
        plane, p, q = _pixel(i, g.rows, g.columns)
        top, left = p * g.step_y - g.top, q * g.step_x - g.left
        base = plane * g.height * g.width
        best, switch = least, -1
        for r in range(g.r):
            h = top + r * g.far_y
            for s in range(g.s):
                w = left + s * g.far_x
                if h >= 0 and h < g.height and w >= 0 and w < g.width:
                    value = x[base + h * g.width + w]
                    if switch < 0 or value > best or value != value:
                        best, switch = value, r * g.s + s
        y[i] = best
        switches[i] = max(switch, 0)


@cuda.jit
def _max_grad(dy, switches, dx, g, size):
    i = cuda.grid(1)
    if i < size:
        plane, h, w = _pixel(i, g.height, g.width)
        h, w = h + g.top, w + g.left
        base = plane * g.rows * g.columns
        total = dy.dtype.type(0)
        for r in range(g.r):
            p, over = divided(h - r * g.far_y, g.step_y)  # where that is negative, p is beyond all rows
            if p < g.rows and over == 0:
                for s in range(g.s):
                    q, over = divided(w - s * g.far_x, g.step_x)
                    if q < g.columns and over == 0:
                        at = base + p * g.columns + q
                        if switches[at] == r * g.s + s:
                            total += dy[at]
        dx[i] = total


@cuda.jit(device=True)
def _counted(p, q, g, padding_too):
    """Pixels of window (p, q) that count: those of the input, and of its padding where that is asked for."""
    above, below, before, after = (g.top, g.bottom, g.left, g.right) if padding_too else (0, 0, 0, 0)
    top, left = p * g.step_y - g.top, q * g.step_x - g.left
    tall = min(top + g.r, g.height + below) - max(top, -above)
    wide = min(left + g.s, g.width + after) - max(left, -before)
    return max(max(tall, 0) * max(wide, 0), 1)


@cuda.jit
def _mean(x, y, g, padding_too, size):
    i = cuda.grid(1)
    if i < size:
        plane, p, q = _pixel(i, g.rows, g.columns)
        top, left = p * g.step_y - g.top, q * g.step_x - g.left
        base = plane * g.height * g.width
        total = x.dtype.type(0)
        for h in range(max(top, 0), min(top + g.r, g.height)):
            for w in range(max(left, 0), min(left + g.s, g.width)):
                total += x[base + h * g.width + w]
        y[i] = total / x.dtype.type(_counted(p, q, g, padding_too))


@cuda.jit(device=True)
def _windows(place, length, step, count):
    """First window that holds a row or column, and the one behind the last."""
    first, _ = divided(max(place - length + step, 0), step)
    return first, min(count, divided(place, step)[0] + 1)


@cuda.jit
def _mean_grad(dy, dx, g, padding_too, size):
    i = cuda.grid(1)
    if i < size:
        plane, h, w = _pixel(i, g.height, g.width)
        h, w = h + g.top, w + g.left
        base = plane * g.rows * g.columns
        total = dy.dtype.type(0)
        top, bottom = _windows(h, g.r, g.step_y, g.rows)
        left, right = _windows(w, g.s, g.step_x, g.columns)
        for p in range(top, bottom):
            for q in range(left, right):
                total += dy[base + p * g.columns + q] / dy.dtype.type(_counted(p, q, g, padding_too))
        dx[i] = total


@cuda.jit
def _spread(dy, dx, share, area, size):
    i = cuda.grid(1)
    if i < size:
        dx[i] = dy[divided(i, area)[0]] / share


@cuda.jit
def _divide(x, share, size):
    i = cuda.grid(1)
    if i < size:
        x[i] /= share


@on_device
def max_pool2d(x, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Max-pool and its switches: ``reference.max_pool2d``."""
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    taps = windows.kernel_size[0] * windows.kernel_size[1]
    y = empty(x.shape[:2] + windows.output_size, x.dtype)
    switches = empty(y.shape, np.uint8 if taps <= 256 else np.uint16)
    each(_max, y.size, x.memory, y.memory, switches.memory, _pool(windows), number(x, -np.inf))
    return y, switches


@on_device
def max_pool2d_input_grad(
    dy, switches, input_size, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False
):
    """Gradient with respect to the input of a max-pool: ``reference.max_pool2d_input_grad``."""
    windows = Windows.over(tuple(input_size), kernel_size, stride, padding, dilation, ceil_mode)
    dx = empty((*dy.shape[:2], *windows.size), dy.dtype)
    each(_max_grad, dx.size, dy.memory, switches.memory, dx.memory, _pool(windows))
    return dx


@on_device
def avg_pool2d(x, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Average pool: ``reference.avg_pool2d``."""
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    y = empty(x.shape[:2] + windows.output_size, x.dtype)
    each(_mean, y.size, x.memory, y.memory, _pool(windows), int(count_include_pad))
    return y


@on_device
def avg_pool2d_input_grad(
    dy, input_size, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True
):
    """Gradient with respect to the input of an average pool: ``reference.avg_pool2d_input_grad``."""
    windows = Windows.over(tuple(input_size), kernel_size, stride, padding, 1, ceil_mode)
    dx = empty((*dy.shape[:2], *windows.size), dy.dtype)
    each(_mean_grad, dx.size, dy.memory, dx.memory, _pool(windows), int(count_include_pad))
    return dx


@on_device
def global_avg_pool2d(x):
    """Mean of each map: ``reference.global_avg_pool2d``."""
    n, c, height, width = x.shape
    y = sum_of_products(x.reshape(1, n * c, height * width), None)
    each(_divide, y.size, y.memory, number(x, height * width))
    return y.reshape(n, c, 1, 1)


@on_device
def global_avg_pool2d_input_grad(dy, input_size):
    """Gradient with respect to the input of a global average pool: ``reference.global_avg_pool2d_input_grad``."""
    height, width = input_size
    dx = empty((*dy.shape[:2], height, width), dy.dtype)
    each(_spread, dx.size, dy.memory, dx.memory, number(dy, height * width), height * width)
    return dx
