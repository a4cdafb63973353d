"""Stride, padding, dilation and groups of a convolution, as its kernels take them."""

from __future__ import annotations

from typing import NamedTuple

from numba import boolean, int64, types

from minicnn.kernels.cpu.runtime.jit import inner

__all__ = ["GEOMETRY", "Geometry", "ceil_div"]


class Geometry(NamedTuple):
    """Where the taps of a convolution lie.

    Tap (r, s) of output (p, q) reads pixel ``(p stride_h + r dilation_h - padding_top,
    q stride_w + s dilation_w - padding_left)``.

    Attributes
    ----------
    stride_h, stride_w : int
    padding_top, padding_left : int
        What lies below and to the right follows from the size of the output.
    dilation_h, dilation_w : int
    groups : int
        Into which channels and filters are divided.
    is_pointwise : bool
        Whether the kernel is 1x1 with stride 1 and no padding, so that outputs are sums of pixels as they lie.

    """

    stride_h: int
    stride_w: int
    padding_top: int
    padding_left: int
    dilation_h: int
    dilation_w: int
    groups: int
    is_pointwise: bool


# what a kernel takes is ``tuple(geometry)``; it names the fields again, ``Geometry(*geometry)``: see ``epilogue``
GEOMETRY = types.Tuple([*[int64] * 7, boolean])


@inner
def ceil_div(count, size):
    """Parts of ``size`` that ``count`` makes, the last one perhaps smaller."""
    return (count + size - 1) // size
