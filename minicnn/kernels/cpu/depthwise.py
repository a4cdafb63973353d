"""Depthwise convolution, one filter a channel: a plane at a time, at the speed of memory.

Each plane is first copied with its padding, columns sorted by their remainder modulo the stride: then whatever
the stride, a tap reads consecutive values, and a row of outputs is a sum of scaled rows.  The input gradient is
the same sum over dy with zeros between its rows and columns, by the flipped filter.

Everything moves in whole vectors.  Rows are written in order, so that what a vector writes beyond the end of a row
is written over by the next one; buffers have room for what lies beyond the last.
"""

import numpy as np
from numba import boolean, float32, int64, njit, prange

from minicnn.kernels.cpu.epilogue import finish, prepare
from minicnn.kernels.cpu.kernel import kernel, reads, writes
from minicnn.kernels.cpu.simd import LANES, address, fma, load, load_twos, splat, store

__all__ = ["forward", "input_grad", "weight_grad"]

ROWS = 4  # of outputs at a time: as many sums as hide a multiplication's delay
PLANES = 16  # that a thread takes at a time
BAND = 2048  # outputs whose sums wait in the first-level cache for the epilogue


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
def _plane(size, kernel_height, kernel_width, geometry):
    """Empty plane (rows, across, columns) for outputs of ``size``, with room behind it for vectors."""
    down, across, apart, aside = geometry[0], geometry[1], geometry[4], geometry[5]
    rows = (size[0] - 1) * down + (kernel_height - 1) * apart + 1
    columns = size[1] + (kernel_width - 1) * aside // across
    count = rows * across * columns
    return np.empty(count + 4 * LANES, np.float32)[:count].reshape(rows, across, columns)


@njit
def _clear(start, first, last):
    """Set the numbers from ``first`` to ``last``, and some behind them, to 0."""
    zero = splat(np.float32(0))
    for i in range(first, last, LANES):
        store(start, i, zero)


@njit
def _columns(across, left, width, columns):
    """For each remainder: the first column of x that the plane has, where it goes, and how many there are."""
    found = np.empty((across, 3), np.int64)
    for phase in range(across):
        # the columns w of x with (w + left) % across == phase
        start = (phase - left) % across
        start += max(0, (-left - start + across - 1) // across) * across
        at = min((start + left) // across, columns)
        found[phase] = start, at, max(0, min((width - start + across - 1) // across, columns - at))
    return found


@njit
def _spread(x, top, chosen, plane):
    """Copy x (H, W) into the plane, padded, columns sorted by remainder; x has a vector's room behind it."""
    (rows, across, columns), width = plane.shape, x.shape[1]
    to, of = address(plane), address(x)
    first, last = min(rows, max(0, top)), min(rows, max(0, top + x.shape[0]))
    _clear(to, 0, first * across * columns)
    for row in range(first, last):
        for phase in range(across):
            start, at, count = chosen[phase]
            line, begin = (row * across + phase) * columns, (row - top) * width + start
            _clear(to, line, line + at)
            if across == 1:
                for i in range(0, count, LANES):
                    store(to, line + at + i, load(of, begin + i))
            elif across == 2:
                for i in range(0, count, LANES):
                    store(to, line + at + i, load_twos(of, begin + 2 * i)[0])
            else:
                for i in range(count):
                    plane[row, phase, at + i] = x[row - top, start + i * across]
            _clear(to, line + at + count, line + columns)
    _clear(to, last * across * columns, rows * across * columns)


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
def _sums(plane, places, weights, first, last, width, down, sums):
    """Rows ``first`` to ``last`` of outputs, one behind the other, each sum in a register until it is whole."""
    start, to, row = address(plane), address(sums), down * plane.shape[1] * plane.shape[2]
    for p in range(first, last, ROWS):
        # rows beyond the last repeat it
        a, b, c, d = p * row, min(p + 1, last - 1) * row, min(p + 2, last - 1) * row, min(p + 3, last - 1) * row
        line = (p - first) * width
        for i in range(0, width, LANES):
            q = min(i, max(0, width - LANES))  # the last vector begins earlier; only a short row reaches beyond
            one = two = three = four = splat(np.float32(0))
            for tap in range(len(places)):
                weight, at = splat(weights[tap]), places[tap] + q
                one = fma(weight, load(start, a + at), one)
                two = fma(weight, load(start, b + at), two)
                three = fma(weight, load(start, c + at), three)
                four = fma(weight, load(start, d + at), four)
            store(to, line + q, one)
            store(to, line + width + q, two)
            store(to, line + 2 * width + q, three)
            store(to, line + 3 * width + q, four)


@njit
def _bands(height, width):
    """Rows of a band of outputs, and an array for their sums, with room for a vector."""
    rows = min((height + ROWS - 1) // ROWS, max(1, BAND // (ROWS * width))) * ROWS
    return rows, np.empty(rows * width + LANES, np.float32)


@njit
def _roomy(x, n, c):
    """Plane (n, c) of x; a copy, if there is no room to read beyond its end."""
    plane = x[n, c]
    behind = ((len(x) - n) * x.shape[1] - c - 1) * plane.size
    if behind >= 2 * LANES:
        return plane
    copy = np.empty(plane.size + 2 * LANES, np.float32)[: plane.size]
    copy[:] = plane.reshape(-1)
    return copy.reshape(plane.shape)


@njit
def _some_forward(x, weight, geometry, finishing, y, mask, part):
    """Every plane of one part of them, in buffers that they share."""
    scale, shift, least, most = finishing
    channels, kernel_height, kernel_width = x.shape[1], weight.shape[2], weight.shape[3]
    height, width = y.shape[2:]
    plane = _plane(y.shape[2:], kernel_height, kernel_width, geometry)
    places, (rows, sums) = _taps(plane, kernel_height, kernel_width, geometry), _bands(height, width)
    weights, flat, flags = weight.reshape(channels, -1), y.reshape(-1), mask.reshape(-1)
    chosen = _columns(geometry[1], geometry[3], x.shape[3], plane.shape[2])
    for task in range(part * PLANES, min(len(x) * channels, (part + 1) * PLANES)):
        n, c = task // channels, task % channels
        _spread(_roomy(x, n, c), geometry[2], chosen, plane)
        for first in range(0, height, rows):
            last = min(height, first + rows)
            _sums(plane, places, weights[c], first, last, width, geometry[0], sums)
            place = slice((task * height + first) * width, (task * height + last) * width)
            finish(sums, scale[c], shift[c], least, most, flat[place], flags[place] if flags.size else flags)
    plane[0, 0, 0] = 0  # kept until here


@kernel(reads(4), reads(4), reads(1, int64), reads(1), reads(1), float32, float32, writes(4), writes(4, boolean))
def _forward(x, weight, geometry, scale, shift, least, most, y, mask):
    for part in prange((len(x) * x.shape[1] + PLANES - 1) // PLANES):
        _some_forward(x, weight, geometry, (scale, shift, least, most), y, mask, part)


@njit
def _some_input_grad(dy, weight, geometry, scale, mask, only_positive, dx, part):
    """Every plane of one part of them, in buffers that they share."""
    down, across, top, left, apart, aside = geometry[:6]
    channels, kernel_height, kernel_width = dy.shape[1], weight.shape[2], weight.shape[3]
    (height, width), size = dx.shape[2:], dy.shape[2] * dy.shape[3]
    dense = np.array([1, 1, 0, 0, apart, aside])
    plane = _plane(dx.shape[2:], kernel_height, kernel_width, dense)
    places = _taps(plane, kernel_height, kernel_width, dense)[::-1].copy()  # the flipped filter
    rows, sums = _bands(height, width)
    through = np.empty(size + 2 * LANES, np.float32)[:size]
    above, before = (kernel_height - 1) * apart - top, (kernel_width - 1) * aside - left
    chosen = _columns(1, before, dy.shape[3], plane.shape[2])
    weights, cotangents = weight.reshape(channels, -1), dy.reshape(-1)
    flags, flat = mask.reshape(-1), dx.reshape(-1)
    for task in range(part * PLANES, min(len(dy) * channels, (part + 1) * PLANES)):
        c, own = task % channels, slice(task * size, (task + 1) * size)
        prepare(cotangents[own], scale[c], flags[own] if flags.size else flags, only_positive, through)
        if down == across == 1:
            _spread(through.reshape(dy.shape[2:]), above, chosen, plane)
        else:
            _scatter(through.reshape(dy.shape[2:]), down, across, above, before, plane)
        for first in range(0, height, rows):
            last = min(height, first + rows)
            _sums(plane, places, weights[c], first, last, width, 1, sums)
            to = flat[(task * height + first) * width : (task * height + last) * width]
            to[:] = sums[: len(to)]
    plane[0, 0, 0] = 0  # kept until here


@njit
def _scatter(dy, down, across, above, before, plane):
    """Write dy into a plane of zeros, ``down`` rows and ``across`` columns apart."""
    plane[:] = 0
    low = max(0, (-before + across - 1) // across)
    high = min(dy.shape[1], (plane.shape[2] - before + across - 1) // across)
    for p in range(max(0, (-above + down - 1) // down), dy.shape[0]):
        at = p * down + above
        if at >= plane.shape[0]:
            break
        for q in range(low, high):
            plane[at, 0, q * across + before] = dy[p, q]


@kernel(reads(4), reads(4), reads(1, int64), reads(1), reads(4, boolean), boolean, writes(4))
def _input_grad(dy, weight, geometry, scale, mask, only_positive, dx):
    for part in prange((len(dy) * dy.shape[1] + PLANES - 1) // PLANES):
        _some_input_grad(dy, weight, geometry, scale, mask, only_positive, dx, part)


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
    _spread(x, geometry[2], _columns(geometry[1], geometry[3], x.shape[1], plane.shape[2]), plane)
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
            _weight_grad_plane(_roomy(x, n, c), dy[n, c], geometry, dweight[c, 0])
