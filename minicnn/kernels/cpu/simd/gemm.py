"""The product of two matrices inside a compiled kernel: BLAS on parts of arrays, and small products of our own.

Compiled ``np.dot`` takes whole contiguous arrays only, and would copy a block of columns; ``gemm`` takes leading
dimensions, as BLAS does.  Each call runs on the thread that makes it (see ``runtime.thread_pool``).
``gemm_epilogue_1`` to ``_3`` are micro-kernels whose sums are scaled, shifted and clipped before they leave their
registers: the rectifier of a convolution then costs no pass over memory.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.epilogue import emit_clip_mask, emit_scale_shift_clip
from minicnn.kernels.cpu.simd.gemm_micro import ROWS, emit_gemm_micro, unpack
from minicnn.kernels.cpu.simd.vector import FLOAT, INT64, LANES, emit_broadcast, vector_pointer

__all__ = ["Operand", "RowEpilogue", "gemm", "gemm_epilogue_1", "gemm_epilogue_2", "gemm_epilogue_3"]

# Numba's own way to SciPy's BLAS; addresses are passed as whole numbers
_blas_gemm = types.ExternalFunction("numba_xxgemm", types.intc(*[types.char] * 3, *[types.intp] * 11))
_SINGLE, _NOT_TRANSPOSED, _TRANSPOSED = ord("s"), ord("n"), ord("t")


class Operand(NamedTuple):
    """A factor of a product, in C order: its address, floats from row to row, whether its transpose lies there."""

    address: int
    leading_dim: int
    transposed: bool = False


class RowEpilogue(NamedTuple):
    """What becomes of a block's sums: addresses of a scale and a shift for each row, and the clip's limits."""

    scale: int
    shift: int
    clip_min: float
    clip_max: float


@inner
def gemm(m, n, k, a, b, c, accumulate):
    """C = A B, or C + A B, of float32 matrices (m, k), (k, n) and (m, n); a, b ``Operand``, c a ``Panel``.

    The caller must use its arrays once more afterwards, or they may be freed.
    """
    # BLAS takes the factors of A B and of C by their addresses
    factors = np.empty(2, np.float32)
    factors[0], factors[1] = 1, 1 if accumulate else 0
    alpha = factors.ctypes.data
    # BLAS counts in columns: C' = B' A'
    order_b = _TRANSPOSED if b.transposed else _NOT_TRANSPOSED
    order_a = _TRANSPOSED if a.transposed else _NOT_TRANSPOSED
    # a C-ordered matrix is, in the order of Fortran, its transpose: with A and B swapped nothing is copied
    operands = b.address, b.leading_dim, a.address, a.leading_dim
    _blas_gemm(_SINGLE, order_b, order_a, n, m, k, alpha, *operands, alpha + 4, c.address, c.leading_dim)
    factors[0] = 0  # a use after the call: until its last use an array is kept


def _make_gemm_epilogue(columns):
    """Make the product of ROWS rows by ``columns`` vectors, with its epilogue."""

    def gemm_epilogue(typingctx, a, b, depth, epilogue, y, mask):
        """Write the epilogue of A B to y, a ``Panel``, and to the mask of its shape; ``mask`` 0 for none."""

        def codegen(context, builder, sig, args):
            a, b = (unpack(context, builder, *each) for each in zip(sig.args[:2], args[:2], strict=True))
            depth, epilogue, y, mask = args[2:]
            scale, shift, *limits = cgutils.unpack_tuple(builder, epilogue, 4)
            y = unpack(context, builder, sig.args[4], y)
            sums = emit_gemm_micro(builder, ROWS, columns, a, b, depth)
            limits, values = [emit_broadcast(builder, limit) for limit in limits], []
            for n, value in enumerate(sums):
                r, j = divmod(n, columns)
                # scale, shift and place change with the row, not with each of its vectors
                if j == 0:
                    factor, summand = (_broadcast_element(builder, start, r) for start in (scale, shift))
                    row = builder.mul(y.leading_dim, INT64(r))
                clipped = emit_scale_shift_clip(builder, value, factor, summand, *limits)
                index = builder.add(row, INT64(LANES * j))
                builder.store(clipped, vector_pointer(builder, y.address, index), align=4)
                values.append((clipped, index))
            # one test for the whole block, once all of y is stored
            with builder.if_then(builder.icmp_signed("!=", mask, INT64(0))):
                for clipped, index in values:
                    flags = emit_clip_mask(builder, clipped, *limits)
                    builder.store(flags, vector_pointer(builder, mask, index, flags.type), align=1)
            return context.get_dummy_value()

        kind = types.NamedTuple([types.int64, types.int64, types.float32, types.float32], RowEpilogue)
        return types.void(a, b, types.int64, kind, y, types.int64), codegen

    return intrinsic(gemm_epilogue)


def _broadcast_element(builder, start, index):
    # element r of the scales or shifts: the caller's addresses begin at the block's first row
    element = builder.gep(builder.inttoptr(start, FLOAT.as_pointer()), [ir.Constant(INT64, index)])
    return emit_broadcast(builder, builder.load(element))


gemm_epilogue_1, gemm_epilogue_2, gemm_epilogue_3 = map(_make_gemm_epilogue, (1, 2, 3))
