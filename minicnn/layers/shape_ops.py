"""Layers that only move values: flatten, permute, reshape."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Rng, Shape
from minicnn.rules import GRADIENT, Rule

__all__ = ["Flatten", "Permute", "Reshape"]


@dataclass(frozen=True, eq=False, repr=False)
class Flatten(Layer, capturable=True):
    """All axes but the first in one, in row order: (N, C, H, W) to (N, C H W).

    See Also
    --------
    torch.nn.Flatten : the same layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Flatten()])(np.array([[[[1.0, 2.0]], [[3.0, 4.0]]]])).tolist()
    [[1.0, 2.0, 3.0, 4.0]]

    """

    kind = Kind.LINEAR

    def output_shape(self, shape: Shape) -> Shape:
        return (int(np.prod(shape)),)

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        return kernels.flatten(x), x.shape

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.flatten_input_grad(dy, saved), {}


@dataclass(frozen=True, eq=False, repr=False)
class Permute(Layer, capturable=True):
    """Axes of each image in another order, for weights that were trained on maps laid out otherwise.

    Parameters
    ----------
    axes : tuple of int
        The axes of the input, without the batch's, in the order of the output's; (1, 2, 0) makes C, H, W into
        H, W, C.

    Raises
    ------
    ShapeError
        If ``axes`` is no permutation of 0, 1, ...

    See Also
    --------
    torch.permute : counts the batch axis too

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Permute((1, 2, 0))])(np.array([[[[1.0, 2.0]], [[3.0, 4.0]]]])).tolist()
    [[[[1.0, 3.0], [2.0, 4.0]]]]

    """

    axes: tuple[int, ...]

    kind = Kind.LINEAR

    def __post_init__(self) -> None:
        if not isinstance(self.axes, tuple | list) or sorted(self.axes) != list(range(len(self.axes))):
            raise ShapeError(f"Permute: axes: expected each of 0, 1, ... once, got {self.axes!r}")
        object.__setattr__(self, "axes", tuple(self.axes))

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != len(self.axes):
            raise ShapeError(f"Permute: expected {len(self.axes)} axes for each image, got {shape}")
        return tuple(shape[axis] for axis in self.axes)

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        return kernels.permute(x, self.axes), None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.permute_input_grad(dy, self.axes), {}


@dataclass(frozen=True, eq=False, repr=False)
class Reshape(Layer, capturable=True):
    """The values of each image in another shape, in row order.

    Parameters
    ----------
    shape : tuple of int
        The output's shape without the batch axis; its product is that of the input's.

    Raises
    ------
    ShapeError
        If ``shape`` is not of whole numbers >= 1.

    See Also
    --------
    torch.nn.Unflatten : the same for one axis

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Reshape((2, 1, 2))])(np.array([[1.0, 2.0, 3.0, 4.0]])).tolist()
    [[[[1.0, 2.0]], [[3.0, 4.0]]]]

    """

    shape: tuple[int, ...]

    kind = Kind.LINEAR

    def __post_init__(self) -> None:
        is_shape = isinstance(self.shape, tuple | list) and all(isinstance(n, int) and n >= 1 for n in self.shape)
        if not is_shape or not self.shape:
            raise ShapeError(f"Reshape: shape: expected whole numbers >= 1, got {self.shape!r}")
        object.__setattr__(self, "shape", tuple(self.shape))

    def output_shape(self, shape: Shape) -> Shape:
        if prod(shape) != prod(self.shape):
            raise ShapeError(f"Reshape: {shape} does not hold as many values as {self.shape}")
        return self.shape

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        return kernels.reshape(x, self.shape), x.shape

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.reshape_input_grad(dy, saved), {}
