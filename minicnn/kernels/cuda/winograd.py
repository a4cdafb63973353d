"""3x3 convolution of stride 1 by Winograd's F(4x4, 3x3): a quarter of the multiplications.

Each 6 x 6 patch d of a map and each filter g are transformed, V = B^T d B and U = G g G^T; the 36 elements are
then 36 products over channels, M = U V, and a 4 x 4 tile of the output is A^T M A.  The products run in the tiled
kernel as one grouped 1x1 convolution of 36 groups; the transforms have one thread a patch.
The transforms move 2.25 times the maps once more each way, and 36 values of each filter, so only many channels
and pixels pay for them (``fits``).

Source: Lavin, Gray 2016, section 4.3, with the points 0, 1, -1, 2, -2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import cuda, float32

from minicnn.kernels.cuda.arrays import empty
from minicnn.kernels.cuda.epilogue import clip_with_mask
from minicnn.kernels.cuda.gemm.tiles import SMALL
from minicnn.kernels.cuda.launch import divmod_u32, launch_per_value

__all__ = ["fits", "winograd"]

MIN_GAIN = 20  # operations to save for each byte moved: an H100 does 17 (47 TFLOP/s, 2.8 TB/s), and some more

TWO, FOUR, FIVE, EIGHT = np.float32(2), np.float32(4), np.float32(5), np.float32(8)
QUARTER, SIXTH, TWELFTH, TWENTYFOURTH = (np.float32(1 / n) for n in (4, 6, 12, 24))


class _Maps(NamedTuple):
    """Shape of the maps that are transformed."""

    images: int
    channels: int
    height: int
    width: int


class _Grid(NamedTuple):
    """Tiles of 4 x 4 outputs: rows x columns of an image, ``count`` in all, and the padding of the first."""

    rows: int
    columns: int
    count: int
    top: int
    left: int


@cuda.jit(device=True)
def _inputs(d0, d1, d2, d3, d4, d5):
    """B^T d."""
    # rows 1 and 2 of B^T differ in the sign of their odd part alone, and so do rows 3 and 4
    return (
        FOUR * d0 - FIVE * d2 + d4,
        (d4 - FOUR * d2) + (d3 - FOUR * d1),
        (d4 - FOUR * d2) - (d3 - FOUR * d1),
        (d4 - d2) + TWO * (d3 - d1),
        (d4 - d2) - TWO * (d3 - d1),
        FOUR * d1 - FIVE * d3 + d5,
    )


@cuda.jit(device=True)
def _filters(g0, g1, g2):
    """G g."""
    # points 2 and -2 share their even and odd parts
    even, odd = TWENTYFOURTH * g0 + SIXTH * g2, TWELFTH * g1
    return QUARTER * g0, -SIXTH * (g0 + g2 + g1), -SIXTH * (g0 + g2 - g1), even + odd, even - odd, g2


@cuda.jit(device=True)
def _outputs(m0, m1, m2, m3, m4, m5):
    """A^T m."""
    # near are the points 1 and -1, far 2 and -2, whose powers give the factors 2, 4 and 8
    near, far = m1 + m2, m3 + m4
    near_odd, far_odd = m1 - m2, m3 - m4
    return m0 + near + far, near_odd + TWO * far_odd, near + FOUR * far, near_odd + EIGHT * far_odd + m5


@cuda.jit
def _transform_inputs(x, v, maps, grid, size):
    """V[e, c, tile] of one (c, tile) a thread; tiles image by image."""
    i = cuda.grid(1)
    if i < size:
        d = cuda.local.array((6, 6), float32)
        c, tile = divmod_u32(i, grid.count)
        rest, w0 = divmod_u32(tile, grid.columns)
        image, h0 = divmod_u32(rest, grid.rows)
        # a tile gives 4 x 4 outputs, so patches start 4 apart and overlap by 2
        h0, w0 = h0 * 4 - grid.top, w0 * 4 - grid.left
        height = maps.height if image < maps.images else 0  # the tiles behind the last make whole vectors
        width = maps.width
        # row 0 of map c of the image
        base = (image * maps.channels + c) * height
        # the 6 x 6 patch, zeros where it reaches into the padding
        for r in range(6):
            for s in range(6):
                h, w = h0 + r, w0 + s
                inside = h >= 0 and h < height and w >= 0 and w < width
                d[r, s] = x[(base + h) * width + w] if inside else float32(0)
        # input transform: B^T d down the columns, then (B^T d) B along the rows
        for s in range(6):
            d[0, s], d[1, s], d[2, s], d[3, s], d[4, s], d[5, s] = _inputs(
                d[0, s], d[1, s], d[2, s], d[3, s], d[4, s], d[5, s]
            )
        for r in range(6):
            d[r, 0], d[r, 1], d[r, 2], d[r, 3], d[r, 4], d[r, 5] = _inputs(
                d[r, 0], d[r, 1], d[r, 2], d[r, 3], d[r, 4], d[r, 5]
            )
            for s in range(6):
                # element e of all patches lies together, so that neighbouring threads write side by side
                v[(r * 6 + s) * size + i] = d[r, s]


@cuda.jit
def _transform_filters(weight, u, filters, channels, backward, size):
    """U[e, k, c] of one (k, c) a thread; backward of the flipped filter from k to c instead."""
    i = cuda.grid(1)
    if i < size:
        g, half = cuda.local.array((3, 3), float32), cuda.local.array((6, 3), float32)
        k, c = divmod_u32(i, channels)
        for r in range(3):
            for s in range(3):
                # backward, weight lies as (C, K, 3, 3), and each kernel is rotated by 180 degrees
                g[r, s] = weight[(c * filters + k) * 9 + 8 - 3 * r - s] if backward else weight[i * 9 + 3 * r + s]
        # filter transform: G g, of 6 x 3, then (G g) G^T
        for s in range(3):
            half[0, s], half[1, s], half[2, s], half[3, s], half[4, s], half[5, s] = _filters(
                g[0, s], g[1, s], g[2, s]
            )
        for r in range(6):
            u0, u1, u2, u3, u4, u5 = _filters(half[r, 0], half[r, 1], half[r, 2])
            # U[6 r + s, k, c]: the 36 matrices one after the other
            at = r * 6 * size + i
            u[at], u[at + size], u[at + 2 * size] = u0, u1, u2
            u[at + 3 * size], u[at + 4 * size], u[at + 5 * size] = u3, u4, u5


@cuda.jit
def _transform_outputs(m, y, maps, grid, epilogue, size):
    """Write a 4 x 4 tile of y behind the epilogue: one (k, tile) a thread."""
    i = cuda.grid(1)
    if i < size:
        half = cuda.local.array((4, 6), float32)
        k, tile = divmod_u32(i, grid.count)
        # thread i is tile (p0 / 4, q0 / 4) of map k of an image
        rest, q0 = divmod_u32(tile, grid.columns)
        image, p0 = divmod_u32(rest, grid.rows)
        p0, q0 = p0 * 4, q0 * 4
        rows = maps.height if image < maps.images else 0  # the tiles behind the last are of no image
        columns = maps.width
        for s in range(6):
            # output transform: A^T M down the columns, read element by element; then (A^T M) A
            half[0, s], half[1, s], half[2, s], half[3, s] = _outputs(
                m[s * size + i],
                m[(6 + s) * size + i],
                m[(12 + s) * size + i],
                m[(18 + s) * size + i],
                m[(24 + s) * size + i],
                m[(30 + s) * size + i],
            )
        scale, shift = epilogue.scale, epilogue.shift
        factor = scale.values[k] if scale.given else float32(1)
        term = shift.values[k] if shift.given else float32(0)
        out = cuda.local.array((4, 4), float32)
        for r in range(4):
            out[r, 0], out[r, 1], out[r, 2], out[r, 3] = _outputs(
                half[r, 0], half[r, 1], half[r, 2], half[r, 3], half[r, 4], half[r, 5]
            )
        for r in range(4):
            for s in range(4):
                # tiles at the bottom and right stick out of the map
                if p0 + r < rows and q0 + s < columns:
                    at = ((image * maps.channels + k) * rows + p0 + r) * columns + q0 + s
                    # the epilogue can act here alone: M is not yet the convolution's sum
                    value = out[r, s] * factor + term
                    if epilogue.mask.given:
                        value = clip_with_mask(value, float32(0), at, epilogue)
                    y[at] = value


def fits(x, filters: int, windows, groups: int) -> bool:
    """Whether Winograd computes it, and pays: operations saved against bytes that move beside the maps.

    The transforms write and read 36 values of each tile and channel, of inputs and outputs, and of each filter of
    each channel; the products have columns for whole tiles of ``SMALL``, so few pixels save nothing.
    """
    shaped = windows.kernel_size == (3, 3) and windows.stride == (1, 1) and windows.dilation == (1, 1)
    if not shaped or groups > 1 or x.dtype != np.float32:
        return False
    (n, channels, *_), (rows, columns) = x.shape, windows.output_size
    tiles = n * -(-rows // 4) * -(-columns // 4)
    # 2 x 9 operations an output directly, 2 x 36 a tile here
    saved = channels * filters * (18 * n * rows * columns - 72 * max(tiles, SMALL.bn))
    # V and M are written and read once; U too, and the 9 values of each filter are read
    moved = 4 * (72 * (channels + filters) * tiles + 81 * channels * filters)
    return saved > MIN_GAIN * moved


def winograd(x, weight, y, top_left, gemm, epilogue, backward=False):
    """Write the convolution into ``y``; ``gemm(v, u)`` multiplies 36 matrices; ``backward`` flips the filters.

    ``top_left`` is the padding before the first row and column, negative where they are cropped.
    """
    (n, c, _, _), (_, k, rows, columns) = x.shape, y.shape
    tile_rows, tile_columns = -(-rows // 4), -(-columns // 4)
    tiles = -(-n * tile_rows * tile_columns // 4) * 4  # whole vectors of four
    grid = _Grid(tile_rows, tile_columns, tiles, *top_left)
    # V is (36, C, tiles) and U (36, K, C), in the shapes of a 1x1 convolution of 36 groups
    v, u = empty((1, 36 * c, 1, tiles), x.dtype), empty((36 * k, c, 1, 1), x.dtype)
    # transform the input and the filters, multiply, transform the output
    launch_per_value(_transform_inputs, c * tiles, x.memory, v.memory, _Maps(*x.shape), grid)
    launch_per_value(_transform_filters, k * c, weight.memory, u.memory, k, c, int(backward))
    # M is (36, K, tiles), element e the product of U[e] (K, C) and V[e] (C, tiles)
    m = gemm(v, u)
    launch_per_value(_transform_outputs, k * tiles, m.memory, y.memory, _Maps(*y.shape), grid, epilogue)
