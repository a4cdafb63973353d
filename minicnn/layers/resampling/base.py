"""Layers that are a linear map along each axis: all they say is which inputs an output reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.kernels.reference.axis_taps import AxisTaps
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Rng, Shape
from minicnn.rules import GRADIENT, Rule

__all__ = ["Resample", "Taps", "check_length"]

Taps = tuple[AxisTaps | None, ...]  # one for each axis of an image; None where it stays as it is


MAX_LENGTH = 1 << 24  # of an axis: a table of its places is held in memory


def check_length(count: int) -> None:
    """Raise ShapeError for an axis that is too long for a table of its places."""
    if count > MAX_LENGTH:
        raise ShapeError(f"an axis of {count:,} places is longer than {MAX_LENGTH:,}")


@dataclass(frozen=True, eq=False, repr=False)
class Resample(Layer):
    """A linear map along each axis of the images; subclasses say which, in ``taps``.

    Being linear, it is the same by every rule: the deconvnet and guided backpropagation transpose it.
    """

    kind = Kind.LINEAR

    def taps(self, shape: Shape) -> Taps:
        """Return what each output reads, axis by axis, for an image of ``shape``; ShapeError if it can't be."""
        raise NotImplementedError

    def output_shape(self, shape: Shape) -> Shape:
        return tuple(n if along is None else len(along) for n, along in zip(shape, self.taps(shape), strict=True))

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        return kernels.resample(x, self.taps(x.shape[1:])), x.shape[1:]

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.resample_input_grad(dy, self.taps(saved)), {}
