"""The product of two matrices inside a compiled kernel: BLAS on parts of arrays, where they lie.

Compiled ``np.dot`` takes whole contiguous arrays only, and would copy a block of columns; the function below it
takes the distance between rows.  Each call runs on the thread that makes it (see ``threads``).
"""

import numpy as np
from numba import njit, types

__all__ = ["multiply"]

# Numba's own way to SciPy's BLAS; addresses are passed as whole numbers
_gemm = types.ExternalFunction("numba_xxgemm", types.intc(*[types.char] * 3, *[types.intp] * 11))
_SINGLE, _AS_IT_IS, _TURNED = ord("s"), ord("n"), ord("t")


@njit
def multiply(m, n, k, a, a_row, a_turned, b, b_row, b_turned, adds, c, c_row):
    """C = A B, or C + A B if ``adds``, of float32 matrices (m, k), (k, n) and (m, n) in C order.

    a, b and c are addresses, ``*_row`` the number of values from a row to the next.  A matrix that is "turned"
    lies in memory as its transpose.  The caller must use its arrays once more afterwards, or they may be freed.
    """
    factors = np.empty(2, np.float32)
    factors[0], factors[1] = 1, 1 if adds else 0
    at = factors.ctypes.data
    # BLAS counts in columns: C' = B' A'
    first, second = _TURNED if b_turned else _AS_IT_IS, _TURNED if a_turned else _AS_IT_IS
    _gemm(_SINGLE, first, second, n, m, k, at, b, b_row, a, a_row, at + 4, c, c_row)
    factors[0] = 0  # a use after the call: until its last use an array is kept
