"""Weight gradient of 3x3 kernels with stride 1, by Winograd's F(3x3, 4x4): 36 multiplications, not 144.

    dweight[k, c] = A' [ sum over tiles t of (G dy[k, t] G') . (B' x[c, t] B) ] A

Schedule: x is cut into the tiles of the forward; the 4x4 outputs of each, whose gradient is dy, take the place of
the weights, and the three taps that of the outputs.  For each of the 36 elements of a tile the sum over tiles is
one product of matrices, (K, T) by (T, C), which BLAS adds up over all images.

Memory: tiles of 4 million floats at a time, of x and of dy, and 36 sums of K C floats.

Reference: ``reference.conv2d_weight_grad``.
Source: Lavin, Gray 2015, "Fast Algorithms for Convolutional Neural Networks", section 4.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.conv.winograd.convolve import transform_inputs
from minicnn.kernels.cpu.conv.winograd.tiles import (
    TILES,
    Tiles,
    element_stride,
    plan_tiles,
    read_gradients,
    source_maps,
)
from minicnn.kernels.cpu.conv.winograd.transforms import transform_tap_products
from minicnn.kernels.cpu.dtype import constant
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.simd.epilogue import PROLOGUE, Prologue, view_prologue
from minicnn.kernels.cpu.simd.gemm import Operand, gemm
from minicnn.kernels.cpu.simd.gemm_micro import Panel
from minicnn.kernels.cpu.simd.pointers import float_pointer, keep_alive
from minicnn.kernels.cpu.simd.vector import LANES, address

__all__ = ["is_applicable", "weight_grad"]

KEPT = 1 << 22  # floats of transformed inputs, or gradients, that are kept at a time
PARTS = 2  # into which the filters of one element's product are cut


def is_applicable(filters: int, channels: int, dy_shape: tuple[int, ...]) -> bool:
    """Whether there are so many tiles that their products outweigh the 36 sums that must be kept of them."""
    tiles = dy_shape[0] * -(-dy_shape[2] // 4) * -(-dy_shape[3] // 4)
    return min(filters, channels) >= 16 and tiles >= 32


def weight_grad(x: np.ndarray, dy: np.ndarray, corner: tuple[int, int], dweight: np.ndarray) -> None:
    """Fill dweight (K, C, 3, 3) from x (N, C, H, W) and dy (N, K, P, Q); ``corner`` is the padding (top, left)."""
    k, c = dweight.shape[:2]
    # whole vectors of tiles, each of 36 max(K, C) floats
    max_tiles = max(LANES, KEPT // (36 * max(k, c)) // LANES * LANES)
    tiles = plan_tiles(corner, dy.shape, (1, 1), max_tiles)
    count, run = tiles.last, tiles.run
    # without tiles no product would ever write the sums
    if count == 0:
        dweight[...] = 0
        return
    # inputs V (36, C, run) and gradients D (36, K, run), transformed
    v, d = empty((36, element_stride(c * run))), empty((36, element_stride(k * run)))
    # (36, K, C): the last transform is linear, so that it comes once, after the sums over all tiles
    sums, prologue = empty((36, element_stride(k * c + LANES))), Prologue(constant(1, k)).as_arguments()
    for first in range(0, count, max_tiles):
        some = tiles._replace(first=first, last=min(count, first + max_tiles))
        transform_inputs(x, some, v)
        _transform_gradients(dy, prologue, tuple(some), d)
        _add_products(d, v, tuple(some), dweight, sums)
    _write_taps(sums, dweight)


@inner
def _transform_filter(k, dy, prologue, tiles, d):
    read_gradients(source_maps(dy, prologue, k), tiles, float_pointer(d, k * tiles.run), d.shape[1])


@kernel(reads(4), PROLOGUE, TILES, writes(2))
def _transform_gradients(dy, prologue, tiles, d):
    parallel_for(_transform_filter, dy.shape[1], (dy, view_prologue(prologue), Tiles(*tiles), d))


@inner
def _add_product(task, d, v, tiles, dweight, sums):
    """One of PARTS parts of the filters, for one of the 36 elements."""
    f, part = task // PARTS, task % PARTS
    filters, channels = dweight.shape[0], dweight.shape[1]
    k, end = part * filters // PARTS, (part + 1) * filters // PARTS
    # D[f] (filters, T) by V[f]' (T, C); the first tiles write the sums, later ones add to them
    a = Operand(float_pointer(d, f * d.shape[1] + k * tiles.run), tiles.run, False)
    b = Operand(float_pointer(v, f * v.shape[1]), tiles.run, True)
    c = Panel(float_pointer(sums, f * sums.shape[1] + k * channels), channels)
    gemm(end - k, channels, tiles.last - tiles.first, a, b, c, tiles.first > 0)


@kernel(reads(2), reads(2), TILES, reads(4), writes(2))
def _add_products(d, v, tiles, dweight, sums):
    """sums[f, k, c] = the sum over tiles of d[f, k] v[f, c], added to what earlier tiles gave."""
    parallel_for(_add_product, 36 * PARTS, (d, v, Tiles(*tiles), dweight, sums))


@inner
def _write_filter(k, sums, dweight):
    channels, taps = dweight.shape[1], np.empty(9 * LANES, np.float32)
    for first in range(0, channels, LANES):
        # output transform of the LANES kernels (k, first), (k, first + 1), ...
        transform_tap_products(float_pointer(sums, k * channels + first), sums.shape[1], address(taps))
        # the last vector reaches beyond C: what lies there is no kernel of this filter
        for j in range(min(LANES, channels - first)):
            for tap in range(9):
                dweight[k, first + j, tap // 3, tap % 3] = taps[tap * LANES + j]
    keep_alive((taps,))


@kernel(reads(2), writes(4))
def _write_taps(sums, dweight):
    parallel_for(_write_filter, len(dweight), (sums, dweight))
