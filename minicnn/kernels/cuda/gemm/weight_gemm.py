"""The product behind the gradient with respect to a convolution's weight, in tiles (``tiles``).

Rows are filters, columns the taps of every channel, and the depth is the pixels of all images: each element of
the right-hand matrix is gathered from the maps, as ``gather_gemm`` does.  Blocks share the depth, and
``split_k.reduce_partials`` adds their sums.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import cuda, int32, int64, uint32, uint64

from minicnn.kernels.cuda.gemm.gather_gemm import BIAS
from minicnn.kernels.cuda.gemm.tiles import BK, OUTSIDE, PAD, Tile, piece_strides, thread_origin, tile_multiply

__all__ = ["WeightGeometry", "make_weight_gemm"]


class WeightGeometry(NamedTuple):
    """Sizes of a weight gradient: filters and columns (c, r, s) of a group, output pixels, images, x's H x W.

    ``x_image`` and ``dy_image`` are the values of one image of each.
    """

    filters: int
    columns: int
    area: int
    groups: int
    images: int
    height: int
    width: int
    x_image: int
    dy_image: int


def make_weight_gemm(tile: Tile, real: type):
    """Kernel of part[z, k, (c, r, s)] = sum over a share of the pixels of dy[n, k, pixel] x[n, c, pixel + tap].

    The depth is the pixels, image by image; the grid's z is (group, share).  ``pixels`` has the place of every
    pixel's window in x, 2^32 row + (column + 2^31); ``taps`` is as for ``make_gather_gemm``, one a (c, r, s).
    """
    bm, bn, tm, tn = tile
    (row_stride, column_stride), multiply = piece_strides(tile), tile_multiply(tile, real)
    # BK threads side by side read BK neighbouring pixels of one map; the lanes have different maps
    lane_count = tile.threads // BK
    left_row, right_row, total_shape = bm + PAD, bn + PAD, (tm, tn)
    left_size, right_size = 2 * BK * left_row, 2 * BK * right_row

    @cuda.jit
    def weight_gemm(dy, x, pixels, taps, partials, g, share):
        # left[d, filter] of dy and right[d, tap] of x, two buffers each, d a pixel
        left = cuda.shared.array(left_size, real, 16)
        right = cuda.shared.array(right_size, real, 16)
        total = cuda.local.array(total_shape, real)
        fetched, gathered = cuda.local.array(4, real), cuda.local.array(4, real)
        own_taps, rows = cuda.local.array(4, int64), cuda.local.array(4, uint32)
        t, group, part = cuda.threadIdx.x, cuda.blockIdx.z % g.groups, cuda.blockIdx.z // g.groups
        first_filter, first_column = cuda.blockIdx.y * bm, cuda.blockIdx.x * bn
        zero = real(0)
        depth, lane = t % BK, t // BK
        # the four filters and the four taps that this thread fetches, the last one's again where there is none
        for i in range(4):
            own_taps[i] = taps[min(first_column + lane + i * lane_count, g.columns - 1)]
        for i in range(tm):
            for j in range(tn):
                total[i, j] = zero
        # row and column of the thread's outputs in the tile
        first, second = thread_origin(t)
        height, width = uint32(g.height), uint32(g.width)
        # steps of an image: the last one's missing pixels count as zeros, so no step spans two images
        per_image = (g.area + BK - 1) // BK
        begin = part * share
        steps = int32(min(share, per_image * g.images - begin))
        # image of the share's first step, and the thread's pixel in it
        image, at = begin // per_image, int32(begin % per_image * BK + depth)
        last, per_row = int32(g.area - 1), int32(g.area + depth)
        # where the group's maps of the image start in x
        maps = uint32(image * g.x_image + group * (g.x_image // g.groups))
        for i in range(4):
            # rows[i] is where map k of the image starts in dy
            k = min(first_filter + lane + i * lane_count, g.filters - 1)
            rows[i] = uint32(((image * g.groups + group) * g.filters + k) * g.area)
        # fetch tile s, multiply tile s - 1, lay tile s down: the pipeline of ``gather_gemm``
        for step in range(int32(steps + 1)):
            if step < steps:
                # where the pixel's window starts in x
                corner = pixels[uint32(min(at, last))]
                row, column = int32(corner >> 32), int32((corner & 0xFFFFFFFF) - 2147483648)
                corner_at = uint32(maps + row * g.width + column)
                # behind the last pixel of the image all taps fall outside
                row = row if at <= last else int32(OUTSIDE)
                column = int32(column - BIAS)
                for i in range(4):
                    # dy is 0 behind the image's last pixel, whatever lies there in memory
                    fetched[i] = zero
                    if at <= last:
                        fetched[i] = dy[uint32(rows[i] + at)]
                    # row and biased column of the tap; its offset in x is the low 32 bits
                    tap = int32(own_taps[i] >> 32)
                    h = uint32(row + (tap >> 16))
                    w = uint32(column + (tap & 65535))
                    gathered[i] = zero
                    # unsigned: negative rows and columns fail the same comparison
                    if h < height and w < width:
                        gathered[i] = x[uint32(corner_at + int32(own_taps[i]))]
                # at - depth is the step's first pixel, so all threads pass to the next image together
                at = int32(at + BK)
                if at >= per_row:
                    at, maps = int32(depth), uint32(maps + g.x_image)
                    for i in range(4):
                        rows[i] = uint32(rows[i] + g.dy_image)
            if step > 0:
                # the buffer that step - 1 filled
                buffer = (step + 1 & 1) * BK
                multiply(0, left, right, buffer * left_row + first, buffer * right_row + second, total)
            if step < steps:
                # pixel ``depth`` is the shared row, filter or tap the column, the same place on both sides
                here = uint32(((step & 1) * BK + depth) * left_row + lane)
                for i in range(4):
                    at_lane = uint64(here + i * lane_count)
                    left[at_lane], right[at_lane] = fetched[i], gathered[i]
            # tile s lies complete in shared memory before step s + 1 multiplies it
            cuda.syncthreads()
        for i in range(tm):
            # piece i // 4 of the thread's rows, and of its columns below
            m = first_filter + first + i // 4 * row_stride + i % 4
            for j in range(tn):
                c = first_column + second + j // 4 * column_stride + j % 4
                if m < g.filters and c < g.columns:
                    # (share, K, columns): a share is as long as the weight, which reduce_partials relies on
                    partials[((part * g.groups + group) * g.filters + m) * g.columns + c] = total[i, j]

    return weight_gemm
