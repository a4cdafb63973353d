"""The product behind the gradient with respect to a convolution's weight, in tiles (``tiles``).

Rows are filters, columns the taps of every channel, and the depth is the pixels of all images: each element of
the right-hand matrix is gathered from the maps, as ``product`` does.  Blocks share the depth, and
``split.sum_parts`` adds what they found.
"""

from __future__ import annotations

from numba import cuda, int32, int64, uint32, uint64

from minicnn.kernels.cuda.gemm.gather_gemm import BIAS
from minicnn.kernels.cuda.gemm.tiles import BK, OUTSIDE, PAD, Tile, first_outputs, gaps, multiplier

__all__ = ["weight_kernel"]


def weight_kernel(tile: Tile, real: type):
    """Kernel of part[z, k, (c, r, s)] = sum over a share of the pixels of dy[n, k, pixel] x[n, c, pixel + tap].

    The depth is the pixels, image by image; the grid's z is (group, share).  ``pixels`` has the place of every
    pixel's window in x, 2^32 row + (column + 2^31); ``taps`` is as for ``gather_kernel``, one for each (c, r, s).
    """
    bm, bn, tm, tn = tile
    (row_gap, column_gap), multiply, apart = gaps(tile), multiplier(tile, real), tile.threads // BK
    left_row, right_row, total_shape = bm + PAD, bn + PAD, (tm, tn)
    left_size, right_size = 2 * BK * left_row, 2 * BK * right_row

    @cuda.jit
    def weight_product(
        dy, x, pixels, taps, parts, filters, columns, area, groups, images, height, width, x_image, dy_image, share
    ):
        left = cuda.shared.array(left_size, real, 16)
        right = cuda.shared.array(right_size, real, 16)
        total = cuda.local.array(total_shape, real)
        fetched, beside = cuda.local.array(4, real), cuda.local.array(4, real)
        ours, rows = cuda.local.array(4, int64), cuda.local.array(4, uint32)
        t, group, part = cuda.threadIdx.x, cuda.blockIdx.z % groups, cuda.blockIdx.z // groups
        first_filter, first_column = cuda.blockIdx.y * bm, cuda.blockIdx.x * bn
        zero = real(0)
        depth, lane = t % BK, t // BK
        # the four filters and the four taps that this thread fetches, the last one's again where there is none
        for i in range(4):
            ours[i] = taps[min(first_column + lane + i * apart, columns - 1)]
        for i in range(tm):
            for j in range(tn):
                total[i, j] = zero
        first, second = first_outputs(t)
        tall, wide = uint32(height), uint32(width)
        per_image = (area + BK - 1) // BK
        begin = part * share
        steps = int32(min(share, per_image * images - begin))
        image, at = begin // per_image, int32(begin % per_image * BK + depth)
        last, per_row = int32(area - 1), int32(area + depth)
        maps = uint32(image * x_image + group * (x_image // groups))
        for i in range(4):
            k = min(first_filter + lane + i * apart, filters - 1)
            rows[i] = uint32(((image * groups + group) * filters + k) * area)
        for step in range(int32(steps + 1)):
            if step < steps:
                corner = pixels[uint32(min(at, last))]
                row, column = int32(corner >> 32), int32((corner & 0xFFFFFFFF) - 2147483648)
                near = uint32(maps + row * width + column)
                row = row if at <= last else int32(OUTSIDE)
                column = int32(column - BIAS)
                for i in range(4):
                    fetched[i] = zero
                    if at <= last:
                        fetched[i] = dy[uint32(rows[i] + at)]
                    place = int32(ours[i] >> 32)
                    h = uint32(row + (place >> 16))
                    w = uint32(column + (place & 65535))
                    beside[i] = zero
                    if h < tall and w < wide:
                        beside[i] = x[uint32(near + int32(ours[i]))]
                at = int32(at + BK)
                if at >= per_row:
                    at, maps = int32(depth), uint32(maps + x_image)
                    for i in range(4):
                        rows[i] = uint32(rows[i] + dy_image)
            if step > 0:
                now = (step + 1 & 1) * BK
                multiply(0, left, right, now * left_row + first, now * right_row + second, total)
            if step < steps:
                here = uint32(((step & 1) * BK + depth) * left_row + lane)
                for i in range(4):
                    left[uint64(here + i * apart)], right[uint64(here + i * apart)] = fetched[i], beside[i]
            cuda.syncthreads()
        for i in range(tm):
            m = first_filter + first + i // 4 * row_gap + i % 4
            for j in range(tn):
                c = first_column + second + j // 4 * column_gap + j % 4
                if m < filters and c < columns:
                    parts[((part * groups + group) * filters + m) * columns + c] = total[i, j]

    return weight_product
