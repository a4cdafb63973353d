"""Dot products whose sums stay in registers: some rows of a matrix by some vectors, LANES terms at a time."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.simd.vector import (
    INT64,
    LANES,
    VECTOR,
    emit_broadcast,
    emit_fma,
    emit_load,
    emit_prefetch,
    vector_pointer,
)

__all__ = ["DOT_COLUMNS", "DOT_ROWS", "dot_micro"]

# rows and vectors of a block: with one of each loaded, its sums fill the registers
DOT_ROWS, DOT_COLUMNS = 3, 8 if LANES == 16 else 4


@intrinsic
def dot_micro(typingctx, a, row, last, b, depth, ahead, sums, apart, adds):
    """Put the products of DOT_ROWS rows by DOT_COLUMNS vectors at ``sums``, or add them, LANES partial sums each.

    Element i of row r lies at ``a + r row + i``; rows after ``last`` repeat it.  The vectors are interleaved:
    element i of vector n lies at ``b + i // LANES * DOT_COLUMNS * LANES + n LANES + i % LANES``.
    i runs from 0 to depth - 1, depth >= LANES whole vectors.  What lies ``ahead`` of each row is prefetched.  The
    partial sums of (r, n) lie at ``sums + r apart + n LANES``.
    """

    def codegen(context, builder, sig, args):
        a, row, last, b, depth, ahead, sums, apart, adds = args
        rows = [_row(builder, a, row, last, r) for r in range(DOT_ROWS)]
        each = [(r, n) for r in range(DOT_ROWS) for n in range(DOT_COLUMNS)]
        places = [
            vector_pointer(builder, sums, builder.add(builder.mul(apart, INT64(r)), INT64(LANES * n)))
            for r, n in each
        ]
        zero = emit_broadcast(builder, ir.Constant(VECTOR.element, 0))
        begin = [builder.select(adds, builder.load(place, align=4), zero) for place in places]
        before, body = builder.block, builder.append_basic_block("depth")
        after = builder.append_basic_block("sums")
        builder.branch(body)
        builder.position_at_end(body)
        variables = [builder.phi(INT64), *(builder.phi(VECTOR) for _ in each)]
        for phi, value in zip(variables, [INT64(0), *begin], strict=True):
            phi.add_incoming(value, before)
        i, *totals = variables
        factors = [emit_load(builder, one, i) for one in rows]
        for one in rows:
            emit_prefetch(builder, one, builder.add(i, ahead))
        for n in range(DOT_COLUMNS):
            vector = emit_load(builder, b, builder.add(builder.mul(i, INT64(DOT_COLUMNS)), INT64(LANES * n)))
            for r, factor in enumerate(factors):
                totals[r * DOT_COLUMNS + n] = emit_fma(builder, factor, vector, totals[r * DOT_COLUMNS + n])
        following = [builder.add(i, INT64(LANES)), *totals]
        for phi, value in zip(variables, following, strict=True):
            phi.add_incoming(value, body)
        builder.cbranch(builder.icmp_signed("<", following[0], depth), body, after)
        builder.position_at_end(after)
        for place, value in zip(places, totals, strict=True):
            builder.store(value, place, align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8, types.boolean), codegen


def _row(builder, a, row, last, r):
    """Emit the address of row r, or of the last."""
    r = builder.select(builder.icmp_signed("<", INT64(r), last), INT64(r), last)
    return builder.add(a, builder.mul(builder.mul(r, row), INT64(4)))
