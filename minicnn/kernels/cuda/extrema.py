"""Largest values over axes and over adaptive windows; see ``minicnn.kernels.reference.extrema``.

Over axes a block has one line of values, as in ``standardisation``.  Over windows a thread has one output, and
backward one input: it visits the windows that hold it, in row order.
"""

from __future__ import annotations

import math

import numpy as np
from numba import cuda, float32, float64, int64

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.launch import divmod_u32, launch_per_value
from minicnn.kernels.cuda.movement import permute, permute_input_grad
from minicnn.kernels.cuda.reduction import WARPS, WIDTH, block_max, block_min, first_of_line, larger

__all__ = ["adaptive_max_pool2d", "adaptive_max_pool2d_input_grad", "amax", "amax_input_grad"]


def _make_amax(real):
    @cuda.jit
    def amax_kernel(x, y, switches, depth, breadth):
        partials = cuda.shared.array(WARPS, real)
        places = cuda.shared.array(WARPS, int64)
        t, base = cuda.threadIdx.x, first_of_line(depth, breadth)
        # a thread without a value has the first one, and no place
        largest, place = x[base], int64(depth)
        for d in range(t, depth, WIDTH):
            largest = larger(largest, x[base + d * breadth])
        largest = block_max(largest, partials)
        for d in range(t, depth, WIDTH):
            value = x[base + d * breadth]
            # the first of equals; a NaN is the maximum
            if place == depth and (value == largest or value != value):
                place = int64(d)
        place = block_min(place, places)
        if t == 0:
            y[cuda.blockIdx.x] = x[base + place * breadth]
            switches[cuda.blockIdx.x] = place

    return amax_kernel


_AMAX = {"float32": _make_amax(float32), "float64": _make_amax(float64)}


@cuda.jit
def _amax_grad(dy, switches, dx, depth, breadth, size):
    i = cuda.grid(1)
    if i < size:
        rest, b = divmod_u32(i, breadth)
        a, d = divmod_u32(rest, depth)
        line = a * breadth + b
        dx[i] = dy[line] if switches[line] == d else dx.dtype.type(0)


def _compared_together(shape, axes):
    """Order of an image's axes with those that are compared next to each other, and (A, D, B) in that order."""
    order = tuple(range(len(shape) - 1))
    if axes != tuple(range(axes[0], axes[0] + len(axes))):
        order = *(axis for axis in order if axis not in axes), *axes
    lengths, first = [shape[axis + 1] for axis in order], order.index(axes[0])
    kept, behind = shape[0] * math.prod(lengths[:first]), lengths[first + len(axes) :]
    return order, (kept, math.prod(shape[axis + 1] for axis in axes), math.prod(behind))


@on_device
def amax(x, axes):
    """Largest value over some axes of each image, and where it was: ``reference.amax``."""
    order, (lines, depth, breadth) = _compared_together(x.shape, tuple(axes))
    shape = tuple(1 if axis - 1 in axes else n for axis, n in enumerate(x.shape))
    y, switches = empty(shape, x.dtype), empty(shape, np.int64)
    moved = x if order == tuple(sorted(order)) else permute(x, order)
    if y.size:
        kernel = _AMAX[x.dtype.name][lines * breadth, WIDTH]
        kernel(moved.memory, y.memory, switches.memory, depth, breadth)
    return y, switches


@on_device
def amax_input_grad(dy, switches, axes, input_shape):
    """Gradient with respect to the input of a maximum over axes: ``reference.amax_input_grad``."""
    order, (_, depth, breadth) = _compared_together(input_shape, tuple(axes))
    dx = empty((input_shape[0], *(input_shape[axis + 1] for axis in order)), dy.dtype)
    launch_per_value(_amax_grad, dx.size, dy.memory, switches.memory, dx.memory, depth, breadth)
    return dx if order == tuple(sorted(order)) else permute_input_grad(dx, order)


@cuda.jit(device=True)
def _window(p, n, count):
    """First of the n rows that window p of ``count`` holds, and the one behind its last."""
    return divmod_u32(p * n, count)[0], divmod_u32((p + 1) * n + count - 1, count)[0]


@cuda.jit
def _adaptive_max(x, y, switches, sizes, size):
    i = cuda.grid(1)
    if i < size:
        height, width, rows, columns = sizes
        rest, q = divmod_u32(i, columns)
        plane, p = divmod_u32(rest, rows)
        (top, bottom), (left, right) = _window(p, height, rows), _window(q, width, columns)
        best, at = x[(plane * height + top) * width + left], 0
        for h in range(top, bottom):
            for w in range(left, right):
                value = x[(plane * height + h) * width + w]
                # the first of equals; the first NaN stays
                if value > best or (value != value and best == best):
                    best, at = value, (h - top) * (right - left) + w - left
        y[i], switches[i] = best, at


@cuda.jit
def _adaptive_max_grad(dy, switches, dx, sizes, size):
    i = cuda.grid(1)
    if i < size:
        height, width, rows, columns = sizes
        rest, w = divmod_u32(i, width)
        plane, h = divmod_u32(rest, height)
        # window p holds row h if p H < (h + 1) P and (p + 1) H > h P, so that "row" h of H holds "windows" p of P
        (first, last), (before, behind) = _window(h, rows, height), _window(w, columns, width)
        total = dy.dtype.type(0)
        for p in range(first, last):
            top, _ = _window(p, height, rows)
            for q in range(before, behind):
                left, right = _window(q, width, columns)
                at = (plane * rows + p) * columns + q
                if switches[at] == (h - top) * (right - left) + w - left:
                    total += dy[at]
        dx[i] = total


@on_device
def adaptive_max_pool2d(x, output_size):
    """Max-pool over as many windows as wanted: ``reference.adaptive_max_pool2d``."""
    if tuple(output_size) == (1, 1):
        return amax(x, (1, 2))
    shape = *x.shape[:2], *output_size
    y, switches = empty(shape, x.dtype), empty(shape, np.int64)
    sizes = *x.shape[2:], *output_size
    launch_per_value(_adaptive_max, y.size, x.memory, y.memory, switches.memory, sizes)
    return y, switches


@on_device
def adaptive_max_pool2d_input_grad(dy, switches, input_size, output_size):
    """Gradient with respect to the input of an adaptive max-pool: ``reference.adaptive_max_pool2d_input_grad``."""
    dx = empty((*dy.shape[:2], *input_size), dy.dtype)
    sizes = *input_size, *output_size
    launch_per_value(_adaptive_max_grad, dx.size, dy.memory, switches.memory, dx.memory, sizes)
    return dx
