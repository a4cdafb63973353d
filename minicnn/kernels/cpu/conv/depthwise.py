"""Depthwise convolution, one filter a channel: a plane at a time, at the speed of memory.

Each map is first copied into a plane (``planes``), from which a tap reads consecutive values: a row of outputs is
a sum of scaled rows of it, and so is a row of the input gradient's pixels with one remainder modulo the stride.

Everything moves in whole vectors.  Rows are written in order, so that what a vector writes beyond the end of a row
is written over by the next one; buffers have room for what lies beyond the last.
"""

import numpy as np
from numba import boolean, float32, int64, njit

from minicnn.kernels.cpu.conv.depthwise_micro import ROWS, kind_of, sums_of_rows
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.work_stealing import new_counter, take
from minicnn.kernels.cpu.simd.epilogue import finish, no_mask, settle
from minicnn.kernels.cpu.simd.planes import adjoint_taps, columns_of, spread, zeros
from minicnn.kernels.cpu.simd.vector import LANES, address, load, load_scalar, store, store_interleave2

__all__ = ["forward", "input_grad", "weight_grad"]

PLANES = 8  # that a thread takes at a time
BAND = 2048  # outputs whose sums wait in the first-level cache for the epilogue


def forward(x, weight, epilogue, geometry, y):
    """Fill y (N, C, P, Q) and the epilogue's mask."""
    mask = no_mask(4) if epilogue.mask is None else epilogue.mask
    ends = np.float32(epilogue.least), np.float32(epilogue.most)
    _forward(new_counter(), x, weight, geometry, epilogue.scale, epilogue.shift, *ends, y, mask)


def input_grad(dy, weight, prologue, geometry, dx):
    """Fill dx (N, C, H, W)."""
    mask = no_mask(4) if prologue.mask is None else prologue.mask
    _input_grad(new_counter(), dy, weight, geometry, prologue.scale, mask, prologue.only_positive, dx)


def weight_grad(x, dy, geometry, dweight):
    """Fill dweight (C, 1, R, S)."""
    _weight_grad(x, dy, geometry, dweight)


@inner
def _some(counter, thread, planes):
    """Return the first and last of the next planes for a thread."""
    first = PLANES * take(counter, thread, (planes + PLANES - 1) // PLANES)
    return min(first, planes), min(first + PLANES, planes)


@inner
def _plane(size, kernel_height, kernel_width, geometry):
    """Plane of zeros (rows, across, columns) for outputs of ``size``."""
    down, across, apart, aside = geometry[0], geometry[1], geometry[4], geometry[5]
    rows = (size[0] - 1) * down + (kernel_height - 1) * apart + 1
    return zeros(rows, across, size[1] + (kernel_width - 1) * aside // across)


@inner
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


@inner
def _bands(height, width):
    """Rows of a band of outputs, in whole sets."""
    return min((height + ROWS - 1) // ROWS, max(1, BAND // (ROWS * max(1, width)))) * ROWS


@inner
def _forward_of_one(thread, counter, x, weight, geometry, finishing, y, mask):
    """Planes of one thread, in buffers that they share."""
    scale, shift, least, most = finishing
    channels, kernel_height, kernel_width = x.shape[1], weight.shape[2], weight.shape[3]
    (height, width), size, taps = y.shape[2:], x.shape[2:], kernel_height * kernel_width
    room, rows = (y.shape[2] + ROWS - 1, y.shape[3]), _bands(height, width)
    plane, kind = _plane(room, kernel_height, kernel_width, geometry), kind_of(weight.shape[2:], geometry)
    places, sums = _taps(plane, kernel_height, kernel_width, geometry), np.empty(rows * width + LANES, np.float32)
    chosen = columns_of(geometry[1], geometry[3], x.shape[3], plane.shape[2])
    row, planes = geometry[0] * plane.shape[1] * plane.shape[2], len(x) * channels
    task, last = _some(counter, thread, planes)
    while task < last:
        c = task % channels
        own = address(weight) + 4 * c * taps
        at = task * size[0] * size[1]
        spread(address(x) + 4 * at, x.size - at, size, 0, False, np.float32(1), geometry[2], chosen, plane)
        for begin in range(0, height, rows):
            end = min(height, begin + rows)
            of, to = address(plane), address(sums)
            sums_of_rows(kind, of, row, plane.shape[2], places, taps, own, begin, end, width, to)
            at, count = (task * height + begin) * width, (end - begin) * width
            flags = address(mask) + at if mask.size else 0
            finish(address(sums), count, scale[c], shift[c], least, most, address(y) + 4 * at, flags)
        task += 1
        if task == last:
            task, last = _some(counter, thread, planes)
    plane[0, 0, 0], sums[0] = 0, 0  # kept until here


@kernel(
    *(writes(1, int64), reads(4), reads(4), reads(1, int64), reads(1), reads(1)),
    *(float32, float32, writes(4), writes(4, boolean)),
)
def _forward(counter, x, weight, geometry, scale, shift, least, most, y, mask):
    finishing = scale, shift, least, most
    parallel_for(_forward_of_one, len(counter), (counter, x, weight, geometry, finishing, y, mask))


@inner
def _weave(parts, rows, size, stride, to):
    """Rows of dx, one behind the other, from those of each remainder; what is beyond a row is written over."""
    (_, width), (down, across), start = size, stride, address(to)
    for h in range(rows):
        some = h // down * ((width + across - 1) // across)
        if across > 2:
            for w in range(width):
                wide = (width - w % across + across - 1) // across
                to[h * width + w] = parts[h % down * across + w % across, h // down * wide + w // across]
        elif across == 2:
            even, odd = address(parts[h % down * 2]), address(parts[h % down * 2 + 1])
            odds = h // down * (width // 2)
            for i in range(0, (width + 1) // 2, LANES):
                store_interleave2(start, h * width + 2 * i, load(even, some + i), load(odd, odds + i))
        else:
            source = address(parts[h % down])
            for i in range(0, width, LANES):
                store(start, h * width + i, load(source, some + i))


@inner
def _input_grad_of_one(thread, counter, dy, weight, geometry, scale, mask, only_positive, dx):
    """Planes of one thread, in buffers that they share."""
    down, across, top, left, apart, aside = geometry[:6]
    channels, height, width = dx.shape[1:]
    # rows and columns of dy that dx depends on
    low = (top - (weight.shape[2] - 1) * apart) // down, (left - (weight.shape[3] - 1) * aside) // across
    tall, wide = (height - 1 + top) // down - low[0] + 1, (width - 1 + left) // across - low[1] + 1
    plane, kind = zeros(tall + ROWS - 1, 1, wide), kind_of(weight.shape[2:], geometry) if down * across == 1 else 0
    counts, taps = adjoint_taps(weight.shape[2:], geometry, low, plane.shape[2])
    chosen = columns_of(1, -low[1], dy.shape[3], plane.shape[2])
    rows = _bands((height + down - 1) // down, (width + across - 1) // across)
    parts = np.empty((down * across, rows * ((width + across - 1) // across) + 2 * LANES), np.float32)
    line, own = np.empty(rows * down * width + 2 * LANES, np.float32), np.empty(taps.shape[2], np.float32)
    weights, size, planes = address(weight), dy.shape[2:], len(dy) * channels
    flags = address(mask) if mask.size else 0
    task, last = _some(counter, thread, planes)
    while task < last:
        c, at = task % channels, task * size[0] * size[1]
        source, passed = (address(dy) + 4 * at, dy.size - at), flags + at if flags else 0
        spread(*source, size, passed, only_positive, scale[c], -low[0], chosen, plane)
        for begin in range(0, (height + down - 1) // down, rows):
            for phase in range(down * across):
                wide, count = (width - phase % across + across - 1) // across, counts[phase]
                for tap in range(count):
                    # unrolled sums take a kernel's taps as they lie in the plane: flipped
                    own[count - 1 - tap if kind else tap] = load_scalar(
                        weights, c * taps.shape[2] + taps[0, phase, tap]
                    )
                end, sums = min(begin + rows, (height - phase // across + down - 1) // down), address(parts[phase])
                arguments = plane.shape[2], taps[1, phase], count, address(own), begin, end, wide, sums
                sums_of_rows(kind, address(plane), plane.shape[2], *arguments)
            at, lines = (task * height + begin * down) * width, min(height - begin * down, rows * down)
            if down * across > 1:
                _weave(parts, lines, (height, width), (down, across), line)
            source = address(line) if down * across > 1 else address(parts)
            settle(source, lines * width, -np.inf, np.inf, address(dx) + 4 * at, 0)
        task += 1
        if task == last:
            task, last = _some(counter, thread, planes)
    plane[0, 0, 0], parts[0, 0], line[0], own[0] = 0, 0, 0, 0  # kept until here


@kernel(
    *(writes(1, int64), reads(4), reads(4), reads(1, int64), reads(1)),
    *(reads(4, boolean), boolean, writes(4)),
)
def _input_grad(counter, dy, weight, geometry, scale, mask, only_positive, dx):
    arguments = counter, dy, weight, geometry, scale, mask, only_positive, dx
    parallel_for(_input_grad_of_one, len(counter), arguments)


@njit(fastmath={"reassoc", "contract"})
def _product(a, b):
    total = np.float32(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@inner
def _weight_grad_plane(x, room, size, dy, geometry, dweight):
    """Add one image's part; x is an address, with so many values behind it."""
    height, width = dweight.shape
    plane = _plane(dy.shape, height, width, geometry)
    chosen = columns_of(geometry[1], geometry[3], size[1], plane.shape[2])
    spread(x, room, size, 0, False, np.float32(1), geometry[2], chosen, plane)
    for r in range(height):
        for s in range(width):
            at = s * geometry[5]
            for p in range(dy.shape[0]):
                row = plane[p * geometry[0] + r * geometry[4], at % geometry[1]]
                dweight[r, s] += _product(row[at // geometry[1] : at // geometry[1] + dy.shape[1]], dy[p])


@inner
def _weight_grad_channel(c, x, dy, geometry, dweight):
    dweight[c] = 0
    size = x.shape[2:]
    for n in range(len(x)):
        at = (n * x.shape[1] + c) * size[0] * size[1]
        _weight_grad_plane(address(x) + 4 * at, x.size - at, size, dy[n, c], geometry, dweight[c, 0])


@kernel(reads(4), reads(4), reads(1, int64), writes(4))
def _weight_grad(x, dy, geometry, dweight):
    parallel_for(_weight_grad_channel, x.shape[1], (x, dy, geometry, dweight))
