"""Where the product kernels gather: tables of taps, made once per shape and kept on the GPU.

The gradient with respect to the input gathers too.  With stride s, the input rows h with h mod s = f (a phase) are
read by those taps r alone whose place r dilation - top is h modulo s, so each phase is a convolution of stride 1
of dy by every so many taps; the phases write disjoint pixels, and no product by zero is computed.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np

from minicnn.kernels.cuda.arrays import DeviceArray, upload
from minicnn.kernels.cuda.product import Geometry
from minicnn.kernels.reference.windows import Windows

__all__ = ["Gather", "backward_plans", "forward_plan", "weight_plan"]

KEPT = 512  # plans that wait for their shape to come again


class Gather(NamedTuple):
    """One launch: its geometry and the taps it gathers."""

    geometry: Geometry
    taps: DeviceArray


class _Axis(NamedTuple):
    """Rows (or columns) of one phase: how many, their first, the taps that reach them, the source's first row."""

    count: int
    first: int
    taps: range
    corner: int
    step: int


def _packed(rows, columns):
    return rows * 65536 + columns + 32768


def _taps(channels, rows, columns, source, of_filter) -> DeviceArray:
    """Send (offset in the source, packed place, offset in the weight) of every channel, row tap and column tap.

    ``rows`` and ``columns`` are pairs of arrays: places in the source, and the taps' numbers r and s;
    ``of_filter`` is (R, S, what a channel's step in the weight is).
    """
    (h, r), (w, s) = rows, columns
    height, width = source
    _, s_total, step = of_filter
    c = np.arange(channels)[:, None, None]
    offset = c * height * width + h[:, None] * width + w
    place = np.broadcast_to(_packed(h[:, None], w), offset.shape)
    weight = c * step + r[:, None] * s_total + s
    table = np.stack([offset, place, np.broadcast_to(weight, offset.shape)], axis=-1)
    return upload(np.ascontiguousarray(table.reshape(-1), dtype=np.int32) if table.size else np.zeros(3, np.int32))


@lru_cache(KEPT)
def forward_plan(n: int, c: int, k: int, windows: Windows, groups: int) -> Gather:
    """Plan of ``conv2d``."""
    (height, width), (p, q), (r, s) = windows.size, windows.output_size, windows.kernel_size
    (top, _), (left, _) = windows.padding
    rows, columns = (np.arange(count) * far for count, far in zip((r, s), windows.dilation, strict=True))
    taps = _taps(c // groups, (rows, np.arange(r)), (columns, np.arange(s)), windows.size, (r, s, r * s))
    depth, filters = c // groups * r * s, k // groups
    source = c, height, width, *windows.stride, -top, -left
    return Gather(
        Geometry(n * p * q, depth, p, q, filters, *source, p, q, 1, 1, 0, 0, 0, filters * depth, depth, k), taps
    )


@lru_cache(KEPT)
def backward_plans(n: int, c: int, k: int, windows: Windows, groups: int) -> tuple[Gather, ...]:
    """Plans of ``conv2d_input_grad``, one for each phase of the stride."""
    (height, width), (p, q), (r, s) = windows.size, windows.output_size, windows.kernel_size
    plans = []
    for y in _phases(0, windows):
        for x in _phases(1, windows):
            places = [(-np.arange(len(axis.taps)) * axis.step, np.array(axis.taps, np.int64)) for axis in (y, x)]
            per_group = c // groups
            taps = _taps(k // groups, *places, (p, q), (r, s, per_group * r * s))
            geometry = Geometry(
                n * y.count * x.count,
                k // groups * len(y.taps) * len(x.taps),
                *(y.count, x.count, per_group),
                *(k, p, q, 1, 1, y.corner, x.corner),
                *(height, width, *windows.stride, y.first, x.first),
                *(0, k // groups * per_group * r * s, r * s, c),
            )
            plans.append(Gather(geometry, taps))
    return tuple(plans)


def _phases(axis: int, windows: Windows) -> list[_Axis]:
    size, stride, dilation = windows.size[axis], windows.stride[axis], windows.dilation[axis]
    before, taps = windows.padding[axis][0], windows.kernel_size[axis]
    every = stride // gcd(stride, dilation)
    found = []
    for first in range(min(stride, size)):
        reaching = [r for r in range(taps) if (first + before - r * dilation) % stride == 0]
        start = reaching[0] if reaching else 0
        corner = (first + before - start * dilation) // stride
        taps_here = range(start, taps, every) if reaching else range(0)
        found.append(_Axis(-(-(size - first) // stride), first, taps_here, corner, every * dilation // stride))
    return found


@lru_cache(KEPT)
def weight_plan(c: int, windows: Windows, groups: int) -> tuple[DeviceArray, DeviceArray]:
    """Tables of ``conv2d_weight_grad``: (offset, packed place) of every output pixel, and of every (c, r, s)."""
    (height, width), (p, q), (r, s) = windows.size, windows.output_size, windows.kernel_size
    (top, _), (left, _) = windows.padding
    rows = np.arange(p)[:, None] * windows.stride[0] - top
    columns = np.arange(q) * windows.stride[1] - left
    pixels = np.stack([rows * width + columns, _packed(rows, columns)], axis=-1)
    channel = np.arange(c // groups)[:, None, None]
    h, w = np.arange(r)[:, None] * windows.dilation[0], np.arange(s) * windows.dilation[1]
    offset = channel * height * width + h * width + w
    taps = np.stack([offset, np.broadcast_to(_packed(h, w), offset.shape)], axis=-1)
    return tuple(upload(np.ascontiguousarray(t.reshape(-1), dtype=np.int32)) for t in (pixels, taps))
