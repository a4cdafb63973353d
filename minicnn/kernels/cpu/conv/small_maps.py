"""Convolution of many small maps with stride 1, as in training: the windows of several images in one product.

    Y[k, (n, p, w)] = sum over c, r, s of W[k, (c, r, s)] X[(c, r, s), (n, p, w)],
    X[(c, r, s), (n, p, w)] = x[n, c, p + r dilation - padding, w + s dilation - padding]

Schedule: tasks are some images, and cut by shapes alone.  Outputs are spaced as the rows of the padded input are,
so that what a tap reads for all outputs of a map is one run of memory.  What lies between the rows of outputs
belongs to no output: it is dropped, and in a gradient it is zero.
Memory: a megabyte of columns for each task, which stays in a core's cache.
Gain: windows row by row and a product for each image take several times as long where a row has ten outputs.
Reference: ``reference.conv2d`` and its gradients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import int64, types

from minicnn.kernels.cpu.conv.geometry import Geometry, ceil_div
from minicnn.kernels.cpu.conv.im2col import apply_prologue
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.simd.epilogue import (
    EPILOGUE,
    Epilogue,
    Prologue,
    channel_epilogue,
    scale_shift_clip,
    view_epilogue,
)
from minicnn.kernels.cpu.simd.gemm import Operand, gemm
from minicnn.kernels.cpu.simd.gemm_micro import Panel
from minicnn.kernels.cpu.simd.pointers import float_pointer, keep_alive, mask_offset
from minicnn.kernels.cpu.simd.vector import LANES, address, load, load_scalar, store, store_scalar

__all__ = ["forward", "input_grad", "is_applicable", "weight_grad"]

COLUMNS = 1 << 18  # values of columns at a time, a megabyte
MAX_RUN = 1 << 10  # outputs of a map beyond which one image is product enough
PARTS = 8  # into which the images are cut at least


class _Runs(NamedTuple):
    """Where taps and outputs lie.

    Attributes
    ----------
    top, left : int
        Rows and columns of padding.
    tap_row, tap_column : int
        From a tap to the one below, and to the one beside it, in the padded map.
    height, width : int
        Of the padded map.
    rows, columns : int
        Of the outputs.
    size : int
        Of a run: from the first output to the last, spaced as rows of the padded map are.

    """

    top: int
    left: int
    tap_row: int
    tap_column: int
    height: int
    width: int
    rows: int
    columns: int
    size: int


RUNS = types.UniTuple(int64, len(_Runs._fields))


def is_applicable(images: int, weight_shape: tuple[int, ...], geometry: Geometry, out: tuple[int, int]) -> bool:
    """Whether there are images enough to share, with stride 1 and maps that are small."""
    if images < PARTS or geometry.groups != 1 or geometry.is_pointwise:
        return False
    if not geometry.stride_h == geometry.stride_w == 1:
        return False
    run = _plan_runs(weight_shape, geometry, out).size
    depth = weight_shape[1] * weight_shape[2] * weight_shape[3]
    return run <= MAX_RUN and max(depth, weight_shape[0]) * run <= COLUMNS


def _plan_runs(weight_shape: tuple[int, ...], geometry: Geometry, out: tuple[int, int]) -> _Runs:
    (r, s), (rows, columns) = weight_shape[2:], out
    height = rows + (r - 1) * geometry.dilation_h
    width = columns + (s - 1) * geometry.dilation_w
    tap_row, size = geometry.dilation_h * width, (rows - 1) * width + columns
    padding = geometry.padding_top, geometry.padding_left
    return _Runs(*padding, tap_row, geometry.dilation_w, height, width, rows, columns, size)


def _images_at_a_time(images: int, weight_shape: tuple[int, ...], runs: _Runs) -> int:
    depth = weight_shape[1] * weight_shape[2] * weight_shape[3]
    return max(1, min(COLUMNS // (max(depth, weight_shape[0]) * runs.size), -(-images // PARTS)))


def forward(x: np.ndarray, weight: np.ndarray, epilogue: Epilogue, geometry: Geometry, y: np.ndarray) -> None:
    """Fill y (N, K, P, Q) and the epilogue's mask."""
    runs = _plan_runs(weight.shape, geometry, y.shape[2:])
    _forward(x, weight, tuple(runs), _images_at_a_time(len(x), weight.shape, runs), epilogue.as_arguments(), y)


def input_grad(dy: np.ndarray, weight: np.ndarray, prologue: Prologue, geometry: Geometry, dx: np.ndarray) -> None:
    """Fill dx (N, C, H, W)."""
    runs = _plan_runs(weight.shape, geometry, dy.shape[2:])
    some = _images_at_a_time(len(dy), weight.shape, runs)
    _input_grad(apply_prologue(dy, prologue), weight, tuple(runs), some, dx)


def weight_grad(x: np.ndarray, dy: np.ndarray, geometry: Geometry, dweight: np.ndarray) -> None:
    """Fill dweight (K, C, R, S)."""
    runs = _plan_runs(dweight.shape, geometry, dy.shape[2:])
    some = _images_at_a_time(len(x), dweight.shape, runs)
    # each part of the images has a sum of its own, so that no two tasks add to the same place
    sums = empty((PARTS, *dweight.shape))
    _weight_grad(x, dy, tuple(runs), some, sums)
    # in the order of the images, not of the threads: the same bits every time
    np.sum(sums, axis=0, out=dweight)


@inner
def _copy(source, count, target):
    whole = count // LANES * LANES
    for i in range(0, whole, LANES):
        store(target, i, load(source, i))
    for i in range(whole, count):
        store_scalar(target, i, load_scalar(source, i))


@inner
def _add(source, count, target):
    whole = count // LANES * LANES
    for i in range(0, whole, LANES):
        store(target, i, load(target, i) + load(source, i))
    for i in range(whole, count):
        store_scalar(target, i, load_scalar(target, i) + load_scalar(source, i))


@inner
def _pad(x, runs, padded):
    """Write a map (H, W) with its padding; rows and columns of it that no tap reads are left out."""
    padded[:] = 0
    for h in range(max(0, -runs.top), min(x.shape[0], runs.height - runs.top)):
        at = (h + runs.top) * runs.width + runs.left
        for w in range(max(0, -runs.left), min(x.shape[1], runs.width - runs.left)):
            padded[at + w] = x[h, w]


@inner
def _unfold(x, taps, runs, first, last, columns):
    """Fill columns (C R S, images runs) with the windows of images ``first`` to ``last`` of x (N, C, H, W)."""
    length, padded = (last - first) * runs.size, np.empty(runs.height * runs.width, np.float32)
    for n in range(first, last):
        for c in range(x.shape[1]):
            _pad(x[n, c], runs, padded)
            for r in range(taps[0]):
                for s in range(taps[1]):
                    at = ((c * taps[0] + r) * taps[1] + s) * length + (n - first) * runs.size
                    tap = r * runs.tap_row + s * runs.tap_column
                    _copy(float_pointer(padded, tap), runs.size, float_pointer(columns, at))


@inner
def _fold(columns, taps, runs, first, last, dx):
    """Add the columns' gradient up to the pixels that taps read: the adjoint of ``_unfold``."""
    length, padded = (last - first) * runs.size, np.empty(runs.height * runs.width, np.float32)
    for n in range(first, last):
        for c in range(dx.shape[1]):
            padded[:] = 0
            for r in range(taps[0]):
                for s in range(taps[1]):
                    at = ((c * taps[0] + r) * taps[1] + s) * length + (n - first) * runs.size
                    tap = r * runs.tap_row + s * runs.tap_column
                    _add(float_pointer(columns, at), runs.size, float_pointer(padded, tap))
            for h in range(dx.shape[2]):
                at = (h + runs.top) * runs.width + runs.left
                for w in range(dx.shape[3]):
                    dx[n, c, h, w] = padded[at + w]


@inner
def _space_rows(dy, runs, first, last, spaced):
    """Fill ``spaced`` (K, images runs) with the rows of dy (N, K, P, Q), and zeros between them."""
    length = (last - first) * runs.size
    spaced[: dy.shape[1] * length] = 0
    for n in range(first, last):
        for k in range(dy.shape[1]):
            at = k * length + (n - first) * runs.size
            for p in range(runs.rows):
                for q in range(runs.columns):
                    spaced[at + p * runs.width + q] = dy[n, k, p, q]


@inner
def _forward_task(task, x, weight, runs, some, epilogue, y):
    first, last = task * some, min(len(x), (task + 1) * some)
    filters, depth, length = len(weight), weight[0].size, (last - first) * runs.size
    columns, sums = np.empty(depth * length, np.float32), np.empty(filters * length, np.float32)
    _unfold(x, weight.shape[2:], runs, first, last, columns)
    a, b = Operand(float_pointer(weight, 0), depth, False), Operand(address(columns), length, False)
    gemm(filters, length, depth, a, b, Panel(address(sums), length), False)
    keep_alive((columns,))
    for n in range(first, last):
        for k in range(filters):
            own = channel_epilogue(epilogue, k)
            for p in range(runs.rows):
                source = float_pointer(sums, k * length + (n - first) * runs.size + p * runs.width)
                at = ((n * filters + k) * runs.rows + p) * runs.columns
                to = float_pointer(y, at)
                scale_shift_clip(source, runs.columns, own, to, mask_offset(epilogue.mask, at))
    keep_alive((sums,))


@kernel(reads(4), reads(4), RUNS, int64, EPILOGUE, writes(4))
def _forward(x, weight, runs, some, epilogue, y):
    runs, tasks = _Runs(*runs), ceil_div(len(x), some)
    parallel_for(_forward_task, tasks, (x, weight, runs, some, view_epilogue(epilogue), y))


@inner
def _input_grad_task(task, dy, weight, runs, some, dx):
    first, last = task * some, min(len(dy), (task + 1) * some)
    filters, depth, length = len(weight), weight[0].size, (last - first) * runs.size
    columns, spaced = np.empty(depth * length, np.float32), np.empty(filters * length, np.float32)
    _space_rows(dy, runs, first, last, spaced)
    a, b = Operand(float_pointer(weight, 0), depth, True), Operand(address(spaced), length, False)
    gemm(depth, length, filters, a, b, Panel(address(columns), length), False)
    keep_alive((spaced,))
    _fold(columns, weight.shape[2:], runs, first, last, dx)


@kernel(reads(4), reads(4), RUNS, int64, writes(4))
def _input_grad(dy, weight, runs, some, dx):
    parallel_for(_input_grad_task, ceil_div(len(dy), some), (dy, weight, _Runs(*runs), some, dx))


@inner
def _weight_grad_task(part, x, dy, runs, some, sums):
    begin, end = part * len(x) // PARTS, (part + 1) * len(x) // PARTS
    filters, taps = sums.shape[1], sums.shape[3:]
    depth = sums.shape[2] * taps[0] * taps[1]
    columns = np.empty(depth * some * runs.size, np.float32)
    spaced = np.empty(filters * some * runs.size, np.float32)
    for first in range(begin, end, some):
        last = min(end, first + some)
        length = (last - first) * runs.size
        _unfold(x, taps, runs, first, last, columns)
        _space_rows(dy, runs, first, last, spaced)
        a, b = Operand(address(spaced), length, False), Operand(address(columns), length, True)
        to = Panel(float_pointer(sums, part * filters * depth), depth)
        gemm(filters, depth, length, a, b, to, first > begin)
    keep_alive((columns, spaced))


@kernel(reads(4), reads(4), RUNS, int64, writes(5))
def _weight_grad(x, dy, runs, some, sums):
    parallel_for(_weight_grad_task, PARTS, (x, dy, _Runs(*runs), some, sums))
