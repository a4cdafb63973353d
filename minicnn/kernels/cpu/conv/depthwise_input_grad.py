"""Input gradient of a depthwise convolution: for each plane of dx, the sums of each phase, then interleaved.

Pixels of dx with the same remainders modulo the stride, a phase, are reached by the same taps: a row of them is a
sum of scaled rows of a plane of dy.  Schedule and memory are those of ``depthwise``.
Reference: ``reference.conv2d_input_grad``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import int64

from minicnn.kernels.cpu.conv.depthwise_micro import (
    ROWS,
    TAP_BY_TAP,
    Window,
    band_rows,
    choose_method,
    sum_rows,
    take_planes,
)
from minicnn.kernels.cpu.conv.geometry import GEOMETRY, Geometry, ceil_div
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.work_stealing import new_counter
from minicnn.kernels.cpu.simd.epilogue import PROLOGUE, Prologue, store_with_mask, view_prologue
from minicnn.kernels.cpu.simd.planes import (
    AdjointTaps,
    adjoint_taps,
    deinterleave,
    first_row_and_column,
    map_prologue,
    phase_columns,
    source_map,
    zero_plane,
)
from minicnn.kernels.cpu.simd.pointers import INDEX_BYTES, keep_alive, offset, view_maps
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

__all__ = ["input_grad"]


def input_grad(dy: np.ndarray, weight: np.ndarray, prologue: Prologue, geometry: Geometry, dx: np.ndarray) -> None:
    """Fill dx (N, C, H, W)."""
    _input_grad(new_counter(), dy, weight, tuple(geometry), prologue.as_arguments(), dx)


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
    rows = band_rows(phase_rows, ceil_div(size[1], geometry.stride_w))
    buffers = _new_buffers(kernel_size, geometry, size, rows)
    adjoint, plane = _view_buffers(buffers, kernel_size, geometry, size, rows), buffers.plane
    columns = phase_columns(1, -origin[1], source.width, plane.shape[2])
    task, last = take_planes(counter, thread, len(dy) * channels)
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
            task, last = take_planes(counter, thread, len(dy) * channels)
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
