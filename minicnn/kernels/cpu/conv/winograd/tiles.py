"""Rows of maps made into Winograd's tiles, and tiles into rows again.

Vectors hold tiles side by side: a run has one element of many tiles.  Where those across a map leave many lanes
empty, the tiles of several rows and images stand side by side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import int64, types

from minicnn.kernels.cpu.conv.winograd.transforms import (
    transform_gradients,
    transform_input_columns,
    transform_input_rows,
    transform_products,
)
from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.epilogue import channel_epilogue, scale_and_mask, store_with_mask
from minicnn.kernels.cpu.simd.pointers import float_pointer, keep_alive, mask_pointer, offset
from minicnn.kernels.cpu.simd.vector import LANES, address, store_scalar

__all__ = ["TILES", "SourceMaps", "Tiles", "read_gradients", "read_tiles", "source_maps", "write_tiles"]

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
    x, mask : addresses of the whole arrays, 0 for no mask
    images, channels, height, width : their shape
    channel : which one
    only_positive : whether negative values count as 0
    scale : float32

    """

    x: int
    mask: int
    images: int
    channels: int
    height: int
    width: int
    channel: int
    only_positive: bool
    scale: float


@inner
def source_maps(x, prologue, c):
    """Return channel c of x (N, C, H, W)."""
    mask, scale = mask_pointer(prologue.mask, 0), prologue.scale[c]
    return SourceMaps(address(x), mask, *x.shape, c, prologue.only_positive, scale)


@inner
def _whole_vectors(count):
    """Return ``count`` rounded up to whole vectors."""
    return (count + LANES - 1) // LANES * LANES


@inner
def _segment(t, tiles):
    """Image, row and first column of tile t, and how many tiles from there on lie side by side on one map."""
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
    top, left = corner
    low = min(count, max(0, -left))
    high = max(low, min(count, source.width - left))
    for h in range(top, top + rows):
        if 0 <= h < source.height and low < high:
            # padding too is read, from rows nearby, since vectors that start a line are written and read as one
            pixel = ((n * source.channels + source.channel) * source.height + h) * source.width + left
            pixels = source.images * source.channels * source.height * source.width
            first, last = max(0, -pixel), min(count, pixels - pixel)
            mask = source.mask + pixel + first if source.mask else 0
            values, line = offset(source.x, pixel + first), offset(lines, first)
            scale_and_mask(values, last - first, source.scale, mask, source.only_positive, line)
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
        _read_rows(source, n, (4 * p + top, 4 * q + left), 6, 4 * count + 4, rows, length)
        if alone:
            transform_input_columns(rows, length, 4 * count + 4, columns)
        else:
            to = offset(columns, 4 * waiting)
            transform_input_columns(rows, length, 4 * count, to)
            transform_input_columns(offset(rows, 4), length, 4 * count, offset(to, beyond))
        t, waiting = t + count, waiting + count
        if alone or t == tiles.last or waiting >= SIDE_BY_SIDE or waiting % LANES == 0:
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
    lines : array (4, floats of a run's outputs), for what lies between
    """
    (channels, height, width), line_stride = y.shape[1:], lines.shape[1]
    channel, count = channel_epilogue(epilogue, k), tiles.last - tiles.first
    transform_products(products, run_stride, count, channel, address(lines), line_stride)
    t = tiles.first
    while t < tiles.last:
        n, p, q, count = _segment(t, tiles)
        at = ((n * channels + k) * height + 4 * p) * width + 4 * q
        for i in range(min(4, height - 4 * p)):
            line, pixel = float_pointer(lines, i * line_stride + 4 * (t - tiles.first)), at + i * width
            to, mask = float_pointer(y, pixel), mask_pointer(epilogue.mask, pixel)
            store_with_mask(line, min(4 * count, width - 4 * q), channel.clip_min, channel.clip_max, to, mask)
        t += count
