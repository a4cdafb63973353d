"""Windows of convolutions and pools at one place, and the places whose windows have one value in them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.layers import Conv2d
from minicnn.shapes import Sides, pair, sides

__all__ = ["Geometry", "geometry_of"]


class Geometry(NamedTuple):
    """How the windows of a layer lie on maps of ``size`` (H, W)."""

    size: tuple[int, int]
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: Sides
    dilation: tuple[int, int]

    def taps(self, p: int, q: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows (R,) and columns (S,) that the window at (p, q) reads; outside of the map is padding.

        Examples
        --------
        >>> rows, columns = Geometry((4, 4), (3, 2), (2, 2), ((1, 1), (0, 0)), (1, 1)).taps(0, 1)
        >>> rows.tolist(), columns.tolist()
        ([-1, 0, 1], [2, 3])

        """
        rows, columns = (
            place * self.stride[axis]
            - self.padding[axis][0]
            + self.dilation[axis] * np.arange(self.kernel_size[axis])
            for axis, place in enumerate((p, q))
        )
        return rows, columns

    def inside(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return which places of a grid (R, S) are on the map."""
        height, width = self.size
        return ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))

    def windows_with(self, h: int, w: int, out: tuple[int, int]) -> list[tuple[int, int, int, int]]:
        """Return (p, q, r, s) of every window of ``out`` (P, Q) that has (h, w) as its tap (r, s), in row order.

        Examples
        --------
        >>> Geometry((4, 4), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)).windows_with(1, 1, (2, 2))
        [(0, 0, 2, 2), (0, 1, 2, 0), (1, 0, 0, 2), (1, 1, 0, 0)]

        """
        along = []
        for axis, place in enumerate((h, w)):
            fits = []
            for tap in range(self.kernel_size[axis]):
                start = place + self.padding[axis][0] - tap * self.dilation[axis]
                if start % self.stride[axis] == 0 and 0 <= start // self.stride[axis] < out[axis]:
                    fits.append((start // self.stride[axis], tap))
            along.append(sorted(fits))
        return [(p, q, r, s) for p, r in along[0] for q, s in along[1]]


def geometry_of(layer: Any, size: tuple[int, int]) -> Geometry:
    """Return the windows of a Conv2d, MaxPool2d or AvgPool2d on maps of ``size`` (H, W)."""
    padding = layer.geometry(size)["padding"] if isinstance(layer, Conv2d) else layer.padding
    dilation = getattr(layer, "dilation", (1, 1))
    return Geometry(size, layer.kernel_size, layer.stride, sides(padding), pair(dilation, "dilation"))
