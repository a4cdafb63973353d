"""Pools, by gathering: one thread an output, forward and backward; see ``minicnn.kernels.reference.pooling``.

Backward, the thread of an input pixel visits the windows that hold it, in row order, and adds what they send it:
no atomics, so the same bits on every run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import cuda

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.launch import divmod_u32, launch_per_value, scalar_like
from minicnn.kernels.cuda.reduction import sum_per_channel
from minicnn.kernels.reference.windows import Windows

__all__ = [
    "avg_pool2d",
    "avg_pool2d_input_grad",
    "global_avg_pool2d",
    "global_avg_pool2d_input_grad",
    "max_pool2d",
    "max_pool2d_input_grad",
]


class _Pool(NamedTuple):
    """Geometry of a pool: input H x W, output rows x columns, window r x s, stride, padding, dilation."""

    height: int
    width: int
    rows: int
    columns: int
    r: int
    s: int
    stride_y: int
    stride_x: int
    top: int
    left: int
    dilation_y: int
    dilation_x: int
    bottom: int
    right: int


def _geometry(windows: Windows) -> _Pool:
    (top, bottom), (left, right) = windows.padding
    numbers = *windows.size, *windows.output_size, *windows.kernel_size, *windows.stride, top, left
    return _Pool(*numbers, *windows.dilation, bottom, right)


@cuda.jit(device=True)
def _pixel(i, height, width):
    """Map, row and column of value i."""
    rest, w = divmod_u32(i, width)
    plane, h = divmod_u32(rest, height)
    return plane, h, w


@cuda.jit
def _max(x, y, switches, g, lowest, size):
    i = cuda.grid(1)
    if i < size:
        # corner of window (p, q) in x, negative in the padding
        plane, p, q = _pixel(i, g.rows, g.columns)
        top, left = p * g.stride_y - g.top, q * g.stride_x - g.left
        base = plane * g.height * g.width
        best, switch = lowest, -1
        for r in range(g.r):
            h = top + r * g.dilation_y
            for s in range(g.s):
                w = left + s * g.dilation_x
                if h >= 0 and h < g.height and w >= 0 and w < g.width:
                    value = x[base + h * g.width + w]
                    # the first tap inside is taken even if it is -inf; > keeps the first of equals; a NaN wins
                    if switch < 0 or value > best or value != value:
                        best, switch = value, r * g.s + s
        y[i] = best
        # no tap lies inside: y stays -inf, and the switch must still fit its unsigned type
        switches[i] = max(switch, 0)


@cuda.jit
def _max_grad(dy, switches, dx, g, size):
    i = cuda.grid(1)
    if i < size:
        plane, h, w = _pixel(i, g.height, g.width)
        # in the padded map, where window p covers rows p stride + r dilation
        h, w = h + g.top, w + g.left
        base = plane * g.rows * g.columns
        total = dy.dtype.type(0)
        # tap r of window p lies on row h only if h - r dilation = p stride
        for r in range(g.r):
            # where the dividend is negative, p is beyond all rows
            p, remainder = divmod_u32(h - r * g.dilation_y, g.stride_y)
            if p < g.rows and remainder == 0:
                for s in range(g.s):
                    q, remainder = divmod_u32(w - s * g.dilation_x, g.stride_x)
                    if q < g.columns and remainder == 0:
                        at = base + p * g.columns + q
                        # window (p, q) sends its dy here if this pixel was its maximum
                        if switches[at] == r * g.s + s:
                            total += dy[at]
        dx[i] = total


@cuda.jit(device=True)
def _tap_count(p, q, g, include_padding):
    """Pixels of window (p, q) that count: those of the input, and of its padding where that is asked for."""
    # how far beyond each edge of the map the pixels still count
    above, below, before, after = (g.top, g.bottom, g.left, g.right) if include_padding else (0, 0, 0, 0)
    top, left = p * g.stride_y - g.top, q * g.stride_x - g.left
    # overlap of the window with what counts; the tail that ceil_mode adds never does
    rows = min(top + g.r, g.height + below) - max(top, -above)
    columns = min(left + g.s, g.width + after) - max(left, -before)
    # at least 1, for a window that lies on padding alone: 0 / 1 rather than 0 / 0
    return max(max(rows, 0) * max(columns, 0), 1)


@cuda.jit
def _mean(x, y, g, include_padding, size):
    i = cuda.grid(1)
    if i < size:
        plane, p, q = _pixel(i, g.rows, g.columns)
        top, left = p * g.stride_y - g.top, q * g.stride_x - g.left
        base = plane * g.height * g.width
        total = x.dtype.type(0)
        # rows and columns outside would add zeros
        for h in range(max(top, 0), min(top + g.r, g.height)):
            for w in range(max(left, 0), min(left + g.s, g.width)):
                total += x[base + h * g.width + w]
        y[i] = total / x.dtype.type(_tap_count(p, q, g, include_padding))


@cuda.jit(device=True)
def _windows_holding(place, length, step, count):
    """First window that holds a row or column, and the one behind the last."""
    # the smallest p with p step + length > place, at least 0 as the division is unsigned
    first, _ = divmod_u32(max(place - length + step, 0), step)
    return first, min(count, divmod_u32(place, step)[0] + 1)


@cuda.jit
def _mean_grad(dy, dx, g, include_padding, size):
    i = cuda.grid(1)
    if i < size:
        plane, h, w = _pixel(i, g.height, g.width)
        # in the padded map, where window p starts at row p stride
        h, w = h + g.top, w + g.left
        base = plane * g.rows * g.columns
        total = dy.dtype.type(0)
        top, bottom = _windows_holding(h, g.r, g.stride_y, g.rows)
        left, right = _windows_holding(w, g.s, g.stride_x, g.columns)
        for p in range(top, bottom):
            for q in range(left, right):
                # each window shares its dy equally among what it counts
                total += dy[base + p * g.columns + q] / dy.dtype.type(_tap_count(p, q, g, include_padding))
        dx[i] = total


@cuda.jit
def _broadcast(dy, dx, divisor, area, size):
    i = cuda.grid(1)
    if i < size:
        dx[i] = dy[divmod_u32(i, area)[0]] / divisor


@cuda.jit
def _divide(x, divisor, size):
    i = cuda.grid(1)
    if i < size:
        x[i] /= divisor


@on_device
def max_pool2d(x, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Max-pool and its switches: ``reference.max_pool2d``."""
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    taps = windows.kernel_size[0] * windows.kernel_size[1]
    y = empty(x.shape[:2] + windows.output_size, x.dtype)
    # one byte for each output where tap numbers fit
    switches = empty(y.shape, np.uint8 if taps <= 256 else np.uint16)
    launch_per_value(
        _max, y.size, x.memory, y.memory, switches.memory, _geometry(windows), scalar_like(x, -np.inf)
    )
    return y, switches


@on_device
def max_pool2d_input_grad(
    dy, switches, input_size, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False
):
    """Gradient with respect to the input of a max-pool: ``reference.max_pool2d_input_grad``."""
    windows = Windows.over(tuple(input_size), kernel_size, stride, padding, dilation, ceil_mode)
    dx = empty((*dy.shape[:2], *windows.size), dy.dtype)
    launch_per_value(_max_grad, dx.size, dy.memory, switches.memory, dx.memory, _geometry(windows))
    return dx


@on_device
def avg_pool2d(x, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Average pool: ``reference.avg_pool2d``."""
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    y = empty(x.shape[:2] + windows.output_size, x.dtype)
    launch_per_value(_mean, y.size, x.memory, y.memory, _geometry(windows), int(count_include_pad))
    return y


@on_device
def avg_pool2d_input_grad(
    dy, input_size, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True
):
    """Gradient with respect to the input of an average pool: ``reference.avg_pool2d_input_grad``."""
    windows = Windows.over(tuple(input_size), kernel_size, stride, padding, 1, ceil_mode)
    dx = empty((*dy.shape[:2], *windows.size), dy.dtype)
    launch_per_value(_mean_grad, dx.size, dy.memory, dx.memory, _geometry(windows), int(count_include_pad))
    return dx


@on_device
def global_avg_pool2d(x):
    """Mean of each map: ``reference.global_avg_pool2d``."""
    n, c, height, width = x.shape
    # every map is a channel of one image, so a block sums each
    y = sum_per_channel(x.reshape(1, n * c, height * width), None)
    launch_per_value(_divide, y.size, y.memory, scalar_like(x, height * width))
    return y.reshape(n, c, 1, 1)


@on_device
def global_avg_pool2d_input_grad(dy, input_size):
    """Gradient with respect to the input of a global average pool: ``reference.global_avg_pool2d_input_grad``."""
    height, width = input_size
    dx = empty((*dy.shape[:2], height, width), dy.dtype)
    launch_per_value(_broadcast, dx.size, dy.memory, dx.memory, scalar_like(dy, height * width), height * width)
    return dx
