"""Convolution, its gradients and its transpose: which kernel, and its launch.

See ``minicnn.kernels.reference.convolution``; the kernels are in ``product``, ``direct`` and ``winograd``.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.direct import FEW, back_through, direct, direct_back, direct_weight
from minicnn.kernels.cuda.gemm.gather_gemm import gather_kernel
from minicnn.kernels.cuda.gemm.packing import packed
from minicnn.kernels.cuda.gemm.split_k import finish_split, shares, sum_parts
from minicnn.kernels.cuda.gemm.tap_tables import backward_plans, forward_plan, weight_plan
from minicnn.kernels.cuda.gemm.tiles import BK, LARGE, SMALL, tile_for
from minicnn.kernels.cuda.gemm.weight_gemm import weight_kernel
from minicnn.kernels.cuda.launch import each, number
from minicnn.kernels.cuda.reduction import sum_of_products
from minicnn.kernels.cuda.winograd import fits, winograd
from minicnn.kernels.reference.windows import Windows
from minicnn.shapes import pair, sides, transposed_size

__all__ = [
    "conv2d",
    "conv2d_bias_grad",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "conv_transpose2d_input_grad",
    "conv_transpose2d_weight_grad",
    "convolved",
    "convolved_back",
]

_REALS = {"float32": float32, "float64": float64}
_TILES = [(LARGE, "float32"), (SMALL, "float32"), (SMALL, "float64")]
_GATHER = {
    (tile, name, dense, split): gather_kernel(tile, _REALS[name], dense, split)
    for tile, name in _TILES
    for dense in (False, True)
    for split in (False, True)[: 1 + (tile is SMALL)]
}
_WEIGHT = {(tile, name): weight_kernel(tile, _REALS[name]) for tile, name in _TILES}


def _gathered(plan, x, weight, y, groups, scale=None, shift=None, mask=None, most=np.inf):
    """Launch one gather; ``mask`` given means rectified."""
    g = plan.geometry
    if plan.packing is not None:
        weight = packed(weight, plan.packing, (g.total_filters, g.deep), g.filters)
    spare, no_mask = weight.memory, empty((1,), np.bool_)
    factors = [spare if a is None else a.memory for a in (scale, shift)]
    results = [y.memory, (no_mask if mask is None else mask).memory]
    arrays = [weight.memory, x.memory, plan.taps.memory]
    flags = int(scale is not None), int(shift is not None), int(mask is not None), number(x, most)
    if g.filters < FEW:
        each(direct[g.filters], g.pixels * groups, *arrays, *factors, *results, g, groups, *flags)
        return
    tile = tile_for(g.filters, g.pixels, groups, x.dtype)
    tiles, steps = (-(-g.pixels // tile.bn), -(-g.filters // tile.bm)), g.deep // BK
    share, count = (steps, 1) if tile is LARGE else shares(steps, tiles[0] * tiles[1] * groups)
    launch = _GATHER[tile, x.dtype.name, plan.dense, count > 1][(*tiles, groups * count), tile.threads]
    if count == 1:
        launch(*arrays, *factors, *results, g, share, *flags)
        return
    size = g.total_filters * g.pixels
    parts = empty((count, size), x.dtype)  # held by name until it is read: memory that nobody holds is taken again
    launch(*arrays, spare, spare, parts.memory, no_mask.memory, g, share, 0, 0, 0, number(x, np.inf))
    each(finish_split, size, parts.memory, *factors, *results, g, count, *flags)


def convolved(x, weight, windows, groups, scale=None, shift=None, rectified=False, most=np.inf):
    """Return y = scale (x * weight) + shift, rectified or not, and the rectifier's mask or None."""
    k = len(weight)
    y = empty((len(x), k, *windows.output_size), x.dtype)
    mask = empty(y.shape, np.bool_) if rectified else None
    if fits(x, k, windows, groups):
        (top, _), (left, _) = windows.padding
        winograd(x, weight, y, (top, left), _products, scale, shift, mask, most)
        return y, mask
    plan = forward_plan(len(x), x.shape[1], k, windows, groups)
    _gathered(plan, x, weight, y, groups, scale, shift, mask, most)
    return y, mask


def _products(v, u):
    """36 products over channels, (36 C, tiles) by (36 K, C), as one 1x1 convolution of 36 groups."""
    windows = Windows.over(v.shape[2:], (1, 1))
    m = empty((1, len(u), *v.shape[2:]), v.dtype)
    _gathered(forward_plan(1, v.shape[1], len(u), windows, 36), v, u, m, 36)
    return m


def convolved_back(dy, weight, windows, groups):
    """Return the gradient with respect to the input."""
    c = weight.shape[1] * groups
    dx = empty((len(dy), c, *windows.size), dy.dtype)
    if fits(dy, c, windows, groups):
        (top, _), (left, _) = windows.padding
        winograd(dy, weight, dx, (2 - top, 2 - left), _products, backward=True)
        return dx
    _scattered(dy, weight, dx, windows, groups)
    return dx


def _scattered(dy, weight, dx, windows, groups, shift=None):
    """Write what the transpose of a convolution gives, plus ``shift``: a product for each phase of the stride."""
    (n, c, height, _), k = dx.shape, dy.shape[1]
    if c // groups < FEW:
        b = back_through(k, windows, groups)
        arrays = dy.memory, weight.memory, (weight if shift is None else shift).memory, dx.memory
        threads = n * groups * height * b.step_x * b.wide
        each(direct_back[c // groups], threads, *arrays, b, int(shift is not None))
        return
    for plan in backward_plans(n, c, k, windows, groups):
        _gathered(plan, dy, weight, dx, groups, shift=shift)


@on_device
def conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """2-D convolution by implicit products: ``reference.conv2d``."""
    windows = Windows.over(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return convolved(x, weight, windows, groups, shift=bias)[0]


@on_device
def conv2d_input_grad(dy, weight, input_size, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the input of a convolution: ``reference.conv2d_input_grad``."""
    windows = Windows.over(tuple(input_size), weight.shape[2:], stride, padding, dilation)
    return convolved_back(dy, weight, windows, groups)


@on_device
def conv2d_weight_grad(x, dy, kernel_size, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the weight of a convolution: ``reference.conv2d_weight_grad``."""
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, dilation)
    n, c, k = len(x), x.shape[1], dy.shape[1]
    filters, columns = k // groups, c // groups * windows.kernel_size[0] * windows.kernel_size[1]
    area = windows.output_size[0] * windows.output_size[1]
    plan = weight_plan(c, windows, groups)
    tables = [table.memory for table in plan]
    values = x.size // max(n, 1), dy.size // max(n, 1)  # of an image
    sizes = filters, columns, area, groups, n, *windows.size, *values
    dweight = empty((k, c // groups, *windows.kernel_size), x.dtype)
    if filters < FEW:
        direct_weight[x.dtype.name][dweight.size, 128](dy.memory, x.memory, *tables, dweight.memory, *sizes)
        return dweight
    tile = tile_for(filters, columns, groups, x.dtype)
    blocks = -(-filters // tile.bm) * -(-columns // tile.bn) * groups
    steps = -(-area // BK) * n
    share, count = shares(steps, blocks)
    parts = empty((count, dweight.size), x.dtype)
    grid = -(-columns // tile.bn), -(-filters // tile.bm), groups * count
    _WEIGHT[tile, x.dtype.name][grid, tile.threads](dy.memory, x.memory, *tables, parts.memory, *sizes, share)
    each(sum_parts, dweight.size, parts.memory, dweight.memory, count)
    return dweight


@on_device
def conv2d_bias_grad(dy):
    """Gradient with respect to the bias of a convolution: ``reference.conv2d_bias_grad``."""
    return sum_of_products(dy.reshape(*dy.shape[:2], dy.shape[2] * dy.shape[3]), None)


@on_device
def conv_transpose2d(x, weight, bias=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """Transposed convolution: ``reference.conv_transpose2d``."""
    size = transposed_size(
        x.shape[2:],
        weight.shape[2:],
        pair(stride, "stride"),
        sides(padding),
        pair(output_padding, "output_padding", minimum=0),
        pair(dilation, "dilation"),
    )
    windows = Windows.over(size, weight.shape[2:], stride, padding, dilation)
    k = weight.shape[1] * groups
    y = empty((len(x), k, *size), x.dtype)
    _scattered(x, weight, y, windows, groups, shift=bias)
    return y


def conv_transpose2d_input_grad(dy, weight, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the input of a transposed one: ``reference.conv_transpose2d_input_grad``."""
    return conv2d(dy, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv_transpose2d_weight_grad(x, dy, kernel_size, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the weight of a transposed one: ``reference.conv_transpose2d_weight_grad``."""
    return conv2d_weight_grad(dy, x, kernel_size, stride=stride, padding=padding, dilation=dilation, groups=groups)
