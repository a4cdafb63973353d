"""The tiled product behind convolution and the fully connected layer: the kernels.

A block of threads computes a tile of BM x BN outputs.  It walks along the depth BK at a time: while the threads
multiply what lies in one pair of shared tiles, they fetch the next from global memory into registers and lay it
into the other pair, so each step needs one barrier.  A thread fetches four values of either side, and owns TM x TN
outputs in registers, in pieces of 4: for each row of the depth it reads TM + TN values from shared memory, four at
a time, for TM TN multiply-adds.

The right-hand matrix is never built: column n is an output pixel, row d a tap of the window, and the element is
gathered from the maps where the pixel's corner plus the tap's offset lies (implicit GEMM).

Where a launch has few tiles, each is computed by several blocks, a share of the depth each: they write their sums
side by side, and ``finish_split`` adds them, first share to last, whichever block is done first.
"""

from __future__ import annotations

from collections import namedtuple
from typing import NamedTuple

from numba import cuda, int32, int64, uint32, uint64

from minicnn.kernels.cuda.launch import divided
from minicnn.kernels.cuda.vectors import read_four, write_four

__all__ = [
    "BK",
    "LARGE",
    "SMALL",
    "Geometry",
    "Tile",
    "finish_split",
    "gather_kernel",
    "pack",
    "sum_parts",
    "weight_kernel",
]

BK = 8  # depth of a tile
PAD = 4  # a shared row's extra values: stores of 8 rows x 4 columns then meet 32 different banks
BIAS = 1 << 15  # a tap's column is kept with this added
OUTSIDE = -(1 << 20)  # a source row that no tap leads back from


class Tile(NamedTuple):
    """Outputs of a block (bm x bn, equal) and of one of its threads (tm x tn)."""

    bm: int
    bn: int
    tm: int
    tn: int

    @property
    def threads(self) -> int:
        """Threads of a block: two a row and two a column, so that each fetches four of BK x BM values."""
        return self.bm // self.tm * (self.bn // self.tn)


LARGE, SMALL = Tile(128, 128, 8, 8), Tile(64, 64, 8, 4)

# What one launch gathers.  Output pixel (i, j) of image n reads source row i * step_y + corner_y + the tap's row;
# it is written to row i * out_step_y + out_y of the output.  All of one group; groups lie along the grid's z.
# A filter has ``deep`` values in a row: its depth, and zeros up to a multiple of BK where a tile reads it.
Geometry = namedtuple(
    "Geometry",
    "pixels deep rows columns filters "
    "channels height width step_y step_x corner_y corner_x "
    "out_height out_width out_step_y out_step_x out_y out_x "
    "total_filters",
)


def _multiplier(tile: Tile, real: type):
    """Device function total[i, j] += sum_d left[d, row i] right[d, column j] over the BK rows of a pair of tiles.

    ``at_left`` and ``at_right`` are where the thread's first row and column lie in row 0 of the pair; the others
    lie behind them, four together, the next four a gap further.
    """
    bm, bn, tm, tn = tile
    row_gap, column_gap = gaps(tile)

    @cuda.jit(device=True)
    def row_of_depth(d, left, right, at_left, at_right, total):
        a, b = cuda.local.array(tm, real), cuda.local.array(tn, real)
        for i in range(0, tm, 4):
            at = at_left + d * (bm + PAD) + i // 4 * row_gap
            a[i], a[i + 1], a[i + 2], a[i + 3] = read_four(left, at)
        for j in range(0, tn, 4):
            at = at_right + d * (bn + PAD) + j // 4 * column_gap
            b[j], b[j + 1], b[j + 2], b[j + 3] = read_four(right, at)
        for i in range(tm):
            for j in range(tn):
                total[i, j] += a[i] * b[j]

    return _unrolled(row_of_depth, BK)


def _unrolled(body, count: int):
    """Device function of body(d, ...), body(d + 1, ...) and so on: the compiler unrolls no loop of such length."""
    if count == 1:
        return body
    half, step = _unrolled(body, count // 2), count // 2

    @cuda.jit(device=True)
    def both(d, *arguments):
        half(d, *arguments)
        half(d + step, *arguments)

    return both


def _finisher(tile: Tile):
    """Device function that scales, shifts, rectifies and writes a thread's sums.

    ``beside`` is where each of the thread's columns lies in the output's first map, ``wanted`` how many columns
    there are from the thread's first one on.
    """
    row_gap, column_gap = gaps(tile)
    tn = tile.tn

    @cuda.jit(device=True)
    def row(i, total, beside, wanted, m, group, scale, shift, y, mask, g, scaled, shifted, rectified, most):
        m += i // 4 * row_gap + i % 4
        if m < g.filters:
            k, zero = group * g.filters + m, y.dtype.type(0)
            here = uint32(k * (g.out_height * g.out_width))
            for j in range(tn):
                value = total[i, j]
                value = value * scale[k] if scaled else value
                value = value + shift[k] if shifted else value
                if j // 4 * column_gap + j % 4 < wanted:
                    if rectified:
                        mask[uint32(here + beside[j])] = value > zero and value < most
                        value = zero if value < zero else (most if value > most else value)
                    y[uint32(here + beside[j])] = value

    return _unrolled(row, tile.tm)


def gaps(tile: Tile) -> tuple[int, int]:
    """Distance of a thread's pieces of 4 rows, and of 4 columns."""
    return tile.bm * 4 // tile.tm, tile.bn * 4 // tile.tn


@cuda.jit(device=True)
def _place(t):
    """First row and column of a thread's outputs: a warp has 4 x 8 neighbours, whose reads meet no bank twice."""
    return (t // 64 * 4 + t % 32 // 8) * 4, (t // 32 % 2 * 8 + t % 8) * 4


def gather_kernel(tile: Tile, real: type, dense: bool, split: bool):
    """Kernel of y[n, m, pixel] = epilogue(sum_d weight[m, d] x[n, pixel + tap d]) for one tile size and dtype.

    ``taps`` has one number for every d, 2^48 the tap's row + 2^32 (its column + 2^15) + its offset in the source;
    the grid's z is (group, share of the depth).

    dense : a 1x1 convolution whose maps are whole vectors, which are read four pixels at a time, without taps
    split : write the sums of a share of ``share`` steps of BK, y[share, m, pixel], without the epilogue
    """
    bm, bn, tm, tn = tile
    (row_gap, column_gap), lanes = gaps(tile), bn // 4
    multiply, finish = _multiplier(tile, real), _finisher(tile)
    left_row, right_row, total_shape = bm + PAD, bn + PAD, (tm, tn)
    left_size, right_size = 2 * BK * left_row, 2 * BK * right_row

    @cuda.jit
    def gather_product(weight, x, taps, scale, shift, y, mask, g, share, scaled, shifted, rectified, most):
        left = cuda.shared.array(left_size, real, 16)
        right = cuda.shared.array(right_size, real, 16)
        total, fetched = cuda.local.array(total_shape, real), cuda.local.array(4, real)
        groups = g.total_filters // g.filters
        t, group, part = cuda.threadIdx.x, cuda.blockIdx.z % groups, cuda.blockIdx.z // groups
        first_filter, first_pixel = cuda.blockIdx.y * bm, cuda.blockIdx.x * bn
        zero, area = real(0), g.rows * g.columns
        begin = part * share
        steps = int32(min(share, g.deep // BK - begin))
        # what this thread fetches: four taps of one filter, the last one's again where there is none, ...
        a_depth, a_filter = t % 2 * 4, t // 2
        filter_here = group * g.filters + min(first_filter + a_filter, g.filters - 1)
        weights = uint32(filter_here * g.deep + begin * BK + a_depth)
        # ... and four pixels of one tap, or four taps of one pixel
        b_depth = t // lanes if dense else t // bn
        b_pixel = t % lanes * 4 if dense else t % bn
        pixel = first_pixel + b_pixel
        pixel = min(pixel, g.pixels - 4) if dense else pixel
        image, rest = divided(pixel, area)
        i, j = divided(rest, g.columns)
        row, column = int32(i * g.step_y + g.corner_y), int32(j * g.step_x + g.corner_x)
        height, width = uint32(g.height), uint32(g.width)
        source = (image * g.channels + group * (g.channels // groups)) * g.height * g.width
        maps = x[source:]
        corner = int32(row * g.width + column)
        row = row if pixel < g.pixels else int32(OUTSIDE)
        column = int32(column - BIAS)
        tap_here = uint32(begin * BK + b_depth)
        beyond = uint32(source + (begin * BK + b_depth) * area + rest)
        for i in range(tm):
            for j in range(tn):
                total[i, j] = zero
        first, second = _place(t)
        a0, a1, a2, a3 = zero, zero, zero, zero
        b0, b1, b2, b3 = zero, zero, zero, zero
        for step in range(int32(steps + 1)):
            if step < steps:
                a0, a1, a2, a3 = read_four(weight, weights)
                weights = uint32(weights + BK)
                if dense:
                    b0, b1, b2, b3 = read_four(x, beyond)
                    beyond = uint32(beyond + BK * area)
                else:
                    for i in range(4):
                        tap = taps[uint32(tap_here + 2 * i)]
                        place = int32(tap >> 32)
                        h = uint32(row + (place >> 16))
                        w = uint32(column + (place & 65535))
                        fetched[i] = zero
                        if h < height and w < width:
                            fetched[i] = maps[uint32(corner + int32(tap))]
                    tap_here = uint32(tap_here + BK)
            if step > 0:
                now = (step + 1 & 1) * BK
                multiply(0, left, right, now * left_row + first, now * right_row + second, total)
            if step < steps:
                now = (step & 1) * BK
                at = (now + a_depth) * left_row + a_filter
                left[uint64(at)], left[uint64(at + left_row)] = a0, a1
                left[uint64(at + 2 * left_row)], left[uint64(at + 3 * left_row)] = a2, a3
                at = (now + b_depth) * right_row + b_pixel
                if dense:
                    write_four(right, at, (b0, b1, b2, b3))
                else:
                    for i in range(4):
                        right[uint64(at + 2 * i * right_row)] = fetched[i]
            cuda.syncthreads()
        if split:
            for i in range(tm):
                m = first_filter + first + i // 4 * row_gap + i % 4
                for j in range(tn):
                    pixel = first_pixel + second + j // 4 * column_gap + j % 4
                    if m < g.filters and pixel < g.pixels:
                        y[(part * g.total_filters + group * g.filters + m) * g.pixels + pixel] = total[i, j]
            return
        plane, beside = g.out_height * g.out_width, cuda.local.array(tn, uint32)
        for j in range(tn):
            image, rest = divided(first_pixel + second + j // 4 * column_gap + j % 4, area)
            h, w = divided(rest, g.columns)
            place = (h * g.out_step_y + g.out_y) * g.out_width + w * g.out_step_x + g.out_x
            beside[j] = uint32(image * g.total_filters * plane + place)
        wanted = g.pixels - (first_pixel + second)
        m = first_filter + first
        finish(0, total, beside, wanted, m, group, scale, shift, y, mask, g, scaled, shifted, rectified, most)

    return gather_product


def weight_kernel(tile: Tile, real: type):
    """Kernel of part[z, k, (c, r, s)] = sum over a share of the pixels of dy[n, k, pixel] x[n, c, pixel + tap].

    The depth is the pixels, image by image; the grid's z is (group, share).  ``pixels`` has the place of every
    pixel's window in x, 2^32 row + (column + 2^31); ``taps`` is as for ``gather_kernel``, one for each (c, r, s).
    """
    bm, bn, tm, tn = tile
    (row_gap, column_gap), multiply, apart = gaps(tile), _multiplier(tile, real), tile.threads // BK
    left_row, right_row, total_shape = bm + PAD, bn + PAD, (tm, tn)
    left_size, right_size = 2 * BK * left_row, 2 * BK * right_row

    @cuda.jit
    def weight_product(
        dy, x, pixels, taps, parts, filters, columns, area, groups, images, height, width, source, share
    ):
        left = cuda.shared.array(left_size, real, 16)
        right = cuda.shared.array(right_size, real, 16)
        total = cuda.local.array(total_shape, real)
        fetched, beside = cuda.local.array(4, real), cuda.local.array(4, real)
        ours = cuda.local.array(4, int64)
        t, group, part = cuda.threadIdx.x, cuda.blockIdx.z % groups, cuda.blockIdx.z // groups
        first_filter, first_column = cuda.blockIdx.y * bm, cuda.blockIdx.x * bn
        zero = real(0)
        depth, lane = t % BK, t // BK
        # the four filters and the four taps that this thread fetches, the last one's again where there is none
        rows = cuda.local.array(4, int64)
        for i in range(4):
            ours[i] = taps[min(first_column + lane + i * apart, columns - 1)]
            rows[i] = (group * filters + min(first_filter + lane + i * apart, filters - 1)) * area
        for i in range(tm):
            for j in range(tn):
                total[i, j] = zero
        first, second = _place(t)
        tall, wide = uint32(height), uint32(width)
        per_image = (area + BK - 1) // BK
        begin = part * share
        steps = int32(min(share, per_image * images - begin))
        image, at = begin // per_image, begin % per_image * BK + depth
        maps, slopes = (image * groups + group) * source, image * groups * filters * area
        for step in range(int32(steps + 1)):
            if step < steps:
                corner = pixels[uint64(min(at, area - 1))]
                row, column = int32(corner >> 32), int32((corner & 0xFFFFFFFF) - 2147483648)
                near = int32(row * width + column)
                row = row if at < area else int32(OUTSIDE)
                column = int32(column - BIAS)
                for i in range(4):
                    fetched[i] = dy[uint64(slopes + (rows[i] + at))] if at < area else zero
                    place = int32(ours[i] >> 32)
                    h = uint32(row + (place >> 16))
                    w = uint32(column + (place & 65535))
                    beside[i] = zero
                    if h < tall and w < wide:
                        beside[i] = x[uint64(maps + (near + int32(ours[i])))]
                at += BK
                if at - depth >= area:
                    at, maps, slopes = depth, maps + groups * source, slopes + groups * filters * area
            if step > 0:
                now = (step + 1 & 1) * BK
                multiply(0, left, right, now * left_row + first, now * right_row + second, total)
            if step < steps:
                for i in range(4):
                    left[uint64(((step & 1) * BK + depth) * left_row + lane + i * apart)] = fetched[i]
                    right[uint64(((step & 1) * BK + depth) * right_row + lane + i * apart)] = beside[i]
            cuda.syncthreads()
        for i in range(tm):
            m = first_filter + first + i // 4 * row_gap + i % 4
            for j in range(tn):
                c = first_column + second + j // 4 * column_gap + j % 4
                if m < filters and c < columns:
                    parts[((part * groups + group) * filters + m) * columns + c] = total[i, j]

    return weight_product


@cuda.jit
def pack(weight, order, y, filters, deep, of_group, of_filter, size):
    """Lay filters in rows of ``deep`` values: y[m, d] = the weight at order[d] of filter m, 0 where that is -1."""
    i = cuda.grid(1)
    if i < size:
        m, d = divided(i, deep)
        group, k = divided(m, filters)
        at = group * of_group + k * of_filter + order[d]
        y[i] = weight[at] if order[d] >= 0 else y.dtype.type(0)


@cuda.jit
def sum_parts(parts, y, count, size):
    """Sum of ``count`` arrays of ``size`` values that lie one after the other, first to last."""
    i = cuda.grid(1)
    if i < size:
        total = parts[i]
        for part in range(1, count):
            total += parts[part * size + i]
        y[i] = total


@cuda.jit
def finish_split(parts, scale, shift, y, mask, g, count, scaled, shifted, rectified, most, size):
    """Sum of the shares of a split product, first to last, and its epilogue: one (m, pixel) a thread."""
    i = cuda.grid(1)
    if i < size:
        total, zero = parts[i], parts.dtype.type(0)
        for part in range(1, count):
            total += parts[part * size + i]
        k, pixel = divided(i, g.pixels)
        image, rest = divided(pixel, g.rows * g.columns)
        row, column = divided(rest, g.columns)
        h, w = row * g.out_step_y + g.out_y, column * g.out_step_x + g.out_x
        at = ((image * g.total_filters + k) * g.out_height + h) * g.out_width + w
        total = total * scale[k] if scaled else total
        total = total + shift[k] if shifted else total
        if rectified:
            mask[at] = total > zero and total < most
            total = zero if total < zero else (most if total > most else total)
        y[at] = total
