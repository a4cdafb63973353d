"""Addresses of parts of float32 arrays, as vectors need them, and what keeps the arrays alive meanwhile.

A vector may begin anywhere and reach across the end of a row, so kernels address memory as C does.  An address is
a whole number of bytes; a mask's address is 0 where there is no mask.

NamedTuples that go from function to function within a kernel hold addresses, not arrays: Numba counts the
references to an array with atomic steps each time it is taken out of a tuple, which took a quarter of the time of
depthwise convolutions on small maps.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.vector import address

__all__ = [
    "INDEX_BYTES",
    "Maps",
    "float_pointer",
    "keep_alive",
    "mask_offset",
    "mask_pointer",
    "offset",
    "view_maps",
]

FLOAT_BYTES, INDEX_BYTES = 4, 8


class Maps(NamedTuple):
    """A float32 array of shape (images, channels, height, width) by its address."""

    address: int
    images: int
    channels: int
    height: int
    width: int


@inner
def view_maps(x):
    """Return an array as ``Maps``."""
    return Maps(address(x), *x.shape)


@inner
def offset(start, floats):
    """Address so many floats behind the address ``start``."""
    return start + FLOAT_BYTES * floats


@inner
def float_pointer(array, index):
    """Address of element ``index`` of a float32 array, counted in C order."""
    return address(array) + FLOAT_BYTES * index


@inner
def mask_pointer(mask):
    """Address of a mask; 0 where it is an empty array, which stands for no mask."""
    return address(mask) if mask.size else 0


@inner
def mask_offset(mask, index):
    """Address of element ``index`` of the mask at an address, 0 where there is none."""
    # a mask has one byte a value, so that an index is an offset
    return mask + index if mask else 0


@intrinsic
def keep_alive(typingctx, arrays):
    """Use a tuple of arrays once more.

    Numba frees an array after its last use, and does not see that an address is one: whoever works on addresses
    of arrays that it made names them here afterwards.
    """

    def codegen(context, builder, sig, args):
        # nothing is emitted: that the arrays are arguments here is a use
        return context.get_dummy_value()

    return types.void(arrays), codegen
