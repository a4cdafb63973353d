"""Sums of a depthwise convolution, some rows of outputs at a time, each in a register until it is whole.

Kernels of 3x3 and 5x5 taps with stride 1 or 2, which networks have, are unrolled: a vector of the plane is read
once for all rows of outputs that it belongs to, and the weights stay in registers.  All others go tap by tap.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minicnn.kernels.cpu.conv.geometry import ceil_div
from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.runtime.work_stealing import take
from minicnn.kernels.cpu.simd.pointers import offset
from minicnn.kernels.cpu.simd.vector import (
    FLOAT,
    INT64,
    LANES,
    VECTOR,
    broadcast,
    emit_broadcast,
    emit_fma,
    emit_load,
    fma,
    load,
    load_index,
    load_scalar,
    store,
    vector_pointer,
)

__all__ = ["ROWS", "TAP_BY_TAP", "Window", "band_rows", "choose_method", "sum_rows", "take_planes"]

ROWS = 8  # of outputs at a time: as many sums as hide a multiplication's delay
PLANES = 8  # that a thread takes at a time
BAND = 2048  # outputs whose sums wait in the first-level cache for the epilogue

# ways to sum: unrolled for a kernel's side and stride, or tap by tap
TAP_BY_TAP, SIDE_3, SIDE_3_STRIDE_2, SIDE_5, SIDE_5_STRIDE_2 = range(5)


class Window(NamedTuple):
    """What the sums of a filter are made of.

    Attributes
    ----------
    method : one of the ways to sum
    plane : address of the plane; behind it there is room for ROWS - 1 rows more
    row_stride : floats from one output's row of the plane to the next output's
    line_stride : floats from one row of one phase to the next
    places : address of where in the plane each tap of the first output is
    taps : how many there are

    """

    method: int
    plane: int
    row_stride: int
    line_stride: int
    places: int
    taps: int


def _unrolled(side, stride):
    """Make the sums of ROWS rows of outputs, for kernels of ``side`` x ``side`` taps."""

    def sum_rows_of_taps(typingctx, plane, line_stride, weights, width, sums):
        def codegen(context, builder, sig, args):
            plane, line_stride, weights, width, sums = args
            # weights are broadcast once, in front of the loop over columns
            start = builder.inttoptr(weights, FLOAT.as_pointer())
            elements = [builder.gep(start, [INT64(i)]) for i in range(side * side)]
            factors = [emit_broadcast(builder, builder.load(element)) for element in elements]
            # lines of the plane that ROWS rows of outputs read, ``stride`` phases a row
            lines = [builder.mul(line_stride, INT64(j)) for j in range(((ROWS - 1) * stride + side) * stride)]
            last = builder.sub(width, INT64(LANES))
            last = builder.select(builder.icmp_signed("<", last, INT64(0)), INT64(0), last)
            with cgutils.for_range_slice(builder, INT64(0), width, INT64(LANES), intp=INT64) as (i, _):
                # the last vector begins earlier; only a short row reaches beyond
                q = builder.select(builder.icmp_signed("<", i, last), i, last)
                totals = [ir.Constant(VECTOR, [0.0] * LANES)] * ROWS
                # these loops run while code is emitted: the loop over columns is straight-line loads and sums
                for j in range((ROWS - 1) * stride + side):
                    for s in range(side):
                        # tap s reads phase s % stride, s // stride columns behind the output's own
                        place = builder.add(lines[j * stride + s % stride], builder.add(q, INT64(s // stride)))
                        vector = emit_load(builder, plane, place)
                        for row in range(ROWS):
                            # line j is row r of the windows of this row of outputs
                            r = j - row * stride
                            if 0 <= r < side:
                                totals[row] = emit_fma(builder, factors[r * side + s], vector, totals[row])
                for row, total in enumerate(totals):
                    # rows are stored in order, so that a short row's excess is overwritten by the row behind it
                    place = builder.add(builder.mul(width, INT64(row)), q)
                    builder.store(total, vector_pointer(builder, sums, place), align=4)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), codegen

    return intrinsic(sum_rows_of_taps)


_sum_3, _sum_3_stride_2, _sum_5, _sum_5_stride_2 = (
    _unrolled(side, stride) for side in (3, 5) for stride in (1, 2)
)


@inner
def choose_method(kernel_size, geometry):
    """Return the way to sum for a kernel and its stride."""
    side, stride = kernel_size[0], geometry.stride_h
    square = kernel_size[1] == side and geometry.stride_w == stride
    # unrolled sums take one side and one stride both ways, and taps side by side
    if not square or geometry.dilation_h != 1 or geometry.dilation_w != 1 or stride > 2:
        return TAP_BY_TAP
    if side == 3:
        return SIDE_3 if stride == 1 else SIDE_3_STRIDE_2
    if side == 5:
        return SIDE_5 if stride == 1 else SIDE_5_STRIDE_2
    return TAP_BY_TAP


@inner
def sum_rows(window, weights, begin, end, width, sums):
    """Sum rows ``begin`` to ``end`` of outputs, one behind the other, and up to ROWS - 1 meaningless ones behind.

    weights : address of the weights of the window's taps
    sums : address of ROWS (end - begin) / ROWS, rounded up, rows of ``width`` floats
    """
    for p in range(begin, end, ROWS):
        # first tap of row p of the outputs in the plane, and where its sums go
        plane, to = offset(window.plane, p * window.row_stride), offset(sums, (p - begin) * width)
        if window.method == SIDE_3:
            _sum_3(plane, window.line_stride, weights, width, to)
        elif window.method == SIDE_3_STRIDE_2:
            _sum_3_stride_2(plane, window.line_stride, weights, width, to)
        elif window.method == SIDE_5:
            _sum_5(plane, window.line_stride, weights, width, to)
        elif window.method == SIDE_5_STRIDE_2:
            _sum_5_stride_2(plane, window.line_stride, weights, width, to)
        else:
            _sum_tap_by_tap(window, weights, plane, width, to)
            # tap by tap goes four rows at a time: the other four of ROWS, if any of them is wanted
            if p + 4 < end:
                further = offset(plane, 4 * window.row_stride)
                _sum_tap_by_tap(window, weights, further, width, offset(to, 4 * width))


@inner
def _sum_tap_by_tap(window, weights, plane, width, sums):
    """Sum four rows of outputs, the first of which begins at the address ``plane``."""
    row_stride = window.row_stride
    for i in range(0, width, LANES):
        # the last vector begins earlier, so that it ends with the row
        q = min(i, max(0, width - LANES))
        # four sums share each weight, and none waits for another's result
        row_0 = row_1 = row_2 = row_3 = broadcast(0)
        for tap in range(window.taps):
            weight, at = broadcast(load_scalar(weights, tap)), load_index(window.places, tap) + q
            row_0 = fma(weight, load(plane, at), row_0)
            row_1 = fma(weight, load(plane, row_stride + at), row_1)
            row_2 = fma(weight, load(plane, 2 * row_stride + at), row_2)
            row_3 = fma(weight, load(plane, 3 * row_stride + at), row_3)
        store(sums, q, row_0)
        store(sums, width + q, row_1)
        store(sums, 2 * width + q, row_2)
        store(sums, 3 * width + q, row_3)


@inner
def take_planes(counter, thread, planes):
    """Return the first and last of the next planes for a thread."""
    # when no set is left, ``take`` returns their number: both ends become ``planes``, an empty range
    first = PLANES * take(counter, thread, ceil_div(planes, PLANES))
    return min(first, planes), min(first + PLANES, planes)


@inner
def band_rows(height, width):
    """Rows of a band of outputs, in whole sets of ROWS."""
    # one set of rows at least, where a single one exceeds BAND already, and no more sets than there are rows for
    return min(ceil_div(height, ROWS), max(1, BAND // (ROWS * max(1, width)))) * ROWS
