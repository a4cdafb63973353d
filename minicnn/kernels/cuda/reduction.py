"""Sums of many values, in an order that depends on the shape alone.

A block sums one channel: each thread its own share of the values, then those of each warp by shuffles from
register to register, then one thread the sums of the warps.  No atomics, so the same bits on every run.
"""

from __future__ import annotations

from numba import cuda, float32, float64

from minicnn.kernels.cuda.arrays import empty
from minicnn.kernels.cuda.launch import divmod_u32, optional

__all__ = ["WIDTH", "block_max", "block_sum", "sum_per_channel"]

WIDTH = 128  # threads of a block that sums
WARP, FULL_MASK = 32, 0xFFFFFFFF  # threads of a warp, and the mask of all of them


def _block_reduce(combine):
    """Device function that reduces the block's values with an associative function of two."""

    @cuda.jit(device=True)
    def reduce(partials, t):
        """Combine the WIDTH values in shared memory into the first, for all threads to read."""
        value = partials[t]
        # a tree: after log2(WARP) shuffles, the first thread of the warp has the warp's value
        step = WARP // 2
        while step > 0:
            value = combine(value, cuda.shfl_down_sync(FULL_MASK, value, step))
            step //= 2
        cuda.syncthreads()  # all are read before the first are overwritten
        # one value a warp, laid together
        if t % WARP == 0:
            partials[t // WARP] = value
        cuda.syncthreads()
        if t == 0:
            # the thread's own value is that of warp 0; the other warps follow in order
            for warp in range(1, WIDTH // WARP):
                value = combine(value, partials[warp])
            partials[0] = value
        cuda.syncthreads()

    return reduce


@cuda.jit(device=True)
def _add(a, b):
    return a + b


@cuda.jit(device=True)
def _larger(a, b):
    return max(a, b)


block_sum, block_max = _block_reduce(_add), _block_reduce(_larger)


def _make_channel_sums(real):
    @cuda.jit
    def channel_sums(x, other, y, batch, channels, area):
        partials = cuda.shared.array(WIDTH, real)
        c, t = cuda.blockIdx.x, cuda.threadIdx.x
        total = real(0)
        # pixels of all images, the threads side by side
        for i in range(t, batch * area, WIDTH):
            image, pixel = divmod_u32(i, area)
            # pixel of map c of the image
            at = (image * channels + c) * area + pixel
            total += x[at] * other.values[at] if other.given else x[at]
        partials[t] = total
        block_sum(partials, t)
        if t == 0:
            y[c] = partials[0]

    return channel_sums


_KERNELS = {"float32": _make_channel_sums(float32), "float64": _make_channel_sums(float64)}


def sum_per_channel(x, other):
    """Sum over n and pixels of x[n, c, pixel] other[n, c, pixel], of shape (C,); ``other`` None is all ones."""
    batch, channels, area = x.shape
    y = empty((channels,), x.dtype)
    _KERNELS[x.dtype.name][channels, WIDTH](x.memory, optional(other, x), y.memory, batch, channels, area)
    return y
