"""Average pool: a map to a thread, rows as vectors.

Schedule: a map belongs to one thread, so that overlapping windows add in a fixed order.  Taps are visited in row
order, as in the reference, so that sums round the same.
Memory: none but inputs and outputs.
Gain: one tap of a row of windows is one loop over the row's outputs, which becomes vector instructions.
Reference: ``reference.avg_pool2d`` and its gradient.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels import reference
from minicnn.kernels.cpu.dtype import float32_or
from minicnn.kernels.cpu.pool.window import WINDOW, Window, as_maps, as_window
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.recorder import capturable
from minicnn.kernels.cpu.simd.pointers import float_pointer
from minicnn.kernels.cpu.simd.vector import load_scalar, store_scalar
from minicnn.kernels.reference.windows import Windows

__all__ = ["avg_pool2d", "avg_pool2d_input_grad"]


@capturable
@float32_or(reference.avg_pool2d)
def avg_pool2d(x, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Average pool, as ``reference.avg_pool2d``."""
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    y = empty(x.shape[:2] + windows.output_size)
    rows, columns = (_counts(windows, axis, count_include_pad) for axis in (0, 1))
    _avg_pool(as_maps(x), as_maps(y), rows, columns, as_window(windows))
    return y


@float32_or(reference.avg_pool2d_input_grad)
def avg_pool2d_input_grad(
    dy, input_size, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True
):
    """Gradient with respect to the input of an average pool, as ``reference.avg_pool2d_input_grad``."""
    windows = Windows.over(tuple(input_size), kernel_size, stride, padding, 1, ceil_mode)
    dx = empty(dy.shape[:2] + windows.size)
    rows, columns = (_counts(windows, axis, count_include_pad) for axis in (0, 1))
    # what each tap of a window gets: dy over the number of taps that count
    share = dy / (rows[:, None] * columns)
    _avg_pool_input_grad(as_maps(share), as_maps(dx), as_window(windows))
    return dx


def _positions(windows, axis):
    """Where tap r of window p reads, on the axis: p stride + r dilation - padding, of shape (P, R)."""
    p = np.arange(windows.output_size[axis])[:, None] * windows.stride[axis]
    r = np.arange(windows.kernel_size[axis]) * windows.dilation[axis]
    return p + r - windows.padding[axis][0]


def _counts(windows, axis, count_include_pad):
    """How many taps of each window count, on one axis; 1 for a window that lies on uncounted padding alone."""
    positions, (before, after) = _positions(windows, axis), windows.padding[axis]
    # a window of ``ceil_mode`` may reach beyond the padding as well: taps there never count
    low, high = (-before, windows.size[axis] + after) if count_include_pad else (0, windows.size[axis])
    return np.maximum(((positions >= low) & (positions < high)).sum(axis=1), 1).astype(np.float32)


@inner
def _inside(count, stride, offset, size):
    """Range of outputs q with 0 <= q stride + offset < size."""
    # -(a // b) is -a / b rounded up
    first = max(0, -(offset // stride))
    return first, max(first, min(count, (size - 1 - offset) // stride + 1))


@inner
def _avg_pool_map(c, maps, sums, rows, columns, window):
    x, y = maps[c], sums[c]
    for p in range(y.shape[0]):
        y[p] = 0
        for r in range(window.height):
            h = p * window.stride_h + r - window.padding_top
            if 0 <= h < x.shape[0]:
                # one tap for a whole row of windows: the inner loop adds consecutive sums
                for s in range(window.width):
                    offset = s - window.padding_left
                    first, last = _inside(y.shape[1], window.stride_w, offset, x.shape[1])
                    source, target = float_pointer(x, h * x.shape[1] + offset), float_pointer(y, p * y.shape[1])
                    for q in range(first, last):
                        tap = load_scalar(source, q * window.stride_w)
                        store_scalar(target, q, load_scalar(target, q) + tap)
        for q in range(y.shape[1]):
            # of a window's taps, rows[p] columns[q] count: padding cuts rows and columns independently
            y[p, q] /= rows[p] * columns[q]


@kernel(reads(3), writes(3), reads(1), reads(1), WINDOW)
def _avg_pool(x, y, rows, columns, window):
    parallel_for(_avg_pool_map, len(x), (x, y, rows, columns, Window(*window)))


@inner
def _avg_pool_input_grad_map(c, shares, maps, window):
    share, dx = shares[c], maps[c]
    for h in range(dx.shape[0]):
        dx[h] = 0
        # by rows of dx, not of share: each is finished before the next begins
        for r in range(window.height):
            # row h of dx lies under tap r of window row p where p stride + r - padding = h
            p, rest = divmod(h + window.padding_top - r, window.stride_h)
            if rest == 0 and 0 <= p < share.shape[0]:
                for s in range(window.width):
                    offset = s - window.padding_left
                    first, last = _inside(share.shape[1], window.stride_w, offset, dx.shape[1])
                    source = float_pointer(share, p * share.shape[1])
                    target = float_pointer(dx, h * dx.shape[1] + offset)
                    for q in range(first, last):
                        w = q * window.stride_w
                        store_scalar(target, w, load_scalar(target, w) + load_scalar(source, q))


@kernel(reads(3), writes(3), WINDOW)
def _avg_pool_input_grad(share, dx, window):
    parallel_for(_avg_pool_input_grad_map, len(dx), (share, dx, Window(*window)))
