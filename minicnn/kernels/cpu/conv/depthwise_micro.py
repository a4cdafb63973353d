"""Sums of a depthwise convolution, some rows of outputs at a time, each in a register until it is whole.

Kernels of 3x3 and 5x5 taps, which nets have, are unrolled: a vector of the plane is read once for all rows of
outputs that it belongs to, and the weights stay in registers.  All others go tap by tap.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minicnn.kernels.cpu.runtime.jit import inner
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
    load_scalar,
    store,
    vector_pointer,
)

__all__ = ["ROWS", "kind_of", "sums_of_rows"]

ROWS = 8  # of outputs at a time: as many sums as hide a multiplication's delay


def _unrolled(side, stride):
    """Make the sums of ROWS rows of outputs, for kernels of ``side`` x ``side`` taps."""

    def sums(typingctx, plane, columns, weights, width, to):
        def codegen(context, builder, sig, args):
            plane, columns, weights, width, to = args
            start = builder.inttoptr(weights, FLOAT.as_pointer())
            factors = [
                emit_broadcast(builder, builder.load(builder.gep(start, [INT64(i)]))) for i in range(side * side)
            ]
            lines = [builder.mul(columns, INT64(j)) for j in range(((ROWS - 1) * stride + side) * stride)]
            last = builder.sub(width, INT64(LANES))
            last = builder.select(builder.icmp_signed("<", last, INT64(0)), INT64(0), last)
            with cgutils.for_range_slice(builder, INT64(0), width, INT64(LANES), intp=INT64) as (i, _):
                # the last vector begins earlier; only a short row reaches beyond
                q = builder.select(builder.icmp_signed("<", i, last), i, last)
                found = [ir.Constant(VECTOR, [0.0] * LANES)] * ROWS
                for j in range((ROWS - 1) * stride + side):
                    for s in range(side):
                        place = builder.add(lines[j * stride + s % stride], builder.add(q, INT64(s // stride)))
                        vector = emit_load(builder, plane, place)
                        for row in range(ROWS):
                            r = j - row * stride
                            if 0 <= r < side:
                                found[row] = emit_fma(builder, factors[r * side + s], vector, found[row])
                for row, total in enumerate(found):
                    place = builder.add(builder.mul(width, INT64(row)), q)
                    builder.store(total, vector_pointer(builder, to, place), align=4)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), codegen

    return intrinsic(sums)


_three, _three_apart, _five, _five_apart = (_unrolled(side, stride) for side in (3, 5) for stride in (1, 2))


@inner
def kind_of(kernel_size, geometry):
    """Return a number for the unrolled sums of a kernel with a stride, 0 where there are none."""
    side, stride = kernel_size[0], geometry[0]
    square = kernel_size[1] == side and geometry[1] == stride and geometry[4] == geometry[5] == 1
    return 2 * side + stride if square and (side == 3 or side == 5) and stride <= 2 else 0


@inner
def sums_of_rows(kind, plane, row, columns, places, count, weights, begin, end, width, sums):
    """Rows ``begin`` to ``end`` of outputs, one behind the other, and up to ROWS - 1 of no meaning behind them.

    plane, weights, sums : addresses; from one output's row of the plane to the next are ``row`` numbers, and there
    is room behind the plane for ROWS - 1 rows more
    places : where in the plane each of ``count`` taps of the first output is
    """
    for p in range(begin, end, ROWS):
        of, to = plane + 4 * p * row, sums + 4 * (p - begin) * width
        if kind == 7:
            _three(of, columns, weights, width, to)
        elif kind == 8:
            _three_apart(of, columns, weights, width, to)
        elif kind == 11:
            _five(of, columns, weights, width, to)
        elif kind == 12:
            _five_apart(of, columns, weights, width, to)
        else:
            _tap_by_tap(of, row, places, count, weights, width, to)
            if p + 4 < end:
                _tap_by_tap(of + 16 * row, row, places, count, weights, width, to + 16 * width)


@inner
def _tap_by_tap(plane, row, places, count, weights, width, to):
    """Compute four rows of outputs."""
    for i in range(0, width, LANES):
        q = min(i, max(0, width - LANES))
        one = two = three = four = broadcast(0)
        for tap in range(count):
            weight, at = broadcast(load_scalar(weights, tap)), places[tap] + q
            one = fma(weight, load(plane, at), one)
            two = fma(weight, load(plane, row + at), two)
            three = fma(weight, load(plane, 2 * row + at), three)
            four = fma(weight, load(plane, 3 * row + at), four)
        store(to, q, one)
        store(to, width + q, two)
        store(to, 2 * width + q, three)
        store(to, 3 * width + q, four)
