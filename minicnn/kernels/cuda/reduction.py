"""Sums of many values, in an order that depends on the shape alone.

A block sums one channel: each thread its own share of the values, then all shares in a tree in shared memory.  No
atomics, so the same bits on every run.  (Warp shuffles would spare the tree's last five barriers; the simulator in
which these kernels are proved has none, and the tree is a small part of a bandwidth-bound sum.)
"""

from __future__ import annotations

from numba import cuda, float32, float64

from minicnn.kernels.cuda.arrays import empty

__all__ = ["WIDTH", "add_up", "sum_of_products"]

WIDTH = 128  # threads of a block that sums


@cuda.jit(device=True)
def add_up(shares, t, width):
    """Sum ``width`` shares (a power of two) into the first: half of the threads add the other half, and so on."""
    half = width // 2
    while half > 0:
        cuda.syncthreads()
        if t < half:
            shares[t] += shares[t + half]
        half //= 2
    cuda.syncthreads()


def _kernel(real):
    @cuda.jit
    def channel_sums(x, other, y, multiplied, batch, channels, area):
        shares = cuda.shared.array(WIDTH, real)
        c, t = cuda.blockIdx.x, cuda.threadIdx.x
        total = real(0)
        for i in range(t, batch * area, WIDTH):
            at = (i // area * channels + c) * area + i % area
            total += x[at] * other[at] if multiplied else x[at]
        shares[t] = total
        add_up(shares, t, WIDTH)
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
