"""Rows of maps made into Winograd's tiles, and tiles into rows again.

Vectors hold tiles side by side: a run has one element of many tiles.  Where those across a map leave many lanes
empty, the tiles of several rows and images stand side by side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import int64, njit, types

from minicnn.kernels.cpu.conv.winograd.transforms import (
    transform_gradients,
    transform_input_columns,
    transform_input_rows,
    transform_products,
)
from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.epilogue import channel_epilogue, scale_and_mask, store_with_mask
from minicnn.kernels.cpu.simd.pointers import Maps, float_pointer, keep_alive, mask_offset, offset, view_maps
from minicnn.kernels.cpu.simd.vector import LANES, address, load_scalar, store_scalar

__all__ = [
    "TILES",
    "SourceMaps",
    "Tiles",
    "element_stride",
    "plan_tiles",
    "read_gradients",
    "read_tiles",
    "some_tiles",
    "source_maps",
    "write_tiles",
]

SIDE_BY_SIDE = 4 * LANES  # tiles with which few lanes of the last vector are empty


class Tiles(NamedTuple):
    """Tiles of 4x4 outputs, numbered over images, rows and columns of them, and the inputs that they take.

    Attributes
    ----------
    padding_top, padding_left : int
        How far above and left of the inputs the first tile of a map begins.
    rows, columns : int
        Tiles of a map.
    blocks_h, blocks_w : int
        Blocks of 3x3 that a kernel is cut into.
    first, last : int
        Which tiles are computed at a time.
    run : int
        Floats from one channel's run of tiles to the next channel's.

    """

    padding_top: int
    padding_left: int
    rows: int
    columns: int
    blocks_h: int
    blocks_w: int
    first: int
    last: int
    run: int


TILES = types.UniTuple(int64, len(Tiles._fields))


class SourceMaps(NamedTuple):
    """One channel of the maps of all images, and the prologue that its values go through.

    Attributes
    ----------
    x : ``Maps``
    channel : which one
    mask : address of the mask of all maps, 0 for no mask
    only_positive : whether negative values count as 0
    scale : float32

    """

    x: Maps
    channel: int
    mask: int
    only_positive: bool
    scale: float


def plan_tiles(
    corner: tuple[int, int], y_shape: tuple[int, ...], blocks: tuple[int, int], max_tiles: int
) -> Tiles:
    """Return all tiles of maps of ``y_shape`` (N, K, P, Q), in runs of ``max_tiles`` or fewer.

    corner : how far above and left of the inputs the first tile begins
    blocks : of 3x3, down and across a kernel
    """
    rows, columns = -(-y_shape[2] // 4), -(-y_shape[3] // 4)
    count = y_shape[0] * rows * columns
    return Tiles(*corner, rows, columns, *blocks, 0, count, _run_length(min(count, max_tiles)))


def _run_length(tiles: int) -> int:
    """Floats that a run of tiles takes, which are written LANES at a time from any of them on."""
    return -(-tiles // LANES) * LANES + LANES


@njit  # called from Python too
def element_stride(size):
    """Floats from one of 36 elements' runs to the next's: an odd number of vectors.

    At a multiple of 4 KB all 36 would share one set of a cache, which has room for 8 or 12 lines.
    """
    return (size // LANES | 1) * LANES + 2 * LANES


@inner
def some_tiles(tiles, first, last):
    """Tiles ``first`` to ``last`` of the same maps."""
    return Tiles(
        tiles.padding_top,
        tiles.padding_left,
        tiles.rows,
        tiles.columns,
        tiles.blocks_h,
        tiles.blocks_w,
        first,
        last,
        tiles.run,
    )


@inner
def source_maps(x, prologue, c):
    """Return channel c of x, an array (N, C, H, W), through a ``PrologueView``."""
    return SourceMaps(view_maps(x), c, prologue.mask, prologue.only_positive, load_scalar(prologue.scale, c))


@inner
def _whole_vectors(count):
    """Return ``count`` rounded up to whole vectors."""
    return (count + LANES - 1) // LANES * LANES


@inner
def _segment(t, tiles):
    """Image, row and first column of tile t, and how many tiles from there on lie side by side on one map."""
    # t = (n rows + p) columns + q
    row, q = divmod(t, tiles.columns)
    n, p = divmod(row, tiles.rows)
    return n, p, q, min(tiles.columns - q, tiles.last - t)


@inner
def _zero(line, begin, end):
    for j in range(begin, end):
        store_scalar(line, j, np.float32(0))


@inner
def _read_rows(source, n, corner, rows, count, lines, line_stride):
    """Read ``count`` numbers of ``rows`` rows of image n's map, through the prologue, zeros outside of the map.

    source : ``SourceMaps``
    corner : row and column of the map to begin with
    lines : address of the first line to write; they are ``line_stride`` floats from each other
    """
    (top, left), x = corner, source.x
    # numbers ``low`` to ``high`` lie inside of the map, the others on padding to the left and right
    low = min(count, max(0, -left))
    high = max(low, min(count, x.width - left))
    for h in range(top, top + rows):
        if 0 <= h < x.height and low < high:
            # padding too is read, from rows nearby, since vectors that start a line are written and read as one
            # number 0 of the line is element ``pixel`` of x, or would be: padding may come before the whole array
            pixel = ((n * x.channels + source.channel) * x.height + h) * x.width + left
            pixels = x.images * x.channels * x.height * x.width
            first, last = max(0, -pixel), min(count, pixels - pixel)
            mask = mask_offset(source.mask, pixel + first)
            values, line = offset(x.address, pixel + first), offset(lines, first)
            scale_and_mask(values, last - first, source.scale, mask, source.only_positive, line)
            # what was read in place of padding
            _zero(lines, 0, low)
            _zero(lines, high, count)
        else:
            _zero(lines, 0, count)
        lines = offset(lines, line_stride)


@inner
def read_tiles(source, corner, tiles, runs, run_stride):
    """Transform tiles of a channel into 36 runs.

    source : ``SourceMaps``
    corner : row and column where in a map its first tile begins
    runs : address of the first; the others are ``run_stride`` floats from each other
    """
    top, left = corner
    length = 4 * (_whole_vectors(tiles.columns) + SIDE_BY_SIDE + LANES)
    # 6 lines of x, 6 of its columns transformed, 6 of those from each tile's fifth on
    lines = np.empty(18 * length, np.float32)
    rows, columns = address(lines), float_pointer(lines, 6 * length)
    # one map's tiles fill their vectors but for an eighth: its rows are transformed as they lie
    alone = 8 * tiles.columns >= 7 * _whole_vectors(tiles.columns)
    beyond = 4 if alone else 6 * length
    t, waiting = tiles.first, 0
    while t < tiles.last:
        n, p, q, count = _segment(t, tiles)
        # tiles take 6x6 inputs, 4 apart: the last one reaches 2 columns beyond 4 count
        _read_rows(source, n, (4 * p + top, 4 * q + left), 6, 4 * count + 4, rows, length)
        if alone:
            # first half of the input transform, B' d; a tile's last two columns are the first two of the next tile
            transform_input_columns(rows, length, 4 * count + 4, columns)
        else:
            # B' d, behind the tiles that wait; what follows a row's last tile is of another row, so that the last
            # two columns of each tile have lines of their own
            to = offset(columns, 4 * waiting)
            transform_input_columns(rows, length, 4 * count, to)
            transform_input_columns(offset(rows, 4), length, 4 * count, offset(to, beyond))
        t, waiting = t + count, waiting + count
        # second half, (B' d) B, when the tiles that wait fill their vectors, or none follows
        if alone or t == tiles.last or waiting >= SIDE_BY_SIDE or waiting % LANES == 0:
            # the first tile that waits is number t - waiting
            to = offset(runs, t - waiting - tiles.first)
            transform_input_rows(columns, length, waiting, beyond, to, run_stride)
            waiting = 0
    keep_alive((lines,))


@inner
def read_gradients(source, tiles, runs, run_stride):
    """Transform dy in tiles of a channel into 36 runs; arguments as for ``read_tiles``."""
    length = 4 * (_whole_vectors(tiles.columns) + SIDE_BY_SIDE + LANES)
    lines = np.empty(10 * length, np.float32)  # of dy, and of its columns transformed
    t, waiting = tiles.first, 0
    while t < tiles.last:
        n, p, q, count = _segment(t, tiles)
        # tiles of dy, 4x4, don't overlap: they follow those that wait without gaps
        _read_rows(source, n, (4 * p, 4 * q), 4, 4 * count, float_pointer(lines, 4 * waiting), length)
        t, waiting = t + count, waiting + count
        if t == tiles.last or waiting >= SIDE_BY_SIDE or waiting % LANES == 0:
            to = offset(runs, t - waiting - tiles.first)
            transform_gradients(address(lines), length, waiting, to, run_stride)
            waiting = 0
    keep_alive((lines,))


@inner
def write_tiles(products, run_stride, k, tiles, epilogue, y, lines):
    """Transform 36 runs of products into tiles of channel k of y.

    products : address of the first run
    y : ``Maps``
    lines : ``Panel`` of 4 rows of outputs, for what lies between
    """
    height, width, channel = y.height, y.width, channel_epilogue(epilogue, k)
    # output transform of all tiles: columns 4 t to 4 t + 3 of the four lines are tile t
    transform_products(products, run_stride, tiles.last - tiles.first, channel, lines.address, lines.leading_dim)
    t = tiles.first
    while t < tiles.last:
        n, p, q, count = _segment(t, tiles)
        # first pixel of the tiles from t on: row 4 p, column 4 q of map k of image n
        at = ((n * y.channels + k) * height + 4 * p) * width + 4 * q
        # tiles at the lower and right edge of a map are cut
        for i in range(min(4, height - 4 * p)):
            line, pixel = offset(lines.address, i * lines.leading_dim + 4 * (t - tiles.first)), at + i * width
            to, mask = offset(y.address, pixel), mask_offset(epilogue.mask, pixel)
            store_with_mask(line, min(4 * count, width - 4 * q), channel.clip_min, channel.clip_max, to, mask)
        t += count
