"""Sums of many values, in an order that depends on the shape alone.

A block sums one channel: each thread its own share of the values, then the shares of each warp by shuffles from
register to register, then one thread the sums of the warps.  No atomics, so the same bits on every run.
"""

from __future__ import annotations

from numba import cuda, float32, float64

from minicnn.kernels.cuda.arrays import empty
from minicnn.kernels.cuda.launch import divided

__all__ = ["WIDTH", "add_up", "largest_of", "sum_of_products"]

WIDTH = 128  # threads of a block that sums
WARP, ALL = 32, 0xFFFFFFFF  # threads of a warp, and the mask of them all


def _fold(combine):
    @cuda.jit(device=True)
    def fold(shares, t):
        """Combine the block's WIDTH shares into the first, for all threads to read."""
        found = shares[t]
        step = WARP // 2
        while step > 0:
            found = combine(found, cuda.shfl_down_sync(ALL, found, step))
            step //= 2
        cuda.syncthreads()  # all shares are read before the first of them are written over
        if t % WARP == 0:
            shares[t // WARP] = found
        cuda.syncthreads()
        if t == 0:
            for warp in range(1, WIDTH // WARP):
                found = combine(found, shares[warp])
            shares[0] = found
        cuda.syncthreads()

    return fold


@cuda.jit(device=True)
def _sum(a, b):
    return a + b


@cuda.jit(device=True)
def _larger(a, b):
    return max(a, b)


add_up, largest_of = _fold(_sum), _fold(_larger)


def _kernel(real):
    @cuda.jit
    def channel_sums(x, other, y, multiplied, batch, channels, area):
        shares = cuda.shared.array(WIDTH, real)
        c, t = cuda.blockIdx.x, cuda.threadIdx.x
        total = real(0)
        for i in range(t, batch * area, WIDTH):
            image, pixel = divided(i, area)
            at = (image * channels + c) * area + pixel
            total += x[at] * other[at] if multiplied else x[at]
        shares[t] = total
        add_up(shares, t)
        if t == 0:
            y[c] = shares[0]

    return channel_sums


_KERNELS = {"float32": _kernel(float32), "float64": _kernel(float64)}


def sum_of_products(x, other):
    """Sum over n and pixels of x[n, c, pixel] other[n, c, pixel], of shape (C,); ``other`` None is all ones."""
    batch, channels, area = x.shape
    y = empty((channels,), x.dtype)
    args = x.memory, (x if other is None else other).memory, y.memory, int(other is not None)
    _KERNELS[x.dtype.name][channels, WIDTH](*args, batch, channels, area)
    return y
