"""The fully connected layer, and what stands around it: permutation, flatten and dropout."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import prod

import numpy as np

from minicnn.errors import MinicnnError, ShapeError
from minicnn.layers.base import Keep, Kind, Layer
from minicnn.rules import GRADIENT

__all__ = ["Dropout", "Flatten", "Linear", "Permute", "Reshape"]


@dataclass(frozen=True, eq=False, repr=False)
class Linear(Layer):
    """Fully connected layer: (N, in_features) to (N, out_features).

    Parameters
    ----------
    in_features, out_features : int
    bias : bool, or the array of shape (out_features,)
    weight : array of shape (out_features, in_features), or None to have it drawn

    """

    in_features: int
    out_features: int
    bias: bool | np.ndarray | None = True
    _: KW_ONLY
    weight: np.ndarray | None = None

    @property
    def kind(self):
        return Kind.LINEAR if self.bias is None else Kind.AFFINE

    def __post_init__(self):
        object.__setattr__(self, "bias", None if self.bias is False else self.bias)

    def parameter_shapes(self):
        shapes = {"weight": (self.out_features, self.in_features)}
        return shapes if self.bias is None else shapes | {"bias": (self.out_features,)}

    def output_shape(self, shape):
        if shape != (self.in_features,):
            hint = "; put a Flatten before it" if len(shape) > 1 else ""
            raise ShapeError(f"Linear: expected {self.in_features} features for each image, got {shape}{hint}")
        return (self.out_features,)

    def multiply_adds(self, shape):
        return self.in_features * self.out_features

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return kernels.linear(x, self.weight, self.bias), x if keep == Keep.INPUTS else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        gradients = {}
        if weights:
            gradients["weight"] = kernels.linear_weight_grad(saved, dy)
            if self.bias is not None:
                gradients["bias"] = kernels.linear_bias_grad(dy)
        return kernels.linear_input_grad(dy, self.weight), gradients


@dataclass(frozen=True, eq=False, repr=False)
class Flatten(Layer):
    """All axes but the first in one, in row order: (N, C, H, W) to (N, C H W)."""

    kind = Kind.LINEAR

    def output_shape(self, shape):
        return (int(np.prod(shape)),)

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return kernels.flatten(x), x.shape

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return kernels.flatten_input_grad(dy, saved), {}


@dataclass(frozen=True, eq=False, repr=False)
class Permute(Layer):
    """Axes of each image in another order, for weights that were trained on maps laid out otherwise.

    Parameters
    ----------
    axes : the axes of the input, without the batch's, in the order of the output's; (1, 2, 0) makes C, H, W
        into H, W, C

    """

    axes: tuple

    kind = Kind.LINEAR

    def __post_init__(self):
        if not isinstance(self.axes, tuple | list) or sorted(self.axes) != list(range(len(self.axes))):
            raise ShapeError(f"Permute: axes: expected each of 0, 1, ... once, got {self.axes!r}")
        object.__setattr__(self, "axes", tuple(self.axes))

    def output_shape(self, shape):
        if len(shape) != len(self.axes):
            raise ShapeError(f"Permute: expected {len(self.axes)} axes for each image, got {shape}")
        return tuple(shape[axis] for axis in self.axes)

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return kernels.permute(x, self.axes), None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return kernels.permute_input_grad(dy, self.axes), {}


@dataclass(frozen=True, eq=False, repr=False)
class Reshape(Layer):
    """The values of each image in another shape, in row order.

    Parameters
    ----------
    shape : the output's shape without the batch axis; its product is that of the input's

    """

    shape: tuple

    kind = Kind.LINEAR

    def __post_init__(self):
        whole = isinstance(self.shape, tuple | list) and all(isinstance(n, int) and n >= 1 for n in self.shape)
        if not whole or not self.shape:
            raise ShapeError(f"Reshape: shape: expected whole numbers >= 1, got {self.shape!r}")
        object.__setattr__(self, "shape", tuple(self.shape))

    def output_shape(self, shape):
        if prod(shape) != prod(self.shape):
            raise ShapeError(f"Reshape: {shape} does not hold as many values as {self.shape}")
        return self.shape

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return kernels.reshape(x, self.shape), x.shape

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return kernels.reshape_input_grad(dy, saved), {}


@dataclass(frozen=True, eq=False, repr=False)
class Dropout(Layer):
    """Dropout: the identity, unless a forward pass is given a random generator (training).

    Parameters
    ----------
    p : probability that a value is dropped, in [0, 1)

    """

    p: float = 0.5

    kind = Kind.LINEAR

    def __post_init__(self):
        if not 0 <= self.p < 1:
            raise MinicnnError(f"Dropout: p: expected a probability in [0, 1), got {self.p!r}")

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return (x, None) if rng is None else kernels.dropout(x, self.p, rng)

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return dy if saved is None else kernels.dropout_input_grad(dy, saved, self.p), {}
