"""Depthwise convolution, one filter a channel: a plane at a time, at the speed of memory.

    y[n, c, p, q] = sum over r, s of weight[c, 0, r, s] x[n, c, p stride + r dilation - padding, ...]

Schedule: threads take some planes at a time.  Each map is first copied into a plane (``planes``), from which a tap
reads consecutive values: a row of outputs is a sum of scaled rows of it, and so is a row of the input gradient's
pixels with one remainder modulo the stride.  Bands of sums go through the epilogue while a core's first-level
cache has them.

Memory: a plane and a band of sums for each thread.  Everything moves in whole vectors.  Rows are written in order,
so that what a vector writes beyond the end of a row is written over by the next one; buffers have room for what
lies beyond the last.

Gain: a filter has 9 or 25 weights, too few for a product of matrices, which would write each pixel as often.
Reference: ``reference.conv2d`` and its gradients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import int64, njit

from minicnn.kernels.cpu.conv.depthwise_micro import ROWS, TAP_BY_TAP, Window, choose_method, sum_rows
from minicnn.kernels.cpu.conv.geometry import GEOMETRY, Geometry, ceil_div
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.work_stealing import new_counter, take
from minicnn.kernels.cpu.simd.epilogue import (
    EPILOGUE,
    PROLOGUE,
    Epilogue,
    Prologue,
    channel_epilogue,
    scale_shift_clip,
    store_with_mask,
)
from minicnn.kernels.cpu.simd.planes import (
    AdjointTaps,
    SourceMap,
    adjoint_taps,
    deinterleave,
    first_row_and_column,
    phase_columns,
    plain_source,
    tap_places,
    zero_plane,
)
from minicnn.kernels.cpu.simd.pointers import float_pointer, keep_alive, mask_pointer
from minicnn.kernels.cpu.simd.vector import LANES, address, load, store, store_interleave2

__all__ = ["forward", "input_grad", "weight_grad"]

PLANES = 8  # that a thread takes at a time
BAND = 2048  # outputs whose sums wait in the first-level cache for the epilogue


def forward(x: np.ndarray, weight: np.ndarray, epilogue: Epilogue, geometry: Geometry, y: np.ndarray) -> None:
    """Fill y (N, C, P, Q) and the epilogue's mask."""
    _forward(new_counter(), x, weight, tuple(geometry), epilogue.as_arguments(), y)


def input_grad(dy: np.ndarray, weight: np.ndarray, prologue: Prologue, geometry: Geometry, dx: np.ndarray) -> None:
    """Fill dx (N, C, H, W)."""
    _input_grad(new_counter(), dy, weight, tuple(geometry), prologue.as_arguments(), dx)


def weight_grad(x: np.ndarray, dy: np.ndarray, geometry: Geometry, dweight: np.ndarray) -> None:
    """Fill dweight (C, 1, R, S)."""
    _weight_grad(x, dy, tuple(geometry), dweight)


@inner
def _take_planes(counter, thread, planes):
    """Return the first and last of the next planes for a thread."""
    first = PLANES * take(counter, thread, ceil_div(planes, PLANES))
    return min(first, planes), min(first + PLANES, planes)


@inner
def _plane_for(size, kernel_size, geometry):
    """Plane of zeros (rows, stride_w, columns) that outputs of ``size`` read."""
    rows = (size[0] - 1) * geometry.stride_h + (kernel_size[0] - 1) * geometry.dilation_h + 1
    beyond = (kernel_size[1] - 1) * geometry.dilation_w // geometry.stride_w
    return zero_plane(rows, geometry.stride_w, size[1] + beyond)


@inner
def _band_rows(height, width):
    """Rows of a band of outputs, in whole sets of ROWS."""
    return min(ceil_div(height, ROWS), max(1, BAND // (ROWS * max(1, width)))) * ROWS


@inner
def _forward_thread(thread, counter, x, weight, geometry, epilogue, y):
    """Convolve the planes that one thread takes, all in the same buffers."""
    channels, (height, width), kernel_size = x.shape[1], x.shape[2:], weight.shape[2:]
    plane = _plane_for((y.shape[2] + ROWS - 1, y.shape[3]), kernel_size, geometry)
    columns = phase_columns(geometry.stride_w, geometry.padding_left, width, plane.shape[2])
    places, taps = tap_places(1, kernel_size, geometry, plane), kernel_size[0] * kernel_size[1]
    rows, line_stride = _band_rows(y.shape[2], y.shape[3]), plane.shape[2]
    sums = np.empty(rows * y.shape[3] + LANES, np.float32)
    method, row_stride = choose_method(kernel_size, geometry), geometry.stride_h * plane.shape[1] * line_stride
    task, last = _take_planes(counter, thread, len(x) * channels)
    while task < last:
        deinterleave(plain_source(x, task * height * width, height, width), geometry.padding_top, columns, plane)
        weights = float_pointer(weight, task % channels * taps)
        window = Window(method, address(plane), row_stride, line_stride, places, taps, weights)
        _forward_plane(task, window, rows, address(sums), epilogue, y)
        task += 1
        if task == last:
            task, last = _take_planes(counter, thread, len(x) * channels)
    keep_alive((plane, sums))


@inner
def _forward_plane(task, window, rows, sums, epilogue, y):
    """Fill one plane of y, a band of ``rows`` rows at a time; ``sums`` is the address of a band."""
    (height, width), channel = y.shape[2:], channel_epilogue(epilogue, task % y.shape[1])
    for begin in range(0, height, rows):
        end = min(height, begin + rows)
        sum_rows(window, begin, end, width, sums)
        at, count = (task * height + begin) * width, (end - begin) * width
        scale_shift_clip(sums, count, channel, float_pointer(y, at), mask_pointer(epilogue.mask, at))


@kernel(writes(1, int64), reads(4), reads(4), GEOMETRY, EPILOGUE, writes(4))
def _forward(counter, x, weight, geometry, epilogue, y):
    arguments = counter, x, weight, Geometry(*geometry), Epilogue(*epilogue), y
    parallel_for(_forward_thread, len(counter), arguments)


class _Adjoint(NamedTuple):
    """How a thread computes planes of dx, and its buffers, which all of them share.

    Attributes
    ----------
    geometry, taps : ``Geometry``, ``AdjointTaps``
    method : to sum, see ``depthwise_micro``
    rows : rows of dx with one remainder that a band has
    plane : array (rows, 1, columns) of dy
    weights : array of the taps of one phase
    phase_sums : array (phases, floats of a band): rows of pixels with one remainder, one behind the other
    band : array of a band's rows of dx, one behind the other

    """

    geometry: Geometry
    taps: AdjointTaps
    method: int
    rows: int
    plane: np.ndarray
    weights: np.ndarray
    phase_sums: np.ndarray
    band: np.ndarray


@inner
def _new_adjoint(kernel_size, geometry, size):
    """Return an ``_Adjoint`` for dx of ``size``."""
    (height, width), stride_h, stride_w = size, geometry.stride_h, geometry.stride_w
    phases, origin = stride_h * stride_w, first_row_and_column(kernel_size, geometry)
    last_row, last_column = (
        (height - 1 + geometry.padding_top) // stride_h,
        (width - 1 + geometry.padding_left) // stride_w,
    )
    plane = zero_plane(last_row - origin[0] + ROWS, 1, last_column - origin[1] + 1)
    rows, columns = _band_rows(ceil_div(height, stride_h), ceil_div(width, stride_w)), ceil_div(width, stride_w)
    return _Adjoint(
        geometry,
        adjoint_taps(kernel_size, geometry, origin, plane.shape[2]),
        choose_method(kernel_size, geometry) if phases == 1 else TAP_BY_TAP,
        rows,
        plane,
        np.empty(kernel_size[0] * kernel_size[1], np.float32),
        np.empty((phases, rows * columns + 2 * LANES), np.float32),
        np.empty(rows * stride_h * width + 2 * LANES, np.float32),
    )


@inner
def _input_grad_thread(thread, counter, dy, weight, geometry, prologue, dx):
    """Compute the planes of dx that one thread takes, all in the same buffers."""
    channels, kernel_size, (height, width) = dx.shape[1], weight.shape[2:], dy.shape[2:]
    adjoint, origin = (
        _new_adjoint(kernel_size, geometry, dx.shape[2:]),
        first_row_and_column(kernel_size, geometry),
    )
    columns = phase_columns(1, -origin[1], width, adjoint.plane.shape[2])
    task, last = _take_planes(counter, thread, len(dy) * channels)
    while task < last:
        at, scale = task * height * width, prologue.scale[task % channels]
        pixels, mask = float_pointer(dy, at), mask_pointer(prologue.mask, at)
        source = SourceMap(pixels, dy.size - at, height, width, mask, prologue.only_positive, scale)
        deinterleave(source, -origin[0], columns, adjoint.plane)
        for begin in range(0, ceil_div(dx.shape[2], geometry.stride_h), adjoint.rows):
            for phase in range(len(adjoint.phase_sums)):
                _sum_phase(phase, adjoint, weight[task % channels, 0], begin, dx.shape[2:])
            _store_band(task, adjoint, begin, dx)
        task += 1
        if task == last:
            task, last = _take_planes(counter, thread, len(dy) * channels)
    keep_alive((adjoint.plane, adjoint.phase_sums, adjoint.band, adjoint.weights))


@inner
def _sum_phase(phase, adjoint, kernel, begin, size):
    """Sum the rows of dx of one phase, of a band that begins with row ``begin``; kernel (R, S)."""
    geometry, plane, taps = adjoint.geometry, adjoint.plane, adjoint.taps.count[phase]
    for i in range(taps):
        tap = adjoint.taps.tap[phase, i]
        # unrolled sums take a kernel's taps as they lie in the plane: flipped
        to = i if adjoint.method == TAP_BY_TAP else taps - 1 - i
        adjoint.weights[to] = kernel[tap // kernel.shape[1], tap % kernel.shape[1]]
    rows = ceil_div(size[0] - phase // geometry.stride_w, geometry.stride_h)
    columns = ceil_div(size[1] - phase % geometry.stride_w, geometry.stride_w)
    places, weights, line_stride = adjoint.taps.place[phase], address(adjoint.weights), plane.shape[2]
    window = Window(adjoint.method, address(plane), line_stride, line_stride, places, taps, weights)
    sum_rows(window, begin, min(begin + adjoint.rows, rows), columns, address(adjoint.phase_sums[phase]))


@inner
def _store_band(task, adjoint, begin, dx):
    """Write the rows of plane ``task`` of dx from a band of all phases' sums."""
    (height, width), stride_h = dx.shape[2:], adjoint.geometry.stride_h
    lines = min(height - begin * stride_h, adjoint.rows * stride_h)
    source = address(adjoint.phase_sums)
    if len(adjoint.phase_sums) > 1:
        _interleave(adjoint.phase_sums, lines, width, (stride_h, adjoint.geometry.stride_w), adjoint.band)
        source = address(adjoint.band)
    to = float_pointer(dx, (task * height + begin * stride_h) * width)
    store_with_mask(source, lines * width, -np.inf, np.inf, to, 0)


@inner
def _interleave(phase_sums, rows, width, stride, band):
    """Write rows of pixels, one behind the other, from those of each phase; vectors write beyond a row's end."""
    (stride_h, stride_w), to = stride, address(band)
    for h in range(rows):
        first = h // stride_h * ceil_div(width, stride_w)
        if stride_w > 2:
            for w in range(width):
                columns = ceil_div(width - w % stride_w, stride_w)
                at = h // stride_h * columns + w // stride_w
                band[h * width + w] = phase_sums[h % stride_h * stride_w + w % stride_w, at]
        elif stride_w == 2:
            even, odd = address(phase_sums[h % stride_h * 2]), address(phase_sums[h % stride_h * 2 + 1])
            first_odd = h // stride_h * (width // 2)
            for i in range(0, (width + 1) // 2, LANES):
                store_interleave2(to, h * width + 2 * i, load(even, first + i), load(odd, first_odd + i))
        else:
            source = address(phase_sums[h % stride_h])
            for i in range(0, width, LANES):
                store(to, h * width + i, load(source, first + i))


@kernel(writes(1, int64), reads(4), reads(4), GEOMETRY, PROLOGUE, writes(4))
def _input_grad(counter, dy, weight, geometry, prologue, dx):
    arguments = counter, dy, weight, Geometry(*geometry), Prologue(*prologue), dx
    parallel_for(_input_grad_thread, len(counter), arguments)


# the compiler may reorder this sum, to make vectors of it; on one machine it always chooses the same order
@njit(fastmath={"reassoc", "contract"})
def _dot(a, b):
    total = np.float32(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@inner
def _weight_grad_channel(c, x, dy, geometry, dweight):
    """Sum over the images: a plane of each, and the product of its rows with those of dy for each tap."""
    (height, width), (rows, columns), kernel_size = x.shape[2:], dy.shape[2:], dweight.shape[2:]
    dweight[c] = 0
    for n in range(len(x)):
        plane = _plane_for((rows, columns), kernel_size, geometry)
        chosen = phase_columns(geometry.stride_w, geometry.padding_left, width, plane.shape[2])
        source = plain_source(x, (n * x.shape[1] + c) * height * width, height, width)
        deinterleave(source, geometry.padding_top, chosen, plane)
        for r in range(kernel_size[0]):
            for s in range(kernel_size[1]):
                w = s * geometry.dilation_w
                first = w // geometry.stride_w
                for p in range(rows):
                    line = plane[p * geometry.stride_h + r * geometry.dilation_h, w % geometry.stride_w]
                    dweight[c, 0, r, s] += _dot(line[first : first + columns], dy[n, c, p])


@kernel(reads(4), reads(4), GEOMETRY, writes(4))
def _weight_grad(x, dy, geometry, dweight):
    parallel_for(_weight_grad_channel, x.shape[1], (x, dy, Geometry(*geometry), dweight))
