"""Max-pool with its switches: a few maps to a thread, rows as vectors.

Schedule: a map belongs to one thread, so that overlapping windows add in a fixed order.  Each row of windows is
reduced first down its columns, then along them: R + S comparisons instead of R S.  Of equal maxima the first in
row order has the switch, as in the reference.
Memory: two buffers of a row's length a map, which stay in cache.
Gain: one row of a tap is one loop over the row's outputs, which the compiler turns into vector instructions; where
all windows lie on the map, two columns apart, ``max_pool_simd`` is faster still.
Reference: ``reference.max_pool2d`` and its gradient.
"""

from __future__ import annotations

import numpy as np
from numba import int32, uint8

from minicnn.kernels import reference
from minicnn.kernels.cpu.dtype import float32_or
from minicnn.kernels.cpu.pool.max_pool_simd import can_unpool, max_pool_map, max_unpool_map
from minicnn.kernels.cpu.pool.window import WINDOW, Window, as_maps, as_window
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.recorder import capturable, record_result
from minicnn.kernels.cpu.simd.pointers import float_pointer
from minicnn.kernels.cpu.simd.vector import LANES, address
from minicnn.kernels.reference.windows import Windows

__all__ = ["max_pool2d", "max_pool2d_input_grad"]

# tap of a value that lies on padding: any other wins
PADDING = np.int32(1 << 20)
SMALL_MAPS = 64  # that go to a thread together, where a vector writes beyond the end of a map into the next


@capturable
@float32_or(reference.max_pool2d)
def max_pool2d(x, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Max-pool, as ``reference.max_pool2d``."""
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    windows = Windows.over(x.shape[2:], kernel_size, **geometry)
    if windows.kernel_size[0] * windows.kernel_size[1] > 256:  # their switches are uint16
        return record_result(reference.max_pool2d, x, kernel_size, **geometry)
    # (N, C, P, Q), and below a switch for each: its tap's number r S + s
    y = empty(x.shape[:2] + windows.output_size)
    switches = empty(y.shape, np.uint8)
    _max_pool(as_maps(x), as_maps(y), as_maps(switches), as_window(windows))
    return y, switches


@capturable
@float32_or(reference.max_pool2d_input_grad)
def max_pool2d_input_grad(
    dy, switches, input_size, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False
):
    """Gradient with respect to the input of a max-pool, as ``reference.max_pool2d_input_grad``.

    One visit to each window, whose switch says which pixel its gradient is added to.
    """
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    if switches.dtype != np.uint8:
        return record_result(reference.max_pool2d_input_grad, dy, switches, input_size, kernel_size, **geometry)
    windows = Windows.over(tuple(input_size), kernel_size, **geometry)
    dx = empty(dy.shape[:2] + windows.size)
    _max_pool_input_grad(as_maps(dy), as_maps(switches), as_maps(dx), as_window(windows))
    return dx


@inner
def _start_columns(row, best, taps, tap):
    """Begin the maximum of each column: ``row``, read by tap ``tap``."""
    for i in range(len(row)):
        best[i] = row[i]
        taps[i] = tap


@inner
def _reduce_columns(row, best, taps, tap):
    """Let one more row compete, in every column."""
    for i in range(len(row)):
        # choices instead of branches, so that the loop becomes vector instructions; v != v is NaN, which wins
        v = row[i]
        # rows come in order, so that of equal maxima the first stays, as > is strict
        better = (v > best[i]) | (v != v)
        best[i] = v if better else best[i]
        taps[i] = tap if better else taps[i]


@inner
def _reduce_rows(column_best, column_taps, y, switches, width, stride, dilation):
    """Maximum of the columns of each window; of equal ones the first in row order, of NaNs the last."""
    for q in range(len(y)):
        best, tap = column_best[q * stride], column_taps[q * stride]
        for s in range(1, width):
            # column s of the window; its tap in row r is r S, which + s makes the whole tap's number
            column = q * stride + s * dilation
            v, other = column_best[column], int32(column_taps[column] + s)
            # columns don't come in the order of taps: of equal maxima the lower tap wins, of NaNs the higher,
            # which is what the reference, tap by tap in row order, ends with
            better = (v > best) | ((v == best) & (other < tap)) | ((v != v) & ((best == best) | (other > tap)))
            best = v if better else best
            tap = other if better else tap
        y[q] = best
        # a window on padding alone has no tap: its switch is 0
        switches[q] = tap if tap < PADDING else 0


@inner
def _max_pool_map(x, y, switches, window):
    height, width = x.shape
    last_column = (y.shape[1] - 1) * window.stride_w + (window.width - 1) * window.dilation_w
    # every column that a window reads: of the padding on the left, of the map, and beyond it on the right
    columns = max(window.padding_left + width, last_column + 1)
    padded_best, padded_taps = np.empty(columns, np.float32), np.empty(columns, np.int32)
    # padding is -inf once and for all: what follows writes the columns of the map only
    for i in range(columns):
        padded_best[i], padded_taps[i] = -np.inf, PADDING
    best, taps = padded_best[window.padding_left :], padded_taps[window.padding_left :]
    for p in range(y.shape[0]):
        started = False
        for r in range(window.height):
            h = p * window.stride_h + r * window.dilation_h - window.padding_top
            if 0 <= h < height:
                # the first row that lies on the map sets the columns' maxima, so that they need not be cleared
                if started:
                    _reduce_columns(x[h], best, taps, int32(r * window.width))
                else:
                    _start_columns(x[h], best, taps, int32(r * window.width))
                started = True
        # all rows of the window lie on padding: nothing of the row before may be left
        if not started:
            for i in range(width):
                best[i], taps[i] = -np.inf, PADDING
        # constants let the compiler unroll the usual windows on padding
        if window.stride_w == 2 and window.width == 3 and window.dilation_w == 1:
            _reduce_rows(padded_best, padded_taps, y[p], switches[p], 3, 2, 1)
        else:
            row = y[p], switches[p]
            _reduce_rows(padded_best, padded_taps, *row, window.width, window.stride_w, window.dilation_w)


@inner
def _maps_per_task(y):
    # where a row of y is a vector or longer, vectors stay inside of it, and a map is a task
    return SMALL_MAPS if y.shape[2] < LANES else 1


@inner
def _max_pool_task(task, maps, x, y, switches, window):
    """Fill some maps, by whole vectors where no window reaches beyond the map and vectors stay in memory."""
    begin, end = task * maps, min(len(x), (task + 1) * maps)
    (count, height, width), (rows, columns) = x.shape, y.shape[1:]
    area = rows * columns
    last_row = (rows - 1) * window.stride_h + (window.height - 1) * window.dilation_h
    last_column = (columns - 1) * window.stride_w + (window.width - 1) * window.dilation_w
    # no tap on padding, and columns two apart, as the load of every second value takes them
    vectors = window.padding_top == window.padding_left == 0 and window.stride_w == 2
    vectors = vectors and last_row < height and last_column < width
    for c in range(begin, end):
        writable = (end - c - 1) * area >= LANES or columns >= LANES  # what a vector writes stays in these maps
        # a load may read two vectors beyond its map: later maps, of any task, must have as many values
        if vectors and writable and (count - c - 1) * height * width >= 2 * LANES:
            source, to = float_pointer(x, c * height * width), float_pointer(y, c * area)
            max_pool_map(source, width, window, (rows, columns), to, address(switches) + c * area)
        else:
            _max_pool_map(x[c], y[c], switches[c], window)


@kernel(reads(3), writes(3), writes(3, uint8), WINDOW)
def _max_pool(x, y, switches, window):
    maps = _maps_per_task(y)
    parallel_for(_max_pool_task, (len(x) + maps - 1) // maps, (maps, x, y, switches, Window(*window)))


@inner
def _max_unpool_map(dy, switches, dx, window):
    height, width = dx.shape
    taps = window.height * window.width
    rows, columns = np.empty(taps, np.int64), np.empty(taps, np.int64)
    for tap in range(taps):  # once, since a division for each window is most of the time
        rows[tap] = tap // window.width * window.dilation_h - window.padding_top
        columns[tap] = tap % window.width * window.dilation_w - window.padding_left
    # windows may leave gaps between them, and most taps are no maximum
    dx[:] = 0
    # windows in reverse: to each pixel of dx its taps then come in row order, as in the reference
    for p in range(dy.shape[0] - 1, -1, -1):
        for q in range(dy.shape[1] - 1, -1, -1):
            tap = switches[p, q]
            h, w = p * window.stride_h + rows[tap], q * window.stride_w + columns[tap]
            # a switch may point to padding, where the window has nothing else
            if 0 <= h < height and 0 <= w < width:
                dx[h, w] += dy[p, q]


@inner
def _max_pool_input_grad_task(task, maps, dy, switches, dx, window):
    """Fill some maps, by whole vectors where windows lie side by side and vectors stay in memory."""
    begin, end = task * maps, min(len(dx), (task + 1) * maps)
    (count, height, width), size, area = dx.shape, (dy.shape[1], dy.shape[2]), dy.shape[1] * dy.shape[2]
    vectors = can_unpool(window, size, (height, width))
    for c in range(begin, end):
        # what a vector writes beyond this map is overwritten by the next one of this task
        writable = (end - c - 1) * height * width >= 2 * LANES or size[1] >= LANES
        # dy and switches are read a vector at a time, beyond a short row's end
        if vectors and writable and (count - c - 1) * area >= LANES:
            source, to = float_pointer(dy, c * area), float_pointer(dx, c * height * width)
            max_unpool_map(source, address(switches) + c * area, size, width, to)
        else:
            _max_unpool_map(dy[c], switches[c], dx[c], window)


@kernel(reads(3), reads(3, uint8), writes(3), WINDOW)
def _max_pool_input_grad(dy, switches, dx, window):
    maps = _maps_per_task(dy)
    arguments = maps, dy, switches, dx, Window(*window)
    parallel_for(_max_pool_input_grad_task, (len(dx) + maps - 1) // maps, arguments)
