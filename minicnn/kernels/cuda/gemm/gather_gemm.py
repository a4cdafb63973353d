"""The gathered product behind convolution and the fully connected layer, in tiles (``tiles``).

The right-hand matrix is never built: column n is an output pixel, row d a tap of the window, and the element is
gathered from the maps where the pixel's corner plus the tap's offset lies (implicit GEMM).

Where a launch has few tiles, each is computed by several blocks, a share of the depth each (``split``).
"""

from __future__ import annotations

from collections import namedtuple

from numba import cuda, int32, int64, uint32, uint64

from minicnn.kernels.cuda.gemm.tiles import (
    BK,
    OUTSIDE,
    PAD,
    Tile,
    first_outputs,
    gaps,
    multiplier,
    unrolled,
)
from minicnn.kernels.cuda.gemm.vectors import read_four, write_four
from minicnn.kernels.cuda.launch import divided

__all__ = ["BIAS", "Geometry", "gather_kernel"]

BIAS = 1 << 15  # a tap's column is kept with this added

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


def _finisher(tile: Tile, dense: bool):
    """Device function that scales, shifts, rectifies and writes a thread's sums; if ``dense``, four at a time.

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
            factor, term = scale[k] if scaled else y.dtype.type(1), shift[k] if shifted else zero
            here = k * (g.out_height * g.out_width)
            for j in range(tn):
                value = total[i, j] * factor + term
                at = here + beside[j] if dense else uint32(here + beside[j])
                within = j // 4 * column_gap + (0 if dense else j % 4) < wanted
                if rectified and within:
                    mask[at] = value > zero and value < most
                    value = zero if value < zero else (most if value > most else value)
                if dense:
                    total[i, j] = value
                elif within:
                    y[at] = value
            if dense:
                for j in range(0, tn, 4):
                    if j // 4 * column_gap < wanted:
                        four = total[i, j], total[i, j + 1], total[i, j + 2], total[i, j + 3]
                        write_four(y, here + beside[j], four)

    return unrolled(row, tile.tm)


def gather_kernel(tile: Tile, real: type, dense: bool, split: bool):
    """Kernel of y[n, m, pixel] = epilogue(sum_d weight[m, d] x[n, pixel + tap d]) for one tile size and dtype.

    ``taps`` has one number for every d, 2^48 the tap's row + 2^32 (its column + 2^15) + its offset in the source;
    the grid's z is (group, share of the depth).

    dense : a 1x1 convolution whose maps are whole vectors, which are read four pixels at a time, without taps
    split : write the sums of a share of ``share`` steps of BK, y[share, m, pixel], without the epilogue
    """
    bm, bn, tm, tn = tile
    (row_gap, column_gap), lanes = gaps(tile), bn // 4
    multiply, finish = multiplier(tile, real), _finisher(tile, dense)
    left_row, right_row, total_shape = bm + PAD, bn + PAD, (tm, tn)
    whole = int64 if dense else uint32  # fewest registers either way
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
        first, second = first_outputs(t)
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
        plane, beside = g.out_height * g.out_width, cuda.local.array(tn, whole)
        for j in range(tn):
            image, rest = divided(first_pixel + second + j // 4 * column_gap + j % 4, area)
            h, w = divided(rest, g.columns)
            place = (h * g.out_step_y + g.out_y) * g.out_width + w * g.out_step_x + g.out_x
            beside[j] = whole(image * g.total_filters * plane + place)
        wanted = g.pixels - (first_pixel + second)
        m = first_filter + first
        finish(0, total, beside, wanted, m, group, scale, shift, y, mask, g, scaled, shifted, rectified, most)

    return gather_product
