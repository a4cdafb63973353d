"""Depthwise convolution, one filter a channel: a plane at a time, at the speed of memory.

    y[n, c, p, q] = sum over r, s of weight[c, 0, r, s] x[n, c, p stride + r dilation - padding, ...]

Schedule: threads take some planes at a time.  Each map is first copied into a plane (``planes``), from which a tap
reads consecutive values: a row of outputs is a sum of scaled rows of it.  Bands of sums go through the epilogue
while a core has them in its first-level cache.  The input gradient has a file of its own.

Memory: a plane and a band of sums for each thread.  Everything moves in whole vectors.  Rows are written in order,
so that what a vector writes beyond the end of a row is written over by the next one; buffers have room for what
lies beyond the last.

Gain: a filter has 9 or 25 weights, too few for a product of matrices, which would write each pixel as often.
Reference: ``reference.conv2d`` and its gradients.
"""

from __future__ import annotations

import numpy as np
from numba import int64, njit

from minicnn.kernels.cpu.conv.depthwise_input_grad import input_grad
from minicnn.kernels.cpu.conv.depthwise_micro import ROWS, Window, band_rows, choose_method, sum_rows, take_planes
from minicnn.kernels.cpu.conv.geometry import GEOMETRY, Geometry
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.work_stealing import new_counter
from minicnn.kernels.cpu.simd.epilogue import EPILOGUE, Epilogue, channel_epilogue, scale_shift_clip, view_epilogue
from minicnn.kernels.cpu.simd.planes import deinterleave, phase_columns, source_map, tap_places, zero_plane
from minicnn.kernels.cpu.simd.pointers import keep_alive, mask_offset, offset, view_maps
from minicnn.kernels.cpu.simd.vector import LANES, address

__all__ = ["forward", "input_grad", "weight_grad"]


def forward(x: np.ndarray, weight: np.ndarray, epilogue: Epilogue, geometry: Geometry, y: np.ndarray) -> None:
    """Fill y (N, C, P, Q) and the epilogue's mask."""
    _forward(new_counter(), x, weight, tuple(geometry), epilogue.as_arguments(), y)


def weight_grad(x: np.ndarray, dy: np.ndarray, geometry: Geometry, dweight: np.ndarray) -> None:
    """Fill dweight (C, 1, R, S)."""
    _weight_grad(x, dy, tuple(geometry), dweight)


@inner
def _plane_for(size, kernel_size, geometry):
    """Plane of zeros (rows, stride_w, columns) that outputs of ``size`` read."""
    # rows from the first tap of the first row of outputs to the last tap of the last
    rows = (size[0] - 1) * geometry.stride_h + (kernel_size[0] - 1) * geometry.dilation_h + 1
    # columns of a phase that the outermost tap reads behind the last output's first tap
    beyond = (kernel_size[1] - 1) * geometry.dilation_w // geometry.stride_w
    return zero_plane(rows, geometry.stride_w, size[1] + beyond)


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
    places, rows = tap_places(1, kernel_size, geometry, plane), band_rows(y.shape[2], y.shape[3])
    # a row of fewer than LANES outputs is written as a whole vector: the last row needs room behind it
    sums = np.empty(rows * y.shape[3] + LANES, np.float32)
    method, row_stride = choose_method(kernel_size, geometry), geometry.stride_h * plane.shape[1] * line_stride
    window = Window(method, address(plane), row_stride, line_stride, address(places), taps)
    band, channels, planes = (rows, address(sums)), x.shape[1], len(x) * x.shape[1]
    task, last = take_planes(counter, thread, planes)
    while task < last:
        # map ``task`` is channel task % C of image task // C; filter c starts at c R S
        weights = offset(kernels, task % channels * taps)
        # each map covers the same part of the plane, so that the zeros around it stay from one map to the next
        deinterleave(source_map(source, task * area), None, geometry.padding_top, columns, plane)
        _forward_plane(task, window, weights, band, epilogue, target)
        task += 1
        if task == last:
            task, last = take_planes(counter, thread, planes)
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
