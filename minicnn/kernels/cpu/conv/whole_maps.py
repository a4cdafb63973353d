"""Convolution by kernels as large as the map, as LeNet's third: full layers of several images.

    Y (N, K) = X (N, C R S) W' (C R S, K),    dX = dY W,    dW = dY' X

Schedule: tasks are some filters, or, for the gradient with respect to the input, some columns of the weight.
Memory: none but inputs and outputs.
Gain: columns would be a copy of x, and a product for each image reads all weights each time.
Reference: ``reference.conv2d`` and its gradients.
"""

from __future__ import annotations

import numpy as np
from numba import int64

from minicnn.kernels.cpu.conv.geometry import Geometry, ceil_div
from minicnn.kernels.cpu.conv.im2col import apply_prologue
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
from minicnn.kernels.cpu.simd.pointers import float_pointer, mask_offset

__all__ = ["forward", "input_grad", "is_applicable", "weight_grad"]

PARTS = 8  # into which filters or columns are cut, where there are enough of them
SMALLEST = 32  # of a part: smaller products leave BLAS waiting


def is_applicable(
    images: int, size: tuple[int, int], weight_shape: tuple[int, ...], geometry: Geometry, out: tuple[int, int]
) -> bool:
    """Whether a kernel has a weight for each pixel of the map, and nothing else; and there are several images."""
    is_whole = tuple(size) == tuple(weight_shape[2:]) and tuple(out) == (1, 1)
    is_bare = geometry.padding_top == geometry.padding_left == 0
    is_bare = is_bare and geometry.dilation_h == geometry.dilation_w == 1
    return images > 1 and is_whole and is_bare and geometry.groups == 1


def forward(x: np.ndarray, weight: np.ndarray, epilogue: Epilogue, geometry: Geometry, y: np.ndarray) -> None:
    """Fill y (N, K, 1, 1) and the epilogue's mask."""
    _forward(x, weight, _part_of(len(weight)), epilogue.as_arguments(), y)


def input_grad(dy: np.ndarray, weight: np.ndarray, prologue: Prologue, geometry: Geometry, dx: np.ndarray) -> None:
    """Fill dx (N, C, R, S)."""
    _input_grad(apply_prologue(dy, prologue), weight, _part_of(weight[0].size), dx)


def weight_grad(x: np.ndarray, dy: np.ndarray, geometry: Geometry, dweight: np.ndarray) -> None:
    """Fill dweight (K, C, R, S)."""
    _weight_grad(x, dy, _part_of(len(dweight)), dweight)


def _part_of(count: int) -> int:
    return max(SMALLEST, -(-count // PARTS))


@inner
def _forward_task(task, x, weight, part, epilogue, y):
    filters, depth, first = len(weight), weight[0].size, task * part
    count = min(part, filters - first)
    a = Operand(float_pointer(x, 0), depth, False)
    b = Operand(float_pointer(weight, first * depth), depth, True)
    gemm(len(x), count, depth, a, b, Panel(float_pointer(y, first), filters), False)
    for n in range(len(x)):
        for k in range(first, first + count):
            at = n * filters + k
            sums = float_pointer(y, at)
            scale_shift_clip(sums, 1, channel_epilogue(epilogue, k), sums, mask_offset(epilogue.mask, at))


@kernel(reads(4), reads(4), int64, EPILOGUE, writes(4))
def _forward(x, weight, part, epilogue, y):
    parallel_for(_forward_task, ceil_div(len(weight), part), (x, weight, part, view_epilogue(epilogue), y))


@inner
def _input_grad_task(task, dy, weight, part, dx):
    filters, depth, first = len(weight), weight[0].size, task * part
    a = Operand(float_pointer(dy, 0), filters, False)
    b = Operand(float_pointer(weight, first), depth, False)
    count = min(part, depth - first)
    gemm(len(dy), count, filters, a, b, Panel(float_pointer(dx, first), depth), False)


@kernel(reads(4), reads(4), int64, writes(4))
def _input_grad(dy, weight, part, dx):
    parallel_for(_input_grad_task, ceil_div(weight[0].size, part), (dy, weight, part, dx))


@inner
def _weight_grad_task(task, x, dy, part, dweight):
    filters, depth, first = len(dweight), dweight[0].size, task * part
    a = Operand(float_pointer(dy, first), filters, True)
    b = Operand(float_pointer(x, 0), depth, False)
    to = Panel(float_pointer(dweight, first * depth), depth)
    gemm(min(part, filters - first), depth, len(x), a, b, to, False)


@kernel(reads(4), reads(4), int64, writes(4))
def _weight_grad(x, dy, part, dweight):
    parallel_for(_weight_grad_task, ceil_div(len(dweight), part), (x, dy, part, dweight))
