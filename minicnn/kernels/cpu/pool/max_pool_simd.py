"""Max-pools whose windows all lie on the map, two columns apart, by whole vectors of windows.

Schedule: LANES windows of a row at a time; each tap is one load that takes every second column, and their maxima
and switches stay in registers.  Rows are written in order, so that what a vector writes beyond the end of a short
row is overwritten by the next row, and beyond a map by the next map.
Memory: none but inputs and outputs, with memory for two vectors behind a map.
Gain: no buffers are written and read between a row's taps, as ``max_pool`` does; few networks have others.
Reference: ``reference.max_pool2d`` and ``reference.max_pool2d_input_grad``.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.vector import (
    LANES,
    VECTOR,
    broadcast,
    emit_broadcast,
    keep_first,
    lanes,
    load,
    load_deinterleave2,
    store,
    store_interleave2,
    vector_pointer,
)

__all__ = ["can_unpool", "max_pool_map", "max_unpool_map"]

BYTES = ir.VectorType(ir.IntType(8), LANES)


@intrinsic
def _compete(typingctx, value, tap, best, taps):
    """``best`` and its ``taps`` once one more has competed: a larger value wins, and so does NaN."""

    def codegen(context, builder, sig, args):
        value, tap, best, taps = args
        # strictly larger: of equal values the first tap stays
        larger, nan = builder.fcmp_ordered(">", value, best), builder.fcmp_unordered("uno", value, value)
        wins = builder.or_(larger, nan)
        winners = builder.select(wins, value, best), builder.select(wins, emit_broadcast(builder, tap), taps)
        return context.make_tuple(builder, sig.return_type, winners)

    return types.UniTuple(lanes, 2)(lanes, types.float32, lanes, lanes), codegen


@intrinsic
def _store_bytes(typingctx, start, index, value):
    """Write LANES whole numbers as bytes from ``start[index]`` on."""

    def codegen(context, builder, sig, args):
        start, index, value = args
        # taps are counted in float32 lanes, exactly, and leave as bytes: there are at most 256
        whole = builder.trunc(builder.fptosi(value, ir.VectorType(ir.IntType(32), LANES)), BYTES)
        builder.store(whole, vector_pointer(builder, start, index, BYTES), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, lanes), codegen


@intrinsic
def _where_tap(typingctx, switches, index, tap, value):
    """Vector ``value`` where the LANES bytes from ``switches[index]`` on are ``tap``, and 0 elsewhere."""

    def codegen(context, builder, sig, args):
        switches, index, tap, value = args
        taps = builder.load(vector_pointer(builder, switches, index, BYTES))
        taps.align = 1
        equal = builder.icmp_signed("==", taps, emit_broadcast(builder, builder.trunc(tap, ir.IntType(8))))
        return builder.select(equal, value, ir.Constant(VECTOR, [0.0] * LANES))

    return lanes(types.int64, types.int64, types.int64, lanes), codegen


@inner
def max_pool_map(x, width, window, size, y, switches):
    """Maxima and switches of one map, columns two apart; addresses, that of x followed by two vectors' memory."""
    for p in range(size[0]):
        for i in range(0, size[1], LANES):
            q = min(i, max(0, size[1] - LANES))  # the last vector begins earlier
            best, taps, tap = broadcast(np.float32(-np.inf)), broadcast(np.float32(0)), np.float32(0)
            for r in range(window.height):
                # where the first window of the vector has tap (r, 0); the next windows' are 2 columns apart
                pixel = (p * window.stride_h + r * window.dilation_h) * width + 2 * q
                for s in range(window.width):
                    # every second column is a window's value; those between are of no use to this tap
                    value = load_deinterleave2(x, pixel + s * window.dilation_w)[0]
                    best, taps = _compete(value, tap, best, taps)
                    tap += np.float32(1)
            store(y, p * size[1] + q, best)
            _store_bytes(switches, p * size[1] + q, taps)


@inner
def can_unpool(window, size, input_size):
    """Whether ``max_unpool_map`` applies: 2 x 2 windows side by side cover dx, but for what zeros reach."""
    strides = window.stride_h == window.stride_w == window.height == window.width == 2
    # windows that don't overlap: each pixel of dx has one window, and is written instead of added to
    side_by_side = strides and window.dilation_h == window.dilation_w == 1
    side_by_side = side_by_side and window.padding_top == window.padding_left == 0
    # of dx, the rows and columns that no window covers: none, or a single one, which must become zeros.
    # A short row's two vectors reach it, and from the last row the uncovered one as well
    beyond = input_size[0] - 2 * size[0], input_size[1] - 2 * size[1]
    return side_by_side and (beyond == (0, 0) or (0 <= min(beyond) and max(beyond) <= 1 and 2 * size[1] < LANES))


@inner
def max_unpool_map(dy, switches, size, width, dx):
    """Fill one map of dx; all are addresses, dy and switches followed by a vector's memory.

    Behind a row shorter than a vector come zeros, as many as two vectors hold.
    """
    # rows in order: the values go to 2 q of row h, and the zeros behind them are where row h + 1 will be
    for h in range(2 * size[0]):
        for i in range(0, size[1], LANES):
            q = min(i, max(0, size[1] - LANES))
            window = h // 2 * size[1] + q
            # beyond the row's end lies the next row's dy, which must not reach dx
            value = keep_first(load(dy, window), size[1] - q)
            # row h has the taps of one row of the windows, 0 and 1 or 2 and 3: even columns, then odd ones
            left = _where_tap(switches, window, h % 2 * 2, value)
            store_interleave2(dx, h * width + 2 * q, left, _where_tap(switches, window, h % 2 * 2 + 1, value))
