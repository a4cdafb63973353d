"""Rectifiers, the layers where the three backward rules differ, and softmax."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import isfinite
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Parameter, Rng, Shape
from minicnn.rules import GRADIENT, Rule, check_is_gradient

__all__ = ["Hardtanh", "LeakyReLU", "LogSoftmax", "PReLU", "ReLU", "ReLU6", "Softmax", "Tanh"]


@dataclass(frozen=True, eq=False, repr=False)
class ReLU(Layer, capturable=True):
    """Rectifier y = max(x, 0); backward by the rule.

    Inputs of any shape (N, ...); dx = dy [x > 0]^a [dy > 0]^b, with (a, b) = (1, 0) for the gradient, (0, 1) for
    the deconvnet and (1, 1) for guided backpropagation.  The derivative at 0 is 0.

    See Also
    --------
    torch.nn.ReLU : the same function
    minicnn.rules : the rules

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> net, x, dy = Network([layers.ReLU()]), np.array([[-2.0, 1.0, 3.0]]), np.array([[1.0, 1.0, -1.0]])
    >>> net(x).tolist()
    [[0.0, 1.0, 3.0]]
    >>> net.input_gradient(x, dy, rule="gradient").tolist()
    [[0.0, 1.0, -1.0]]
    >>> net.input_gradient(x, dy, rule="deconvnet").tolist()
    [[1.0, 1.0, 0.0]]

    """

    kind = Kind.PIECEWISE_LINEAR

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        # the mask of x > 0 is all that any of the three rules asks of the input
        y, mask = kernels.relu(x)
        return y, mask if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.relu_input_grad(dy, saved, rule), {}


@dataclass(frozen=True, eq=False, repr=False)
class ReLU6(Layer, capturable=True):
    """Rectifier with a ceiling, y = min(max(x, 0), 6); backward by the rule, its mask 0 < x < 6.

    Inputs of any shape (N, ...).

    See Also
    --------
    torch.nn.ReLU6 : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.ReLU6()])(np.array([[-2.0, 1.0, 8.0]])).tolist()
    [[0.0, 1.0, 6.0]]

    """

    kind = Kind.PIECEWISE_LINEAR

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        y, mask = kernels.hardtanh(x, 0, 6)
        return y, mask if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.relu_input_grad(dy, saved, rule), {}


@dataclass(frozen=True, eq=False, repr=False)
class Hardtanh(Layer, capturable=True):
    """Values clipped to an interval, y = min(max(x, min_val), max_val).

    Inputs of any shape (N, ...).  From 0 on it is a rectifier with a ceiling, and backward by the rule; otherwise
    it has no deconvnet or guided rule.

    Parameters
    ----------
    min_val, max_val : float

    Raises
    ------
    MinicnnError
        If there is nothing between them.

    See Also
    --------
    torch.nn.Hardtanh : the same function
    ReLU6 : from 0 to 6

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Hardtanh()])(np.array([[-2.0, 0.5, 8.0]])).tolist()
    [[-1.0, 0.5, 1.0]]

    """

    min_val: float = -1.0
    max_val: float = 1.0

    kind = Kind.PIECEWISE_LINEAR

    def __post_init__(self) -> None:
        if not self.min_val < self.max_val:
            raise MinicnnError(f"Hardtanh: expected min_val < max_val, got {self.min_val} and {self.max_val}")

    @property
    def kinks(self) -> tuple[float, ...]:
        """Inputs at which the slope jumps."""
        return tuple(kink for kink in (self.min_val, self.max_val) if isfinite(kink))

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        y, mask = kernels.hardtanh(x, self.min_val, self.max_val)
        return y, mask if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        if self.min_val != 0:
            check_is_gradient(repr(self), rule)
        return kernels.relu_input_grad(dy, saved, rule), {}


@dataclass(frozen=True, eq=False, repr=False)
class LeakyReLU(Layer, capturable=True):
    """Leaky rectifier y = x where x > 0, else negative_slope x; it has no deconvnet or guided rule.

    Inputs of any shape (N, ...).

    Parameters
    ----------
    negative_slope : float

    See Also
    --------
    torch.nn.LeakyReLU : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.LeakyReLU(0.25)])(np.array([[-2.0, 1.0]])).tolist()
    [[-0.5, 1.0]]

    """

    negative_slope: float = 0.01

    kind = Kind.PIECEWISE_LINEAR

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        y, mask = kernels.leaky_relu(x, self.negative_slope)
        return y, mask if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        check_is_gradient(repr(self), rule)
        return kernels.leaky_relu_input_grad(dy, saved, self.negative_slope), {}


@dataclass(frozen=True, eq=False, repr=False)
class PReLU(Layer, capturable=True):
    """Leaky rectifier with a learned slope, one for all channels or one for each; no deconvnet or guided rule.

    y = x where x > 0, else weight[c] x, for inputs of shape (N, C, ...).

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels C.
    init : float
        The slope when no ``weight`` is given.
    weight : array of shape (num_parameters,), optional

    See Also
    --------
    torch.nn.PReLU : the same layer

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> net = Network([layers.PReLU(2, weight=np.array([0.5, 0.25]))])
    >>> net(np.array([[-2.0, -2.0], [1.0, 4.0]])).tolist()
    [[-1.0, -0.5], [1.0, 4.0]]

    """

    num_parameters: int = 1
    init: float = 0.25
    _: KW_ONLY
    weight: Parameter = None

    kind = Kind.PIECEWISE_LINEAR

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"weight": (self.num_parameters,)}

    def output_shape(self, shape: Shape) -> Shape:
        if self.num_parameters not in (1, shape[0]):
            raise MinicnnError(f"PReLU: {self.num_parameters} slopes do not fit {shape[0]} channels")
        return shape

    def _draw(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        return np.full(shape, self.init, np.float32)

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        y, mask = kernels.prelu(x, self.weight)
        # dx needs the mask alone; the slope's gradient, a sum of dy x where x <= 0, needs x as well
        return y, (mask if keep else None, x if keep == Keep.INPUTS else None)

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        check_is_gradient(repr(self), rule)
        mask, x = saved
        gradients = {"weight": kernels.prelu_weight_grad(x, dy, mask, self.weight)} if weights else {}
        return kernels.prelu_input_grad(dy, mask, self.weight), gradients


@dataclass(frozen=True, eq=False, repr=False)
class Tanh(Layer, capturable=True):
    """Hyperbolic tangent of inputs of any shape (N, ...); it has no deconvnet or guided rule.

    See Also
    --------
    torch.nn.Tanh : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Tanh()])(np.array([[-1.0, 0.0, 1.0]])).round(4).tolist()
    [[-0.7616, 0.0, 0.7616]]

    """

    kind = Kind.SMOOTH

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        # dx = (1 - y^2) dy: the output is all that is kept
        y = kernels.tanh(x)
        return y, y if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        check_is_gradient(repr(self), rule)
        return kernels.tanh_input_grad(dy, saved), {}


@dataclass(frozen=True, eq=False, repr=False)
class Softmax(Layer, capturable=True):
    """Probabilities along axis 1: y_k = exp(x_k) / sum_j exp(x_j), for inputs of shape (N, K, ...).

    As a network's last layer it stays outside of the scores: ``net(x)`` stops before it.

    See Also
    --------
    torch.nn.Softmax : with ``dim=1``
    LogSoftmax : the logarithm, without underflow

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> net, x = Network([("probability", layers.Softmax())]), np.array([[0.0, 0.0, np.log(2)]])
    >>> net.forward(x, upto="probability").round(4).tolist()
    [[0.25, 0.25, 0.5]]
    >>> net(x).round(4).tolist()
    [[0.0, 0.0, 0.6931]]

    """

    kind = Kind.SMOOTH
    is_posterior = True

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        # dx = y (dy - <dy, y>): the output is all that is kept
        y = kernels.softmax(x)
        return y, y if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.softmax_input_grad(dy, saved), {}


@dataclass(frozen=True, eq=False, repr=False)
class LogSoftmax(Layer, capturable=True):
    """Logarithms of the probabilities along axis 1: y_k = x_k - log sum_j exp(x_j), for inputs (N, K, ...).

    As a network's last layer it stays outside of the scores.

    See Also
    --------
    torch.nn.LogSoftmax : with ``dim=1``
    Softmax : the probabilities themselves

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> net = Network([("log", layers.LogSoftmax())])
    >>> net.forward(np.array([[0.0, 0.0, np.log(2)]]), upto="log").round(4).tolist()
    [[-1.3863, -1.3863, -0.6931]]

    """

    kind = Kind.SMOOTH
    is_posterior = True

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        # dx = dy - exp(y) sum dy: the output is all that is kept
        y = kernels.log_softmax(x)
        return y, y if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.log_softmax_input_grad(dy, saved), {}
