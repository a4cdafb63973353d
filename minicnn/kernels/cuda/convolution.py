"""Convolution, alone or rectified, its gradients and its transpose: which kernel, and its launch.

See ``reference.convolution`` and ``reference.fused``; the kernels are in ``gemm``, ``direct`` and ``winograd``.
"""

from __future__ import annotations

import numpy as np
from numba import cuda, float32, float64

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.direct import FEW, direct, direct_input_grad, direct_weight, input_grad_geometry
from minicnn.kernels.cuda.epilogue import make_epilogue
from minicnn.kernels.cuda.gemm.gather_gemm import make_gather_gemm
from minicnn.kernels.cuda.gemm.packing import pack_filters
from minicnn.kernels.cuda.gemm.split_k import reduce_partials, reduce_partials_with_epilogue, split_depth
from minicnn.kernels.cuda.gemm.tap_tables import backward_plans, forward_plan, weight_plan
from minicnn.kernels.cuda.gemm.tiles import BK, LARGE, SMALL, choose_tile
from minicnn.kernels.cuda.gemm.weight_gemm import WeightGeometry, make_weight_gemm
from minicnn.kernels.cuda.launch import channel_index, launch_per_value, optional
from minicnn.kernels.cuda.reduction import sum_per_channel
from minicnn.kernels.cuda.winograd import fits, winograd
from minicnn.kernels.reference.windows import Windows
from minicnn.shapes import pair, sides, transposed_size

__all__ = [
    "conv2d",
    "conv2d_bias_grad",
    "conv2d_input_grad",
    "conv2d_relu",
    "conv2d_relu_input_grad",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "conv_transpose2d_input_grad",
    "conv_transpose2d_weight_grad",
    "convolve",
    "convolve_input_grad",
]

_REALS = {"float32": float32, "float64": float64}
_TILES = [(LARGE, "float32"), (SMALL, "float32"), (SMALL, "float64")]
# one kernel for each tile, dtype, way of reading and of writing; only the small tile is ever split, since
# the large one is chosen where there are blocks enough
_GATHER = {
    (tile, name, dense, split): make_gather_gemm(tile, _REALS[name], dense, split)
    for tile, name in _TILES
    for dense in (False, True)
    for split in (False, True)[: 1 + (tile is SMALL)]
}
_WEIGHT = {(tile, name): make_weight_gemm(tile, _REALS[name]) for tile, name in _TILES}


def _launch_gather(plan, x, weight, y, groups, epilogue):
    """Launch one gather: direct for few filters, in tiles else, with its depth split where the tiles are few."""
    g = plan.geometry
    # the kernel reads (K, depth); what lies otherwise is copied into such rows first
    if plan.packing is not None:
        weight = pack_filters(weight, plan.packing, (g.total_filters, g.depth), g.filters)
    arrays = weight.memory, x.memory, plan.taps.memory
    # too few filters to fill a tile: a thread has a pixel of all of them
    if g.filters < FEW:
        launch_per_value(direct[g.filters], g.pixels * groups, *arrays, y.memory, g, groups, epilogue)
        return
    tile = choose_tile(g.filters, g.pixels, groups, x.dtype)
    # grid x is the tiles of pixels, y those of filters, z the groups and shares
    tiles, steps = (-(-g.pixels // tile.bn), -(-g.filters // tile.bm)), g.depth // BK
    share, count = (steps, 1) if tile is LARGE else split_depth(steps, tiles[0] * tiles[1] * groups)
    launch = _GATHER[tile, x.dtype.name, plan.dense, count > 1][(*tiles, groups * count), tile.threads]
    # not split: the kernel applies the epilogue itself
    if count == 1:
        launch(*arrays, y.memory, g, share, epilogue)
        return
    size = g.total_filters * g.pixels
    # held by name until it is read: memory that nobody holds is taken again
    partials, no_epilogue = empty((count, size), x.dtype), make_epilogue(x)
    launch(*arrays, partials.memory, g, share, no_epilogue)
    launch_per_value(reduce_partials_with_epilogue, size, partials.memory, y.memory, g, count, epilogue)


def convolve(x, weight, windows, groups, scale=None, shift=None, rectify=False, clip_max=np.inf):
    """Return y = scale (x * weight) + shift, rectified or not, and the rectifier's mask or None."""
    k = len(weight)
    y = empty((len(x), k, *windows.output_size), x.dtype)
    # the epilogue clips where it has a mask, so a rectifier needs one even if the caller drops it
    mask = empty(y.shape, np.bool_) if rectify else None
    epilogue = make_epilogue(x, scale, shift, mask, clip_max)
    if fits(x, k, windows, groups):
        (top, _), (left, _) = windows.padding
        winograd(x, weight, y, (top, left), _grouped_gemm, epilogue)
        return y, mask
    plan = forward_plan(len(x), x.shape[1], k, windows, groups)
    _launch_gather(plan, x, weight, y, groups, epilogue)
    return y, mask


def _grouped_gemm(v, u):
    """36 products over channels, (36 C, tiles) by (36 K, C), as one 1x1 convolution of 36 groups."""
    windows = Windows.over(v.shape[2:], (1, 1))
    m = empty((1, len(u), *v.shape[2:]), v.dtype)
    _launch_gather(forward_plan(1, v.shape[1], len(u), windows, 36), v, u, m, 36, make_epilogue(v))
    return m


def convolve_input_grad(dy, weight, windows, groups):
    """Return the gradient with respect to the input of a convolution."""
    c = weight.shape[1] * groups
    dx = empty((len(dy), c, *windows.size), dy.dtype)
    if fits(dy, c, windows, groups):
        (top, _), (left, _) = windows.padding
        # dx is dy convolved with the flipped kernel, padded by R - 1 - top = 2 - top
        winograd(dy, weight, dx, (2 - top, 2 - left), _grouped_gemm, make_epilogue(dy), backward=True)
        return dx
    _convolve_transpose(dy, weight, dx, windows, groups)
    return dx


def _convolve_transpose(dy, weight, dx, windows, groups, shift=None):
    """Write the transpose of a convolution, plus ``shift``: a product for each phase of the stride."""
    (n, c, height, _), k = dx.shape, dy.shape[1]
    # a net's first layer, or a depthwise one: the output of this product has few channels a group
    if c // groups < FEW:
        # every column of every phase, the ones behind the map included
        b = input_grad_geometry(k, windows, groups)
        threads = n * groups * height * b.stride_x * b.phase_width
        arrays = dy.memory, weight.memory, optional(shift, weight), dx.memory
        launch_per_value(direct_input_grad[c // groups], threads, *arrays, b)
        return
    # the phases write disjoint pixels of dx, so their order does not matter
    for plan in backward_plans(n, c, k, windows, groups):
        _launch_gather(plan, dy, weight, dx, groups, make_epilogue(dy, shift=shift))


@on_device
def conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """2-D convolution by implicit products: ``reference.conv2d``."""
    windows = Windows.over(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return convolve(x, weight, windows, groups, shift=bias)[0]


@on_device
def conv2d_input_grad(dy, weight, input_size, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the input of a convolution: ``reference.conv2d_input_grad``."""
    windows = Windows.over(tuple(input_size), weight.shape[2:], stride, padding, dilation)
    return convolve_input_grad(dy, weight, windows, groups)


@on_device
def conv2d_weight_grad(x, dy, kernel_size, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the weight of a convolution: ``reference.conv2d_weight_grad``."""
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, dilation)
    n, c, k = len(x), x.shape[1], dy.shape[1]
    # of a group: dweight is (filters, columns) with columns (c, r, s)
    filters, columns = k // groups, c // groups * windows.kernel_size[0] * windows.kernel_size[1]
    area = windows.output_size[0] * windows.output_size[1]
    plan = weight_plan(c, windows, groups)
    tables = [table.memory for table in plan]
    values = x.size // max(n, 1), dy.size // max(n, 1)  # of an image
    g = WeightGeometry(filters, columns, area, groups, n, *windows.size, *values)
    dweight = empty((k, c // groups, *windows.kernel_size), x.dtype)
    # too few filters for a tile: a block sums one weight
    if filters < FEW:
        direct_weight[x.dtype.name][dweight.size, 128](dy.memory, x.memory, *tables, dweight.memory, g)
        return dweight
    tile = choose_tile(filters, columns, groups, x.dtype)
    # few blocks, and a long depth for more of them to share
    blocks = -(-filters // tile.bm) * -(-columns // tile.bn) * groups
    # whole steps an image, as the kernel walks them
    steps = -(-area // BK) * n
    share, count = split_depth(steps, blocks)
    partials = empty((count, dweight.size), x.dtype)
    grid = -(-columns // tile.bn), -(-filters // tile.bm), groups * count
    _WEIGHT[tile, x.dtype.name][grid, tile.threads](dy.memory, x.memory, *tables, partials.memory, g, share)
    launch_per_value(reduce_partials, dweight.size, partials.memory, dweight.memory, count)
    return dweight


@on_device
def conv2d_bias_grad(dy):
    """Gradient with respect to the bias of a convolution: ``reference.conv2d_bias_grad``."""
    return sum_per_channel(dy.reshape(*dy.shape[:2], dy.shape[2] * dy.shape[3]), None)


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
    # a transposed convolution is the input gradient of the convolution with the same windows
    y = empty((len(x), k, *size), x.dtype)
    _convolve_transpose(x, weight, y, windows, groups, shift=bias)
    return y


def conv_transpose2d_input_grad(dy, weight, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the input of a transposed one: ``reference.conv_transpose2d_input_grad``."""
    return conv2d(dy, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv_transpose2d_weight_grad(x, dy, kernel_size, *, stride=1, padding=0, dilation=1, groups=1):
    """Gradient with respect to the weight of a transposed one: ``reference.conv_transpose2d_weight_grad``."""
    return conv2d_weight_grad(dy, x, kernel_size, stride=stride, padding=padding, dilation=dilation, groups=groups)


@cuda.jit
def _scaled_rectify_grad(dy, mask, scale, dx, rule, channels, area, size):
    i = cuda.grid(1)
    if i < size:
        zero = dy.dtype.type(0)
        value = dy[i]
        where_input, where_cotangent = rule
        # the rule of the rectifier, as in ``activation``
        kept = (mask[i] or not where_input) and (value > zero or not where_cotangent)
        # selected, not multiplied by the mask: 0 times an infinite cotangent is NaN
        value = value if kept else zero
        dx[i] = value * scale.values[channel_index(i, area, channels)] if scale.given else value


@on_device
def conv2d_relu(
    x, weight, scale, shift, *, clip_max=None, stride=1, padding=0, dilation=1, groups=1, keep_mask=True
):
    """Rectified convolution and its mask, written once: ``reference.conv2d_relu``."""
    windows = Windows.over(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    # one kernel for ReLU and ReLU6: no value lies above infinity
    ceiling = np.inf if clip_max is None else clip_max
    y, mask = convolve(x, weight, windows, groups, scale, shift, rectify=True, clip_max=ceiling)
    return y, mask if keep_mask else None


@on_device
def conv2d_relu_input_grad(
    dy, mask, rule, weight, scale, input_size, *, stride=1, padding=0, dilation=1, groups=1
):
    """Gradient with respect to the input: ``reference.conv2d_relu_input_grad``."""
    windows = Windows.over(tuple(input_size), weight.shape[2:], stride, padding, dilation)
    # dy behind the rectifier and the scale, (N, K, P, Q)
    through, area = empty(dy.shape, dy.dtype), dy.shape[2] * dy.shape[3]
    where = int(rule.where_input_positive), int(rule.where_cotangent_positive)
    arrays = dy.memory, mask.memory, optional(scale, dy), through.memory
    launch_per_value(_scaled_rectify_grad, dy.size, *arrays, where, dy.shape[1], area)
    return convolve_input_grad(through, weight, windows, groups)
