"""Products whose depth several blocks share: how many shares, and the kernels that add them.

The blocks write their sums side by side, and a kernel adds them, first share to last, whichever block is done
first.
"""

from __future__ import annotations

from numba import cuda

from minicnn.kernels.cuda.epilogue import clip_with_mask
from minicnn.kernels.cuda.gemm.tiles import TARGET_BLOCKS
from minicnn.kernels.cuda.launch import divmod_u32

__all__ = ["reduce_partials", "reduce_partials_with_epilogue", "split_depth"]

MIN_STEPS = 32  # along the depth: a smaller share is not worth its sums' way to memory and back


def split_depth(steps: int, blocks: int) -> tuple[int, int]:
    """Split the depth of a launch of few blocks: steps of each share, and how many shares.

    A function of the shapes alone, not of the GPU at hand, so the sums are in the same order everywhere.
    """
    # as many shares as bring the launch to TARGET_BLOCKS, but none shorter than MIN_STEPS, at least one
    share = max(1, -(-steps // max(1, min(TARGET_BLOCKS // blocks, steps // MIN_STEPS))))
    return share, max(1, -(-steps // share))


@cuda.jit
def reduce_partials(partials, y, count, size):
    """Sum of ``count`` arrays of ``size`` values that lie one after the other, first to last."""
    i = cuda.grid(1)
    if i < size:
        # first share to last, whichever block was done first: the order of the sum is fixed
        total = partials[i]
        for part in range(1, count):
            total += partials[part * size + i]
        y[i] = total


@cuda.jit
def reduce_partials_with_epilogue(partials, y, g, count, epilogue, size):
    """Sum of the shares of a split product, first to last, and its epilogue: one (m, pixel) a thread."""
    i = cuda.grid(1)
    if i < size:
        total, zero = partials[i], partials.dtype.type(0)
        for part in range(1, count):
            total += partials[part * size + i]
        # the partials are (K, pixels of all images), the output (N, K, P, Q): place the pixel in its map
        k, pixel = divmod_u32(i, g.pixels)
        image, rest = divmod_u32(pixel, g.rows * g.columns)
        row, column = divmod_u32(rest, g.columns)
        h, w = row * g.out_stride_y + g.out_y, column * g.out_stride_x + g.out_x
        at = ((image * g.total_filters + k) * g.out_height + h) * g.out_width + w
        total = total * epilogue.scale.values[k] if epilogue.scale.given else total
        total = total + epilogue.shift.values[k] if epilogue.shift.given else total
        # the rectifier can act only here: the shares alone do not know the sign of their sum
        if epilogue.mask.given:
            total = clip_with_mask(total, zero, at, epilogue)
        y[at] = total
