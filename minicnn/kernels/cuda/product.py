"""The tiled product behind convolution and the fully connected layer: the kernels.

A block of threads computes a tile of BM x BN outputs.  It walks along the depth BK at a time: while the threads
multiply what lies in one pair of shared tiles, they fetch the next from global memory into registers and lay it
into the other pair, so each step needs one barrier.  A thread owns TM x TN outputs in registers, in squares of 4:
per step it reads TM + TN values from shared memory for TM TN multiply-adds.

The right-hand matrix is never built: column n is an output pixel, row d a tap of the window, and the element is
gathered from the maps where the pixel's corner plus the tap's offset lies (implicit GEMM).

Where a launch has few tiles, each is computed by several blocks, a share of the depth each: they write their sums
side by side, and ``finish_split`` adds them, first share to last, whichever block is done first.
"""

from __future__ import annotations

from collections import namedtuple
from typing import NamedTuple

from numba import cuda, int64

__all__ = [
    "BK",
    "LARGE",
    "SMALL",
    "Geometry",
    "Tile",
    "finish_split",
    "gather_kernel",
    "sum_parts",
    "weight_kernel",
]

BK = 8  # depth of a tile
PAD = 4  # a shared row's extra values: stores of 8 rows x 4 columns then meet 32 different banks


class Tile(NamedTuple):
    """Outputs of a block (bm x bn) and of one of its threads (tm x tn)."""

    bm: int
    bn: int
    tm: int
    tn: int

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.bm // self.tm * (self.bn // self.tn)


LARGE, SMALL = Tile(128, 128, 8, 8), Tile(64, 64, 4, 4)

# What one launch gathers.  Output pixel (i, j) of image n reads source row i * step_y + corner_y + the tap's row;
# it is written to row i * out_step_y + out_y of the output.  All of one group; groups lie along the grid's z.
Geometry = namedtuple(
    "Geometry",
    "pixels depth rows columns filters "
    "channels height width step_y step_x corner_y corner_x "
    "out_height out_width out_step_y out_step_x out_y out_x "
    "weight_start weight_group weight_filter total_filters",
)


def gather_kernel(tile: Tile, real: type):
    """Kernel of y[n, m, pixel] = epilogue(sum_d weight[m, d] x[n, pixel + tap d]) for one tile size and dtype.

    ``taps`` has three ints for every d: the tap's offset in the source, its (row, column) packed as 65536 row +
    column, both from -32768, and its offset in the weight.  The grid's z is (group, share of the depth), a share
    ``share`` steps of BK; with more than one, y is their sums, y[share, m, pixel], without the epilogue.
    """
    bm, bn, tm, tn = tile
    threads = tile.threads
    a_loads, b_loads = bm * BK // threads, bn * BK // threads
    a_step, b_step = threads // BK, threads // bn
    across, row_gap, column_gap = bn // tn, bm * 4 // tm, bn * 4 // tn
    left_shape, right_shape, total_shape = (2, BK, bm + PAD), (2, BK, bn + PAD), (tm, tn)

    @cuda.jit
    def gather_product(weight, x, taps, scale, shift, y, mask, g, share, scaled, shifted, rectified, most):
        left = cuda.shared.array(left_shape, real, 16)
        right = cuda.shared.array(right_shape, real, 16)
        total, a, b = cuda.local.array(total_shape, real), cuda.local.array(tm, real), cuda.local.array(tn, real)
        a_next, b_next = cuda.local.array(a_loads, real), cuda.local.array(b_loads, real)
        groups = g.total_filters // g.filters
        t, group, part = cuda.threadIdx.x, cuda.blockIdx.z % groups, cuda.blockIdx.z // groups
        first_filter, first_pixel = cuda.blockIdx.y * bm, cuda.blockIdx.x * bn
        places = cuda.local.array(tn, int64)
        zero, one, plane = real(0), real(1), g.out_height * g.out_width
        split = cuda.gridDim.z > groups
        # what this thread fetches: taps t % BK of some filters, and some taps of one pixel
        a_depth, a_filter = t % BK, t // BK
        b_depth, b_pixel = t // bn, t % bn
        pixel = first_pixel + b_pixel
        inside = pixel < g.pixels
        area = g.rows * g.columns
        image, rest = pixel // area, pixel % area
        row = rest // g.columns * g.step_y + g.corner_y
        column = rest % g.columns * g.step_x + g.corner_x
        source = ((image * g.channels) * g.height + row) * g.width + column
        source += group * (g.channels // groups) * g.height * g.width
        weights = g.weight_start + group * g.weight_group + (first_filter + a_filter) * g.weight_filter
        for i in range(tm):
            for j in range(tn):
                total[i, j] = zero
        first_depth = part * share * BK
        steps = min(share, (g.depth - first_depth + BK - 1) // BK)
        down, right_of = t // across, t % across
        for step in range(steps + 1):
            if step < steps:
                d = first_depth + step * BK + a_depth
                for i in range(a_loads):
                    a_next[i] = zero
                    if d < g.depth and first_filter + a_filter + i * a_step < g.filters:
                        a_next[i] = weight[weights + i * a_step * g.weight_filter + taps[3 * d + 2]]
                for i in range(b_loads):
                    d = first_depth + step * BK + b_depth + i * b_step
                    b_next[i] = zero
                    if inside and d < g.depth:
                        packed = taps[3 * d + 1]
                        h = row + (packed >> 16)
                        w = column + ((packed & 65535) - 32768)
                        if h >= 0 and h < g.height and w >= 0 and w < g.width:
                            b_next[i] = x[source + taps[3 * d]]
            if step > 0:
                now = (step - 1) % 2
                for d in range(BK):
                    for i in range(tm):
                        a[i] = left[now, d, i // 4 * row_gap + down * 4 + i % 4]
                    for j in range(tn):
                        b[j] = right[now, d, j // 4 * column_gap + right_of * 4 + j % 4]
                    for i in range(tm):
                        for j in range(tn):
                            total[i, j] += a[i] * b[j]
            if step < steps:
                for i in range(a_loads):
                    left[step % 2, a_depth, a_filter + i * a_step] = a_next[i]
                for i in range(b_loads):
                    right[step % 2, b_depth + i * b_step, b_pixel] = b_next[i]
            cuda.syncthreads()
        for j in range(tn):
            pixel = first_pixel + j // 4 * column_gap + right_of * 4 + j % 4
            image, rest = pixel // area, pixel % area
            place = (rest // g.columns * g.out_step_y + g.out_y) * g.out_width
            place += rest % g.columns * g.out_step_x + g.out_x
            place += image * g.total_filters * plane
            if split:
                place = part * g.total_filters * g.pixels + pixel
            places[j] = place if pixel < g.pixels else -1
        plane = g.pixels if split else plane
        # four short loops, since the compiler unrolls no long one, and only then are the sums in registers
        for i in range(tm):
            k = group * g.filters + min(first_filter + i // 4 * row_gap + down * 4 + i % 4, g.filters - 1)
            factor = scale[k] if scaled else one
            term = shift[k] if shifted else zero
            for j in range(tn):
                total[i, j] = total[i, j] * factor + term
        if rectified:
            for i in range(tm):
                m = first_filter + i // 4 * row_gap + down * 4 + i % 4
                for j in range(tn):
                    if m < g.filters and places[j] >= 0:
                        mask[places[j] + (group * g.filters + m) * plane] = (
                            total[i, j] > zero and total[i, j] < most
                        )
            for i in range(tm):
                for j in range(tn):
                    value = total[i, j]
                    value = zero if value < zero else value
                    total[i, j] = most if value > most else value
        for i in range(tm):
            m = first_filter + i // 4 * row_gap + down * 4 + i % 4
            for j in range(tn):
                if m < g.filters and places[j] >= 0:
                    y[places[j] + (group * g.filters + m) * plane] = total[i, j]

    return gather_product


def weight_kernel(tile: Tile, real: type):
    """Kernel of part[z, k, (c, r, s)] = sum over a share of the pixels of dy[n, k, pixel] x[n, c, pixel + tap].

    The depth is the pixels, image by image; the grid's z is (group, share).  ``pixels`` and ``taps`` have two ints
    for every pixel and for every (c, r, s): the offset in x, and (row, column) packed as for ``gather_kernel``.
    """
    bm, bn, tm, tn = tile
    threads = tile.threads
    a_loads, b_loads, down_step = bm * BK // threads, bn * BK // threads, threads // BK
    across, row_gap, column_gap = bn // tn, bm * 4 // tm, bn * 4 // tn
    left_shape, right_shape, total_shape = (2, BK, bm + PAD), (2, BK, bn + PAD), (tm, tn)

    @cuda.jit
    def weight_product(
        dy, x, pixels, taps, parts, filters, columns, area, groups, images, height, width, source, share
    ):
        left = cuda.shared.array(left_shape, real, 16)
        right = cuda.shared.array(right_shape, real, 16)
        total, a, b = cuda.local.array(total_shape, real), cuda.local.array(tm, real), cuda.local.array(tn, real)
        a_next, b_next = cuda.local.array(a_loads, real), cuda.local.array(b_loads, real)
        t, group, part = cuda.threadIdx.x, cuda.blockIdx.z % groups, cuda.blockIdx.z // groups
        first_filter, first_column = cuda.blockIdx.y * bm, cuda.blockIdx.x * bn
        zero = real(0)
        depth, lane = t % BK, t // BK
        down, right_of = t // across, t % across
        for i in range(tm):
            for j in range(tn):
                total[i, j] = zero
        per_image = (area + BK - 1) // BK
        begin = part * share
        end = min(begin + share, per_image * images)
        for step in range(begin, end + 1):
            if step < end:
                image = step // per_image
                pixel = step % per_image * BK + depth
                if pixel < area:
                    corner, packed = pixels[2 * pixel], pixels[2 * pixel + 1]
                    row, column = packed >> 16, (packed & 65535) - 32768
                else:
                    corner, row, column = pixels[0], pixels[1] >> 16, (pixels[1] & 65535) - 32768
                for i in range(a_loads):
                    m = first_filter + lane + i * down_step
                    a_next[i] = zero
                    if pixel < area and m < filters:
                        a_next[i] = dy[((image * groups + group) * filters + m) * area + pixel]
                for i in range(b_loads):
                    c = first_column + lane + i * down_step
                    b_next[i] = zero
                    if pixel < area and c < columns:
                        h = row + (taps[2 * c + 1] >> 16)
                        w = column + ((taps[2 * c + 1] & 65535) - 32768)
                        if h >= 0 and h < height and w >= 0 and w < width:
                            b_next[i] = x[(image * groups + group) * source + corner + taps[2 * c]]
            if step > begin:
                now = (step - begin - 1) % 2
                for d in range(BK):
                    for i in range(tm):
                        a[i] = left[now, d, i // 4 * row_gap + down * 4 + i % 4]
                    for j in range(tn):
                        b[j] = right[now, d, j // 4 * column_gap + right_of * 4 + j % 4]
                    for i in range(tm):
                        for j in range(tn):
                            total[i, j] += a[i] * b[j]
            if step < end:
                for i in range(a_loads):
                    left[(step - begin) % 2, depth, lane + i * down_step] = a_next[i]
                for i in range(b_loads):
                    right[(step - begin) % 2, depth, lane + i * down_step] = b_next[i]
            cuda.syncthreads()
        for i in range(tm):
            m = first_filter + i // 4 * row_gap + down * 4 + i % 4
            for j in range(tn):
                c = first_column + j // 4 * column_gap + right_of * 4 + j % 4
                if m < filters and c < columns:
                    parts[((part * groups + group) * filters + m) * columns + c] = total[i, j]

    return weight_product


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
        k, pixel = i // g.pixels, i % g.pixels
        image, rest = pixel // (g.rows * g.columns), pixel % (g.rows * g.columns)
        h = rest // g.columns * g.out_step_y + g.out_y
        w = rest % g.columns * g.out_step_x + g.out_x
        at = ((image * g.total_filters + k) * g.out_height + h) * g.out_width + w
        total = total * scale[k] if scaled else total
        total = total + shift[k] if shifted else total
        if rectified:
            mask[at] = total > zero and total < most
            total = zero if total < zero else (most if total > most else total)
        y[at] = total
