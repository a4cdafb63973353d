"""Functions of one number, applied to each value of an array: the smooth activations and their kin.

``FUNCTIONS`` has their values and slopes side by side; the constants that some of them take are their last
arguments.  The values are defined for complex numbers x + i t with a tiny t as well, each on the side of a kink on
which x is: verifiers differentiate by such a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

__all__ = ["pointwise", "pointwise_input_grad"]


def pointwise(x: np.ndarray, function: str, constants: tuple[float, ...] = ()) -> np.ndarray:
    """One of ``FUNCTIONS`` of each value: y = f(x).

    Parameters
    ----------
    x : array of any shape
    function : name in ``FUNCTIONS``
    constants : its arguments after x

    Returns
    -------
    y : array of that shape

    See Also
    --------
    pointwise_input_grad : its gradient

    Examples
    --------
    >>> pointwise(np.array([-4.0, 0.0, 4.0]), "hardswish").tolist()
    [-0.0, 0.0, 4.0]
    >>> pointwise(np.array([-4.0, 0.5, 4.0]), "threshold", (1.0, 0.0)).tolist()
    [0.0, 0.0, 4.0]

    """
    # a root of a negative number is NaN, and 1 / 0 infinite: an answer, not an accident
    with np.errstate(all="ignore"):
        return FUNCTIONS[function][0](x, *constants)


def pointwise_input_grad(
    dy: np.ndarray, x: np.ndarray, function: str, constants: tuple[float, ...] = ()
) -> np.ndarray:
    """Gradient with respect to the input: dx = f'(x) dy.

    Examples
    --------
    >>> x, dy = np.array([-4.0, 0.0, 4.0]), np.ones(3)
    >>> pointwise_input_grad(dy, x, "hardswish").tolist()
    [0.0, 0.5, 1.0]

    """
    with np.errstate(all="ignore"):
        return FUNCTIONS[function][1](x, *constants) * dy


def _size(x: np.ndarray) -> np.ndarray:
    """|x|; of x + i t the side on which x is."""
    return np.where(x > 0, x, -x)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    # 1 / (1 + exp(-x)), with no exponential of a large number
    small = np.exp(-_size(x))
    return np.where(x > 0, 1, small) / (1 + small)


def _sigmoid_slope(x: np.ndarray) -> np.ndarray:
    return _sigmoid(x) * _sigmoid(-x)


def _log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -_softplus(-x, 1.0, math.inf)


def _silu(x: np.ndarray) -> np.ndarray:
    return x * _sigmoid(x)


def _silu_slope(x: np.ndarray) -> np.ndarray:
    return _sigmoid(x) * (1 + x * _sigmoid(-x))


def _hardsigmoid(x: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    return np.clip(alpha * x + beta, 0, 1)


def _hardsigmoid_slope(x: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    y = alpha * x + beta
    return x.dtype.type(alpha) * ((y > 0) & (y < 1))


def _hardswish(x: np.ndarray) -> np.ndarray:
    return x * np.clip(x + 3, 0, 6) / 6


def _hardswish_slope(x: np.ndarray) -> np.ndarray:
    return np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)).astype(x.dtype)


def _erf(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "c":
        # erf(x + i t) = erf(x) + i t erf'(x) + O(t^2)
        return _erf(x.real) + 1j * x.imag * _erf_slope(x.real)
    return np.fromiter(map(math.erf, x.ravel().tolist()), x.dtype, x.size).reshape(x.shape)


def _erf_slope(x: np.ndarray) -> np.ndarray:
    return 2 / math.sqrt(math.pi) * np.exp(-x * x)


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + _erf(x * math.sqrt(0.5)))


def _gelu_slope(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + _erf(x * math.sqrt(0.5))) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(_ROOT * (x + _CUBE * x * x * x)))


def _gelu_tanh_slope(x: np.ndarray) -> np.ndarray:
    tanh = np.tanh(_ROOT * (x + _CUBE * x * x * x))
    return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * _ROOT * (1 + 3 * _CUBE * x * x)


_ROOT, _CUBE = math.sqrt(2 / math.pi), 0.044715


def _elu(x: np.ndarray, alpha: float, scale: float, input_scale: float) -> np.ndarray:
    return scale * np.where(x > 0, x, alpha * np.expm1(input_scale * np.minimum(x, 0)))


def _elu_slope(x: np.ndarray, alpha: float, scale: float, input_scale: float) -> np.ndarray:
    return scale * np.where(x > 0, 1, alpha * input_scale * np.exp(input_scale * np.minimum(x, 0)))


def _softplus(x: np.ndarray, beta: float, threshold: float) -> np.ndarray:
    z = beta * x
    # log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|))
    return np.where(z > threshold, x, (np.maximum(z, 0) + np.log1p(np.exp(-_size(z)))) / beta)


def _softplus_slope(x: np.ndarray, beta: float, threshold: float) -> np.ndarray:
    return np.where(beta * x > threshold, 1, _sigmoid(beta * x))


def _mish(x: np.ndarray) -> np.ndarray:
    return x * np.tanh(_softplus(x, 1.0, math.inf))


def _mish_slope(x: np.ndarray) -> np.ndarray:
    tanh = np.tanh(_softplus(x, 1.0, math.inf))
    return tanh + x * (1 - tanh * tanh) * _sigmoid(x)


def _softsign(x: np.ndarray) -> np.ndarray:
    return x / (1 + _size(x))


def _softsign_slope(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + _size(x)) ** 2


def _threshold(x: np.ndarray, threshold: float, value: float) -> np.ndarray:
    # the comparison that keeps a NaN
    return np.where(x <= threshold, x.dtype.type(value), x)


def _threshold_slope(x: np.ndarray, threshold: float, value: float) -> np.ndarray:
    return (x > threshold).astype(x.dtype)


def _power(x: np.ndarray, exponent: float) -> np.ndarray:
    return x**exponent


def _power_slope(x: np.ndarray, exponent: float) -> np.ndarray:
    return exponent * x ** (exponent - 1)


FUNCTIONS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "abs": (_size, np.sign),
    "elu": (_elu, _elu_slope),
    "erf": (_erf, _erf_slope),
    "exp": (np.exp, np.exp),
    "gelu": (_gelu, _gelu_slope),
    "gelu_tanh": (_gelu_tanh, _gelu_tanh_slope),
    "hardsigmoid": (_hardsigmoid, _hardsigmoid_slope),
    "hardswish": (_hardswish, _hardswish_slope),
    "log": (np.log, np.reciprocal),
    "log_sigmoid": (_log_sigmoid, lambda x: _sigmoid(-x)),
    "mish": (_mish, _mish_slope),
    "power": (_power, _power_slope),
    "sigmoid": (_sigmoid, _sigmoid_slope),
    "silu": (_silu, _silu_slope),
    "softplus": (_softplus, _softplus_slope),
    "softsign": (_softsign, _softsign_slope),
    "threshold": (_threshold, _threshold_slope),
}
