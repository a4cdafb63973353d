"""Max-pools whose windows all lie on the map, two columns apart, by whole vectors of windows.

Most nets have no others.  Rows are written in order, so that what a vector writes beyond the end of a short one is
written over by the next, and beyond a map by the next map.
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

__all__ = ["max_pool", "unpool", "unpools"]

BYTES = ir.VectorType(ir.IntType(8), LANES)


@intrinsic
def _compete(typingctx, value, tap, best, taps):
    """``best`` and its ``taps`` once one more has competed: a larger value wins, and so does NaN."""

    def codegen(context, builder, sig, args):
        value, tap, best, taps = args
        larger, nan = builder.fcmp_ordered(">", value, best), builder.fcmp_unordered("uno", value, value)
        wins = builder.or_(larger, nan)
        found = builder.select(wins, value, best), builder.select(wins, emit_broadcast(builder, tap), taps)
        return context.make_tuple(builder, sig.return_type, found)

    return types.UniTuple(lanes, 2)(lanes, types.float32, lanes, lanes), codegen


@intrinsic
def _store_bytes(typingctx, start, index, value):
    """Write LANES whole numbers as bytes from ``start[index]`` on."""

    def codegen(context, builder, sig, args):
        start, index, value = args
        whole = builder.trunc(builder.fptosi(value, ir.VectorType(ir.IntType(32), LANES)), BYTES)
        builder.store(whole, vector_pointer(builder, start, index, BYTES), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, lanes), codegen


@intrinsic
def _where_tap(typingctx, switches, index, tap, value):
    """Vector ``value`` where the LANES bytes from ``switches[index]`` on are ``tap``, and 0 elsewhere."""

    def codegen(context, builder, sig, args):
        switches, index, tap, value = args
        found = builder.load(vector_pointer(builder, switches, index, BYTES))
        found.align = 1
        equal = builder.icmp_signed("==", found, emit_broadcast(builder, builder.trunc(tap, ir.IntType(8))))
        return builder.select(equal, value, ir.Constant(VECTOR, [0.0] * LANES))

    return lanes(types.int64, types.int64, types.int64, lanes), codegen


@inner
def max_pool(x, width, geometry, size, y, switches):
    """Maxima and switches of one map, columns two apart; addresses, that of x with two vectors' room behind."""
    taps_down, taps_across, down, _, apart, aside, _, _ = geometry
    for p in range(size[0]):
        for i in range(0, size[1], LANES):
            q = min(i, max(0, size[1] - LANES))  # the last vector begins earlier
            best, taps, tap = broadcast(np.float32(-np.inf)), broadcast(np.float32(0)), np.float32(0)
            for r in range(taps_down):
                at = (p * down + r * apart) * width + 2 * q
                for s in range(taps_across):
                    best, taps = _compete(load_deinterleave2(x, at + s * aside)[0], tap, best, taps)
                    tap += np.float32(1)
            store(y, p * size[1] + q, best)
            _store_bytes(switches, p * size[1] + q, taps)


@inner
def unpools(geometry, size, input_size):
    """Whether ``unpool`` can do it: windows of 2 x 2 side by side, all pixels covered, or by the zeros behind."""
    taps_down, taps_across, down, across, apart, aside, top, left = geometry
    side_by_side = taps_down == taps_across == down == across == 2 and apart == aside == 1 and top == left == 0
    beyond = input_size[0] - 2 * size[0], input_size[1] - 2 * size[1]
    return side_by_side and (beyond == (0, 0) or (0 <= min(beyond) and max(beyond) <= 1 and 2 * size[1] < LANES))


@inner
def unpool(dy, switches, size, width, dx):
    """Fill one map; all are addresses, dy and switches with room behind.

    Behind a row shorter than a vector come zeros, as many as two vectors have room for.
    """
    for h in range(2 * size[0]):
        for i in range(0, size[1], LANES):
            q = min(i, max(0, size[1] - LANES))
            at = h // 2 * size[1] + q
            value = keep_first(load(dy, at), size[1] - q)
            left = _where_tap(switches, at, h % 2 * 2, value)
            store_interleave2(dx, h * width + 2 * q, left, _where_tap(switches, at, h % 2 * 2 + 1, value))
