"""The tile of a product: how a block of threads shares it, and the multiply-adds of its inner loop.

A block computes BM x BN outputs and walks along the depth BK at a time: while its threads multiply what lies in
one pair of shared tiles, they fetch the next from global memory into registers and lay it into the other pair, so
each step needs one barrier.  A thread fetches four values of either side, and owns TM x TN outputs in registers,
in pieces of 4: for each row of the depth it reads TM + TN values from shared memory, four at a time, for TM TN
multiply-adds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import cuda

from minicnn.kernels.cuda.gemm.vectors import load_vec4

__all__ = [
    "BK",
    "LARGE",
    "OUTSIDE",
    "PAD",
    "SMALL",
    "TARGET_BLOCKS",
    "Tile",
    "choose_tile",
    "piece_strides",
    "thread_origin",
    "tile_multiply",
    "unroll",
]

BK = 8  # depth of a tile
PAD = 4  # a shared row's extra values: stores of 8 rows x 4 columns then meet 32 different banks
OUTSIDE = -(1 << 20)  # a source row that no tap leads back from
# Instructions for a multiply-add of the small tile, over the large one's: 10 % more if dense, 19 % if gathered.
SMALL_TILE_COST = 1.15
# Blocks a launch should have: two for each multiprocessor of an H100, on whatever GPU, for the same bits.
TARGET_BLOCKS = 264


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


def choose_tile(rows: int, columns: int, depth: int, dtype: np.dtype) -> Tile:
    """Choose a tile, in float32 by what the busiest multiprocessor has to do: whole blocks, their edges included.

    The large tile takes fewer instructions a multiply-add; the small one sticks out less, and deals out evenly.
    """

    def work(tile):
        # rounds of one block for each multiprocessor, times the outputs of a block: the edges count in full
        blocks = -(-rows // tile.bm) * -(-columns // tile.bn) * depth
        return -(-blocks // (TARGET_BLOCKS // 2)) * tile.bm * tile.bn

    return LARGE if dtype == np.float32 and work(LARGE) <= SMALL_TILE_COST * work(SMALL) else SMALL


def piece_strides(tile: Tile) -> tuple[int, int]:
    """Distance of a thread's pieces of 4 rows, and of 4 columns."""
    return tile.bm * 4 // tile.tm, tile.bn * 4 // tile.tn


@cuda.jit(device=True)
def thread_origin(t):
    """First row and column of a thread's outputs: a warp has 4 x 8 neighbours, whose reads meet no bank twice."""
    return (t // 64 * 4 + t % 32 // 8) * 4, (t // 32 % 2 * 8 + t % 8) * 4


def tile_multiply(tile: Tile, real: type):
    """Device function total[i, j] += sum_d left[d, row i] right[d, column j] over the BK rows of a pair of tiles.

    ``at_left`` and ``at_right`` are where the thread's first row and column lie in row 0 of the pair; the others
    lie behind them, four together, the next four a gap further.
    """
    bm, bn, tm, tn = tile
    # row i of the thread lies in piece i // 4, row_stride behind the piece before
    row_stride, column_stride = piece_strides(tile)

    @cuda.jit(device=True)
    def row_of_depth(d, left, right, at_left, at_right, total):
        a, b = cuda.local.array(tm, real), cuda.local.array(tn, real)
        # row d of the left tile starts at d (BM + PAD); a piece of four is one vector read
        for i in range(0, tm, 4):
            at = at_left + d * (bm + PAD) + i // 4 * row_stride
            a[i], a[i + 1], a[i + 2], a[i + 3] = load_vec4(left, at)
        for j in range(0, tn, 4):
            at = at_right + d * (bn + PAD) + j // 4 * column_stride
            b[j], b[j + 1], b[j + 2], b[j + 3] = load_vec4(right, at)
        # outer product: TM + TN values read for TM TN multiply-adds
        for i in range(tm):
            for j in range(tn):
                total[i, j] += a[i] * b[j]

    return unroll(row_of_depth, BK)


def unroll(body, count: int):
    """Device function of body(d, ...), body(d + 1, ...) and so on: the compiler unrolls no loop of such length."""
    if count == 1:
        return body
    # halving nests log2(count) functions, and the whole is code without a loop
    half, step = unroll(body, count // 2), count // 2

    @cuda.jit(device=True)
    def both(d, *arguments):
        half(d, *arguments)
        half(d + step, *arguments)

    return both
