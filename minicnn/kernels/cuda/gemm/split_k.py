"""Products whose depth several blocks share: how many shares, and the kernels that add them.

The blocks write their sums side by side, and a kernel adds them, first share to last, whichever block is done
first.
"""

from __future__ import annotations

from numba import cuda

from minicnn.kernels.cuda.gemm.tiles import BLOCKS
from minicnn.kernels.cuda.launch import divided

__all__ = ["finish_split", "shares", "sum_parts"]

LEAST = 32  # steps along the depth below which a share is not worth its sums' way to memory and back


def shares(steps: int, blocks: int) -> tuple[int, int]:
    """Split the depth of a launch of few blocks: steps of each share, and how many shares.

    A function of the shapes alone, not of the GPU at hand, so the sums are in the same order everywhere.
    """
    share = max(1, -(-steps // max(1, min(BLOCKS // blocks, steps // LEAST))))
    return share, max(1, -(-steps // share))


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
