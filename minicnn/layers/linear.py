"""The fully connected layer."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import prod
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Parameter, Rng, Shape
from minicnn.rules import GRADIENT, Rule

__all__ = ["Linear"]


@dataclass(frozen=True, eq=False, repr=False)
class Linear(Layer, capturable=True):
    """Fully connected layer: y = x weight^T + bias, from (N, in_features) to (N, out_features).

    Of an input with more axes, (N, ..., in_features), the last one is mapped at every place alike.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool, or the array of shape (out_features,)
    weight : array of shape (out_features, in_features), or None to have it drawn

    See Also
    --------
    torch.nn.Linear : the same layer
    Flatten : what stands between feature maps and a linear layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> weight = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    >>> net = Network([layers.Linear(3, 2, bias=np.array([0.0, 10.0]), weight=weight)])
    >>> net(np.array([[1.0, 1.0, 1.0]])).tolist()
    [[6.0, 11.0]]

    """

    in_features: int
    out_features: int
    bias: Parameter = True
    _: KW_ONLY
    weight: Parameter = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", None if self.bias is False else self.bias)

    @property
    def kind(self) -> Kind:
        return Kind.LINEAR if self.bias is None else Kind.AFFINE

    def parameter_shapes(self) -> dict[str, Shape]:
        weight: Shape = (self.out_features, self.in_features)
        return {"weight": weight} if self.bias is None else {"weight": weight, "bias": (self.out_features,)}

    def output_shape(self, shape: Shape) -> Shape:
        if not shape or shape[-1] != self.in_features:
            hint = "; put a Flatten before it" if len(shape) > 1 else ""
            raise ShapeError(f"Linear: expected {self.in_features} features for each image, got {shape}{hint}")
        return (*shape[:-1], self.out_features)

    def multiply_adds(self, shape: Shape) -> int:
        return prod(shape) * self.out_features

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        rows = _rows(x, kernels)
        y = kernels.linear(rows, self.weight, self.bias)
        saved = rows if keep == Keep.INPUTS else None
        return kernels.reshape_input_grad(y, (*x.shape[:-1], self.out_features)) if x.ndim > 2 else y, saved

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        rows, gradients = _rows(dy, kernels), {}
        if weights:
            gradients["weight"] = kernels.linear_weight_grad(saved, rows)
            if self.bias is not None:
                gradients["bias"] = kernels.linear_bias_grad(rows)
        dx = kernels.linear_input_grad(rows, self.weight)
        return kernels.reshape_input_grad(dx, (*dy.shape[:-1], self.in_features)) if dy.ndim > 2 else dx, gradients


def _rows(x: np.ndarray, kernels: Kernels) -> np.ndarray:
    """Return (N, ..., features) as rows (N ..., features): every place of every image is one."""
    # the kernel that gives back a shape takes any, the batch's axis included
    return kernels.reshape_input_grad(x, (-1, x.shape[-1])) if x.ndim > 2 else x
