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
    EpilogueView,
    Prologue,
    PrologueView,
    channel_epilogue,
    scale_and_mask,
    scale_and_mask_vector,
    scale_shift_clip,
    view_epilogue,
    view_prologue,
)
from minicnn.kernels.cpu.simd.gemm import RowEpilogue, gemm_epilogue_1, gemm_epilogue_2, gemm_epilogue_3
from minicnn.kernels.cpu.simd.gemm_micro import ROWS, Panel, Strided
from minicnn.kernels.cpu.simd.gemv_micro import gemv_micro, gemv_micro_transposed
from minicnn.kernels.cpu.simd.pointers import float_pointer, keep_alive, mask_offset, offset
from minicnn.kernels.cpu.simd.vector import LANES, address, broadcast, load, load_scalar, store

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
    x, y : addresses
    images, depth, rows, pixels : x is (images, depth, pixels), y (images, rows, pixels)
    prologue, epilogue : ``PrologueView``, ``EpilogueView``
    weight : ``Strided``: W or its transpose
    cut : ``_Cut``

    """

    x: int
    y: int
    images: int
    depth: int
    rows: int
    pixels: int
    prologue: PrologueView
    weight: Strided
    epilogue: EpilogueView
    cut: _Cut


def is_applicable(filters: int, channels: int, pixels: int) -> bool:
    """Whether matrices are large enough: whole vectors, and whole panels of rows, both ways."""
    return filters >= ROWS and channels >= ROWS and pixels >= LANES


def forward(x: np.ndarray, weight: np.ndarray, epilogue: Epilogue, y: np.ndarray) -> None:
    """Fill y (N, K, P, Q) and the epilogue's mask."""
    prologue = Prologue(constant(1, x.shape[1])).as_arguments()
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
    # a longer tail is worth a vector of its own, which overlaps the one before it
    tail = pixels % LANES if pixels % LANES <= TAIL else 0
    # a small map may have no room for BLOCK_VECTORS
    vectors, block_vectors = -(-(pixels - tail) // LANES), min(BLOCK_VECTORS, pixels // LANES)
    blocks, panels = -(-vectors // block_vectors), -(-rows // ROWS)
    bands = min(blocks, BANDS) if blocks >= BANDED_BLOCKS else 1
    # images and bands are tasks already: rows are cut only as far as these are fewer than PARTS
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
    # blocks share the vectors evenly: none is wider than another by more than one
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
    x, prologue, depth, pixels = product.x, product.prologue, product.depth, product.pixels
    first, vectors = _block_columns(block, product.cut, pixels)
    # column ``first`` of channel 0 of image n; the same column of the next channel is a map further
    start = n * depth * pixels + first
    for c in range(depth):
        factor = broadcast(load_scalar(prologue.scale, c))
        for j in range(vectors):
            at = start + c * pixels + j * LANES
            # the block lies as (C, vectors LANES): what one step of the product reads is one row of it
            v = scale_and_mask_vector(load(x, at), factor, prologue.mask, prologue.only_positive, at)
            store(to, (c * vectors + j) * LANES, v)


@inner
def _some_rows(product, panel):
    """Return the first row of a panel, and its rows of W."""
    k, weight = min(panel * ROWS, product.rows - ROWS), product.weight  # the last panel begins earlier
    address = offset(weight.address, k * weight.row_stride)
    return k, Strided(address, weight.row_stride, weight.column_stride)


@inner
def _multiply_blocks(product, n, part, begin, end, buffer):
    """Multiply a part of the rows by blocks ``begin`` to ``end`` of image n, which lie at address ``buffer``."""
    pixels, depth, epilogue = product.pixels, product.depth, product.epilogue
    first, last = _panels(part, product.cut)
    # panels outside, blocks inside: a panel's weights are used for all blocks in the buffer
    for panel in range(first, last):
        k, a = _some_rows(product, panel)
        scale, shift = offset(epilogue.scale, k), offset(epilogue.shift, k)
        row_epilogue = RowEpilogue(scale, shift, epilogue.clip_min, epilogue.clip_max)
        for block in range(begin, end):
            column, vectors = _block_columns(block, product.cut, pixels)
            # first output: row k, column ``column`` of image n
            at = (n * product.rows + k) * pixels + column
            # each block has room for BLOCK_VECTORS in the buffer, however many it has
            start = offset(buffer, (block - begin) * depth * BLOCK_VECTORS * LANES)
            b, to = Panel(start, vectors * LANES), Panel(offset(product.y, at), pixels)
            mask = mask_offset(epilogue.mask, at)
            # how many sums there are in registers is fixed when a micro-kernel is compiled: one for each width
            if vectors == 3:
                gemm_epilogue_3(a, b, depth, row_epilogue, to, mask)
            elif vectors == 2:
                gemm_epilogue_2(a, b, depth, row_epilogue, to, mask)
            else:
                gemm_epilogue_1(a, b, depth, row_epilogue, to, mask)


@inner
def _read_column(product, n, column, to):
    """Copy one pixel of each channel of image n to the address ``to``, through the prologue."""
    prologue = product.prologue
    for c in range(product.depth):
        at, scale = (n * product.depth + c) * product.pixels + column, load_scalar(prologue.scale, c)
        mask = mask_offset(prologue.mask, at)
        scale_and_mask(offset(product.x, at), 1, scale, mask, prologue.only_positive, offset(to, c))


@inner
def _multiply_column(product, n, part, column, b):
    """Multiply a part of the rows by one column of image n, which lies at the address b."""
    epilogue, sums = product.epilogue, np.empty(ROWS, np.float32)
    first, last = _panels(part, product.cut)
    for panel in range(first, last):
        k, a = _some_rows(product, panel)
        # a forward's W has its rows in memory; an input gradient's W' has its columns there
        if a.column_stride == 1:
            gemv_micro(a.address, a.row_stride, b, product.depth, address(sums))
        else:
            gemv_micro_transposed(a.address, a.column_stride, b, product.depth, address(sums))
        for r in range(ROWS):
            at = (n * product.rows + k + r) * product.pixels + column
            to, mask = offset(product.y, at), mask_offset(epilogue.mask, at)
            scale_shift_clip(float_pointer(sums, r), 1, channel_epilogue(epilogue, k + r), to, mask)
    keep_alive((sums,))


@inner
def _multiply_band(product, n, band, part):
    """One image, some of its columns, some of the rows."""
    cut, pixels, size = product.cut, product.pixels, product.depth * BLOCK_VECTORS * LANES
    # blocks in the buffer at a time: one where the depth alone fills it
    together = max(1, BUFFER // size)
    buffer, last = np.empty(together * size, np.float32), cut.blocks * (band + 1) // cut.bands
    for begin in range(cut.blocks * band // cut.bands, last, together):
        end = min(last, begin + together)
        for block in range(begin, end):
            _read_block(product, n, block, float_pointer(buffer, (block - begin) * size))
        _multiply_blocks(product, n, part, begin, end, address(buffer))
    # the tail lies behind all blocks, and goes with the last band
    for column in range(pixels - cut.tail if last == cut.blocks else pixels, pixels):
        _read_column(product, n, column, address(buffer))
        _multiply_column(product, n, part, column, address(buffer))
    keep_alive((buffer,))


@inner
def _multiply_thread(thread, counter, product):
    """Do the tasks of one thread."""
    bands, parts = product.cut.bands, product.cut.parts
    tasks = product.images * parts * bands
    task = take(counter, thread, tasks)
    while task < tasks:
        # bands change fastest: a thread's next task mostly has the same rows of weights
        image_and_part, band = divmod(task, bands)
        _multiply_band(product, image_and_part // parts, band, image_and_part % parts)
        task = take(counter, thread, tasks)


@kernel(
    *(writes(1, int64), reads(4), PROLOGUE, reads(4), boolean),
    *(EPILOGUE, types.UniTuple(int64, len(_Cut._fields)), writes(4)),
)
def _pointwise(counter, x, prologue, weight, transposed, epilogue, cut, y):
    row_stride, column_stride = weight.shape[1], 1
    # W' is W in the same place, its strides exchanged
    if transposed:
        row_stride, column_stride = 1, weight.shape[1]
    product = _Product(
        address(x),
        address(y),
        len(x),
        x.shape[1],
        y.shape[1],
        y.shape[2] * y.shape[3],
        view_prologue(prologue),
        Strided(address(weight), row_stride, column_stride),
        view_epilogue(epilogue),
        _Cut(*cut),
    )
    parallel_for(_multiply_thread, len(counter), (counter, product))
