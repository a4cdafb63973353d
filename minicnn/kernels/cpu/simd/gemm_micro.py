"""GEMM micro-kernels: a few rows of A by one, two or three vectors of columns of B, whose sums stay in registers.

As in BLIS, all sums of a block of C are kept in registers while the depth is run through: each step loads the
block's vectors of B once, and multiplies them by each row's element of A.  Larger products are loops over such
blocks, which callers arrange so that what is read again stays in a core's cache.
"""

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
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

__all__ = [
    "ROWS",
    "Gathered",
    "Panel",
    "Strided",
    "emit_gemm_micro",
    "gemm_micro_1",
    "gemm_micro_2",
    "gemm_micro_3",
    "make_gemm_micro",
]

ROWS = 8 if LANES == 16 else 4  # with three vectors of columns their sums fill the registers


class Strided(NamedTuple):
    """A matrix A of float32: element (r, i) lies ``r row_stride + i column_stride`` floats after ``address``."""

    address: int
    row_stride: int
    column_stride: int


class Panel(NamedTuple):
    """A matrix B or C whose rows are read as vectors: element (i, j) lies ``i leading_dim + j`` floats on."""

    address: int
    leading_dim: int


class Gathered(NamedTuple):
    """A matrix B whose rows lie anywhere: element (i, j) lies ``offsets[i] + j`` floats after ``address``."""

    address: int
    offsets: int  # address of int64 numbers


def unpack(context, builder, kind, value):
    """Return a NamedTuple of whole numbers, given to an intrinsic, with its members as LLVM values."""
    # a member may have come as a literal or a shorter integer: all become int64
    members = cgutils.unpack_tuple(builder, value, len(kind))
    cast = [context.cast(builder, v, given, types.int64) for v, given in zip(members, kind, strict=True)]
    return kind.instance_class(*cast)


def emit_gemm_micro(builder, rows, columns, a, b, depth, begin=None):
    """Emit the product of ``rows`` rows by ``columns`` vectors; return its sums, row by row, in registers.

    a is ``Strided``, b a ``Panel`` or ``Gathered``, of LLVM values; the depth is at least 1.  Sums begin from the
    vectors ``begin``, or from 0.
    """
    begin = begin or [ir.Constant(VECTOR, [0.0] * LANES)] * (rows * columns)
    row_offsets = [builder.mul(a.row_stride, INT64(r)) for r in range(rows)]
    before, body = builder.block, builder.append_basic_block("depth")
    after = builder.append_basic_block("sums")
    builder.branch(body)
    builder.position_at_end(body)
    # a phi for each value that a step hands on to the next, so that none goes through memory
    variables = [builder.phi(kind) for kind in [INT64] * 3 + [VECTOR] * (rows * columns)]
    # step, where column i of A and row i of B begin, and the sums, vector j of row r at r columns + j
    i, in_a, in_b, *sums = variables
    for phi, value in zip(variables, [INT64(0)] * 3 + begin, strict=True):
        phi.add_incoming(value, before)
    # places advance by addition: no multiplication by a stride in the loop
    # ``b[1]`` is the leading dimension or, of no account then, the address of the offsets
    following = [builder.add(i, INT64(1)), builder.add(in_a, a.column_stride), builder.add(in_b, b[1])]
    if isinstance(b, Gathered):
        in_b = builder.load(builder.gep(builder.inttoptr(b.offsets, INT64.as_pointer()), [i]))
    # the outer product of a column of A and a row of B: columns + rows loads for columns times rows FMAs
    vectors = [emit_load(builder, b.address, builder.add(in_b, INT64(LANES * j))) for j in range(columns)]
    for r, offset in enumerate(row_offsets):
        element = builder.gep(builder.inttoptr(a.address, FLOAT.as_pointer()), [builder.add(in_a, offset)])
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
    # a branch, not a choice: a C that is written for the first time need not be read
    with builder.if_then(condition):
        values, inside = [builder.load(place, align=4) for place in places], builder.block
    vectors = [builder.phi(VECTOR) for _ in places]
    for phi, value in zip(vectors, values, strict=True):
        phi.add_incoming(zero, before)
        phi.add_incoming(value, inside)
    return vectors


def make_gemm_micro(columns, rows=ROWS):
    """Make the function for C = A B, or C + A B, with ``rows`` rows and ``columns`` vectors of columns."""

    def gemm_micro(typingctx, a, b, c, depth, accumulate):
        """Write, or add, the product of a, ``Strided``, and b, a ``Panel`` or ``Gathered``, to c, a ``Panel``."""

        def codegen(context, builder, sig, args):
            a, b, c = (unpack(context, builder, *each) for each in zip(sig.args[:3], args[:3], strict=True))
            places = [
                vector_pointer(
                    builder, c.address, builder.add(builder.mul(c.leading_dim, INT64(r)), INT64(LANES * j))
                )
                for r in range(rows)
                for j in range(columns)
            ]
            depth, accumulate = args[3:]
            # C joins at the start: the loop itself is the same with and without it
            begin = _load_if(builder, accumulate, places)
            sums = emit_gemm_micro(builder, rows, columns, a, b, depth, begin)
            for place, value in zip(places, sums, strict=True):
                builder.store(value, place, align=4)
            return context.get_dummy_value()

        return types.void(a, b, c, types.int64, types.boolean), codegen

    return intrinsic(gemm_micro)


gemm_micro_1, gemm_micro_2, gemm_micro_3 = (make_gemm_micro(columns) for columns in (1, 2, 3))
