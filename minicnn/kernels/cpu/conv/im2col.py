"""Convolution of any geometry as products: windows are written out as columns, and BLAS does the rest.

    y[n, g] = W[g] X,    X[c R S + r S + s, p Q + q] = x[n, c, p stride + r dilation - padding, ...]

Schedule: tasks are an image, a group, some output rows and some filters (or channels, for gradients).  The cut
depends on shapes alone, not on the number of threads.  A 1x1 kernel with stride 1 needs no columns: there X is x.

Memory: a megabyte of columns for each task, which stays in a core's cache.

Gain: none over a direct sum but BLAS, which is fast for what no other algorithm here suits.
Reference: ``reference.conv2d`` and its gradients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import boolean, int64, types

from minicnn.kernels.cpu.conv.columns import Window, fold_tap, unfold
from minicnn.kernels.cpu.conv.geometry import GEOMETRY, Geometry, ceil_div
from minicnn.kernels.cpu.dtype import constant
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.simd.epilogue import (
    EPILOGUE,
    PROLOGUE,
    Epilogue,
    Prologue,
    channel_epilogue,
    scale_and_mask,
    scale_shift_clip,
    view_epilogue,
    view_prologue,
)
from minicnn.kernels.cpu.simd.gemm import Operand, gemm
from minicnn.kernels.cpu.simd.gemm_micro import Panel
from minicnn.kernels.cpu.simd.pointers import float_pointer, keep_alive, mask_offset
from minicnn.kernels.cpu.simd.vector import address, load_scalar

__all__ = ["apply_prologue", "forward", "input_grad", "weight_grad"]

COLUMNS = 1 << 18  # values of columns at a time, a megabyte
PARTS = 8  # into which the work is cut at least, where it is large enough to be cut
MIN_WORK = 1 << 20  # multiply-adds below which cutting costs more than it gives


class _Cut(NamedTuple):
    """How a forward is cut: ``rows`` of outputs in each of ``blocks``, ``filters`` in each of ``parts``."""

    rows: int
    blocks: int
    filters: int
    parts: int


class _GradCut(NamedTuple):
    """How a weight gradient is cut: channels and filters of a task, and rows of dy at a time."""

    channels: int
    filters: int
    rows: int


CUT = types.UniTuple(int64, len(_Cut._fields))
GRAD_CUT = types.UniTuple(int64, len(_GradCut._fields))


def forward(x: np.ndarray, weight: np.ndarray, epilogue: Epilogue, geometry: Geometry, y: np.ndarray) -> None:
    """Fill y (N, K, P, Q) and the epilogue's mask."""
    # filters of a group, and the depth C / G R S of a product
    k, window = len(weight) // geometry.groups, weight[0].size
    p, q = y.shape[2:]
    images, work = len(x) * geometry.groups, k * window * p * q
    # as many rows of outputs as COLUMNS hold
    rows = min(p, max(1, COLUMNS // (window * q)))
    # too few images to share: large maps are cut further
    if images < PARTS and p * q >= 1024 and work >= MIN_WORK:
        rows = min(rows, -(-p * images // PARTS))
    blocks = -(-p // rows)
    # filters are cut last, since each part of them writes the columns again
    wanted = -(-PARTS // (images * blocks)) if work >= MIN_WORK else 1
    filters = max(16, -(-k // wanted))
    cut = rows, blocks, filters, -(-k // filters)
    has_epilogue = not _is_identity(epilogue)
    _forward(x, weight, tuple(geometry), cut, has_epilogue, epilogue.as_arguments(), y)


def input_grad(dy: np.ndarray, weight: np.ndarray, prologue: Prologue, geometry: Geometry, dx: np.ndarray) -> None:
    """Fill dx (N, C, H, W)."""
    # columns of one channel: R S P Q
    window = int(np.prod(weight.shape[2:])) * dy.shape[2] * dy.shape[3]
    channels = weight.shape[1]
    some = max(1, COLUMNS // window)
    # fewer channels at a time where that gives PARTS tasks, but not fewer than 8
    some = min(some, max(8, -(-channels * len(dy) * geometry.groups // PARTS)), channels)
    _input_grad(apply_prologue(dy, prologue), weight, tuple(geometry), some, dx)


def weight_grad(x: np.ndarray, dy: np.ndarray, geometry: Geometry, dweight: np.ndarray) -> None:
    """Fill dweight (K, C / groups, R, S)."""
    if not len(x):
        dweight[:] = 0  # a sum over no image: no task would write it
        return
    k, channels, taps = len(dweight) // geometry.groups, dweight.shape[1], dweight.shape[2] * dweight.shape[3]
    some = min(channels, max(1, 64 // taps))
    blocks = geometry.groups * -(-channels // some)
    parts = max(1, min(len(x), -(-PARTS // blocks)))  # of the images: few channels are too little to be cut
    filters = min(k, max(32, -(-k * blocks * parts // PARTS)))
    rows = min(dy.shape[2], max(1, COLUMNS // (some * taps * dy.shape[3])))
    # each part of the images has a sum of its own, so that no two tasks add to the same place
    sums = dweight[None] if parts == 1 else empty((parts, *dweight.shape))
    _weight_grad(x, dy, tuple(geometry), (some, filters, rows), sums)
    if parts > 1:
        # in the order of the images, not of the threads: the same bits every time
        np.sum(sums, axis=0, out=dweight)


def _is_identity(epilogue):
    """Whether an epilogue does nothing; ``constant`` gives one array for one value and length."""
    count = len(epilogue.scale)
    is_clip = epilogue.mask is not None or epilogue.clip_min != -np.inf or epilogue.clip_max != np.inf
    return not is_clip and epilogue.scale is constant(1, count) and epilogue.shift is constant(0, count)


def apply_prologue(dy, prologue):
    """Return dy through the prologue: itself where that does nothing."""
    is_masked = prologue.mask is not None or prologue.only_positive
    if not is_masked and prologue.scale is constant(1, len(prologue.scale)):
        return dy
    masked = empty(dy.shape)
    _scale_and_mask(dy, prologue.as_arguments(), masked)
    return masked


@inner
def _scale_and_mask_map(i, dy, prologue, masked):
    size, scale = dy.shape[2] * dy.shape[3], load_scalar(prologue.scale, i % dy.shape[1])
    source, mask = float_pointer(dy, i * size), mask_offset(prologue.mask, i * size)
    scale_and_mask(source, size, scale, mask, prologue.only_positive, float_pointer(masked, i * size))


@kernel(reads(4), PROLOGUE, writes(4))
def _scale_and_mask(dy, prologue, masked):
    parallel_for(_scale_and_mask_map, len(dy) * dy.shape[1], (dy, view_prologue(prologue), masked))


@inner
def _forward_task(task, x, weight, geometry, cut, has_epilogue, epilogue, y):
    """One image, group, block of rows and part of the filters."""
    (filters, channels, kernel_height, kernel_width), (_, _, height, width) = weight.shape, y.shape
    # task = ((n G + group) blocks + block) parts + part
    rest, part = divmod(task, cut.parts)
    rest, block = divmod(rest, cut.blocks)
    n, group = divmod(rest, geometry.groups)
    first, last, c = block * cut.rows, min(height, (block + 1) * cut.rows), group * channels
    count = min(cut.filters, filters // geometry.groups - part * cut.filters)
    k, depth, size = (
        group * (filters // geometry.groups) + part * cut.filters,
        weight[0].size,
        (last - first) * width,
    )
    columns = np.empty(1 if geometry.is_pointwise else depth * size, np.float32)
    # B (C / G R S, rows Q): the columns, or the pixels of x as they lie, whose channels are a map apart
    b, b_row = address(columns), size
    if geometry.is_pointwise:
        b, b_row = float_pointer(x, ((n * x.shape[1] + c) * height + first) * width), height * width
    else:
        window = Window(geometry, kernel_height, kernel_width, width)
        unfold(x[n, c : c + channels], window, first, last, columns)
    # A (filters, C / G R S); C is rows ``first`` to ``last`` of the maps of y from k on, which lie P Q apart
    a, to = float_pointer(weight, k * depth), float_pointer(y, ((n * filters + k) * height + first) * width)
    c = Panel(to, height * width)
    gemm(count, size, depth, Operand(a, depth, False), Operand(b, b_row, False), c, False)
    keep_alive((columns,))
    # the product has no epilogue of its own: one pass over this task's outputs, in place
    for i in range(k, k + count if has_epilogue else k):
        at = ((n * filters + i) * height + first) * width
        sums, mask = float_pointer(y, at), mask_offset(epilogue.mask, at)
        scale_shift_clip(sums, size, channel_epilogue(epilogue, i), sums, mask)


@kernel(reads(4), reads(4), GEOMETRY, CUT, boolean, EPILOGUE, writes(4))
def _forward(x, weight, geometry, cut, has_epilogue, epilogue, y):
    geometry, cut = Geometry(*geometry), _Cut(*cut)
    tasks = len(x) * geometry.groups * cut.blocks * cut.parts
    parallel_for(_forward_task, tasks, (x, weight, geometry, cut, has_epilogue, view_epilogue(epilogue), y))


@inner
def _input_grad_task(task, dy, weight, geometry, some, dx):
    """One image, group and ``some`` of its channels."""
    filters, channels, kernel_height, kernel_width = weight.shape
    rest, block = divmod(task, ceil_div(channels, some))
    n, group = divmod(rest, geometry.groups)
    depth, taps, size = filters // geometry.groups, kernel_height * kernel_width, dy.shape[2] * dy.shape[3]
    k, c = group * depth, block * some
    count, out = min(some, channels - c), group * channels + c
    # A = W' (some R S, K / G): in memory a filter is a row, C / G R S floats long
    a = Operand(float_pointer(weight, (k * channels + c) * taps), channels * taps, True)
    b = Operand(float_pointer(dy, (n * filters + k) * size), size, False)
    # each pixel is read by one tap only: the product is dx itself
    if geometry.is_pointwise:
        to = float_pointer(dx, (n * dx.shape[1] + out) * size)
        gemm(count, size, depth, a, b, Panel(to, size), False)
        return
    columns, at = np.empty(count * taps * size, np.float32), 0
    # gradient of the columns, (some R S, P Q): each row is one tap's, and is added to the pixels it reads
    gemm(count * taps, size, depth, a, b, Panel(address(columns), size), False)
    window = Window(geometry, kernel_height, kernel_width, dy.shape[3])
    for i in range(out, out + count):
        # ``fold_tap`` adds to what is there
        dx[n, i] = 0
        for r in range(kernel_height):
            for s in range(kernel_width):
                fold_tap(columns[at : at + size], window, (r, s), dy.shape[2], dx[n, i])
                at += size


@kernel(reads(4), reads(4), GEOMETRY, int64, writes(4))
def _input_grad(dy, weight, geometry, some, dx):
    geometry = Geometry(*geometry)
    tasks = len(dy) * geometry.groups * ceil_div(weight.shape[1], some)
    parallel_for(_input_grad_task, tasks, (dy, weight, geometry, some, dx))


class _GradTask(NamedTuple):
    """What of a weight gradient a task sums: which images, group, channels of the group, and filters.

    Attributes
    ----------
    first, last : of the images
    group : int
    channel, channels : the first one, and how many
    filter, filters : the first one, of all groups, and how many

    """

    first: int
    last: int
    group: int
    channel: int
    channels: int
    filter: int
    filters: int


@inner
def _weight_grad_task(task, x, dy, geometry, cut, sums):
    # sums is (parts of the images, K, C / G, R, S)
    parts, _, channels, kernel_height, kernel_width = sums.shape
    filters = sums.shape[1] // geometry.groups
    # task = ((group blocks + block) filter parts + part) image parts + i
    rest, i = divmod(task, parts)
    rest, part = divmod(rest, ceil_div(filters, cut.filters))
    group, block = divmod(rest, ceil_div(channels, cut.channels))
    c, k = block * cut.channels, part * cut.filters
    some = _GradTask(
        i * len(x) // parts,
        (i + 1) * len(x) // parts,
        group,
        c,
        min(cut.channels, channels - c),
        group * filters + k,
        min(cut.filters, filters - k),
    )
    window = Window(geometry, kernel_height, kernel_width, dy.shape[3])
    _sum_weight_grad(some, x, dy, window, cut.rows, sums[i])


@inner
def _sum_weight_grad(some, x, dy, window, rows, dweight):
    """Sum over some images, ``rows`` of dy at a time, for some channels and filters."""
    channels, taps, (filters, height, width) = dweight.shape[1], window.height * window.width, dy.shape[1:]
    c, depth = some.group * channels + some.channel, some.channels * taps
    is_pointwise = window.geometry.is_pointwise
    # C (filters, some R S) lies within dweight, whose rows are C / G R S long
    to, to_row = float_pointer(dweight, (some.filter * channels + some.channel) * taps), channels * taps
    columns = np.empty(1 if is_pointwise else depth * rows * width, np.float32)
    for n in range(some.first, some.last):
        for first in range(0, height, rows):
            last = min(height, first + rows)
            size = (last - first) * width
            b, b_row = address(columns), size
            if is_pointwise:
                b, b_row = float_pointer(x, ((n * x.shape[1] + c) * height + first) * width), height * width
            else:
                unfold(x[n, c : c + some.channels], window, first, last, columns)
            at = ((n * filters + some.filter) * height + first) * width
            # dW = sum over n and rows of dY X', with dY (filters, rows Q) and X (some R S, rows Q)
            a = Operand(float_pointer(dy, at), height * width, False)
            # the first product writes and the others add: dweight needs no zeros before
            accumulate = n > some.first or first > 0
            gemm(some.filters, depth, size, a, Operand(b, b_row, True), Panel(to, to_row), accumulate)
    keep_alive((columns,))


@kernel(reads(4), reads(4), GEOMETRY, GRAD_CUT, writes(5))
def _weight_grad(x, dy, geometry, cut, sums):
    """sums[i] = the gradient that the i-th part of the images gives."""
    geometry, cut = Geometry(*geometry), _GradCut(*cut)
    blocks, parts = ceil_div(sums.shape[2], cut.channels), ceil_div(sums.shape[1] // geometry.groups, cut.filters)
    parallel_for(_weight_grad_task, len(sums) * geometry.groups * blocks * parts, (x, dy, geometry, cut, sums))
