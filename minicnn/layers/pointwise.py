"""Activations that are a function of each value, where a rectifier would be: SiLU, GELU, ELU and their kin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Rng
from minicnn.rules import GRADIENT, Rule, check_is_gradient

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "Hardswish",
    "Mish",
    "Pointwise",
    "SiLU",
    "Softplus",
    "Softsign",
    "Threshold",
]


@dataclass(frozen=True, eq=False, repr=False)
class Pointwise(Layer):
    """A function of each value, y = f(x), for inputs of any shape (N, ...); the base class of others.

    dx = f'(x) dy.  Functions that stand where a rectifier would have no deconvnet or guided rule; gates and
    elementary functions (``layers.elementary``) are differentiated exactly whatever the rule.
    """

    function: ClassVar[str]  # its name in ``kernels.reference.pointwise``
    rectifies: ClassVar[bool] = True

    @property
    def constants(self) -> tuple[float, ...]:
        """What the function takes beside x."""
        return ()

    @property
    def kinks(self) -> tuple[float, ...]:
        """Inputs at which the slope jumps."""
        return ()

    @property
    def kind(self) -> Kind:
        return Kind.NONLINEAR if self.kinks else Kind.SMOOTH

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        return kernels.pointwise(x, self.function, self.constants), x if keep else None

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        if self.rectifies:
            check_is_gradient(repr(self), rule)
        return kernels.pointwise_input_grad(dy, saved, self.function, self.constants), {}


@dataclass(frozen=True, eq=False, repr=False)
class SiLU(Pointwise, capturable=True):
    """Sigmoid-weighted linear unit, or swish: y = x / (1 + exp(-x)); no deconvnet or guided rule.

    See Also
    --------
    torch.nn.SiLU : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.SiLU()])(np.array([[-1.0, 0.0, 1.0]])).round(4).tolist()
    [[-0.2689, 0.0, 0.7311]]

    Source: Elfwing, Uchibe, Doya 2017; Ramachandran, Zoph, Le 2017.

    """

    function = "silu"


@dataclass(frozen=True, eq=False, repr=False)
class Hardswish(Pointwise, capturable=True):
    """Swish with a gate of three lines: y = x min(max(x + 3, 0), 6) / 6; no deconvnet or guided rule.

    See Also
    --------
    torch.nn.Hardswish : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Hardswish()])(np.array([[-4.0, 0.0, 1.5, 4.0]])).tolist()
    [[-0.0, 0.0, 1.125, 4.0]]

    Source: Howard et al. 2019, "Searching for MobileNetV3", section 5.2.

    """

    function = "hardswish"
    kinks = (-3.0, 3.0)


@dataclass(frozen=True, eq=False, repr=False)
class GELU(Pointwise, capturable=True):
    """Gaussian error linear unit: y = x P(Z <= x) of a standard normal Z; no deconvnet or guided rule.

    Parameters
    ----------
    approximate : str
        "none" for x (1 + erf(x / sqrt(2))) / 2; "tanh" for
        x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.

    Raises
    ------
    MinicnnError
        If ``approximate`` is something else.

    See Also
    --------
    torch.nn.GELU : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.GELU()])(np.array([[-1.0, 0.0, 1.0]])).round(4).tolist()
    [[-0.1587, 0.0, 0.8413]]

    Source: Hendrycks, Gimpel 2016.

    """

    approximate: str = "none"

    def __post_init__(self) -> None:
        if self.approximate not in ("none", "tanh"):
            raise MinicnnError(f"GELU: approximate: expected 'none' or 'tanh', got {self.approximate!r}")

    @property
    def function(self) -> str:  # type: ignore[override]  # of this instance, where others have one of the class
        return "gelu" if self.approximate == "none" else "gelu_tanh"


@dataclass(frozen=True, eq=False, repr=False)
class ELU(Pointwise, capturable=True):
    """Exponential linear unit, y = x where x > 0, else alpha (exp(x) - 1); no deconvnet or guided rule.

    Parameters
    ----------
    alpha : float
    scale : float
        Multiplies the result on both sides; torch knows it as SELU's.
    input_scale : float
        Multiplies x in the exponential alone; torch knows it as CELU's 1 / alpha.

    See Also
    --------
    torch.nn.ELU : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.ELU()])(np.array([[-1.0, 0.0, 1.0]])).round(4).tolist()
    [[-0.6321, 0.0, 1.0]]

    Source: Clevert, Unterthiner, Hochreiter 2015.

    """

    alpha: float = 1.0
    scale: float = 1.0
    input_scale: float = 1.0

    function = "elu"

    @property
    def constants(self) -> tuple[float, ...]:
        return self.alpha, self.scale, self.input_scale

    @property
    def kinks(self) -> tuple[float, ...]:
        # below 0 the slope begins with alpha input_scale, above it is 1, both times scale
        alpha, _, input_scale = self.constants
        return () if abs(alpha * input_scale - 1) < 1e-15 else (0.0,)


@dataclass(frozen=True, eq=False, repr=False)
class SELU(ELU, capturable=True):
    """Self-normalising exponential linear unit: ELU with the scale and alpha that keep mean 0 and variance 1.

    See Also
    --------
    torch.nn.SELU : the same function
    ELU

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.SELU()])(np.array([[-1.0, 0.0, 1.0]])).round(4).tolist()
    [[-1.1113, 0.0, 1.0507]]

    Source: Klambauer et al. 2017, "Self-normalizing neural networks", equation 2.

    """

    alpha: float = 1.6732632423543772848170429916717
    scale: float = 1.0507009873554804934193349852946


@dataclass(frozen=True, eq=False, repr=False)
class CELU(Pointwise, capturable=True):
    """ELU without a kink: y = x where x > 0, else alpha (exp(x / alpha) - 1); no deconvnet or guided rule.

    Parameters
    ----------
    alpha : float

    See Also
    --------
    torch.nn.CELU : the same function
    ELU

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.CELU(0.5)])(np.array([[-1.0, 0.0, 1.0]])).round(4).tolist()
    [[-0.4323, 0.0, 1.0]]

    Source: Barron 2017, "Continuously differentiable exponential linear units".

    """

    alpha: float = 1.0

    function = "elu"

    @property
    def constants(self) -> tuple[float, ...]:
        return self.alpha, 1.0, 1 / self.alpha


@dataclass(frozen=True, eq=False, repr=False)
class Mish(Pointwise, capturable=True):
    """y = x tanh(log(1 + exp(x))); no deconvnet or guided rule.

    See Also
    --------
    torch.nn.Mish : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Mish()])(np.array([[-1.0, 0.0, 1.0]])).round(4).tolist()
    [[-0.3034, 0.0, 0.8651]]

    Source: Misra 2019.

    """

    function = "mish"


@dataclass(frozen=True, eq=False, repr=False)
class Softplus(Pointwise, capturable=True):
    """Smooth rectifier y = log(1 + exp(beta x)) / beta; no deconvnet or guided rule.

    Parameters
    ----------
    beta : float
    threshold : float
        Where beta x is larger, y = x.

    See Also
    --------
    torch.nn.Softplus : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Softplus()])(np.array([[-1.0, 0.0, 1.0]])).round(4).tolist()
    [[0.3133, 0.6931, 1.3133]]

    """

    beta: float = 1.0
    threshold: float = 20.0

    function = "softplus"

    @property
    def constants(self) -> tuple[float, ...]:
        return self.beta, self.threshold


@dataclass(frozen=True, eq=False, repr=False)
class Softsign(Pointwise, capturable=True):
    """y = x / (1 + |x|); no deconvnet or guided rule.

    See Also
    --------
    torch.nn.Softsign : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Softsign()])(np.array([[-1.0, 0.0, 3.0]])).tolist()
    [[-0.5, 0.0, 0.75]]

    """

    function = "softsign"


@dataclass(frozen=True, eq=False, repr=False)
class Threshold(Pointwise, capturable=True):
    """y = x where x > threshold, else value: it jumps there, and has no deconvnet or guided rule.

    Parameters
    ----------
    threshold, value : float

    See Also
    --------
    torch.nn.Threshold : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Threshold(1.0, 0.0)])(np.array([[0.5, 1.0, 1.5]])).tolist()
    [[0.0, 0.0, 1.5]]

    """

    threshold: float = 1.0
    value: float = 0.0

    function = "threshold"

    @property
    def constants(self) -> tuple[float, ...]:
        return self.threshold, self.value

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.threshold,)
