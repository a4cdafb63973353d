"""Rectifiers, the layers where the three backward rules differ, and softmax."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.layers.base import Keep, Kind, Layer
from minicnn.rules import GRADIENT

__all__ = ["LeakyReLU", "LogSoftmax", "PReLU", "ReLU", "ReLU6", "Softmax", "Tanh"]


@dataclass(frozen=True, eq=False, repr=False)
class ReLU(Layer):
    """Rectifier y = max(x, 0); backward by the rule."""

    kind = Kind.PIECEWISE_LINEAR

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y, mask = kernels.relu(x)
        return y, mask if keep else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return kernels.relu_input_grad(dy, saved, rule), {}


@dataclass(frozen=True, eq=False, repr=False)
class ReLU6(Layer):
    """Rectifier with a ceiling, y = min(max(x, 0), 6); backward by the rule, its mask 0 < x < 6."""

    kind = Kind.PIECEWISE_LINEAR

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y, mask = kernels.relu6(x)
        return y, mask if keep else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return kernels.relu_input_grad(dy, saved, rule), {}


@dataclass(frozen=True, eq=False, repr=False)
class LeakyReLU(Layer):
    """Leaky rectifier y = x where x > 0, else negative_slope x; it has no deconvnet or guided rule."""

    negative_slope: float = 0.01

    kind = Kind.PIECEWISE_LINEAR

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y, mask = kernels.leaky_relu(x, self.negative_slope)
        return y, mask if keep else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        _only_gradient(self, rule)
        return kernels.leaky_relu_input_grad(dy, saved, self.negative_slope), {}


@dataclass(frozen=True, eq=False, repr=False)
class PReLU(Layer):
    """Leaky rectifier with a learned slope, one for all channels or one for each; no deconvnet or guided rule.

    Parameters
    ----------
    num_parameters : 1, or the number of channels
    init : the slope when nothing else is given
    weight : array of shape (num_parameters,), or None

    """

    num_parameters: int = 1
    init: float = 0.25
    _: KW_ONLY
    weight: np.ndarray | None = None

    kind = Kind.PIECEWISE_LINEAR

    def parameter_shapes(self):
        return {"weight": (self.num_parameters,)}

    def output_shape(self, shape):
        if self.num_parameters not in (1, shape[0]):
            raise MinicnnError(f"PReLU: {self.num_parameters} slopes do not fit {shape[0]} channels")
        return shape

    def _draw(self, name, shape, rng):
        return np.full(shape, self.init, np.float32)

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y, mask = kernels.prelu(x, self.weight)
        return y, (mask if keep else None, x if keep == Keep.INPUTS else None)

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        _only_gradient(self, rule)
        mask, x = saved
        gradients = {"weight": kernels.prelu_weight_grad(x, dy, mask, self.weight)} if weights else {}
        return kernels.prelu_input_grad(dy, mask, self.weight), gradients


@dataclass(frozen=True, eq=False, repr=False)
class Tanh(Layer):
    """Hyperbolic tangent; it has no deconvnet or guided rule."""

    kind = Kind.SMOOTH

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y = kernels.tanh(x)
        return y, y if keep else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        _only_gradient(self, rule)
        return kernels.tanh_input_grad(dy, saved), {}


@dataclass(frozen=True, eq=False, repr=False)
class Softmax(Layer):
    """Probabilities along axis 1.  As a network's last layer it stays outside of the scores."""

    kind = Kind.SMOOTH

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y = kernels.softmax(x)
        return y, y if keep else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return kernels.softmax_input_grad(dy, saved), {}


@dataclass(frozen=True, eq=False, repr=False)
class LogSoftmax(Layer):
    """Logarithms of the probabilities along axis 1.  As a network's last layer it stays outside of the scores."""

    kind = Kind.SMOOTH

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y = kernels.log_softmax(x)
        return y, y if keep else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return kernels.log_softmax_input_grad(dy, saved), {}


def _only_gradient(layer: Layer, rule) -> None:
    if rule != GRADIENT:
        raise MinicnnError(
            f"{layer!r}: the rule {rule.name!r} is defined for ReLU and ReLU6 only; use rule='gradient' here"
        )
