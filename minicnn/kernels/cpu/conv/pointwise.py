"""1x1 convolution with stride 1: a product of weights and pixels, finished while its sums are in registers.

    y[n] = W x[n],    dx[n] = W' dy[n],    one column a pixel

BLAS is made for large matrices; these are narrow, 49 to 12544 columns, and come with a rectifier.  Here a block of
some columns is copied into a core's cache, in vectors, through the prologue; then ROWS rows of weights at a time
are multiplied with it, and scale, shift and clamp are applied before the sums leave their registers.  Blocks are
whole vectors: the last ones of a map begin a little earlier instead, and compute some columns twice; or a column
that would be left is multiplied alone.
"""

import functools
import math

import numpy as np
from numba import boolean, float32, int64

from minicnn.kernels.cpu.dtype import constant
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.work_stealing import new_counter, take
from minicnn.kernels.cpu.simd.epilogue import finish as apply
from minicnn.kernels.cpu.simd.epilogue import no_mask, prepare, prepared_vector
from minicnn.kernels.cpu.simd.gemm import (
    gemm_epilogue_1,
    gemm_epilogue_2,
    gemm_epilogue_3,
)
from minicnn.kernels.cpu.simd.gemm_micro import ROWS
from minicnn.kernels.cpu.simd.gemv_micro import gemv_micro, gemv_micro_transposed
from minicnn.kernels.cpu.simd.vector import LANES, address, broadcast, load, store

__all__ = ["forward", "input_grad", "suits"]

VECTORS = 3  # of a block at most: with ROWS rows their sums fill the registers
PARTS = 16  # into which the work is cut, whatever the number of threads
BANDS = 16  # runs of blocks that share a buffer, at most
FEW = 8  # blocks, of fewer than which all go with a part of the rows
TOGETHER = 1 << 12  # floats of blocks that go through the rows together: more of a row is then written at once
LONE = LANES // 8  # columns beyond whole vectors that are multiplied one by one, at most: a 7x7 map has 1
TALL = 48  # rows of such a part or more: each part reads all columns


def suits(filters, channels, pixels):
    """Whether matrices are large enough: whole vectors, and whole sets of rows, both ways."""
    return filters >= ROWS and channels >= ROWS and pixels >= LANES


def forward(x, weight, epilogue, y):
    """Fill y (N, K, P, Q) and the epilogue's mask."""
    mask = no_mask(4) if epilogue.mask is None else epilogue.mask
    finish = epilogue.scale, epilogue.shift, np.float32(epilogue.least), np.float32(epilogue.most)
    source, steps = (x, no_mask(4), constant(1, 1), False), (weight.shape[1], 1)
    _pointwise(new_counter(), *source, weight, *steps, *finish, _cut(*y.shape), y, mask)


def input_grad(dy, weight, prologue, dx):
    """Fill dx (N, C, H, W)."""
    mask = no_mask(4) if prologue.mask is None else prologue.mask
    c = weight.shape[1]
    source, steps = (dy, mask, prologue.scale, prologue.only_positive), (1, c)
    finish = constant(1, c), constant(0, c), np.float32(-np.inf), np.float32(np.inf)
    _pointwise(new_counter(), *source, weight, *steps, *finish, _cut(*dx.shape), dx, no_mask(4))


@functools.lru_cache(512)
def _cut(images, rows, height, width):
    """How many vectors, blocks of them, runs of blocks, panels of rows, parts of these, lone columns."""
    pixels = height * width
    lone = pixels % LANES if pixels % LANES <= LONE else 0
    vectors, most = -(-(pixels - lone) // LANES), min(VECTORS, pixels // LANES)
    blocks, panels = -(-vectors // most), -(-rows // ROWS)
    bands = min(blocks, BANDS) if blocks >= FEW else 1
    parts = -(-PARTS // max(1, images * bands))
    # parts of one size are shared evenly by 2, 4 or 8 threads if they are as many, or twice that, ...
    parts = min(panels, parts if bands > 1 else min(parts, _power_of_two(rows / TALL)))
    cut = np.array([vectors, blocks, bands, panels, parts, lone])
    cut.flags.writeable = False
    return cut


def _power_of_two(number):
    """Return the power of two that is nearest to a number, by their quotient; 1 at least."""
    return 2 ** max(0, round(math.log2(number)))


@inner
def _read(x, at, mask, only_positive, scale, depth, apart, vectors, block):
    """Copy ``vectors`` vectors of each of ``depth`` channels into a block, through the prologue."""
    for c in range(depth):
        factor = broadcast(scale[c % len(scale)])
        for j in range(vectors):
            here = at + c * apart + j * LANES
            v = prepared_vector(load(x, here), factor, mask, only_positive, here)
            store(block, (c * vectors + j) * LANES, v)


@inner
def _columns(block, cut, pixels):
    """Return the first column of a block, and its number of vectors."""
    vectors, blocks = cut[0], cut[1]
    begin = vectors * block // blocks
    count = vectors * (block + 1) // blocks - begin
    return min(begin * LANES, pixels - cut[5] - count * LANES), count


@inner
def _multiply(source, weight, row, step, finish, cut, first, last, block, stop, n, buffer, y, mask):
    """Panels ``first`` to ``last`` of rows, blocks ``block`` to ``stop`` of columns, image n."""
    scale, shift, least, most = finish
    rows, pixels, depth = y.shape[1], y.shape[2] * y.shape[3], source[0].shape[1]
    for panel in range(first, last):
        k = min(panel * ROWS, rows - ROWS)
        a, ends = address(weight) + 4 * k * row, (address(scale) + 4 * k, address(shift) + 4 * k, least, most)
        for b in range(block, stop):
            at, vectors = _columns(b, cut, pixels)
            to, of = (n * rows + k) * pixels + at, buffer + 4 * (b - block) * depth * VECTORS * LANES
            out, moves = address(y) + 4 * to, address(mask) + to if mask.size else 0
            if vectors == 3:
                gemm_epilogue_3(a, row, step, of, 3 * LANES, depth, *ends, out, pixels, moves)
            elif vectors == 2:
                gemm_epilogue_2(a, row, step, of, 2 * LANES, depth, *ends, out, pixels, moves)
            else:
                gemm_epilogue_1(a, row, step, of, LANES, depth, *ends, out, pixels, moves)


@inner
def _read_column(x, at, mask, only_positive, scale, depth, apart, column):
    """Copy one pixel of each of ``depth`` channels, through the prologue."""
    for c in range(depth):
        prepare(
            x + 4 * (at + c * apart),
            1,
            scale[c % len(scale)],
            mask + at + c * apart if mask else 0,
            only_positive,
            column + 4 * c,
        )


@inner
def _multiply_column(weight, row, step, finish, first, last, column, depth, n, at, y, mask):
    """Panels ``first`` to ``last`` of rows, one column, image n."""
    scale, shift, least, most = finish
    rows, pixels, sums = y.shape[1], y.shape[2] * y.shape[3], np.empty(ROWS, np.float32)
    for panel in range(first, last):
        k = min(panel * ROWS, rows - ROWS)
        if step == 1:
            gemv_micro(address(weight) + 4 * k * row, row, column, depth, address(sums))
        else:
            gemv_micro_transposed(address(weight) + 4 * k, step, column, depth, address(sums))
        for r in range(ROWS):
            to = (n * rows + k + r) * pixels + at
            moves = address(mask) + to if mask.size else 0
            apply(address(sums) + 4 * r, 1, scale[k + r], shift[k + r], least, most, address(y) + 4 * to, moves)


@inner
def _band(source, weight, row, step, finish, cut, n, band, part, y, mask):
    """One image, some of its columns, some of the rows."""
    x, passed, factors, only_positive = source
    _, blocks, bands, panels, parts, lone = cut
    depth, pixels = x.shape[1], x.shape[2] * x.shape[3]
    size = depth * VECTORS * LANES
    together = max(1, TOGETHER // size)
    buffer, chosen = np.empty(together * size, np.float32), address(passed) if passed.size else 0
    first, last, end = panels * part // parts, panels * (part + 1) // parts, blocks * (band + 1) // bands
    for block in range(blocks * band // bands, end, together):
        stop = min(end, block + together)
        for b in range(block, stop):
            at, count = _columns(b, cut, pixels)
            start, to = n * depth * pixels + at, address(buffer) + 4 * (b - block) * size
            _read(address(x), start, chosen, only_positive, factors, depth, pixels, count, to)
        _multiply(source, weight, row, step, finish, cut, first, last, block, stop, n, address(buffer), y, mask)
    for at in range(pixels - lone if end == blocks else pixels, pixels):
        start, column = n * depth * pixels + at, address(buffer)
        _read_column(address(x), start, chosen, only_positive, factors, depth, pixels, column)
        _multiply_column(weight, row, step, finish, first, last, column, depth, n, at, y, mask)
    buffer[0] = 0  # kept until here


@inner
def _bands_of_one(thread, counter, source, weight, row, step, finish, cut, y, mask):
    """Do the tasks of one thread."""
    bands, parts = cut[2], cut[4]
    tasks = len(y) * parts * bands
    task = take(counter, thread, tasks)
    while task < tasks:
        band, rest = task % bands, task // bands
        _band(source, weight, row, step, finish, cut, rest // parts, band, rest % parts, y, mask)
        task = take(counter, thread, tasks)


@kernel(
    *(writes(1, int64), reads(4), reads(4, boolean), reads(1), boolean),
    *(reads(4), int64, int64, reads(1), reads(1), float32, float32),
    *(reads(1, int64), writes(4), writes(4, boolean)),
)
def _pointwise(
    counter, x, passed, factors, only_positive, weight, row, step, scale, shift, least, most, cut, y, mask
):
    source, finish = (x, passed, factors, only_positive), (scale, shift, least, most)
    parallel_for(_bands_of_one, len(counter), (counter, source, weight, row, step, finish, cut, y, mask))
