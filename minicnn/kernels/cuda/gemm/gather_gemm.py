"""The gathered matrix product (implicit GEMM) of convolution and the fully connected layer, in tiles.

The right-hand matrix is never built: column n is an output pixel, row d a tap of the window, and the element is
gathered from the maps where the pixel's corner plus the tap's offset lies.

Where a launch has few tiles, several blocks compute each, a share of the depth each (split-k, ``split_k``).
"""

from __future__ import annotations

from typing import NamedTuple

from numba import cuda, int32, int64, uint32, uint64

from minicnn.kernels.cuda.epilogue import clip_with_mask
from minicnn.kernels.cuda.gemm.tiles import (
    BK,
    OUTSIDE,
    PAD,
    Tile,
    piece_strides,
    thread_origin,
    tile_multiply,
    unroll,
)
from minicnn.kernels.cuda.gemm.vectors import load_vec4, store_vec4
from minicnn.kernels.cuda.launch import divmod_u32

__all__ = ["BIAS", "Geometry", "make_gather_gemm"]

BIAS = 1 << 15  # added to a tap's column, so that it packs as an unsigned number


class Geometry(NamedTuple):
    """What one launch gathers, all of one group; groups lie along the grid's z.

    Output pixel (i, j) of image n reads source row i * stride_y + corner_y + the tap's row; it is written to row
    i * out_stride_y + out_y of the output.  A filter has ``depth`` values in a row: its own, and zeros up to a
    multiple of BK where a tile reads it.
    """

    pixels: int
    depth: int
    rows: int
    columns: int
    filters: int
    channels: int
    height: int
    width: int
    stride_y: int
    stride_x: int
    corner_y: int
    corner_x: int
    out_height: int
    out_width: int
    out_stride_y: int
    out_stride_x: int
    out_y: int
    out_x: int
    total_filters: int


def _make_write(tile: Tile, dense: bool):
    """Device function that applies the epilogue to a thread's sums and writes them; if ``dense``, four at a time.

    ``offsets`` is where each of the thread's columns lies in the output's first map, ``first`` the thread's first
    filter, ``wanted`` how many (rows, columns) there are from the thread's first ones on.
    """
    row_stride, column_stride = piece_strides(tile)
    tn = tile.tn

    @cuda.jit(device=True)
    def write_row(i, total, offsets, first, wanted, y, g, epilogue):
        # the thread's row i: four in a piece, the pieces row_stride apart
        row = i // 4 * row_stride + i % 4
        if row < wanted[0]:
            k, zero, scale, shift = first + row, y.dtype.type(0), epilogue.scale, epilogue.shift
            factor = scale.values[k] if scale.given else y.dtype.type(1)
            term = shift.values[k] if shift.given else zero
            # start of map k in the first image's output; offsets hold the image and the pixel
            plane = k * (g.out_height * g.out_width)
            for j in range(tn):
                value = total[i, j] * factor + term
                at = plane + offsets[j] if dense else uint32(plane + offsets[j])
                # dense: pixels come in whole vectors of four, so the first of a vector speaks for all
                inside = j // 4 * column_stride + (0 if dense else j % 4) < wanted[1]
                if epilogue.mask.given and inside:
                    value = clip_with_mask(value, zero, at, epilogue)
                # a dense row waits in registers, to be stored as vectors below
                if dense:
                    total[i, j] = value
                elif inside:
                    y[at] = value
            if dense:
                for j in range(0, tn, 4):
                    if j // 4 * column_stride < wanted[1]:
                        four = total[i, j], total[i, j + 1], total[i, j + 2], total[i, j + 3]
                        store_vec4(y, plane + offsets[j], four)

    return unroll(write_row, tile.tm)


def make_gather_gemm(tile: Tile, real: type, dense: bool, split: bool):
    """Kernel of y[n, m, pixel] = epilogue(sum_d weight[m, d] x[n, pixel + tap d]) for one tile size and dtype.

    ``taps`` has one number for every d, 2^48 the tap's row + 2^32 (its column + 2^15) + its offset in the source;
    the grid's z is (group, share of the depth).

    dense : a 1x1 convolution whose maps are whole vectors, which are read four pixels at a time, without taps
    split : write the sums of a share of ``share`` steps of BK, y[share, m, pixel], without the epilogue
    """
    # a shared row holds PAD values more than the tile is wide; each side has two buffers of BK rows
    bm, bn, tm, tn = tile
    (row_stride, column_stride), lanes = piece_strides(tile), bn // 4
    multiply, write = tile_multiply(tile, real), _make_write(tile, dense)
    left_row, right_row, total_shape = bm + PAD, bn + PAD, (tm, tn)
    index = int64 if dense else uint32  # fewest registers either way
    left_size, right_size = 2 * BK * left_row, 2 * BK * right_row

    @cuda.jit
    def gather_gemm(weight, x, taps, y, g, share, epilogue):
        # left[d, filter] and right[d, pixel], aligned to 16 bytes for reads of four values
        left = cuda.shared.array(left_size, real, 16)
        right = cuda.shared.array(right_size, real, 16)
        total, fetched = cuda.local.array(total_shape, real), cuda.local.array(4, real)
        groups = g.total_filters // g.filters
        t, group, part = cuda.threadIdx.x, cuda.blockIdx.z % groups, cuda.blockIdx.z // groups
        first_filter, first_pixel = cuda.blockIdx.y * bm, cuda.blockIdx.x * bn
        zero, area = real(0), g.rows * g.columns
        # this block's share of the depth: steps begin, ..., begin + steps - 1 of BK each
        begin = part * share
        steps = int32(min(share, g.depth // BK - begin))
        # what this thread fetches: four taps of one filter, the last one's again where there is none, ...
        a_depth, a_filter = t % 2 * 4, t // 2
        own_filter = group * g.filters + min(first_filter + a_filter, g.filters - 1)
        # the weight is (K, depth): the thread's four values of its filter in the share's first step
        own_weights = uint32(own_filter * g.depth + begin * BK + a_depth)
        # ... and four pixels of one tap, or four taps of one pixel
        b_depth = t // lanes if dense else t // bn
        b_pixel = t % lanes * 4 if dense else t % bn
        pixel = first_pixel + b_pixel
        # a thread behind the last pixel reads the last vector again; its sums are never written
        pixel = min(pixel, g.pixels - 4) if dense else pixel
        image, rest = divmod_u32(pixel, area)
        i, j = divmod_u32(rest, g.columns)
        # source row and column of the window's corner, negative where it starts in the padding
        row, column = int32(i * g.stride_y + g.corner_y), int32(j * g.stride_x + g.corner_x)
        height, width = uint32(g.height), uint32(g.width)
        source = (image * g.channels + group * (g.channels // groups)) * g.height * g.width
        # the group's first map of the image; a tap that lies inside has corner + offset >= 0 in it
        maps = x[source:]
        corner = int32(row * g.width + column)
        # behind the last pixel every tap falls outside, and zeros are multiplied
        row = row if pixel < g.pixels else int32(OUTSIDE)
        # undoes the tap's bias once here rather than at every tap
        column = int32(column - BIAS)
        own_tap = uint32(begin * BK + b_depth)
        # dense: row d of the right-hand matrix is map d of the group, area values behind map d - 1
        own_pixels = uint32(source + (begin * BK + b_depth) * area + rest)
        for i in range(tm):
            for j in range(tn):
                total[i, j] = zero
        # row and column of the thread's outputs in the tile
        first, second = thread_origin(t)
        a0, a1, a2, a3 = zero, zero, zero, zero
        b0, b1, b2, b3 = zero, zero, zero, zero
        # software pipeline: step s fetches tile s into registers, multiplies tile s - 1 from shared memory,
        # and lays tile s into the other buffer; so one turn more than there are tiles
        for step in range(int32(steps + 1)):
            if step < steps:
                a0, a1, a2, a3 = load_vec4(weight, own_weights)
                own_weights = uint32(own_weights + BK)
                if dense:
                    b0, b1, b2, b3 = load_vec4(x, own_pixels)
                    own_pixels = uint32(own_pixels + BK * area)
                else:
                    for i in range(4):
                        tap = taps[uint32(own_tap + 2 * i)]
                        # the tap's row in the high 16 bits, its biased column in the low ones
                        place = int32(tap >> 32)
                        h = uint32(row + (place >> 16))
                        w = uint32(column + (place & 65535))
                        # a tap in the padding reads 0
                        fetched[i] = zero
                        # unsigned, so that one comparison rejects negative rows and columns too
                        if h < height and w < width:
                            fetched[i] = maps[uint32(corner + int32(tap))]
                    own_tap = uint32(own_tap + BK)
            if step > 0:
                # the buffer that step - 1 filled
                buffer = (step + 1 & 1) * BK
                multiply(0, left, right, buffer * left_row + first, buffer * right_row + second, total)
            if step < steps:
                # the buffer that was last read before the barrier of step - 1, so nobody reads it now
                buffer = (step & 1) * BK
                at = (buffer + a_depth) * left_row + a_filter
                # transposed on the way: four depths of one filter go to four shared rows
                left[uint64(at)], left[uint64(at + left_row)] = a0, a1
                left[uint64(at + 2 * left_row)], left[uint64(at + 3 * left_row)] = a2, a3
                at = (buffer + b_depth) * right_row + b_pixel
                if dense:
                    store_vec4(right, at, (b0, b1, b2, b3))
                else:
                    # the four taps of this pixel are two rows of the tile apart
                    for i in range(4):
                        right[uint64(at + 2 * i * right_row)] = fetched[i]
            # tile s lies complete in shared memory before step s + 1 multiplies it
            cuda.syncthreads()
        if split:
            for i in range(tm):
                m = first_filter + first + i // 4 * row_stride + i % 4
                for j in range(tn):
                    pixel = first_pixel + second + j // 4 * column_stride + j % 4
                    if m < g.filters and pixel < g.pixels:
                        # partial sums (share, K, pixels), pixels of all images in one row
                        y[(part * g.total_filters + group * g.filters + m) * g.pixels + pixel] = total[i, j]
            return
        plane, offsets = g.out_height * g.out_width, cuda.local.array(tn, index)
        for j in range(tn):
            image, rest = divmod_u32(first_pixel + second + j // 4 * column_stride + j % 4, area)
            h, w = divmod_u32(rest, g.columns)
            # a phase of the input gradient writes every out_stride-th pixel of the map, from out_y, out_x on
            place = (h * g.out_stride_y + g.out_y) * g.out_width + w * g.out_stride_x + g.out_x
            offsets[j] = index(image * g.total_filters * plane + place)
        # rows and columns from the thread's first on that exist; tiles at the edges stick out
        wanted = g.filters - (first_filter + first), g.pixels - (first_pixel + second)
        write(0, total, offsets, group * g.filters + first_filter + first, wanted, y, g, epilogue)

    return gather_gemm
