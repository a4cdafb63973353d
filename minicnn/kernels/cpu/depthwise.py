"""Depthwise convolution, one filter a channel: a plane at a time, at the speed of memory.

Each plane is first copied with its padding, columns sorted by their remainder modulo the stride: then whatever
the stride, a tap reads consecutive values, and a row of outputs is a sum of scaled rows.  The input gradient is
the same sum over dy with zeros between its rows and columns, by the flipped filter.
"""

import numpy as np
from numba import boolean, float32, int64, njit, prange

from minicnn.kernels.cpu.epilogue import finish, prepare
from minicnn.kernels.cpu.kernel import kernel, reads, writes

__all__ = ["forward", "input_grad", "weight_grad"]


def forward(x, weight, epilogue, geometry, y):
    """Fill y (N, C, P, Q) and the epilogue's mask."""
    mask = np.empty((0, 0, 0, 0), bool) if epilogue.mask is None else epilogue.mask
    ends = np.float32(epilogue.least), np.float32(epilogue.most)
    _forward(x, weight, geometry, epilogue.scale, epilogue.shift, *ends, y, mask)


def input_grad(dy, weight, prologue, geometry, dx):
    """Fill dx (N, C, H, W)."""
    mask = np.empty((0, 0, 0, 0), bool) if prologue.mask is None else prologue.mask
    _input_grad(dy, weight, geometry, prologue.scale, mask, prologue.only_positive, dx)


def weight_grad(x, dy, geometry, dweight):
    """Fill dweight (C, 1, R, S)."""
    _weight_grad(x, dy, geometry, dweight)


@njit
def _spread(x, down, across, top, left, plane):
    """Copy x (H, W) into ``plane`` (rows, across, columns): padded, columns sorted by remainder."""
    plane[:] = 0
    for h in range(x.shape[0]):
        row = h + top
        if row < 0 or row >= plane.shape[0]:
            continue
        if across == 1:
            low, high = max(0, -left), min(x.shape[1], plane.shape[2] - left)
            plane[row, 0, low + left : high + left] = x[h, low:high]
            continue
        for w in range(max(0, -left), x.shape[1]):
            at = w + left
            if at // across < plane.shape[2]:
                plane[row, at % across, at // across] = x[h, w]


@njit
def _sums(plane, filters, p, geometry, sums):
    """Sum of a row of outputs: three or five taps of a filter's row at a time."""
    down, across, apart, aside = geometry[0], geometry[1], geometry[4], geometry[5]
    sums[:] = 0
    width = len(sums)
    for r in range(filters.shape[0]):
        h, s = p * down + r * apart, 0
        while s < filters.shape[1]:
            at = s * aside
            a = plane[h, at % across, at // across : at // across + width]
            if filters.shape[1] - s >= 3:
                at = (s + 1) * aside
                b = plane[h, at % across, at // across : at // across + width]
                at = (s + 2) * aside
                c = plane[h, at % across, at // across : at // across + width]
                first, second, third = filters[r, s], filters[r, s + 1], filters[r, s + 2]
                for q in range(width):
                    sums[q] += first * a[q] + second * b[q] + third * c[q]
                s += 3
            else:
                one = filters[r, s]
                for q in range(width):
                    sums[q] += one * a[q]
                s += 1


@njit
def _plane(size, kernel_height, kernel_width, geometry):
    """Empty plane for outputs of ``size``."""
    down, across, apart, aside = geometry[0], geometry[1], geometry[4], geometry[5]
    rows = (size[0] - 1) * down + (kernel_height - 1) * apart + 1
    columns = size[1] + (kernel_width - 1) * aside // across
    return np.empty((rows, across, columns), np.float32)


@njit
def _forward_plane(x, weight, geometry, scale, shift, least, most, y, mask):
    plane, sums = _plane(y.shape, weight.shape[0], weight.shape[1], geometry), np.empty(y.shape[1], np.float32)
    _spread(x, geometry[0], geometry[1], geometry[2], geometry[3], plane)
    for p in range(y.shape[0]):
        _sums(plane, weight, p, geometry, sums)
        finish(sums, scale, shift, least, most, y[p], mask[p] if mask.size else mask.reshape(-1)[:0])


@kernel(reads(4), reads(4), reads(1, int64), reads(1), reads(1), float32, float32, writes(4), writes(4, boolean))
def _forward(x, weight, geometry, scale, shift, least, most, y, mask):
    channels = x.shape[1]
    for task in prange(len(x) * channels):
        n, c = task // channels, task % channels
        own = mask[n, c] if mask.size else mask.reshape((0, 0))
        _forward_plane(x[n, c], weight[c, 0], geometry, scale[c], shift[c], least, most, y[n, c], own)


@njit
def _input_grad_plane(dy, weight, geometry, scale, mask, only_positive, dx):
    down, across, top, left, apart, aside = geometry[:6]
    height, width = weight.shape
    dense = np.array([1, 1, 0, 0, apart, aside])
    plane = _plane(dx.shape, height, width, dense)
    plane[:] = 0
    row = np.empty(dy.shape[1], np.float32)
    above, before = (height - 1) * apart - top, (width - 1) * aside - left
    for p in range(dy.shape[0]):
        at = p * down + above
        if at < 0 or at >= plane.shape[0]:
            continue
        prepare(dy[p], scale, mask[p] if mask.size else mask.reshape(-1)[:0], only_positive, row)
        for q in range(dy.shape[1]):
            if 0 <= q * across + before < plane.shape[2]:
                plane[at, 0, q * across + before] = row[q]
    for h in range(dx.shape[0]):
        _sums(plane, weight[::-1, ::-1], h, dense, dx[h])


@kernel(reads(4), reads(4), reads(1, int64), reads(1), reads(4, boolean), boolean, writes(4))
def _input_grad(dy, weight, geometry, scale, mask, only_positive, dx):
    channels = dy.shape[1]
    for task in prange(len(dy) * channels):
        n, c = task // channels, task % channels
        own = mask[n, c] if mask.size else mask.reshape((0, 0))
        _input_grad_plane(dy[n, c], weight[c, 0], geometry, scale[c], own, only_positive, dx[n, c])


@njit(fastmath={"reassoc", "contract"})
def _product(a, b):
    total = np.float32(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@njit
def _weight_grad_plane(x, dy, geometry, dweight):
    """Add one image's part."""
    height, width = dweight.shape
    plane = _plane(dy.shape, height, width, geometry)
    _spread(x, geometry[0], geometry[1], geometry[2], geometry[3], plane)
    for r in range(height):
        for s in range(width):
            at = s * geometry[5]
            for p in range(dy.shape[0]):
                row = plane[p * geometry[0] + r * geometry[4], at % geometry[1]]
                dweight[r, s] += _product(row[at // geometry[1] : at // geometry[1] + dy.shape[1]], dy[p])


@kernel(reads(4), reads(4), reads(1, int64), writes(4))
def _weight_grad(x, dy, geometry, dweight):
    for c in prange(x.shape[1]):
        dweight[c] = 0
        for n in range(len(x)):
            _weight_grad_plane(x[n, c], dy[n, c], geometry, dweight[c, 0])
