"""Windows of a map written out as columns, one row for each tap, and added up again.

A row of columns has the pixel that its tap reads for each output, row by row: copies of rows of the map, with
zeros where the tap lies on padding.
"""

from __future__ import annotations

from typing import NamedTuple

from minicnn.kernels.cpu.conv.geometry import Geometry, ceil_div
from minicnn.kernels.cpu.runtime.jit import inner

__all__ = ["Window", "fold_tap", "unfold"]


class Window(NamedTuple):
    """What columns are made by: the geometry, R and S of the kernel, and Q of the output."""

    geometry: Geometry
    height: int
    width: int
    out_width: int


@inner
def _columns_inside(window, s, width):
    """Return the column that tap s reads for the first output, and which outputs read inside of ``width``."""
    stride = window.geometry.stride_w
    w = s * window.geometry.dilation_w - window.geometry.padding_left
    low = min(window.out_width, max(0, (stride - 1 - w) // stride))
    # output q reads column w + q stride: at least 0 from q = ceil(-w / stride) on, less than ``width`` as long as
    # q < ceil((width - w) / stride)
    return w, low, max(low, min(window.out_width, ceil_div(width - w, stride)))


@inner
def _unfold_tap(x, window, tap, first, last, columns):
    """Write one tap's row of columns: the pixels of x (H, W) that it reads for rows ``first`` to ``last``."""
    (r, s), geometry, width = tap, window.geometry, window.out_width
    w, low, high = _columns_inside(window, s, x.shape[1])
    for p in range(first, last):
        # the row of x that this tap reads for all outputs of row p, and where they lie in the tap's row of columns
        h = p * geometry.stride_h + r * geometry.dilation_h - geometry.padding_top
        row = columns[(p - first) * width : (p - first + 1) * width]
        # the tap lies on the padding above or below for the whole row
        if h < 0 or h >= x.shape[0]:
            row[:] = 0
            continue
        # outputs before ``low`` and from ``high`` on read the padding to the left and to the right
        row[:low] = 0
        row[high:] = 0
        # neighbouring outputs read neighbouring pixels: one copy
        if geometry.stride_w == 1:
            row[low:high] = x[h, w + low : w + high]
        else:
            for q in range(low, high):
                row[q] = x[h, w + q * geometry.stride_w]


@inner
def fold_tap(columns, window, tap, height, x):
    """Add one tap's row of columns to the pixels of x (H, W) that it reads: the adjoint of ``_unfold_tap``."""
    (r, s), geometry, width = tap, window.geometry, window.out_width
    # only outputs inside count: what falls on padding is no part of the gradient
    w, low, high = _columns_inside(window, s, x.shape[1])
    # a pixel is read by several taps, whose gradients add: x begins with zeros, which the caller writes
    for p in range(height):
        h = p * geometry.stride_h + r * geometry.dilation_h - geometry.padding_top
        if h < 0 or h >= x.shape[0]:
            continue
        if geometry.stride_w == 1:
            target, source = x[h, w + low : w + high], columns[p * width + low : p * width + high]
            for q in range(len(target)):
                target[q] += source[q]
        else:
            for q in range(low, high):
                x[h, w + q * geometry.stride_w] += columns[p * width + q]


@inner
def unfold(x, window, first, last, columns):
    """Fill columns with the windows of output rows ``first`` to ``last`` of all channels of x (C, H, W)."""
    size, at = (last - first) * window.out_width, 0
    # row c R S + r S + s of the columns is tap (r, s) of channel c: the order in which weights (K, C, R, S) lie
    for c in range(len(x)):
        for r in range(window.height):
            for s in range(window.width):
                _unfold_tap(x[c], window, (r, s), first, last, columns[at : at + size])
                at += size
