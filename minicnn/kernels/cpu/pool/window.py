"""Where the taps of a pool lie, and its arrays, as its kernels take them."""

from __future__ import annotations

from typing import NamedTuple

from numba import int64, types

from minicnn.kernels.cpu.dtype import dense

__all__ = ["WINDOW", "Window", "as_maps", "as_window"]


class Window(NamedTuple):
    """Where the taps of a pool lie, as its kernels take it.

    Tap (r, s) of window (p, q) reads pixel ``(p stride_h + r dilation_h - padding_top,
    q stride_w + s dilation_w - padding_left)``.
    """

    height: int
    width: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    padding_top: int
    padding_left: int


# what a kernel takes is a plain tuple; it names the members again, ``Window(*window)``: see ``simd.epilogue``
WINDOW = types.UniTuple(int64, len(Window._fields))


def as_maps(array):
    """Return (N, C, H, W) as (N C, H, W)."""
    return dense(array).reshape(-1, *array.shape[2:])


def as_window(windows):
    """Return what a kernel takes as a ``WINDOW``."""
    (top, _), (left, _) = windows.padding
    return tuple(map(int, (*windows.kernel_size, *windows.stride, *windows.dilation, top, left)))
