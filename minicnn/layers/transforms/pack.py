"""Layers of several inputs as layers of one: for what looks at a layer and one array that reaches it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Rng, Shape
from minicnn.rules import GRADIENT, Rule

__all__ = ["Packed", "with_one_input"]


@dataclass(frozen=True, eq=False, repr=False)
class Packed(Layer):
    """A join on one array (N, D), which holds its inputs, each image of them in row order, one behind the other.

    Parameters
    ----------
    join : the layer of several inputs
    shapes : tuple of shapes of one image, its inputs'

    """

    join: Layer
    shapes: tuple[Shape, ...]

    @property
    def kind(self) -> Kind:
        return self.join.kind

    def output_shape(self, shape: Shape) -> Shape:
        return self.join.output_shape(self.shapes)  # type: ignore[arg-type]  # a join takes a tuple of shapes

    def unpack(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the inputs of the join, (N, ...) each."""
        parts = np.split(x, np.cumsum([prod(shape) for shape in self.shapes])[:-1], axis=1)
        return tuple(part.reshape(len(x), *shape) for part, shape in zip(parts, self.shapes, strict=True))

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        return self.join.forward(self.unpack(x), kernels, keep, rng)  # type: ignore[arg-type]

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        dx, gradients = self.join.backward(dy, saved, kernels, rule, weights)
        return _pack(tuple(dx)), gradients


def with_one_input(layer: Layer, x: Any) -> tuple[Layer, np.ndarray]:
    """Return a layer and what it is handed, packed where that is a tuple of arrays.

    Examples
    --------
    >>> from minicnn.kernels import reference
    >>> from minicnn.layers import Multiply
    >>> layer, x = with_one_input(Multiply(), (np.array([[2.0]]), np.array([[3.0]])))
    >>> x.tolist(), layer.forward(x, reference)[0].tolist()
    ([[2.0, 3.0]], [[6.0]])

    """
    if not isinstance(x, tuple):
        return layer, x
    return Packed(layer, tuple(part.shape[1:] for part in x)), _pack(x)


def _pack(arrays: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.concatenate([np.asarray(a).reshape(len(a), -1) for a in arrays], axis=1)
