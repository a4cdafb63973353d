"""Convolution of any geometry as products: windows are written out as columns, and BLAS does the rest.

    y[n, g] = W[g] X,    X[c R S + r S + s, p Q + q] = x[n, c, p stride + r dilation - top, ...]

Columns are made for a few output rows at a time, so that they stay in a core's cache.  A 1x1 kernel with stride 1
needs none: there X is x.  How the work is cut depends on shapes alone.
"""

import numpy as np
from numba import boolean, float32, int64

from minicnn.kernels.cpu.dtype import constant
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.simd.epilogue import finish, prepare
from minicnn.kernels.cpu.simd.gemm import gemm
from minicnn.kernels.cpu.simd.vector import address

__all__ = ["forward", "input_grad", "weight_grad"]

COLUMNS = 1 << 18  # values of columns at a time, a megabyte
PARTS = 8  # into which the work is cut at least, where it is large enough to be cut
WORTH = 1 << 20  # multiply-adds below which cutting costs more than it gives


def forward(x, weight, epilogue, geometry, y):
    """Fill y (N, K, P, Q) and the epilogue's mask; ``geometry`` as ``convolution.geometry_of`` makes it."""
    groups = int(geometry[6])
    k, window = len(weight) // groups, weight[0].size
    p, q = y.shape[2:]
    images, work = len(x) * groups, k * window * p * q
    rows = min(p, max(1, COLUMNS // (window * q)))
    if images < PARTS and p * q >= 1024 and work >= WORTH:
        rows = min(rows, -(-p * images // PARTS))
    blocks = -(-p // rows)
    wanted = -(-PARTS // (images * blocks)) if work >= WORTH else 1
    filters = max(16, -(-k // wanted))
    cut = np.array([rows, blocks, filters, -(-k // filters)])
    plain = epilogue.mask is None and epilogue.least == -np.inf and epilogue.most == np.inf
    plain = plain and epilogue.scale is constant(1, len(weight)) and epilogue.shift is constant(0, len(weight))
    mask = np.empty((0, 0, 0, 0), bool) if epilogue.mask is None else epilogue.mask
    ends = np.float32(epilogue.least), np.float32(epilogue.most)
    _forward(x, weight, geometry, cut, plain, epilogue.scale, epilogue.shift, *ends, y, mask)


def input_grad(dy, weight, prologue, geometry, dx):
    """Fill dx (N, C, H, W)."""
    groups = int(geometry[6])
    window = int(np.prod(weight.shape[2:])) * dy.shape[2] * dy.shape[3]
    channels = weight.shape[1]
    few = max(1, COLUMNS // window)
    few = min(few, max(8, -(-channels * len(dy) * groups // PARTS)), channels)
    _input_grad(prepared(dy, prologue), weight, geometry, few, dx)


def prepared(dy, prologue):
    """Dy through the prologue: itself where that does nothing."""
    nothing = prologue.mask is None and not prologue.only_positive
    if nothing and prologue.scale is constant(1, len(prologue.scale)):
        return dy
    mask = np.empty((0, 0, 0, 0), bool) if prologue.mask is None else prologue.mask
    out = empty(dy.shape)
    _prepare(dy, prologue.scale, mask, prologue.only_positive, out)
    return out


def weight_grad(x, dy, geometry, dweight):
    """Fill dweight (K, C / groups, R, S)."""
    groups = int(geometry[6])
    k, channels, taps = len(dweight) // groups, dweight.shape[1], dweight.shape[2] * dweight.shape[3]
    few = min(channels, max(1, 64 // taps))
    blocks = groups * -(-channels // few)
    parts = max(1, min(len(x), -(-PARTS // blocks)))  # of the images: few channels are too little to be cut
    filters = min(k, max(32, -(-k * blocks * parts // PARTS)))
    rows = min(dy.shape[2], max(1, COLUMNS // (few * taps * dy.shape[3])))
    sums = dweight[None] if parts == 1 else empty((parts, *dweight.shape))
    _weight_grad(x, dy, geometry, np.array([few, filters, rows]), sums)
    if parts > 1:
        np.sum(sums, axis=0, out=dweight)


@inner
def _unfold(x, geometry, r, s, first, last, width, columns):
    """Write one tap's row of columns: the pixel that it reads for output rows ``first`` to ``last``."""
    down, across, top, left, apart, aside = geometry[:6]
    for p in range(first, last):
        h, row = p * down + r * apart - top, columns[(p - first) * width : (p - first + 1) * width]
        if h < 0 or h >= x.shape[0]:
            row[:] = 0
            continue
        w = s * aside - left
        low = min(width, max(0, (across - 1 - w) // across))
        high = max(low, min(width, (x.shape[1] - w + across - 1) // across))
        row[:low] = 0
        row[high:] = 0
        if across == 1:
            row[low:high] = x[h, w + low : w + high]
        else:
            for q in range(low, high):
                row[q] = x[h, w + q * across]


@inner
def _fold(columns, geometry, r, s, height, width, x):
    """Add one tap's row of columns to the pixels that it reads: the adjoint of ``_unfold``."""
    down, across, top, left, apart, aside = geometry[:6]
    w = s * aside - left
    low = min(width, max(0, (across - 1 - w) // across))
    high = max(low, min(width, (x.shape[1] - w + across - 1) // across))
    for p in range(height):
        h = p * down + r * apart - top
        if h < 0 or h >= x.shape[0]:
            continue
        if across == 1:
            to, of = x[h, w + low : w + high], columns[p * width + low : p * width + high]
            for q in range(len(to)):
                to[q] += of[q]
        else:
            for q in range(low, high):
                x[h, w + q * across] += columns[p * width + q]


@inner
def _forward_task(task, x, weight, geometry, cut, plain, finishing, y, mask):
    groups, (rows, blocks, filters, parts) = geometry[6], cut
    each = y.shape[1] // groups
    part, rest = task % parts, task // parts
    block, rest = rest % blocks, rest // blocks
    group, n = rest % groups, rest // groups
    k, last = part * filters, min(y.shape[2], (block + 1) * rows)
    count = min(filters, each - k)
    k += group * each
    own = mask[n] if mask.size else mask.reshape((0, 0, 0))
    _forward_part(x[n], weight, geometry, group, (block * rows, last), k, count, plain, finishing, y[n], own)


@inner
def _forward_part(x, weight, geometry, group, rows, k, filters, plain, finishing, y, mask):
    """One image, group, block of rows and block of filters; x (C, H, W), y and mask (K, P, Q)."""
    (first, last), (scale, shift, least, most) = rows, finishing
    _, channels, kernel_height, kernel_width = weight.shape
    window, width = channels * kernel_height * kernel_width, y.shape[2]
    size, c = (last - first) * width, group * channels
    if geometry[7]:
        of, apart = x[c, first:].ctypes.data, x.shape[1] * x.shape[2]
        columns = np.empty(1, np.float32)
    else:
        columns = np.empty(window * size, np.float32)
        at = 0
        for i in range(channels):
            for r in range(kernel_height):
                for s in range(kernel_width):
                    _unfold(x[c + i], geometry, r, s, first, last, width, columns[at : at + size])
                    at += size
        of, apart = columns.ctypes.data, size
    to = y[k, first:].ctypes.data
    a, area = weight[k].ctypes.data, y.shape[1] * width
    gemm(filters, size, window, a, window, False, of, apart, False, False, to, area)
    columns[0] = 0  # kept until here
    if plain:
        return
    for i in range(k, k + filters):
        at = (i * y.shape[1] + first) * width
        sums, flags = address(y) + 4 * at, address(mask) + at if mask.size else 0
        finish(sums, size, scale[i], shift[i], least, most, sums, flags)


@kernel(
    *(reads(4), reads(4), reads(1, int64), reads(1, int64), boolean),
    *(reads(1), reads(1), float32, float32, writes(4), writes(4, boolean)),
)
def _forward(x, weight, geometry, cut, plain, scale, shift, least, most, y, mask):
    tasks, finishing = len(x) * geometry[6] * cut[1] * cut[3], (scale, shift, least, most)
    parallel_for(_forward_task, tasks, (x, weight, geometry, cut, plain, finishing, y, mask))


@inner
def _prepare_map(i, dy, scale, mask, only_positive, out):
    k, size = dy.shape[1], dy.shape[2] * dy.shape[3]
    flags = address(mask) + i * size if mask.size else 0
    prepare(address(dy) + 4 * i * size, size, scale[i % k], flags, only_positive, address(out) + 4 * i * size)


@kernel(reads(4), reads(1), reads(4, boolean), boolean, writes(4))
def _prepare(dy, scale, mask, only_positive, out):
    parallel_for(_prepare_map, len(dy) * dy.shape[1], (dy, scale, mask, only_positive, out))


@inner
def _input_grad_task(task, dy, weight, geometry, few, dx):
    channels = weight.shape[1]
    rest, block = divmod(task, (channels + few - 1) // few)
    n, group = divmod(rest, geometry[6])
    c = block * few
    _input_grad_part(dy[n], weight, geometry, group, c, min(few, channels - c), dx[n])


@inner
def _input_grad_part(dy, weight, geometry, group, c, count, dx):
    """One image, group and some of its channels; dy (K, P, Q), dx (C, H, W)."""
    _, channels, kernel_height, kernel_width = weight.shape
    taps, size = kernel_height * kernel_width, dy.shape[1] * dy.shape[2]
    filters = len(weight) // geometry[6]
    k, out = group * filters, group * channels + c
    a, b, row = weight[k, c:].ctypes.data, dy[k].ctypes.data, channels * taps
    if geometry[7]:
        gemm(count, size, filters, a, row, True, b, size, False, False, dx[out].ctypes.data, size)
        return
    columns = np.empty(count * taps * size, np.float32)
    to, at = columns.ctypes.data, 0
    gemm(count * taps, size, filters, a, row, True, b, size, False, False, to, size)
    for i in range(count):
        dx[out + i] = 0
        for r in range(kernel_height):
            for s in range(kernel_width):
                _fold(columns[at : at + size], geometry, r, s, dy.shape[1], dy.shape[2], dx[out + i])
                at += size


@kernel(reads(4), reads(4), reads(1, int64), int64, writes(4))
def _input_grad(dy, weight, geometry, few, dx):
    blocks = (weight.shape[1] + few - 1) // few
    parallel_for(_input_grad_task, len(dy) * geometry[6] * blocks, (dy, weight, geometry, few, dx))


@inner
def _weight_grad_task(task, x, dy, geometry, cut, sums):
    groups, (few, filters, _) = geometry[6], cut
    images, channels, each = len(sums), sums.shape[2], sums.shape[1] // groups
    blocks, parts = (channels + few - 1) // few, (each + filters - 1) // filters
    i, rest = task % images, task // images
    part, rest = rest % parts, rest // parts
    group, c, k = rest // blocks, rest % blocks * few, part * filters
    count, number = min(few, channels - c), min(filters, each - k)
    some = slice(i * len(x) // images, (i + 1) * len(x) // images)
    at = group * each + k
    _weight_grad_part(x[some], dy[some], geometry, group, c, count, at, number, cut[2], sums[i])


@inner
def _weight_grad_part(x, dy, geometry, group, c, count, k, filters, rows, dweight):
    """Sum over the images given, for some channels and filters of a group."""
    _, channels, kernel_height, kernel_width = dweight.shape
    taps, (height, width) = kernel_height * kernel_width, dy.shape[2:]
    to, row = dweight[k, c:].ctypes.data, channels * taps
    plain, of = geometry[7], group * channels + c
    columns = np.empty(1 if plain else count * taps * rows * width, np.float32)
    for n in range(len(x)):
        for first in range(0, height, rows):
            last = min(height, first + rows)
            size = (last - first) * width
            b, apart = columns.ctypes.data, size
            if plain:
                b, apart = x[n, of, first:].ctypes.data, height * width
            else:
                at = 0
                for i in range(count):
                    for r in range(kernel_height):
                        for s in range(kernel_width):
                            _unfold(x[n, of + i], geometry, r, s, first, last, width, columns[at : at + size])
                            at += size
            adds = n > 0 or first > 0
            a = dy[n, k, first:].ctypes.data
            gemm(filters, count * taps, size, a, height * width, False, b, apart, True, adds, to, row)
    columns[0] = 0  # kept until here


@kernel(reads(4), reads(4), reads(1, int64), reads(1, int64), writes(5))
def _weight_grad(x, dy, geometry, cut, sums):
    """sums[i] = the gradient that the i-th part of the images gives."""
    groups, (few, filters, _) = geometry[6], cut
    blocks = (sums.shape[2] + few - 1) // few
    parts = (sums.shape[1] // groups + filters - 1) // filters
    parallel_for(_weight_grad_task, len(sums) * groups * blocks * parts, (x, dy, geometry, cut, sums))
