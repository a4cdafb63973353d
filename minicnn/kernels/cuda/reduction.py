"""Sums and maxima of many values, in an order that the shape alone decides.

A block has one result: each thread combines its own share of the values, then those of each warp by shuffles from
register to register, then every thread those of the warps.  No atomics, so the same bits on every run.
"""

from __future__ import annotations

from numba import cuda, float32, float64

from minicnn.kernels.cuda.arrays import empty
from minicnn.kernels.cuda.launch import divmod_u32, launch_per_value, optional

__all__ = [
    "WARPS",
    "WIDTH",
    "block_max",
    "block_min",
    "block_sum",
    "first_of_line",
    "larger",
    "sum_lines",
    "sum_per_channel",
]

WARP, FULL_MASK = 32, 0xFFFFFFFF  # threads of a warp, and the mask of all of them
WARPS = 4  # of a block that sums
WIDTH = WARPS * WARP  # its threads


def _block_reduce(combine):
    """Device function that reduces the values of a block's threads with an associative function of two."""

    @cuda.jit(device=True)
    def reduce(value, partials):
        """Combine the values of all WIDTH threads, for each of them; ``partials`` are WARPS shared values."""
        # a tree: after log2(WARP) shuffles, the first thread of the warp has the warp's value
        step = WARP // 2
        while step > 0:
            value = combine(value, cuda.shfl_down_sync(FULL_MASK, value, step))
            step //= 2
        if cuda.threadIdx.x % WARP == 0:
            partials[cuda.threadIdx.x // WARP] = value
        cuda.syncthreads()
        value = partials[0]
        for warp in range(1, WARPS):
            value = combine(value, partials[warp])
        # all have read the shared values before the next reduction overwrites them
        cuda.syncthreads()
        return value

    return reduce


@cuda.jit(device=True)
def _add(a, b):
    return a + b


@cuda.jit(device=True)
def larger(a, b):
    """Return the larger of two numbers; NaN where one is."""
    return a if a > b or a != a else b


@cuda.jit(device=True)
def _smaller(a, b):
    return min(a, b)


block_sum, block_max, block_min = _block_reduce(_add), _block_reduce(larger), _block_reduce(_smaller)


@cuda.jit(device=True)
def first_of_line(depth, breadth):
    """Where the block's line along the middle axis of (A, depth, breadth) has its first value."""
    a, b = divmod_u32(cuda.blockIdx.x, breadth)
    return a * depth * breadth + b


def _make_channel_sums(real):
    @cuda.jit
    def channel_sums(x, other, y, batch, channels, area):
        partials = cuda.shared.array(WARPS, real)
        c, t = cuda.blockIdx.x, cuda.threadIdx.x
        total = real(0)
        # pixels of all images, the threads side by side
        for i in range(t, batch * area, WIDTH):
            image, pixel = divmod_u32(i, area)
            # pixel of map c of the image
            at = (image * channels + c) * area + pixel
            total += x[at] * other.values[at] if other.given else x[at]
        total = block_sum(total, partials)
        if t == 0:
            y[c] = total

    return channel_sums


_KERNELS = {"float32": _make_channel_sums(float32), "float64": _make_channel_sums(float64)}


def sum_per_channel(x, other):
    """Sum over n and pixels of x[n, c, pixel] other[n, c, pixel], of shape (C,); ``other`` None is all ones."""
    batch, channels, area = x.shape
    y = empty((channels,), x.dtype)
    _KERNELS[x.dtype.name][channels, WIDTH](x.memory, optional(other, x), y.memory, batch, channels, area)
    return y


@cuda.jit
def _sum_columns(x, y, depth, breadth, size):
    """y[a, b] = sum_d x[a, d, b], one thread each: neighbours read neighbouring values."""
    i = cuda.grid(1)
    if i < size:
        a, b = divmod_u32(i, breadth)
        total = x.dtype.type(0)
        for d in range(depth):
            total += x[(a * depth + d) * breadth + b]
        y[i] = total


def sum_lines(x, view):
    """Return the A B sums over the middle axis of ``view``, (A, D, B), as which x is seen."""
    lines, depth, breadth = view
    if breadth == 1:
        return sum_per_channel(x.reshape(1, lines, depth), None)
    y = empty((lines * breadth,), x.dtype)
    launch_per_value(_sum_columns, y.size, x.memory, y.memory, depth, breadth)
    return y
