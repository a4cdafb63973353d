"""Small products of matrices whose sums stay in registers: some rows by one, two or three vectors of columns."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.simd.vector import (
    FLOAT,
    INT64,
    LANES,
    VECTOR,
    emit_broadcast,
    emit_fma,
    emit_load,
    vector_pointer,
)

__all__ = ["ROWS", "emit_gemm_micro", "gemm_micro_1", "gemm_micro_2", "gemm_micro_3", "make_gemm_micro"]

ROWS = 8 if LANES == 16 else 4  # with three vectors of columns their sums fill the registers


def emit_gemm_micro(builder, columns, a, row, step, b, width, depth, rows=ROWS, begin=None, placed=False):
    """Emit the product of ``rows`` rows by ``columns`` vectors; return its sums, row by row, in registers.

    Element (r, i) of a lies at ``a + r row + i step``, (i, j) of b at ``b + i width + j``; i runs from 0 to
    depth - 1, depth >= 1.  Where b is ``placed``, width is the address of whole numbers, and its element (i, j) at
    ``b + width[i] + j``.  Sums begin from the vectors ``begin``, or from 0.
    """
    begin = begin or [ir.Constant(VECTOR, [0.0] * LANES)] * (rows * columns)
    offsets = [builder.mul(row, INT64(r)) for r in range(rows)]
    before, body = builder.block, builder.append_basic_block("depth")
    after = builder.append_basic_block("sums")
    builder.branch(body)
    builder.position_at_end(body)
    variables = [builder.phi(kind) for kind in [INT64] * 3 + [VECTOR] * (rows * columns)]
    i, at_a, at_b, *sums = variables
    for phi, value in zip(variables, [INT64(0)] * 3 + begin, strict=True):
        phi.add_incoming(value, before)
    following = [builder.add(i, INT64(1)), builder.add(at_a, step), builder.add(at_b, width)]
    if placed:
        at_b = builder.load(builder.gep(builder.inttoptr(width, INT64.as_pointer()), [i]))
    vectors = [emit_load(builder, b, builder.add(at_b, INT64(LANES * j))) for j in range(columns)]
    for r, offset in enumerate(offsets):
        element = builder.gep(builder.inttoptr(a, FLOAT.as_pointer()), [builder.add(at_a, offset)])
        factor = emit_broadcast(builder, builder.load(element))
        for j, vector in enumerate(vectors):
            sums[r * columns + j] = emit_fma(builder, factor, vector, sums[r * columns + j])
    for phi, value in zip(variables, [*following, *sums], strict=True):
        phi.add_incoming(value, body)
    builder.cbranch(builder.icmp_signed("<", following[0], depth), body, after)
    builder.position_at_end(after)
    return sums


def _load_if(builder, condition, places):
    """Emit the load of vectors from ``places`` where the condition holds, and zeros elsewhere."""
    zero, before = ir.Constant(VECTOR, [0.0] * LANES), builder.block
    with builder.if_then(condition):
        values, inside = [builder.load(place, align=4) for place in places], builder.block
    vectors = [builder.phi(VECTOR) for _ in places]
    for phi, value in zip(vectors, values, strict=True):
        phi.add_incoming(zero, before)
        phi.add_incoming(value, inside)
    return vectors


def make_gemm_micro(columns, rows=ROWS, placed=False):
    """Make the product of ``rows`` rows by ``columns`` vectors; (r, j) is put at ``c + r c_row + j``, or added."""

    def product(typingctx, a, row, step, b, width, c, c_row, depth, adds):
        def codegen(context, builder, sig, args):
            a, row, step, b, width, c, c_row, depth, adds = args
            places = [
                vector_pointer(builder, c, builder.add(builder.mul(c_row, INT64(r)), INT64(LANES * j)))
                for r in range(rows)
                for j in range(columns)
            ]
            begin = _load_if(builder, adds, places)
            sums = emit_gemm_micro(builder, columns, a, row, step, b, width, depth, rows, begin, placed)
            for place, total in zip(places, sums, strict=True):
                builder.store(total, place, align=4)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8, types.boolean), codegen

    return intrinsic(product)


gemm_micro_1, gemm_micro_2, gemm_micro_3 = (make_gemm_micro(columns) for columns in (1, 2, 3))
