"""Convolution of a network's first layer: of an image with at most three channels, straight from its rows.

    y[k, p, q] = sum_i W[k, i] x[place[i] + p row + q]    over the taps i = (c, r, s), C R S of them

A product of weights and columns would write each pixel R S times before it reads it, and Winograd's transforms
cost more than they save where so few channels share them.  Here some rows of the image lie in a core's cache as
planes (``planes``), from which each tap reads whole vectors; ROWS filters at a time are multiplied with them, and
finished while their sums are in registers.

The input gradient goes the same way: the pixels of a row with one remainder modulo the stride are such sums over
planes of dy, by the taps that reach them, for all channels at once.
"""

import numpy as np
from numba import boolean, float32, int64

from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.simd.epilogue import no_mask
from minicnn.kernels.cpu.simd.gemm import (
    gemm_gather_1,
    gemm_gather_2,
    gemm_gather_3,
)
from minicnn.kernels.cpu.simd.gemm_micro import ROWS, make_gemm_micro
from minicnn.kernels.cpu.simd.planes import adjoint_taps, columns_of, spread, zeros
from minicnn.kernels.cpu.simd.vector import LANES, address, load, load_scalar, store_interleave2, store_scalar

__all__ = ["MOST", "forward", "input_grad", "suits"]

MOST = 3  # channels
BANDS = 16  # of rows, into which the images are cut at least
SPACE = 1 << 17  # floats of planes that stay in a core's cache

narrow, wide = (make_gemm_micro(columns, MOST, placed=True) for columns in (1, 4 if LANES == 16 else 3))
WIDE = 4 if LANES == 16 else 3


def suits(size, weight_shape, geometry, out):
    """Whether channels are few, a row has room for a vector, and every pixel is reached by a tap."""
    filters, channels, *kernel_size = weight_shape
    down, across, _, _, apart, aside, groups = geometry[:7]
    dense = groups == apart == aside == 1 and kernel_size[0] >= down and kernel_size[1] >= across
    return dense and channels <= MOST and filters >= ROWS and min(out[1], size[1] // across) >= LANES


def forward(x, weight, epilogue, geometry, y):
    """Fill y (N, K, P, Q) and the epilogue's mask."""
    mask = no_mask(4) if epilogue.mask is None else epilogue.mask
    ends = np.float32(epilogue.least), np.float32(epilogue.most)
    down = int(geometry[0])
    band = _band(len(x), y.shape[2], x.shape[1] * down * (x.shape[3] + weight.shape[3]), weight.shape[2] // down)
    _forward(x, weight, geometry, epilogue.scale, epilogue.shift, *ends, band, y, mask)


def input_grad(dy, weight, prologue, geometry, dx):
    """Fill dx (N, C, H, W)."""
    mask = no_mask(4) if prologue.mask is None else prologue.mask
    rows, phases = -(-dx.shape[2] // int(geometry[0])), int(geometry[0] * geometry[1])
    line = len(weight) * (dy.shape[3] + weight.shape[3])
    band = _band(len(dy), rows, line, weight.shape[2] // int(geometry[0]))
    factors = empty((phases, MOST, weight[:, 0].size))
    places = empty((phases, weight[:, 0].size), np.int64)
    source = dy, weight, geometry, prologue.scale, mask, prologue.only_positive
    _input_grad(*source, band, factors, places, dx)


def _band(images, rows, line, more):
    """Return the rows of a band, whose planes have ``line`` floats a row, and ``more`` rows than it."""
    return max(1, min(-(-rows // max(1, BANDS // max(1, images))), SPACE // line - more))


@inner
def _places(weight, geometry, plane):
    """Where in the planes of its channels each tap of the first output is."""
    _, channels, height, width = weight.shape
    size, across, columns = plane.size, plane.shape[1], plane.shape[2]
    found = np.empty(channels * height * width, np.int64)
    for i in range(len(found)):
        c, r, s = i // (height * width), i // width % height, i % width
        found[i] = c * size + (r * across + s % across) * columns + s // across
    return found


@inner
def _read(x, room, size, mask, only_positive, scale, top, chosen, plane):
    """Fill a plane with the rows of a map that it wants, and zeros where there are none."""
    above, below = min(len(plane), max(0, top)), max(0, min(len(plane), top + size[0]))
    for row in range(len(plane)):
        if row < above or row >= below:
            plane[row] = 0
    spread(x, room, size, mask, only_positive, scale, top, chosen, plane)


@inner
def _row(weight, places, of, finish, k, q, vectors, y, mask, area):
    """ROWS filters from k on, ``vectors`` vectors of a row of outputs; y and mask are addresses, 0 for no mask."""
    scale, shift, least, most = finish
    depth = len(places)
    a, ends = address(weight) + 4 * k * depth, (address(scale) + 4 * k, address(shift) + 4 * k, least, most)
    b, table, to, moves = of + 4 * q, address(places), y + 4 * q, mask + q if mask else 0
    if vectors == 3:
        gemm_gather_3(a, depth, 1, b, table, depth, *ends, to, area, moves)
    elif vectors == 2:
        gemm_gather_2(a, depth, 1, b, table, depth, *ends, to, area, moves)
    else:
        gemm_gather_1(a, depth, 1, b, table, depth, *ends, to, area, moves)


@inner
def _forward_band(task, x, weight, geometry, finish, band, y, mask):
    """One image, some rows of outputs."""
    (channels, height, width), (filters, rows, columns) = x.shape[1:], y.shape[1:]
    bands, down = (rows + band - 1) // band, geometry[0]
    n, begin = task // bands, task % bands * band
    end = min(rows, begin + band)
    lines = (end - begin - 1) * down + weight.shape[2]
    planes = zeros(channels * lines, geometry[1], columns + (weight.shape[3] - 1) // geometry[1])
    chosen = columns_of(geometry[1], geometry[3], width, planes.shape[2])
    for c in range(channels):
        at, plane = (n * channels + c) * height * width, planes[c * lines : (c + 1) * lines]
        source = address(x) + 4 * at, x.size - at, (height, width)
        _read(*source, 0, False, np.float32(1), geometry[2] - begin * down, chosen, plane)
    places = _places(weight, geometry, planes[:lines])
    vectors, most = (columns + LANES - 1) // LANES, min(3, columns // LANES)  # of a row, and of a block of it
    blocks, step = (vectors + most - 1) // most, down * planes.shape[1] * planes.shape[2]
    for panel in range(0, filters, ROWS):
        k = min(panel, filters - ROWS)
        for p in range(begin, end):
            of, at = address(planes) + 4 * (p - begin) * step, ((n * filters + k) * rows + p) * columns
            to, moves = address(y) + 4 * at, address(mask) + at if mask.size else 0
            for block in range(blocks):
                first = vectors * block // blocks
                count = vectors * (block + 1) // blocks - first
                q = min(first * LANES, columns - count * LANES)
                _row(weight, places, of, finish, k, q, count, to, moves, rows * columns)


@kernel(
    *(reads(4), reads(4), reads(1, int64), reads(1), reads(1), float32, float32),
    *(int64, writes(4), writes(4, boolean)),
)
def _forward(x, weight, geometry, scale, shift, least, most, band, y, mask):
    tasks, finish = len(x) * ((y.shape[2] + band - 1) // band), (scale, shift, least, most)
    parallel_for(_forward_band, tasks, (x, weight, geometry, finish, band, y, mask))


@inner
def _low(weight, geometry):
    """First row and column of dy that pixels with the first remainders depend on, before the pixels' own."""
    return (geometry[2] - weight.shape[2] + 1) // geometry[0], (geometry[3] - weight.shape[3] + 1) // geometry[1]


@inner
def _arrange(k, weight, counts, taps, size, factors, places):
    """For each remainder: the weights of filter k that reach its pixels, and where in the planes of dy, too."""
    for phase in range(len(counts)):
        for i in range(counts[phase]):
            to, tap = k * counts[phase] + i, taps[0, phase, i]
            places[phase, to] = k * size + taps[1, phase, i]
            for c in range(MOST):
                kernel = weight[k, min(c, weight.shape[1] - 1)]
                factors[phase, c, to] = kernel[tap // weight.shape[3], tap % weight.shape[3]]


@inner
def _pixels(factors, places, depth, of, width, to, row):
    """Compute ``width`` pixels of a row, LANES of them or more, of MOST channels, to and of addresses."""
    a, table, i = address(factors), address(places), 0
    while i < width:
        if width - i >= WIDE * LANES:
            wide(a, len(factors[0]), 1, of + 4 * i, table, to + 4 * i, row, depth, False)
            i += WIDE * LANES
        else:
            i = min(i, width - LANES)  # the last vector begins earlier
            narrow(a, len(factors[0]), 1, of + 4 * i, table, to + 4 * i, row, depth, False)
            i += LANES


@inner
def _weave(parts, part, width, across, to):
    """Write a row of pixels from those of each remainder, which lie ``part`` floats apart; addresses."""
    whole = width // across if across == 2 else 0
    for start in range(0, whole, LANES):
        i = min(start, whole - LANES)
        store_interleave2(to, 2 * i, load(parts, i), load(parts, part + i))
    for w in range(2 * whole, width):
        store_scalar(to, w, load_scalar(parts, w % across * part + w // across))


@inner
def _input_grad_band(task, dy, weight, geometry, prologue, band, shape, counts, factors, places, dx):
    """One image, some rows of pixels."""
    (down, across), (scale, mask, only_positive), low = geometry[:2], prologue, _low(weight, geometry)
    (filters, lines, line), (channels, height, width) = dy.shape[1:], dx.shape[1:]
    bands = ((height + down - 1) // down + band - 1) // band
    n, begin = task // bands, task % bands * band
    tall, columns = shape
    planes, chosen = zeros(filters * tall, 1, columns), columns_of(1, -low[1], line, columns)
    for k in range(filters):
        at, plane = (n * filters + k) * lines * line, planes[k * tall : (k + 1) * tall]
        source, flags = (address(dy) + 4 * at, dy.size - at, (lines, line)), address(mask) + at if mask.size else 0
        _read(*source, flags, only_positive, scale[k], -low[0] - begin, chosen, plane)
    part = (width + across - 1) // across + LANES
    parts = np.empty((MOST, across, part), np.float32)
    for h in range(begin * down, min(height, (begin + band) * down)):
        of = address(planes) + 4 * (h // down - begin) * columns
        for b in range(across):
            phase, count, to = (
                h % down * across + b,
                (width - b + across - 1) // across,
                address(parts) + 4 * b * part,
            )
            _pixels(factors[phase], places[phase], filters * counts[phase], of, count, to, across * part)
        for c in range(channels):
            to = address(dx) + 4 * ((n * channels + c) * height + h) * width
            _weave(address(parts[c]), part, width, across, to)
    parts[0, 0, 0], planes[0, 0, 0] = 0, 0  # kept until here


@kernel(
    *(reads(4), reads(4), reads(1, int64), reads(1), reads(4, boolean), boolean),
    *(int64, writes(3), writes(2, int64), writes(4)),
)
def _input_grad(dy, weight, geometry, scale, mask, only_positive, band, factors, places, dx):
    low, rows = _low(weight, geometry), (dx.shape[2] + geometry[0] - 1) // geometry[0]
    tall = (geometry[0] - 1 + geometry[2]) // geometry[0] - low[0] + band
    columns = (dx.shape[3] - 1 + geometry[3]) // geometry[1] - low[1] + 1
    counts, taps = adjoint_taps(weight.shape[2:], geometry, low, columns)
    parallel_for(_arrange, len(weight), (weight, counts, taps, tall * columns, factors, places))
    tasks, prologue = len(dy) * ((rows + band - 1) // band), (scale, mask, only_positive)
    shape = tall, columns
    parallel_for(
        _input_grad_band, tasks, (dy, weight, geometry, prologue, band, shape, counts, factors, places, dx)
    )
