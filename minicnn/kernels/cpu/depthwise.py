"""Depthwise convolution, one filter a channel: a plane at a time, at the speed of memory.

Each plane is first copied with its padding, columns sorted by their remainder modulo the stride: then whatever
the stride, a tap reads consecutive values, and a row of outputs is a sum of scaled rows.  The input gradient is
the same sum over dy with zeros between its rows and columns, by the flipped filter.
"""

import numpy as np
from numba import boolean, float32, int64, njit, prange

from minicnn.kernels.cpu.epilogue import finish, prepare
from minicnn.kernels.cpu.kernel import kernel, reads, writes
from minicnn.kernels.cpu.simd import LANES, address, fma, load, splat, store

__all__ = ["forward", "input_grad", "weight_grad"]

ROWS = 4  # of outputs at a time: as many sums as hide a multiplication's delay


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
def _spread(x, across, top, left, plane):
    """Copy x (H, W) into ``plane`` (rows, across, columns): padded, columns sorted by remainder."""
    plane[:] = 0
    for h in range(x.shape[0]):
        row = h + top
        if row < 0 or row >= plane.shape[0]:
            continue
        for phase in range(across):
            # columns w of x with (w + left) % across == phase, from the first that the plane has
            first = (phase - left) % across
            first += max(0, (-left - first + across - 1) // across) * across
            at = (first + left) // across
            count = min((x.shape[1] - first + across - 1) // across, plane.shape[2] - at)
            to = plane[row, phase, at : at + max(count, 0)]
            if across == 1:
                to[:] = x[h, first : first + len(to)]
            else:
                for i in range(len(to)):
                    to[i] = x[h, first + i * across]


@njit
def _plane(size, kernel_height, kernel_width, geometry):
    """Empty plane for outputs of ``size``; a vector may be read from any place in a row of outputs."""
    down, across, apart, aside = geometry[0], geometry[1], geometry[4], geometry[5]
    rows = (size[0] - 1) * down + (kernel_height - 1) * apart + 1
    columns = (size[1] + LANES - 1) // LANES * LANES + (kernel_width - 1) * aside // across
    return np.empty((rows, across, columns), np.float32)


@njit
def _taps(plane, height, width, geometry):
    """Where in the plane each tap of the first output is."""
    across, columns = plane.shape[1], plane.shape[2]
    places = np.empty(height * width, np.int64)
    for r in range(height):
        for s in range(width):
            at = s * geometry[5]
            row = r * geometry[4] * across + at % across
            places[r * width + s] = row * columns + at // across
    return places


@njit
def _sums(plane, places, weights, p, last, down, sums):
    """Rows ``p`` to ``p + ROWS`` of outputs: their sums stay in registers; rows beyond ``last`` repeat it."""
    start, to, row = address(plane), address(sums), down * plane.shape[1] * plane.shape[2]
    a, b, c, d = p * row, min(p + 1, last) * row, min(p + 2, last) * row, min(p + 3, last) * row
    for q in range(0, sums.shape[1], LANES):
        one = two = three = four = splat(np.float32(0))
        for tap in range(len(places)):
            weight, at = splat(weights[tap]), places[tap] + q
            one = fma(weight, load(start, a + at), one)
            two = fma(weight, load(start, b + at), two)
            three = fma(weight, load(start, c + at), three)
            four = fma(weight, load(start, d + at), four)
        store(to, q, one)
        store(to, sums.shape[1] + q, two)
        store(to, 2 * sums.shape[1] + q, three)
        store(to, 3 * sums.shape[1] + q, four)


@njit
def _forward_plane(x, weight, geometry, scale, shift, least, most, y, mask):
    (kernel_height, kernel_width), (height, width) = weight.shape, y.shape
    plane = _plane(y.shape, kernel_height, kernel_width, geometry)
    _spread(x, geometry[1], geometry[2], geometry[3], plane)
    places, weights = _taps(plane, kernel_height, kernel_width, geometry), weight.reshape(-1)
    sums = np.empty((ROWS, (width + LANES - 1) // LANES * LANES), np.float32)
    for p in range(0, height, ROWS):
        _sums(plane, places, weights, p, height - 1, geometry[0], sums)
        for i in range(min(ROWS, height - p)):
            own = mask[p + i] if mask.size else mask.reshape(-1)[:0]
            finish(sums[i, :width], scale, shift, least, most, y[p + i], own)
    plane[0, 0, 0] = 0  # kept until here


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
    kernel_height, kernel_width = weight.shape
    height, width = dx.shape
    dense = np.array([1, 1, 0, 0, apart, aside])
    plane = _plane(dx.shape, kernel_height, kernel_width, dense)
    plane[:] = 0
    row = np.empty(dy.shape[1], np.float32)
    above, before = (kernel_height - 1) * apart - top, (kernel_width - 1) * aside - left
    low = max(0, (-before + across - 1) // across)
    high = min(dy.shape[1], (plane.shape[2] - before + across - 1) // across)
    for p in range(dy.shape[0]):
        at = p * down + above
        if at < 0 or at >= plane.shape[0]:
            continue
        prepare(dy[p], scale, mask[p] if mask.size else mask.reshape(-1)[:0], only_positive, row)
        for q in range(low, high):
            plane[at, 0, q * across + before] = row[q]
    places, weights = _taps(plane, kernel_height, kernel_width, dense), weight.reshape(-1)[::-1].copy()
    sums = np.empty((ROWS, (width + LANES - 1) // LANES * LANES), np.float32)
    for h in range(0, height, ROWS):
        _sums(plane, places, weights, h, height - 1, 1, sums)
        for i in range(min(ROWS, height - h)):
            dx[h + i] = sums[i, :width]
    plane[0, 0, 0] = 0  # kept until here


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
    _spread(x, geometry[1], geometry[2], geometry[3], plane)
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
