"""Largest values over axes, and over the unequal windows of adaptive pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Rng
from minicnn.layers.resampling.reduction import AdaptivePool, OverAxes
from minicnn.rules import GRADIENT, Rule
from minicnn.shapes import IntPair

__all__ = ["AdaptiveMaxPool2d", "Amax"]

MAX_TAPS = 1 << 16  # of a window that the kernel for equal windows can number


@dataclass(frozen=True, eq=False, repr=False)
class Amax(OverAxes, capturable=True):
    """Largest value over one axis or several; by every rule dy goes back to it, to the first of equals.

    Parameters
    ----------
    dim : int, or tuple of int
        1 is the axis of the channels; negative numbers count from the last.
    keepdim : bool
        Whether these axes stay, with length 1.

    Raises
    ------
    ShapeError
        If there is no such axis.

    See Also
    --------
    torch.amax : the same in PyTorch, where equals share the gradient
    AdaptiveMaxPool2d : over height and width, with output size 1

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Amax(-1)])(np.array([[[1.0, 2.0], [6.0, 3.0]]])).tolist()
    [[2.0, 6.0]]

    """

    kind = Kind.PIECEWISE_LINEAR

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        y, switches = kernels.amax(x, self.axes(x.shape[1:]))
        return kernels.reshape(y, self.output_shape(x.shape[1:])), (x.shape, switches) if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        shape, switches = saved
        dy = kernels.reshape(dy, switches.shape[1:])
        return kernels.amax_input_grad(dy, switches, self.axes(shape[1:]), shape), {}


@dataclass(frozen=True, eq=False, repr=False)
class AdaptiveMaxPool2d(AdaptivePool, capturable=True):
    """Max-pool over as many windows as wanted: (N, C, H, W) to (N, C, P, Q).

    Window p has the rows from floor(p H / P) to before ceil((p + 1) H / P), so that windows overlap, and differ in
    size, where P does not divide H.

    Parameters
    ----------
    output_size : int, or pair of int or None
        (P, Q); None keeps the input's.

    Raises
    ------
    ShapeError
        If ``output_size`` is neither.

    See Also
    --------
    torch.nn.AdaptiveMaxPool2d : the same layer
    MaxPool2d : over windows of one size

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.AdaptiveMaxPool2d((1, 2))])(np.array([[[[1.0, 2.0, 6.0]]]])).tolist()
    [[[[2.0, 6.0]]]]

    """

    kind = Kind.PIECEWISE_LINEAR

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        (_, h, w), (_, p, q) = x.shape[1:], self.output_shape(x.shape[1:])
        size, out = (h, w), (p, q)
        window = _equal_windows(size, out)
        y, switches = kernels.max_pool2d(x, window) if window else kernels.adaptive_max_pool2d(x, out)
        return y, (size, switches) if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        size, switches = saved
        out = dy.shape[2], dy.shape[3]
        window = _equal_windows(size, out)
        if window:
            return kernels.max_pool2d_input_grad(dy, switches, size, window), {}
        return kernels.adaptive_max_pool2d_input_grad(dy, switches, size, out), {}


def _equal_windows(size: IntPair, out: IntPair) -> IntPair | None:
    """Return the size of the windows where they are alike and lie side by side, as in an ordinary max-pool."""
    (h, w), (p, q) = size, out
    if h % p or w % q or h // p * (w // q) > MAX_TAPS:
        return None
    return h // p, w // q
