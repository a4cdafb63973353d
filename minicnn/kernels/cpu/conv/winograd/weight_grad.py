"""Weight gradient of 3x3 kernels with stride 1, by Winograd's F(3x3, 4x4): 36 multiplications, not 144.

    dweight[k, c] = A' [ sum over tiles t of (G dy[k, t] G') . (B' x[c, t] B) ] A

x is cut into the tiles of the forward; the 4x4 outputs of each, whose gradient is dy, take the place of the
weights, and the three taps that of the outputs.  For each of the 36 elements of a tile the sum over tiles is one
product of matrices, (K, T) by (T, C), which BLAS adds up over all images.

Source: Lavin, Gray 2015, "Fast Algorithms for Convolutional Neural Networks", section 4.
"""

import numpy as np
from numba import int64

from minicnn.kernels.cpu.conv.winograd.convolve import room, spread, tile_inputs, tiles_of
from minicnn.kernels.cpu.conv.winograd.tiles import read_gradients
from minicnn.kernels.cpu.conv.winograd.transforms import gradient_tile
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.simd.gemm import Operand, gemm
from minicnn.kernels.cpu.simd.gemm_micro import Panel
from minicnn.kernels.cpu.simd.vector import LANES, address

__all__ = ["is_applicable", "weight_grad"]

KEPT = 1 << 22  # floats of transformed inputs, or gradients, that are kept at a time
PARTS = 2  # into which the filters of one element's product are cut


def is_applicable(filters, channels, dy_shape):
    """Whether there are so many tiles that their products outweigh the 36 sums that must be kept of them."""
    tiles = dy_shape[0] * -(-dy_shape[2] // 4) * -(-dy_shape[3] // 4)
    return min(filters, channels) >= 16 and tiles >= 32


def weight_grad(x, dy, corner, dweight):
    """Fill dweight (K, C, 3, 3) from x (N, C, H, W) and dy (N, K, P, Q); ``corner`` is the padding (top, left)."""
    k, c = dweight.shape[:2]
    grid = tiles_of(corner, dy.shape)
    tiles = len(dy) * int(grid[2] * grid[3])
    if tiles == 0:
        dweight[...] = 0
        return
    most = max(LANES, KEPT // (36 * max(k, c)) // LANES * LANES)
    width = room(min(tiles, most))
    v, d = empty((36, spread(c * width))), empty((36, spread(k * width)))
    sums = empty((36, spread(k * c + LANES)))
    for first in range(0, tiles, most):
        last = min(tiles, first + most)
        tile_inputs(x, grid, first, last, v, width)
        _gradients(dy, grid, first, last, d, width)
        _add_products(d, v, width, last - first, k, c, first, sums)
    _taps(sums, dweight)


@inner
def _gradients_of(k, dy, grid, first, last, d, width):
    source = address(dy), dy.shape, 0, np.float32(1), False
    tiles = address(d) + 4 * k * width
    read_gradients(source, k, first, last, (grid[2], grid[3]), tiles, d.shape[1])


@kernel(reads(4), reads(1, int64), int64, int64, writes(2), int64)
def _gradients(dy, grid, first, last, d, width):
    parallel_for(_gradients_of, dy.shape[1], (dy, grid, first, last, d, width))


@inner
def _add_product(task, d, v, width, tiles, filters, c, adds, sums):
    """One of PARTS parts of the filters, for one of the 36 elements."""
    f, part = task // PARTS, task % PARTS
    k, end = part * filters // PARTS, (part + 1) * filters // PARTS
    a, b, to = address(d[f, k * width :]), address(v[f]), address(sums[f, k * c :])
    gemm(end - k, c, tiles, Operand(a, width, False), Operand(b, width, True), Panel(to, c), adds > 0)


@kernel(reads(2), reads(2), int64, int64, int64, int64, int64, writes(2))
def _add_products(d, v, width, tiles, filters, c, adds, sums):
    parallel_for(_add_product, 36 * PARTS, (d, v, width, tiles, filters, c, adds, sums))


@inner
def _write_taps(k, sums, dweight):
    c, buffer = dweight.shape[1], np.empty(9 * LANES, np.float32)
    for first in range(0, c, LANES):
        gradient_tile(address(sums) + 4 * (k * c + first), sums.shape[1], address(buffer))
        for j in range(min(LANES, c - first)):
            for tap in range(9):
                dweight[k, first + j, tap // 3, tap % 3] = buffer[tap * LANES + j]


@kernel(reads(2), writes(4))
def _taps(sums, dweight):
    parallel_for(_write_taps, len(dweight), (sums, dweight))
