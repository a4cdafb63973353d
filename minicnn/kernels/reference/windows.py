"""Sliding windows as a loop over taps: what convolution and the pools have in common.

Tap (r, s) of all windows at once is a strided view of the padded input: the pixel at row p stride + r dilation,
column q stride + s dilation, for every output position (p, q).  Reading the views is a forward pass; adding into
them, tap after tap in row order, is its adjoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minicnn._utils import types
from minicnn.shapes import IntPair, Sides, output_size, pair, sides, span

__all__ = ["Windows"]


class Windows(NamedTuple):
    """All windows of one kernel over one input of ``size`` (H, W).

    Examples
    --------
    The sums of two neighbours, and the adjoint, which adds each value to both places it came from:

    >>> windows = Windows.over((1, 3), (1, 2))
    >>> x = np.array([[[[1.0, 2.0, 4.0]]]])
    >>> sum(tap for _, _, tap in windows.taps(x)).tolist()
    [[[[3.0, 6.0]]]]
    >>> dx = np.zeros_like(x)
    >>> for _, _, tap in windows.taps(dx):
    ...     tap += [3.0, 6.0]
    >>> dx.tolist()
    [[[[3.0, 9.0, 6.0]]]]

    """

    size: IntPair
    kernel_size: IntPair
    stride: IntPair
    padding: Sides
    dilation: IntPair
    output_size: IntPair

    @classmethod
    def over(
        cls,
        size: types.Shape,
        kernel_size: types.Pair,
        stride: types.Pair | None = 1,
        padding: types.Padding = 0,
        dilation: types.Pair = 1,
        ceil_mode: bool = False,
    ) -> Windows:
        """Windows over an input of ``size``; arguments as the operations take them, None for the pools' stride."""
        height, width = size
        kernel, dilations = pair(kernel_size, "kernel_size"), pair(dilation, "dilation")
        # pools default to windows side by side
        strides = kernel if stride is None else pair(stride, "stride")
        borders = sides(padding)
        out = output_size((height, width), kernel, strides, borders, dilations, ceil_mode)
        return cls((height, width), kernel, strides, borders, dilations, out)

    @property
    def padded_size(self) -> IntPair:
        """Height and width of the padded input, long enough for the last window of ``ceil_mode``."""
        height, width = (
            # ceil_mode's last window may reach beyond the padding, to (out - 1) stride + span
            max(n + before + after, (out - 1) * step + span(k, d))
            for n, (before, after), out, step, k, d in zip(
                self.size,
                self.padding,
                self.output_size,
                self.stride,
                self.kernel_size,
                self.dilation,
                strict=True,
            )
        )
        return height, width

    def pad(self, x: np.ndarray, fill: float = 0) -> np.ndarray:
        """``x`` (N, C, H, W) with ``fill`` around it; ``x`` itself where there is nothing to add."""
        if self.padded_size == self.size:
            return x
        # (N, C, *padded_size)
        padded = np.full(x.shape[:2] + self.padded_size, fill, x.dtype)
        self.crop(padded)[...] = x
        return padded

    def crop(self, padded: np.ndarray) -> np.ndarray:
        """View of the input's place in a padded array: the adjoint of ``pad``."""
        (height, width), ((top, _), (left, _)) = self.size, self.padding
        return padded[:, :, top : top + height, left : left + width]

    def taps(self, padded: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """(r, s, view of (N, C, P, Q)) for every tap, in row order."""
        for r in range(self.kernel_size[0]):
            for s in range(self.kernel_size[1]):
                yield r, s, padded[:, :, self._slice(0, r), self._slice(1, s)]

    def _slice(self, axis: int, tap: int) -> slice:
        # tap r of window p is row p stride + r dilation; the slice ends just behind the last window's
        start = tap * self.dilation[axis]
        return slice(start, start + (self.output_size[axis] - 1) * self.stride[axis] + 1, self.stride[axis])
