"""Dot products whose sums stay in registers: some rows of a matrix by some vectors, LANES terms at a time.

Where ``gemm_micro`` has vectors of columns, here vectors lie along the depth, as a weight's rows do in memory:
each sum is LANES partial sums, to be added up at the end.
"""

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.simd.gemm_micro import unpack
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

__all__ = ["DOT_COLUMNS", "DOT_ROWS", "Interleaved", "PartialSums", "Rows", "dot_micro"]

# rows and vectors of a block: with one of each loaded, its sums fill the registers
DOT_ROWS, DOT_COLUMNS = 3, 8 if LANES == 16 else 4


class Rows(NamedTuple):
    """DOT_ROWS rows of a matrix: element i of row r lies ``r leading_dim + i`` floats after ``address``.

    Rows after number ``last`` repeat it.  What lies ``ahead`` floats after each element is prefetched.
    """

    address: int
    leading_dim: int
    last: int
    ahead: int


class Interleaved(NamedTuple):
    """DOT_COLUMNS vectors, of which LANES elements each lie together.

    Element i of vector n lies ``i // LANES * DOT_COLUMNS * LANES + n LANES + i % LANES`` floats after ``address``.
    """

    address: int


class PartialSums(NamedTuple):
    """The LANES partial sums of row r and vector n lie ``r leading_dim + n LANES`` floats after ``address``."""

    address: int
    leading_dim: int


@intrinsic
def dot_micro(typingctx, a, b, sums, depth, accumulate):
    """Write the products of ``Rows`` by ``Interleaved`` vectors to ``PartialSums``, or add them.

    ``depth`` elements of each are multiplied: LANES or more, whole vectors.
    """

    def codegen(context, builder, sig, args):
        a, b, sums = (unpack(context, builder, *each) for each in zip(sig.args[:3], args[:3], strict=True))
        depth, accumulate = args[3:]
        # the block is always whole: rows that the matrix lacks are computed again from its last one
        rows = [_emit_row_address(builder, a, r) for r in range(DOT_ROWS)]
        block = [(r, n) for r in range(DOT_ROWS) for n in range(DOT_COLUMNS)]
        places = [
            vector_pointer(
                builder, sums.address, builder.add(builder.mul(sums.leading_dim, INT64(r)), INT64(LANES * n))
            )
            for r, n in block
        ]
        zero = emit_broadcast(builder, ir.Constant(VECTOR.element, 0))
        # loaded in either case, and dropped where the sums begin at 0
        begin = [builder.select(accumulate, builder.load(place, align=4), zero) for place in places]
        before, body = builder.block, builder.append_basic_block("depth")
        after = builder.append_basic_block("sums")
        builder.branch(body)
        builder.position_at_end(body)
        # the loop's variables: i, and the LANES partial sums of each row by each vector
        variables = [builder.phi(INT64), *(builder.phi(VECTOR) for _ in block)]
        for phi, value in zip(variables, [INT64(0), *begin], strict=True):
            phi.add_incoming(value, before)
        i, *totals = variables
        factors = [emit_load(builder, row, i) for row in rows]
        # one prefetch a row and step: with 16 LANES a step is as long as a cache line
        for row in rows:
            emit_prefetch(builder, row, builder.add(i, a.ahead))
        for n in range(DOT_COLUMNS):
            # i counts floats of a row; the vectors' LANES elements from i on begin DOT_COLUMNS i floats on
            index = builder.add(builder.mul(i, INT64(DOT_COLUMNS)), INT64(LANES * n))
            vector = emit_load(builder, b.address, index)
            # the row's vectors stay in registers while the columns' come by one at a time
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

    return types.void(a, b, sums, types.int64, types.boolean), codegen


def _emit_row_address(builder, rows, r):
    """Emit the address of row r, or of the last."""
    r = builder.select(builder.icmp_signed("<", INT64(r), rows.last), INT64(r), rows.last)
    return builder.add(rows.address, builder.mul(builder.mul(r, rows.leading_dim), INT64(4)))
