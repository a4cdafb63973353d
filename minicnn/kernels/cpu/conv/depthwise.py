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
    view_epilogue,
    view_prologue,
)
from minicnn.kernels.cpu.simd.planes import (
    AdjointTaps,
    adjoint_taps,
    deinterleave,
    first_row_and_column,
    map_prologue,
    phase_columns,
    source_map,
    tap_places,
    zero_plane,
)
from minicnn.kernels.cpu.simd.pointers import INDEX_BYTES, keep_alive, mask_offset, offset, view_maps
from minicnn.kernels.cpu.simd.vector import (
    LANES,
    address,
    load,
    load_index,
    load_scalar,
    store,
    store_interleave2,
    store_scalar,
)

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
    # when no set is left, ``take`` returns their number: both ends become ``planes``, an empty range
    first = PLANES * take(counter, thread, ceil_div(planes, PLANES))
    return min(first, planes), min(first + PLANES, planes)


@inner
def _plane_for(size, kernel_size, geometry):
    """Plane of zeros (rows, stride_w, columns) that outputs of ``size`` read."""
    # rows from the first tap of the first row of outputs to the last tap of the last
    rows = (size[0] - 1) * geometry.stride_h + (kernel_size[0] - 1) * geometry.dilation_h + 1
    # columns of a phase that the outermost tap reads behind the last output's first tap
    beyond = (kernel_size[1] - 1) * geometry.dilation_w // geometry.stride_w
    return zero_plane(rows, geometry.stride_w, size[1] + beyond)


@inner
def _band_rows(height, width):
    """Rows of a band of outputs, in whole sets of ROWS."""
    # one set of rows at least, where a single one exceeds BAND already, and no more sets than there are rows for
    return min(ceil_div(height, ROWS), max(1, BAND // (ROWS * max(1, width)))) * ROWS


@inner
def _forward_thread(thread, counter, x, weight, geometry, epilogue, y):
    """Convolve the planes that one thread takes, all in the same buffers."""
    # addresses: with arrays, all threads would count references to the same ones in each call
    source, target, kernels = view_maps(x), view_maps(y), address(weight)
    area, kernel_size = source.height * source.width, weight.shape[2:]
    # sums come ROWS rows at a time: the last set reads up to ROWS - 1 rows beyond those that are wanted
    plane = _plane_for((y.shape[2] + ROWS - 1, y.shape[3]), kernel_size, geometry)
    line_stride, taps = plane.shape[2], kernel_size[0] * kernel_size[1]
    columns = phase_columns(geometry.stride_w, geometry.padding_left, source.width, line_stride)
    places, rows = tap_places(1, kernel_size, geometry, plane), _band_rows(y.shape[2], y.shape[3])
    # a row of fewer than LANES outputs is written as a whole vector: the last row needs room behind it
    sums = np.empty(rows * y.shape[3] + LANES, np.float32)
    method, row_stride = choose_method(kernel_size, geometry), geometry.stride_h * plane.shape[1] * line_stride
    window = Window(method, address(plane), row_stride, line_stride, address(places), taps)
    band, channels, planes = (rows, address(sums)), x.shape[1], len(x) * x.shape[1]
    task, last = _take_planes(counter, thread, planes)
    while task < last:
        # map ``task`` is channel task % C of image task // C; filter c starts at c R S
        weights = offset(kernels, task % channels * taps)
        # each map covers the same part of the plane, so that the zeros around it stay from one map to the next
        deinterleave(source_map(source, task * area), None, geometry.padding_top, columns, plane)
        _forward_plane(task, window, weights, band, epilogue, target)
        task += 1
        if task == last:
            task, last = _take_planes(counter, thread, planes)
    keep_alive((plane, places, sums))


@inner
def _forward_plane(task, window, weights, band, epilogue, y):
    """Fill one plane of y, ``Maps``, a band of some rows at a time, whose sums lie at an address."""
    (rows, sums), channel = band, channel_epilogue(epilogue, task % y.channels)
    for begin in range(0, y.height, rows):
        end = min(y.height, begin + rows)
        sum_rows(window, weights, begin, end, y.width, sums)
        # rows of a band follow one another in y as in the sums: the epilogue takes them as one run
        at, count = (task * y.height + begin) * y.width, (end - begin) * y.width
        scale_shift_clip(sums, count, channel, offset(y.address, at), mask_offset(epilogue.mask, at))


@kernel(writes(1, int64), reads(4), reads(4), GEOMETRY, EPILOGUE, writes(4))
def _forward(counter, x, weight, geometry, epilogue, y):
    arguments = counter, x, weight, Geometry(*geometry), view_epilogue(epilogue), y
    parallel_for(_forward_thread, len(counter), arguments)


class _Buffers(NamedTuple):
    """Arrays with which a thread computes planes of dx, one after another.

    Attributes
    ----------
    plane : array (rows, 1, columns) of dy
    taps : ``AdjointTaps``
    weights : array of the weights of one phase's taps
    phase_sums : array (phases, floats of a band): rows of pixels of one phase, one behind the other
    band : array of a band's rows of dx, one behind the other

    """

    plane: np.ndarray
    taps: AdjointTaps
    weights: np.ndarray
    phase_sums: np.ndarray
    band: np.ndarray


class _Adjoint(NamedTuple):
    """How a thread computes planes of dx: ``_Buffers`` by their addresses.

    Attributes
    ----------
    geometry : ``Geometry``
    method : to sum, see ``depthwise_micro``
    height, width : of dx
    rows : rows of dx of one phase that a band has
    line_stride : floats from one row of the plane to the next
    taps : of a kernel
    phase_stride : floats from one phase's sums to the next phase's
    plane, counts, tap, place, weights, phase_sums, band : addresses

    """

    geometry: Geometry
    method: int
    height: int
    width: int
    rows: int
    line_stride: int
    taps: int
    phase_stride: int
    plane: int
    counts: int
    tap: int
    place: int
    weights: int
    phase_sums: int
    band: int


@inner
def _new_buffers(kernel_size, geometry, size, rows):
    """Return ``_Buffers`` for dx of ``size``, ``rows`` of one phase at a time."""
    (height, width), stride_h, stride_w = size, geometry.stride_h, geometry.stride_w
    origin = first_row_and_column(kernel_size, geometry)
    # pixel (h, w) depends on dy up to row (h + padding_top) // stride_h, and on columns in the same way
    last_row, last_column = (height - 1 + geometry.padding_top) // stride_h, width - 1 + geometry.padding_left
    plane = zero_plane(last_row - origin[0] + ROWS, 1, last_column // stride_w - origin[1] + 1)
    return _Buffers(
        plane,
        adjoint_taps(kernel_size, geometry, origin, plane.shape[2]),
        np.empty(kernel_size[0] * kernel_size[1], np.float32),
        # a phase has as many columns as the first one, or one fewer
        np.empty((stride_h * stride_w, rows * ceil_div(width, stride_w) + 2 * LANES), np.float32),
        np.empty(rows * stride_h * width + 2 * LANES, np.float32),
    )


@inner
def _view_buffers(buffers, kernel_size, geometry, size, rows):
    """Return the ``_Adjoint`` that works in these buffers."""
    plane, taps, weights, phase_sums, band = buffers
    return _Adjoint(
        geometry,
        # the unrolled sums take all taps of a kernel; with a stride a phase is reached by some of them only
        choose_method(kernel_size, geometry) if len(phase_sums) == 1 else TAP_BY_TAP,
        size[0],
        size[1],
        rows,
        plane.shape[2],
        kernel_size[0] * kernel_size[1],
        phase_sums.shape[1],
        address(plane),
        address(taps.count),
        address(taps.tap),
        address(taps.place),
        address(weights),
        address(phase_sums),
        address(band),
    )


@inner
def _input_grad_thread(thread, counter, dy, weight, geometry, prologue, dx):
    """Compute the planes of dx that one thread takes, all in the same buffers."""
    source, target, kernels = view_maps(dy), view_maps(dx), address(weight)
    channels, kernel_size, size = dx.shape[1], weight.shape[2:], dx.shape[2:]
    phase_rows, origin = ceil_div(size[0], geometry.stride_h), first_row_and_column(kernel_size, geometry)
    rows = _band_rows(phase_rows, ceil_div(size[1], geometry.stride_w))
    buffers = _new_buffers(kernel_size, geometry, size, rows)
    adjoint, plane = _view_buffers(buffers, kernel_size, geometry, size, rows), buffers.plane
    columns = phase_columns(1, -origin[1], source.width, plane.shape[2])
    task, last = _take_planes(counter, thread, len(dy) * channels)
    while task < last:
        c, at = task % channels, task * source.height * source.width
        # row origin[0] of dy is row 0 of the plane, and column origin[1] its column 0; both may lie on padding
        deinterleave(source_map(source, at), map_prologue(prologue, c, at), -origin[0], columns, plane)
        kernel = offset(kernels, c * adjoint.taps)
        # a row of dx has pixels of several phases: a band is complete when all its phases are summed
        for begin in range(0, phase_rows, rows):
            for phase in range(geometry.stride_h * geometry.stride_w):
                _sum_phase(phase, adjoint, kernel, begin)
            _store_band(task, adjoint, begin, target)
        task += 1
        if task == last:
            task, last = _take_planes(counter, thread, len(dy) * channels)
    keep_alive(buffers)


@inner
def _sum_phase(phase, adjoint, kernel, begin):
    """Sum the rows of dx of one phase, of a band that begins with row ``begin``; ``kernel`` is an address."""
    stride_w, taps, first = adjoint.geometry.stride_w, load_index(adjoint.counts, phase), phase * adjoint.taps
    for i in range(taps):
        # unrolled sums take a kernel's taps as they lie in the plane: flipped
        to = i if adjoint.method == TAP_BY_TAP else taps - 1 - i
        store_scalar(adjoint.weights, to, load_scalar(kernel, load_index(adjoint.tap, first + i)))
    # phase (a, b) has the pixels (a + i stride_h, b + j stride_w) of dx; sums over dy are indexed by (i, j)
    rows = ceil_div(adjoint.height - phase // stride_w, adjoint.geometry.stride_h)
    columns = ceil_div(adjoint.width - phase % stride_w, stride_w)
    # one row further in a phase of dx is one row further in dy, whatever the stride
    places, stride = adjoint.place + INDEX_BYTES * first, adjoint.line_stride
    window = Window(adjoint.method, adjoint.plane, stride, stride, places, taps)
    sums = offset(adjoint.phase_sums, phase * adjoint.phase_stride)
    sum_rows(window, adjoint.weights, begin, min(begin + adjoint.rows, rows), columns, sums)


@inner
def _store_band(task, adjoint, begin, dx):
    """Write the rows of plane ``task`` of dx, ``Maps``, from a band of all phases' sums."""
    stride_h, stride_w = adjoint.geometry.stride_h, adjoint.geometry.stride_w
    rows = min(adjoint.height - begin * stride_h, adjoint.rows * stride_h)
    # with stride 1 the sums of the only phase are the rows of dx
    source = adjoint.phase_sums
    if stride_h * stride_w > 1:
        _interleave(adjoint, rows)
        source = adjoint.band
    to = offset(dx.address, (task * adjoint.height + begin * stride_h) * adjoint.width)
    # neither clip nor mask: a copy that ends exactly with the band, since the next rows may be another task's
    store_with_mask(source, rows * adjoint.width, -np.inf, np.inf, to, 0)


@inner
def _interleave(adjoint, rows):
    """Write rows of pixels to the band from those of each phase; vectors write beyond a row's end."""
    stride_h, stride_w, width = adjoint.geometry.stride_h, adjoint.geometry.stride_w, adjoint.width
    for h in range(rows):
        # row h of dx is row h // stride_h of the phases (h % stride_h, 0), (h % stride_h, 1), ...;
        # ``first`` is where the first of them has it
        sums = offset(adjoint.phase_sums, h % stride_h * stride_w * adjoint.phase_stride)
        row, first = h // stride_h, h // stride_h * ceil_div(width, stride_w)
        if stride_w > 2:
            for w in range(width):
                # rows of phase w % stride_w have a length of their own
                at = row * ceil_div(width - w % stride_w, stride_w) + w // stride_w
                pixel = load_scalar(sums, w % stride_w * adjoint.phase_stride + at)
                store_scalar(adjoint.band, h * width + w, pixel)
        elif stride_w == 2:
            # the odd columns of a row of dx are width // 2, one fewer than the even ones where the width is odd
            odd, first_odd = offset(sums, adjoint.phase_stride), row * (width // 2)
            for i in range(0, (width + 1) // 2, LANES):
                evens, odds = load(sums, first + i), load(odd, first_odd + i)
                store_interleave2(adjoint.band, h * width + 2 * i, evens, odds)
        else:
            # only rows have phases: each is copied as it is
            for i in range(0, width, LANES):
                store(adjoint.band, h * width + i, load(sums, first + i))


@kernel(writes(1, int64), reads(4), reads(4), GEOMETRY, PROLOGUE, writes(4))
def _input_grad(counter, dy, weight, geometry, prologue, dx):
    arguments = counter, dy, weight, Geometry(*geometry), view_prologue(prologue), dx
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
    maps, (rows, columns), kernel_size = view_maps(x), dy.shape[2:], dweight.shape[2:]
    # dweight[c, 0, r, s] = sum over n, p, q of dy[n, c, p, q] x[n, c, p stride + r dilation - padding, ...]
    dweight[c] = 0
    for n in range(len(x)):
        plane = _plane_for((rows, columns), kernel_size, geometry)
        chosen = phase_columns(geometry.stride_w, geometry.padding_left, maps.width, plane.shape[2])
        source = source_map(maps, (n * maps.channels + c) * maps.height * maps.width)
        deinterleave(source, None, geometry.padding_top, chosen, plane)
        for r in range(kernel_size[0]):
            for s in range(kernel_size[1]):
                # column w of the padded map is column w // stride_w of phase w % stride_w
                w = s * geometry.dilation_w
                first = w // geometry.stride_w
                for p in range(rows):
                    # the row of x, in that phase, that tap (r, s) reads for the outputs of row p
                    line = plane[p * geometry.stride_h + r * geometry.dilation_h, w % geometry.stride_w]
                    dweight[c, 0, r, s] += _dot(line[first : first + columns], dy[n, c, p])


@kernel(reads(4), reads(4), GEOMETRY, writes(4))
def _weight_grad(x, dy, geometry, dweight):
    parallel_for(_weight_grad_channel, x.shape[1], (x, dy, Geometry(*geometry), dweight))
