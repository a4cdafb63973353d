"""Where the matrix products gather: tables of taps, made once per shape and kept on the GPU.

The gradient with respect to the input gathers too.  With stride s, the input rows h with h mod s = f (a phase) are
read by those taps r alone whose place r dilation - top is h modulo s, so each phase is a convolution of stride 1
of dy by every so many taps; the phases write disjoint pixels, and no product by zero is computed.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np

from minicnn.errors import ShapeError
from minicnn.kernels.cuda.arrays import DeviceArray, upload
from minicnn.kernels.cuda.direct import FEW
from minicnn.kernels.cuda.gemm.gather_gemm import BIAS, Geometry
from minicnn.kernels.cuda.gemm.packing import Packing
from minicnn.kernels.cuda.gemm.tiles import BK
from minicnn.kernels.reference.windows import Windows

__all__ = ["Gather", "backward_plans", "forward_plan", "weight_plan"]

CACHED_PLANS = 512  # plans that wait for their shape to come again


class Gather(NamedTuple):
    """One launch: its geometry, the taps it gathers, how its filters are packed; None where they are so already.

    ``dense``: the taps of a pixel are whole maps apart, and four pixels lie side by side.
    """

    geometry: Geometry
    taps: DeviceArray
    packing: Packing | None
    dense: bool


class _Phase(NamedTuple):
    """Rows (or columns) of one phase: how many, their first, the taps that reach them, the source's first row."""

    count: int
    first: int
    taps: range
    corner: int
    step: int


def _table(offset, rows, columns) -> np.ndarray:
    """Pack (offset in the source, row, column) of taps as ``gather_gemm.make_gather_gemm`` reads them.

    Raises
    ------
    ShapeError
        If a window or a map is larger than its numbers have bits for.

    """
    far = max(np.abs(a).max(initial=0) for a in (rows, columns))
    if far >= BIAS or np.abs(offset).max(initial=0) >= 1 << 31:
        raise ShapeError(
            f"device 'cuda': a window of {far + 1} pixels or its maps are too large; use device 'cpu'"
        )
    # int64 before the shift; a negative offset keeps its 32 bits, and the kernel reads them as signed
    rows, columns = rows.astype(np.int64), columns.astype(np.int64)
    return (rows << 48) + ((columns + BIAS) << 32) + (offset & 0xFFFFFFFF)


def _taps(channels, rows, columns, source) -> np.ndarray:
    """Table of every channel, row and column of a window, zeros behind it up to a multiple of BK."""
    h, w = np.asarray(rows)[:, None], np.asarray(columns)
    # (C / G, R, S): distance of a tap from the window's corner, map after map
    offset = np.arange(channels)[:, None, None] * source[0] * source[1] + h * source[1] + w
    table = _table(offset, *np.broadcast_arrays(h, w)).reshape(-1)
    # 2^15 rows up and as many columns left of the corner: outside of the map, so the gather gives 0
    beyond = np.full(max(1, -(-table.size // BK) * BK) - table.size, -BIAS << 48, np.int64)
    return np.concatenate([table, beyond])


def _make_gather(
    geometry: Geometry, taps: np.ndarray, order: np.ndarray, group_stride: int, filter_stride: int, dense: bool
):
    """Return a plan; the filters are read in place where they lie in rows that a tile can read."""
    # the direct kernel walks the depth tap by tap, the tiles BK taps at a time
    step = 1 if geometry.filters < FEW else BK
    own_depth = order.size
    depth = -(-own_depth // step) * step
    # filters already lie in rows of the depth, one behind the other, and need no copy
    in_place = depth == own_depth == filter_stride and group_stride == geometry.filters * depth
    packing = None
    if not in_place or (order != np.arange(own_depth)).any():
        # -1 marks a zero: the row is filled up to the depth
        behind = np.full(max(1, depth) - own_depth, -1)
        packing = Packing(upload(np.concatenate([order, behind]).astype(np.int32)), group_stride, filter_stride)
    # four pixels are one vector only if no vector crosses from one image's map to the next
    dense = dense and depth == own_depth and geometry.rows * geometry.columns % 4 == 0
    return Gather(geometry._replace(depth=depth), upload(taps), packing, dense)


def _reads_single_pixels(windows: Windows) -> bool:
    """Whether the windows are the pixels themselves."""
    return windows.kernel_size == windows.stride == (1, 1) and windows.size == windows.output_size


@lru_cache(CACHED_PLANS)
def forward_plan(n: int, c: int, k: int, windows: Windows, groups: int) -> Gather:
    """Plan of ``conv2d``."""
    (height, width), (p, q), (r, s) = windows.size, windows.output_size, windows.kernel_size
    (top, _), (left, _) = windows.padding
    rows, columns = (np.arange(count) * far for count, far in zip((r, s), windows.dilation, strict=True))
    depth, filters = c // groups * r * s, k // groups
    # channels and size of the source, the step between windows, the first window's corner
    source = c, height, width, *windows.stride, -top, -left
    geometry = Geometry(n * p * q, depth, p, q, filters, *source, p, q, 1, 1, 0, 0, k)
    # weight (K, C / G, R, S) lies in the order of the taps, so its values are read as they come
    taps = _taps(c // groups, rows, columns, windows.size)
    return _make_gather(geometry, taps, np.arange(depth), filters * depth, depth, _reads_single_pixels(windows))


@lru_cache(CACHED_PLANS)
def backward_plans(n: int, c: int, k: int, windows: Windows, groups: int) -> tuple[Gather, ...]:
    """Plans of ``conv2d_input_grad``, one for each phase of the stride."""
    (height, width), (p, q), (r, s) = windows.size, windows.output_size, windows.kernel_size
    plans, filters = [], c // groups
    for y in _phases(0, windows):
        for x in _phases(1, windows):
            # the further a tap lies in the kernel, the further back is the dy that it carries to a pixel
            rows, columns = (-np.arange(len(axis.taps)) * axis.step for axis in (y, x))
            # r S + s of the taps of this phase
            numbers = np.array(y.taps, np.int64)[:, None] * s + np.array(x.taps, np.int64)
            # (K / G, taps of the phase): channel c's filter has weight[k, c, r, s] at order + c R S
            order = np.arange(k // groups)[:, None, None] * filters * r * s + numbers
            # the output is dx from (y.first, x.first) on, every stride-th pixel; the source is dy, one row a step
            geometry = Geometry(
                n * y.count * x.count,
                order.size,
                *(y.count, x.count, filters),
                *(k, p, q, 1, 1, y.corner, x.corner),
                *(height, width, *windows.stride, y.first, x.first, c),
            )
            # row d of the product is (k, tap) here, so the maps that are gathered are those of dy
            taps, group_stride = _taps(k // groups, rows, columns, (p, q)), k // groups * filters * r * s
            dense = _reads_single_pixels(windows)
            plans.append(_make_gather(geometry, taps, order.reshape(-1), group_stride, r * s, dense))
    return tuple(plans)


def _phases(axis: int, windows: Windows) -> list[_Phase]:
    size, stride, dilation = windows.size[axis], windows.stride[axis], windows.dilation[axis]
    before, taps = windows.padding[axis][0], windows.kernel_size[axis]
    # taps whose places agree modulo the stride recur with this period
    every = stride // gcd(stride, dilation)
    phases = []
    for first in range(min(stride, size)):
        # tap r carries dy row p to input row first only if first + before - r dilation = p stride
        reaching = [r for r in range(taps) if (first + before - r * dilation) % stride == 0]
        start = reaching[0] if reaching else 0
        # the row of dy that the first of the taps reads for the phase's first row
        corner = (first + before - start * dilation) // stride
        # a phase that no tap reaches keeps a depth of 0: its launch still writes the zeros or the shift
        taps_here = range(start, taps, every) if reaching else range(0)
        phases.append(_Phase(-(-(size - first) // stride), first, taps_here, corner, every * dilation // stride))
    return phases


@lru_cache(CACHED_PLANS)
def weight_plan(c: int, windows: Windows, groups: int) -> tuple[DeviceArray, DeviceArray]:
    """Tables of ``conv2d_weight_grad``: the place of every output pixel's window, and every (c, r, s)."""
    (height, width), (p, q), (r, s) = windows.size, windows.output_size, windows.kernel_size
    (top, _), (left, _) = windows.padding
    # row and column of x where the window of output (p, q) starts, negative in the padding
    rows = np.arange(p, dtype=np.int64)[:, None] * windows.stride[0] - top
    columns = np.arange(q, dtype=np.int64) * windows.stride[1] - left
    # the column is biased to stay positive below the row; the kernels take the 2^31 off again
    places = (rows << 32) + (columns + (1 << 31))
    h, w = np.arange(r)[:, None] * windows.dilation[0], np.arange(s) * windows.dilation[1]
    # (C / G, R, S)
    offset = np.arange(c // groups)[:, None, None] * height * width + h * width + w
    taps = _table(offset, *np.broadcast_arrays(h, w))
    return upload(places.reshape(-1)), upload(taps.reshape(-1))
