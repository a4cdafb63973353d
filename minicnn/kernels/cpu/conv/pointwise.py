"""1x1 convolution with stride 1: a product of weights and pixels, clipped while its sums are in registers.

    y[n] = W x[n],    dx[n] = W' dy[n],    one column a pixel

Schedule: tasks are an image, a band of its columns and a part of the rows.  Blocks of some columns are copied into
a buffer, in vectors, through the prologue; then ROWS rows of weights at a time, a panel, are multiplied with them,
and scale, shift and clip are applied before the sums leave their registers.  Blocks are whole vectors: the last
ones of a map begin a little earlier instead, and compute some columns twice; or the few columns of a tail are
multiplied one by one.

Memory: a buffer of some 4096 floats or one block for each task, in a core's cache.

Gain: BLAS is made for large matrices; these are narrow, 49 to 12544 columns, and come with a rectifier.
Reference: ``reference.conv2d`` and ``reference.conv2d_input_grad``.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numba import boolean, int64, types

from minicnn.kernels.cpu.dtype import constant
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.work_stealing import new_counter, take
from minicnn.kernels.cpu.simd.epilogue import (
    EPILOGUE,
    PROLOGUE,
    Epilogue,
    Prologue,
    channel_epilogue,
    scale_and_mask,
    scale_and_mask_vector,
    scale_shift_clip,
)
from minicnn.kernels.cpu.simd.gemm import RowEpilogue, gemm_epilogue_1, gemm_epilogue_2, gemm_epilogue_3
from minicnn.kernels.cpu.simd.gemm_micro import ROWS, Panel, Strided
from minicnn.kernels.cpu.simd.gemv_micro import gemv_micro, gemv_micro_transposed
from minicnn.kernels.cpu.simd.pointers import float_pointer, keep_alive, mask_pointer, offset
from minicnn.kernels.cpu.simd.vector import LANES, address, broadcast, load, store

__all__ = ["forward", "input_grad", "is_applicable"]

BLOCK_VECTORS = 3  # of a block at most: with ROWS rows their sums fill the registers
PARTS = 16  # into which the work is cut, whatever the number of threads
BANDS = 16  # runs of blocks that share a buffer, at most
BANDED_BLOCKS = 8  # from which on blocks are divided into bands; fewer all go with a part of the rows
BUFFER = 1 << 12  # floats of blocks that go through the rows together: more of a row is then written at once
TAIL = LANES // 8  # columns beyond whole vectors that are multiplied one by one, at most: a 7x7 map has 1
PART_ROWS = 48  # of such a part or more: each part reads all columns


class _Cut(NamedTuple):
    """How a product is cut.

    Attributes
    ----------
    vectors : of columns, without those of the tail
    blocks : of up to BLOCK_VECTORS vectors
    bands : runs of blocks
    panels : sets of ROWS rows
    parts : runs of panels
    tail : columns that are multiplied one by one

    """

    vectors: int
    blocks: int
    bands: int
    panels: int
    parts: int
    tail: int


class _Product(NamedTuple):
    """One call: y = W x, x through the prologue, y through the epilogue.

    Attributes
    ----------
    x : array (N, depth, H, W)
    prologue : ``Prologue``
    weight : array in which element (r, i) of W is number ``r row_stride + i depth_stride``
    epilogue : ``Epilogue``
    cut : ``_Cut``
    y : array (N, rows, H, W)

    """

    x: np.ndarray
    prologue: Prologue
    weight: np.ndarray
    row_stride: int
    depth_stride: int
    epilogue: Epilogue
    cut: _Cut
    y: np.ndarray


def is_applicable(filters: int, channels: int, pixels: int) -> bool:
    """Whether matrices are large enough: whole vectors, and whole panels of rows, both ways."""
    return filters >= ROWS and channels >= ROWS and pixels >= LANES


def forward(x: np.ndarray, weight: np.ndarray, epilogue: Epilogue, y: np.ndarray) -> None:
    """Fill y (N, K, P, Q) and the epilogue's mask."""
    prologue = Prologue(constant(1, 1)).as_arguments()
    _pointwise(new_counter(), x, prologue, weight, False, epilogue.as_arguments(), _plan_cut(*y.shape), y)


def input_grad(dy: np.ndarray, weight: np.ndarray, prologue: Prologue, dx: np.ndarray) -> None:
    """Fill dx (N, C, H, W)."""
    c = weight.shape[1]
    epilogue = Epilogue(constant(1, c), constant(0, c)).as_arguments()
    _pointwise(new_counter(), dy, prologue.as_arguments(), weight, True, epilogue, _plan_cut(*dx.shape), dx)


@functools.lru_cache(512)
def _plan_cut(images, rows, height, width):
    """Return the fields of the ``_Cut`` for y of this shape."""
    pixels = height * width
    tail = pixels % LANES if pixels % LANES <= TAIL else 0
    vectors, block_vectors = -(-(pixels - tail) // LANES), min(BLOCK_VECTORS, pixels // LANES)
    blocks, panels = -(-vectors // block_vectors), -(-rows // ROWS)
    bands = min(blocks, BANDS) if blocks >= BANDED_BLOCKS else 1
    parts = -(-PARTS // max(1, images * bands))
    # parts of one size are shared evenly by 2, 4 or 8 threads if they are as many, or twice that, ...
    parts = min(panels, parts if bands > 1 else min(parts, _power_of_two(rows / PART_ROWS)))
    return vectors, blocks, bands, panels, parts, tail


def _power_of_two(number):
    """Return the power of two that is nearest to a number, by their quotient; 1 at least."""
    return 2 ** max(0, round(math.log2(number)))


@inner
def _block_columns(block, cut, pixels):
    """Return the first column of a block, and its number of vectors."""
    begin = cut.vectors * block // cut.blocks
    count = cut.vectors * (block + 1) // cut.blocks - begin
    # the last blocks begin earlier
    return min(begin * LANES, pixels - cut.tail - count * LANES), count


@inner
def _panels(part, cut):
    """Return the first and last panel of a part."""
    return cut.panels * part // cut.parts, cut.panels * (part + 1) // cut.parts


@inner
def _read_block(product, n, block, to):
    """Copy a block's vectors of each channel of image n to the address ``to``, through the prologue."""
    x, prologue = product.x, product.prologue
    depth, pixels = x.shape[1], x.shape[2] * x.shape[3]
    first, vectors = _block_columns(block, product.cut, pixels)
    start, mask = n * depth * pixels + first, mask_pointer(prologue.mask, 0)
    for c in range(depth):
        factor = broadcast(prologue.scale[c % len(prologue.scale)])
        for j in range(vectors):
            at = start + c * pixels + j * LANES
            v = scale_and_mask_vector(load(address(x), at), factor, mask, prologue.only_positive, at)
            store(to, (c * vectors + j) * LANES, v)


@inner
def _multiply_blocks(product, n, part, begin, end, buffer):
    """Multiply a part of the rows by blocks ``begin`` to ``end`` of image n, which lie at address ``buffer``."""
    row_stride, step, epilogue, y = product.row_stride, product.depth_stride, product.epilogue, product.y
    rows, pixels, depth = y.shape[1], y.shape[2] * y.shape[3], product.x.shape[1]
    first, last = _panels(part, product.cut)
    for panel in range(first, last):
        k = min(panel * ROWS, rows - ROWS)  # the last panel begins earlier
        a = Strided(float_pointer(product.weight, k * row_stride), row_stride, step)
        scale, shift = float_pointer(epilogue.scale, k), float_pointer(epilogue.shift, k)
        row_epilogue = RowEpilogue(scale, shift, epilogue.clip_min, epilogue.clip_max)
        for block in range(begin, end):
            column, vectors = _block_columns(block, product.cut, pixels)
            at = (n * rows + k) * pixels + column
            start = offset(buffer, (block - begin) * depth * BLOCK_VECTORS * LANES)
            b, to = Panel(start, vectors * LANES), Panel(float_pointer(y, at), pixels)
            mask = mask_pointer(epilogue.mask, at)
            if vectors == 3:
                gemm_epilogue_3(a, b, depth, row_epilogue, to, mask)
            elif vectors == 2:
                gemm_epilogue_2(a, b, depth, row_epilogue, to, mask)
            else:
                gemm_epilogue_1(a, b, depth, row_epilogue, to, mask)


@inner
def _read_column(product, n, column, to):
    """Copy one pixel of each channel of image n to the address ``to``, through the prologue."""
    x, prologue = product.x, product.prologue
    depth, pixels = x.shape[1], x.shape[2] * x.shape[3]
    for c in range(depth):
        at, scale = (n * depth + c) * pixels + column, prologue.scale[c % len(prologue.scale)]
        mask = mask_pointer(prologue.mask, at)
        scale_and_mask(float_pointer(x, at), 1, scale, mask, prologue.only_positive, offset(to, c))


@inner
def _multiply_column(product, n, part, column, b):
    """Multiply a part of the rows by one column of image n, which lies at the address b."""
    row_stride, step, epilogue, y = product.row_stride, product.depth_stride, product.epilogue, product.y
    rows, pixels, depth = y.shape[1], y.shape[2] * y.shape[3], product.x.shape[1]
    sums = np.empty(ROWS, np.float32)
    first, last = _panels(part, product.cut)
    for panel in range(first, last):
        k = min(panel * ROWS, rows - ROWS)
        a = float_pointer(product.weight, k * row_stride)
        if step == 1:
            gemv_micro(a, row_stride, b, depth, address(sums))
        else:
            gemv_micro_transposed(a, step, b, depth, address(sums))
        for r in range(ROWS):
            at = (n * rows + k + r) * pixels + column
            to, mask = float_pointer(y, at), mask_pointer(epilogue.mask, at)
            scale_shift_clip(float_pointer(sums, r), 1, channel_epilogue(epilogue, k + r), to, mask)
    keep_alive((sums,))


@inner
def _multiply_band(product, n, band, part):
    """One image, some of its columns, some of the rows."""
    cut, depth, pixels = product.cut, product.x.shape[1], product.x.shape[2] * product.x.shape[3]
    size = depth * BLOCK_VECTORS * LANES
    together = max(1, BUFFER // size)
    buffer, last = np.empty(together * size, np.float32), cut.blocks * (band + 1) // cut.bands
    for begin in range(cut.blocks * band // cut.bands, last, together):
        end = min(last, begin + together)
        for block in range(begin, end):
            _read_block(product, n, block, float_pointer(buffer, (block - begin) * size))
        _multiply_blocks(product, n, part, begin, end, address(buffer))
    for column in range(pixels - cut.tail if last == cut.blocks else pixels, pixels):
        _read_column(product, n, column, address(buffer))
        _multiply_column(product, n, part, column, address(buffer))
    keep_alive((buffer,))


@inner
def _multiply_thread(thread, counter, product):
    """Do the tasks of one thread."""
    bands, parts = product.cut.bands, product.cut.parts
    tasks = len(product.y) * parts * bands
    task = take(counter, thread, tasks)
    while task < tasks:
        image_and_part, band = divmod(task, bands)
        _multiply_band(product, image_and_part // parts, band, image_and_part % parts)
        task = take(counter, thread, tasks)


@kernel(
    *(writes(1, int64), reads(4), PROLOGUE, reads(4), boolean),
    *(EPILOGUE, types.UniTuple(int64, len(_Cut._fields)), writes(4)),
)
def _pointwise(counter, x, prologue, weight, transposed, epilogue, cut, y):
    row_stride, depth_stride = weight.shape[1], 1
    if transposed:
        row_stride, depth_stride = 1, weight.shape[1]
    source, sink = Prologue(*prologue), Epilogue(*epilogue)
    product = _Product(x, source, weight, row_stride, depth_stride, sink, _Cut(*cut), y)
    parallel_for(_multiply_thread, len(counter), (counter, product))
