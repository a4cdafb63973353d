"""Gates, such as a sigmoid, and elementary functions of each value: exact in all three backward rules."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.layers.base import Kind
from minicnn.layers.pointwise import Pointwise

__all__ = ["Abs", "Erf", "Exp", "Hardsigmoid", "Log", "LogSigmoid", "Pow", "Sigmoid"]


@dataclass(frozen=True, eq=False, repr=False)
class Sigmoid(Pointwise, capturable=True):
    """Logistic function y = 1 / (1 + exp(-x)), a probability or a gate; exact in all three rules.

    As a network's last layer it stays outside of the scores.

    See Also
    --------
    torch.nn.Sigmoid : the same function

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network, layers
    >>> net = Network([("probability", layers.Sigmoid())])
    >>> net.forward(np.array([[0.0, np.log(3.0)]]), upto="probability").round(4).tolist()
    [[0.5, 0.75]]

    """

    function = "sigmoid"
    rectifies = False
    is_posterior = True


@dataclass(frozen=True, eq=False, repr=False)
class LogSigmoid(Pointwise, capturable=True):
    """Logarithm of the logistic function, y = -log(1 + exp(-x)); exact in all three rules.

    See Also
    --------
    torch.nn.LogSigmoid : the same function

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network, layers
    >>> Network([layers.LogSigmoid()])(np.array([[0.0]])).round(4).tolist()
    [[-0.6931]]

    """

    function = "log_sigmoid"
    rectifies = False


@dataclass(frozen=True, eq=False, repr=False)
class Hardsigmoid(Pointwise, capturable=True):
    """Gate of three lines, y = min(max(alpha x + beta, 0), 1); exact in all three rules.

    Parameters
    ----------
    alpha, beta : float
        1 / 6 and 1 / 2 in torch and Keras 3, 1 / 5 and 1 / 2 in Keras 2 and as ONNX's default.

    See Also
    --------
    torch.nn.Hardsigmoid : with alpha 1 / 6

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network, layers
    >>> Network([layers.Hardsigmoid()])(np.array([[-4.0, 0.0, 1.5, 4.0]])).tolist()
    [[0.0, 0.5, 0.75, 1.0]]

    """

    alpha: float = 1 / 6
    beta: float = 0.5

    function = "hardsigmoid"
    rectifies = False
    kind = Kind.PIECEWISE_LINEAR

    @property
    def constants(self) -> tuple[float, ...]:
        return self.alpha, self.beta

    @property
    def kinks(self) -> tuple[float, ...]:
        return tuple(sorted(((0 - self.beta) / self.alpha, (1 - self.beta) / self.alpha))) if self.alpha else ()


@dataclass(frozen=True, eq=False, repr=False)
class Abs(Pointwise, capturable=True):
    """y = |x|, whose slope at 0 counts as 0; exact in all three rules.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network, layers
    >>> Network([layers.Abs()])(np.array([[-2.0, 3.0]])).tolist()
    [[2.0, 3.0]]

    """

    function = "abs"
    rectifies = False
    kind = Kind.PIECEWISE_LINEAR
    kinks = (0.0,)


@dataclass(frozen=True, eq=False, repr=False)
class Exp(Pointwise, capturable=True):
    """y = exp(x); exact in all three rules.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network, layers
    >>> Network([layers.Exp()])(np.array([[0.0, 1.0]])).round(4).tolist()
    [[1.0, 2.7183]]

    """

    function = "exp"
    rectifies = False


@dataclass(frozen=True, eq=False, repr=False)
class Log(Pointwise, capturable=True):
    """Natural logarithm y = log(x), NaN where x < 0; exact in all three rules.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network, layers
    >>> Network([layers.Log()])(np.array([[1.0, 2.0]])).round(4).tolist()
    [[0.0, 0.6931]]

    """

    function = "log"
    rectifies = False


@dataclass(frozen=True, eq=False, repr=False)
class Erf(Pointwise, capturable=True):
    """Error function y = 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x; exact in all three rules.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network, layers
    >>> Network([layers.Erf()])(np.array([[0.0, 1.0]])).round(4).tolist()
    [[0.0, 0.8427]]

    """

    function = "erf"
    rectifies = False


@dataclass(frozen=True, eq=False, repr=False)
class Pow(Pointwise, capturable=True):
    """Power y = x^exponent: 2 squares, 0.5 is the root, -1 the reciprocal; exact in all three rules.

    Parameters
    ----------
    exponent : float

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Network, layers
    >>> Network([layers.Pow(0.5)])(np.array([[4.0, 9.0]])).tolist()
    [[2.0, 3.0]]

    """

    exponent: float = 2.0

    function = "power"
    rectifies = False

    @property
    def constants(self) -> tuple[float, ...]:
        return (self.exponent,)
