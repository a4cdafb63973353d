"""Multiplication by a parameter and addition of another, one number for all values or one along some axes."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Parameter, Rng, Shape
from minicnn.rules import GRADIENT, Rule

__all__ = ["Scale"]


@dataclass(frozen=True, eq=False, repr=False)
class Scale(Layer, capturable=True):
    """y = weight x + bias, both broadcast to the input of each image, their last axes to its last axes.

    ConvNeXt's layer scale of N x H x W x C has the shape (C,), of N x C x H x W (C, 1, 1); one number has ().

    Parameters
    ----------
    shape : tuple of int
        Of the parameters: ones, and in a row the lengths of the axes along which they differ.
    bias : bool, or array of ``shape``
    weight : array of ``shape``, optional

    Raises
    ------
    ShapeError
        If ``shape`` is none.

    See Also
    --------
    minicnn.layers.BatchNorm2d : with the statistics of a channel

    Examples
    --------
    >>> from minicnn import Network
    >>> layer = Scale((2, 1), weight=np.array([[2.0], [3.0]]), bias=np.array([[0.0], [1.0]]))
    >>> Network([layer])(np.ones((1, 2, 3))).tolist()
    [[[2.0, 2.0, 2.0], [4.0, 4.0, 4.0]]]

    """

    shape: Shape
    bias: Parameter = True
    _: KW_ONLY
    weight: Parameter = None

    def __post_init__(self) -> None:
        sizes = (self.shape,) if isinstance(self.shape, int) else tuple(self.shape)
        if not all(isinstance(n, int) and n >= 1 for n in sizes):
            raise ShapeError(f"Scale: shape: expected whole numbers >= 1, got {self.shape!r}")
        object.__setattr__(self, "shape", sizes)

    @property
    def kind(self) -> Kind:
        return Kind.AFFINE if "bias" in self.parameter_shapes() else Kind.LINEAR

    def parameter_shapes(self) -> dict[str, Shape]:
        names = ("weight",) if self.bias is False or self.bias is None else ("weight", "bias")
        return dict.fromkeys(names, self.shape)

    def _draw(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return np.full(shape, 1.0 if name == "weight" else 0.0, np.float32)

    def output_shape(self, shape: Shape) -> Shape:
        self._view(shape)
        return shape

    def _view(self, shape: Shape) -> tuple[int, int, int]:
        """Return (A, D, B), as which an image of ``shape`` is seen, with D weights."""
        sizes = self.shape
        while len(sizes) > len(shape) and sizes[0] == 1:
            sizes = sizes[1:]
        sizes = (1,) * (len(shape) - len(sizes)) + sizes
        differing = [axis for axis, n in enumerate(sizes) if n > 1]
        first, end = (differing[0], differing[-1] + 1) if differing else (len(shape), len(shape))
        if len(sizes) != len(shape) or sizes[first:end] != tuple(shape[first:end]):
            raise ShapeError(
                f"Scale: parameters of {self.shape} do not fit an input of {tuple(shape)} for each image"
            )
        return prod(shape[:first]), prod(shape[first:end]), prod(shape[end:])

    def _batch_view(self, shape: Shape) -> tuple[int, int, int]:
        a, d, b = self._view(shape[1:])
        return shape[0] * a, d, b

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        state = self.state()
        y = kernels.scale_and_shift(x, self._batch_view(x.shape), state["weight"], state.get("bias"))
        return y, x if keep == Keep.INPUTS else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        view, gradients = self._batch_view(dy.shape), {}
        if weights:
            gradients["weight"] = kernels.scale_and_shift_weight_grad(saved, dy, view).reshape(self.shape)
        if weights and "bias" in self.parameter_shapes():
            gradients["bias"] = kernels.scale_and_shift_bias_grad(dy, view).reshape(self.shape)
        return kernels.scale_and_shift_input_grad(dy, view, self.state()["weight"]), gradients
