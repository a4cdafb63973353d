"""Rows of maps made into Winograd's tiles, and tiles into rows again.

Vectors hold tiles side by side.  Where those across a map leave many lanes empty, the tiles of several rows and
images stand side by side.
"""

import numpy as np

from minicnn.kernels.cpu.conv.winograd.transforms import gradient_tiles, input_columns, input_tiles, output_tiles
from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.epilogue import scale_and_mask, store_with_mask
from minicnn.kernels.cpu.simd.vector import LANES, address, load_scalar, store_scalar

__all__ = ["read_gradients", "read_tiles", "write_tiles"]

MANY = 4 * LANES  # tiles side by side, with which few lanes of the last vector are empty


@inner
def _whole(count):
    """``count`` rounded up to whole vectors."""
    return (count + LANES - 1) // LANES * LANES


@inner
def _segment(t, last, grid):
    """Image, row and first column of tile t, and how many tiles from there on lie side by side on one map."""
    down, across = grid
    row, q = divmod(t, across)
    n, p = divmod(row, down)
    return n, p, q, min(across - q, last - t)


@inner
def _zero(line, begin, end):
    for j in range(begin, end):
        store_scalar(line, j, np.float32(0))


@inner
def _read_rows(source, n, c, rows, top, left, end, lines, length):
    """Prepare ``end`` numbers of ``rows`` rows of map (n, c), from its row ``top`` and column ``left`` on.

    source : address of x, its shape, address of its mask or 0, scale of the map, the deconvnet's rule
    lines : address of the first line to write; they are ``length`` floats apart
    """
    x, (images, channels, height, width), mask, scale, only_positive = source
    low = min(end, max(0, -left))
    high = max(low, min(end, width - left))
    for h in range(top, top + rows):
        if 0 <= h < height and low < high:
            # padding too is read, from rows nearby, since vectors that start a line are written and read as one
            pixel = ((n * channels + c) * height + h) * width + left
            first, last = max(0, -pixel), min(end, images * channels * height * width - pixel)
            flags = mask + pixel + first if mask else 0
            scale_and_mask(x + 4 * (pixel + first), last - first, scale, flags, only_positive, lines + 4 * first)
            _zero(lines, 0, low)
            _zero(lines, high, end)
        else:
            _zero(lines, 0, end)
        lines += 4 * length


@inner
def read_tiles(source, c, top, left, begin, last, grid, tiles, apart):
    """Transform the tiles from ``begin`` to ``last`` of channel c into 36 runs, which lie ``apart`` floats apart.

    source : as for ``_read_rows``
    top, left : where in a map its first tile begins
    """
    _, across = grid
    length = 4 * (_whole(across) + MANY + LANES)
    lines = np.empty(
        18 * length, np.float32
    )  # of x, of its columns transformed, of those from each tile's fifth on
    rows, columns = address(lines), address(lines) + 24 * length
    alone = 8 * across >= 7 * _whole(across)  # one map's tiles fill their vectors but for an eighth
    beyond = 4 if alone else 6 * length
    t, held = begin, 0
    while t < last:
        n, p, q, count = _segment(t, last, grid)
        _read_rows(source, n, c, 6, 4 * p + top, 4 * q + left, 4 * count + 4, rows, length)
        if alone:
            input_columns(rows, length, 4 * count + 4, columns)
        else:
            input_columns(rows, length, 4 * count, columns + 16 * held)
            input_columns(rows + 16, length, 4 * count, columns + 4 * beyond + 16 * held)
        t, held = t + count, held + count
        if alone or t == last or held >= MANY or held % LANES == 0:
            input_tiles(columns, length, held, beyond, tiles + 4 * (t - held - begin), apart)
            held = 0
    lines[0] = 0  # kept until here


@inner
def read_gradients(source, k, begin, last, grid, tiles, apart):
    """Transform dy in the tiles from ``begin`` to ``last`` of filter k into 36 runs, ``apart`` floats apart."""
    _, across = grid
    length = 4 * (_whole(across) + MANY + LANES)
    lines = np.empty(10 * length, np.float32)  # of dy, and of its columns transformed
    t, held = begin, 0
    while t < last:
        n, p, q, count = _segment(t, last, grid)
        _read_rows(source, n, k, 4, 4 * p, 4 * q, 4 * count, address(lines) + 16 * held, length)
        t, held = t + count, held + count
        if t == last or held >= MANY or held % LANES == 0:
            gradient_tiles(address(lines), length, held, tiles + 4 * (t - held - begin), apart)
            held = 0
    lines[0] = 0  # kept until here


@inner
def write_tiles(tiles, apart, k, begin, last, sink, grid, lines, length):
    """Transform 36 runs of products into the tiles from ``begin`` to ``last`` of channel k.

    lines : address of 4 lines of ``length`` floats, for what lies between
    """
    channels, height, width, y, mask, scale, shift, least, most = sink
    factor, plus = load_scalar(scale, k), load_scalar(shift, k)
    output_tiles(tiles, apart, last - begin, factor, plus, least, most, lines, length)
    t = begin
    while t < last:
        n, p, q, count = _segment(t, last, grid)
        at = ((n * channels + k) * height + 4 * p) * width + 4 * q
        for i in range(min(4, height - 4 * p)):
            line, pixel = lines + 4 * (i * length + 4 * (t - begin)), at + i * width
            flags = mask + pixel if mask else 0
            store_with_mask(line, min(4 * count, width - 4 * q), least, most, y + 4 * pixel, flags)
        t += count
