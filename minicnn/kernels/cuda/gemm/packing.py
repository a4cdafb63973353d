"""Filters laid in rows that a tile can read: in the order of the taps, zeros behind them."""

from __future__ import annotations

from typing import NamedTuple

from numba import cuda

from minicnn.kernels.cuda.arrays import DeviceArray, empty
from minicnn.kernels.cuda.launch import divided, each

__all__ = ["Packing", "packed"]


class Packing(NamedTuple):
    """Where the values of a filter lie in the weight: order[d], and the distances of groups and of filters."""

    order: DeviceArray
    of_group: int
    of_filter: int


@cuda.jit
def _pack(weight, order, y, filters, deep, of_group, of_filter, size):
    """Lay filters in rows of ``deep`` values: y[m, d] = the weight at order[d] of filter m, 0 where that is -1."""
    i = cuda.grid(1)
    if i < size:
        m, d = divided(i, deep)
        group, k = divided(m, filters)
        at = group * of_group + k * of_filter + order[d]
        y[i] = weight[at] if order[d] >= 0 else y.dtype.type(0)


def packed(weight: DeviceArray, packing: Packing, shape: tuple[int, int], filters: int) -> DeviceArray:
    """Return the filters of all groups, ``filters`` in each, in rows: an array of ``shape``, (K, depth)."""
    y = empty(shape, weight.dtype)
    steps = shape[1], packing.of_group, packing.of_filter
    each(_pack, y.size, weight.memory, packing.order.memory, y.memory, filters, *steps)
    return y
