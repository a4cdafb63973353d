"""Filters laid in rows that a tile can read: in the order of the taps, zeros behind them."""

from __future__ import annotations

from typing import NamedTuple

from numba import cuda

from minicnn.kernels.cuda.arrays import DeviceArray, empty
from minicnn.kernels.cuda.launch import divmod_u32, launch_per_value

__all__ = ["Packing", "pack_filters"]


class Packing(NamedTuple):
    """Where the values of a filter lie in the weight: order[d], and the distances of groups and of filters."""

    order: DeviceArray
    group_stride: int
    filter_stride: int


@cuda.jit
def _pack(weight, order, y, filters, depth, group_stride, filter_stride, size):
    """Lay filters in rows of ``depth`` values: y[m, d] = weight order[d] of filter m, 0 where that is -1."""
    i = cuda.grid(1)
    if i < size:
        # value d of filter m, and the filter as number k of its group
        m, d = divmod_u32(i, depth)
        group, k = divmod_u32(m, filters)
        at = group * group_stride + k * filter_stride + order[d]
        # zeros behind the filter multiply whatever the padded taps gather
        y[i] = weight[at] if order[d] >= 0 else y.dtype.type(0)


def pack_filters(weight: DeviceArray, packing: Packing, shape: tuple[int, int], filters: int) -> DeviceArray:
    """Return the filters of all groups, ``filters`` in each, in rows: an array of ``shape``, (K, depth)."""
    y = empty(shape, weight.dtype)
    strides = shape[1], packing.group_stride, packing.filter_stride
    launch_per_value(_pack, y.size, weight.memory, packing.order.memory, y.memory, filters, *strides)
    return y
