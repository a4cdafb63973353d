"""Addresses of parts of float32 arrays, as vectors need them, and what keeps the arrays alive meanwhile.

A vector may begin anywhere and reach across the end of a row, so kernels address memory as C does.  An address is
a whole number of bytes; a mask's address is 0 where there is no mask.
"""

from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.vector import address

__all__ = ["float_pointer", "keep_alive", "mask_pointer", "offset"]

FLOAT_BYTES = 4


@inner
def offset(start, floats):
    """Address so many floats behind the address ``start``."""
    return start + FLOAT_BYTES * floats


@inner
def float_pointer(array, index):
    """Address of element ``index`` of a float32 array, counted in C order."""
    return address(array) + FLOAT_BYTES * index


@inner
def mask_pointer(mask, index):
    """Address of element ``index`` of a mask, counted in C order; 0 where the mask is an empty array: no mask."""
    return address(mask) + index if mask.size else 0


@intrinsic
def keep_alive(typingctx, arrays):
    """Use a tuple of arrays once more.

    Numba frees an array after its last use, and does not see that an address is one: whoever works on addresses
    of arrays that it made names them here afterwards.
    """

    def codegen(context, builder, sig, args):
        return context.get_dummy_value()

    return types.void(arrays), codegen
