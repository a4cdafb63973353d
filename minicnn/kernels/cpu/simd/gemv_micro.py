"""GEMV micro-kernels: ROWS rows of A by a single column, for the few columns beyond whole vectors.

A vector of their own would cost as much as LANES columns.  Here vectors lie along the depth, where a row's
elements do so in memory, or along the rows, where A is transposed.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.simd.gemm_micro import ROWS
from minicnn.kernels.cpu.simd.vector import (
    FLOAT,
    INT64,
    LANES,
    VECTOR,
    emit_fma,
    emit_horizontal_sum,
    emit_load,
    vector_pointer,
)

__all__ = ["gemv_micro", "gemv_micro_transposed"]

CONTRACT = ("contract",)  # a multiplication and an addition may become one step
UNROLL = 4  # steps of the depth with sums of their own, so that none waits for the addition before it


def _loop(builder, depth, step, begin, body):
    """Emit ``values = body(i, values)`` for i = 0, step, ... while ``step`` are left; return (i, values)."""
    before, inside = builder.block, builder.append_basic_block("step")
    after = builder.append_basic_block("rest")
    kinds = [INT64, *(value.type for value in begin)]
    # a loop with its test at the end, and one before it: the body may not run at all
    enough = builder.icmp_signed("<=", INT64(step), depth)
    builder.cbranch(enough, inside, after)
    builder.position_at_end(inside)
    variables = [builder.phi(kind) for kind in kinds]
    for phi, value in zip(variables, [INT64(0), *begin], strict=True):
        phi.add_incoming(value, before)
    values = body(variables[0], variables[1:])
    following = [builder.add(variables[0], INT64(step)), *values]
    more = builder.icmp_signed("<=", builder.add(following[0], INT64(step)), depth)
    # the body may have made blocks of its own: the loop comes back from the last of them
    for phi, value in zip(variables, following, strict=True):
        phi.add_incoming(value, builder.block)
    end = builder.block
    builder.cbranch(more, inside, after)
    builder.position_at_end(after)
    results = [builder.phi(kind) for kind in kinds]
    # behind the loop: what it began with, if it did not run, or what its last step left
    for phi, first, value in zip(results, [INT64(0), *begin], following, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(value, end)
    return results[0], results[1:]


@intrinsic
def gemv_micro(typingctx, a, leading_dim, x, depth, y):
    """Write y = A x: ROWS numbers, of rows of ``depth`` floats that lie ``leading_dim`` apart; all addresses."""

    def codegen(context, builder, sig, args):
        a, leading_dim, x, depth, y = args
        # where each row begins, in floats
        starts = [builder.mul(leading_dim, INT64(r)) for r in range(ROWS)]

        # a vector of x is loaded once for all rows, whose LANES partial sums each stay in registers
        def add_vectors(i, sums):
            vector = emit_load(builder, x, i)
            return [
                emit_fma(builder, emit_load(builder, a, builder.add(start, i)), vector, total)
                for start, total in zip(starts, sums, strict=True)
            ]

        zero = ir.Constant(VECTOR, [0.0] * LANES)
        # whole vectors of the depth, then what is left number by number
        done, sums = _loop(builder, depth, LANES, [zero] * ROWS, add_vectors)
        a_floats, x_floats = (builder.inttoptr(start, FLOAT.as_pointer()) for start in (a, x))

        def add_numbers(i, sums):
            i = builder.add(done, i)
            number = builder.load(builder.gep(x_floats, [i]))
            factors = [builder.load(builder.gep(a_floats, [builder.add(start, i)])) for start in starts]
            return [
                builder.fadd(total, builder.fmul(w, number, flags=CONTRACT), flags=CONTRACT)
                for w, total in zip(factors, sums, strict=True)
            ]

        left = builder.sub(depth, done)
        _, sums = _loop(builder, left, 1, [emit_horizontal_sum(builder, vector) for vector in sums], add_numbers)
        for r, total in enumerate(sums):
            builder.store(total, builder.gep(builder.inttoptr(y, FLOAT.as_pointer()), [INT64(r)]))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


@intrinsic
def gemv_micro_transposed(typingctx, a, leading_dim, x, depth, y):
    """Write y = A' x: ROWS numbers, of columns of A, whose ``depth`` rows lie ``leading_dim`` floats apart."""
    # ROWS numbers side by side: a row of A has one for each of the sums
    kind = ir.VectorType(FLOAT, ROWS)

    def codegen(context, builder, sig, args):
        a, leading_dim, x, depth, y = args
        x_floats = builder.inttoptr(x, FLOAT.as_pointer())

        def add(i, total):
            # x[i], broadcast to all rows
            number = builder.load(builder.gep(x_floats, [i]))
            first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
            factor = builder.shuffle_vector(
                first, first, ir.Constant(ir.VectorType(ir.IntType(32), ROWS), [0] * ROWS)
            )
            return builder.fadd(
                total,
                builder.fmul(emit_load(builder, a, builder.mul(i, leading_dim), kind), factor, flags=CONTRACT),
                flags=CONTRACT,
            )

        def add_unrolled(i, sums):
            return [add(builder.add(i, INT64(j)), total) for j, total in enumerate(sums)]

        zero = ir.Constant(kind, [0.0] * ROWS)
        done, sums = _loop(builder, depth, UNROLL, [zero] * UNROLL, add_unrolled)
        # the UNROLL sums are added in a fixed order
        total = sums[0]
        for other in sums[1:]:
            total = builder.fadd(total, other)
        left = builder.sub(depth, done)
        _, (total,) = _loop(builder, left, 1, [total], lambda i, sums: [add(builder.add(done, i), sums[0])])
        builder.store(total, vector_pointer(builder, y, INT64(0), kind), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen
