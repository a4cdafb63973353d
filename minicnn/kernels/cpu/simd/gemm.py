"""The product of two matrices inside a compiled kernel: BLAS on parts of arrays, where they lie.

Compiled ``np.dot`` takes whole contiguous arrays only, and would copy a block of columns; ``gemm`` takes the
distance between rows.  Each call runs on the thread that makes it (see ``threads``).  ``gemm_epilogue_1`` to
``_3`` are small products of our own, whose sums go through the epilogue before they are written, and those of
``gemm_gather_1`` to ``_3``, the rows of whose second matrix lie anywhere, do so too.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.epilogue import emit_clip_mask, emit_scale_shift_clip
from minicnn.kernels.cpu.simd.gemm_micro import emit_gemm_micro
from minicnn.kernels.cpu.simd.vector import FLOAT, INT64, LANES, emit_broadcast, vector_pointer

__all__ = [
    "gemm",
    "gemm_epilogue_1",
    "gemm_epilogue_2",
    "gemm_epilogue_3",
    "gemm_gather_1",
    "gemm_gather_2",
    "gemm_gather_3",
]

# Numba's own way to SciPy's BLAS; addresses are passed as whole numbers
_blas_gemm = types.ExternalFunction("numba_xxgemm", types.intc(*[types.char] * 3, *[types.intp] * 11))
_SINGLE, _NOT_TRANSPOSED, _TRANSPOSED = ord("s"), ord("n"), ord("t")


@inner
def gemm(m, n, k, a, a_row, a_turned, b, b_row, b_turned, adds, c, c_row):
    """C = A B, or C + A B if ``adds``, of float32 matrices (m, k), (k, n) and (m, n) in C order.

    a, b and c are addresses, ``*_row`` the number of values from a row to the next.  A matrix that is "turned"
    lies in memory as its transpose.  The caller must use its arrays once more afterwards, or they may be freed.
    """
    factors = np.empty(2, np.float32)
    factors[0], factors[1] = 1, 1 if adds else 0
    at = factors.ctypes.data
    # BLAS counts in columns: C' = B' A'
    first, second = _TRANSPOSED if b_turned else _NOT_TRANSPOSED, _TRANSPOSED if a_turned else _NOT_TRANSPOSED
    _blas_gemm(_SINGLE, first, second, n, m, k, at, b, b_row, a, a_row, at + 4, c, c_row)
    factors[0] = 0  # a use after the call: until its last use an array is kept


def _gemm_epilogue(columns, placed=False):
    """Make the product of ROWS rows by ``columns`` vectors, finished: y and mask at ``r y_row + j``.

    a, b, width and depth are as for ``emit_gemm_micro``; scale and shift are addresses of ROWS numbers, mask is 0
    where there is none.
    """

    def product(typingctx, a, row, step, b, width, depth, scale, shift, least, most, y, y_row, mask):
        def codegen(context, builder, sig, args):
            a, row, step, b, width, depth, scale, shift, least, most, y, y_row, mask = args
            sums = emit_gemm_micro(builder, columns, a, row, step, b, width, depth, placed=placed)
            ends, values = (emit_broadcast(builder, least), emit_broadcast(builder, most)), []
            for n, total in enumerate(sums):
                r, j = divmod(n, columns)
                if j == 0:
                    by, plus = (_broadcast_element(builder, start, r) for start in (scale, shift))
                    line = builder.mul(y_row, INT64(r))
                after = emit_scale_shift_clip(builder, total, by, plus, *ends)
                place = builder.add(line, INT64(LANES * j))
                builder.store(after, vector_pointer(builder, y, place), align=4)
                values.append((after, place))
            with builder.if_then(builder.icmp_signed("!=", mask, INT64(0))):
                for after, place in values:
                    flags = emit_clip_mask(builder, after, *ends)
                    builder.store(flags, vector_pointer(builder, mask, place, flags.type), align=1)
            return context.get_dummy_value()

        numbers = [types.int64] * 8 + [types.float32] * 2 + [types.int64] * 3
        return types.void(*numbers), codegen

    return intrinsic(product)


def _broadcast_element(builder, start, index):
    element = builder.gep(builder.inttoptr(start, FLOAT.as_pointer()), [ir.Constant(INT64, index)])
    return emit_broadcast(builder, builder.load(element))


gemm_epilogue_1, gemm_epilogue_2, gemm_epilogue_3 = map(_gemm_epilogue, (1, 2, 3))
gemm_gather_1, gemm_gather_2, gemm_gather_3 = (_gemm_epilogue(n, True) for n in (1, 2, 3))
