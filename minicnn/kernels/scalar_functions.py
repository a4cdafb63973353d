"""The functions of ``reference.pointwise`` for one number, as the compiled devices take them into their loops.

All take three constants after x, used or not, so that one loop fits them all.  Numbers are of one type: a Python
float among float32 would make a kernel compute in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

__all__ = ["scalar_functions"]


def scalar_functions(
    real: Callable[[float], Any], jit: Callable[..., Any], exp: Callable[..., Any], erf: Callable[..., Any]
) -> dict[str, tuple[Any, Any]]:
    """Return each function's value and slope, by the names in ``reference.pointwise.FUNCTIONS``.

    Parameters
    ----------
    real : numpy.float32 or numpy.float64, the type they compute in
    jit : what makes a function one that kernels of the device call
    exp, erf : of one number, as the device computes them

    """
    zero, half, one, two, three, six = (real(n) for n in (0, 0.5, 1, 2, 3, 6))
    root_half, root_pi = real(math.sqrt(0.5)), real(2 / math.sqrt(math.pi))
    density, root, cube = real(1 / math.sqrt(2 * math.pi)), real(math.sqrt(2 / math.pi)), real(0.044715)

    @jit
    def sigmoid(x, a, b, c):
        return one / (one + exp(-x))

    @jit
    def sigmoid_slope(x, a, b, c):
        return sigmoid(x, a, b, c) * sigmoid(-x, a, b, c)

    @jit
    def opposite_sigmoid(x, a, b, c):
        return sigmoid(-x, a, b, c)

    @jit
    def tanh(x):
        # an exponential that overflows leaves 1
        return one - two / (exp(x + x) + one)

    @jit
    def silu(x, a, b, c):
        return x / (one + exp(-x))

    @jit
    def silu_slope(x, a, b, c):
        return sigmoid(x, a, b, c) * (one + x * sigmoid(-x, a, b, c))

    @jit
    def hardsigmoid(x, alpha, beta, c):
        y = alpha * x + beta
        return zero if y < zero else one if y > one else y

    @jit
    def hardsigmoid_slope(x, alpha, beta, c):
        y = alpha * x + beta
        return alpha if (y > zero) & (y < one) else zero

    @jit
    def hardswish(x, a, b, c):
        gate = x + three
        return x * (zero if gate < zero else six if gate > six else gate) / six

    @jit
    def hardswish_slope(x, a, b, c):
        return zero if x <= -three else one if x >= three else x / three + half

    @jit
    def erf_value(x, a, b, c):
        return erf(x)

    @jit
    def erf_slope(x, a, b, c):
        return root_pi * exp(-x * x)

    @jit
    def gelu(x, a, b, c):
        return half * x * (one + erf(x * root_half))

    @jit
    def gelu_slope(x, a, b, c):
        return half * (one + erf(x * root_half)) + x * exp(-half * x * x) * density

    @jit
    def gelu_tanh(x, a, b, c):
        return half * x * (one + tanh(root * (x + cube * x * x * x)))

    @jit
    def gelu_tanh_slope(x, a, b, c):
        t = tanh(root * (x + cube * x * x * x))
        return half * (one + t) + half * x * (one - t * t) * root * (one + three * cube * x * x)

    @jit
    def elu(x, alpha, scale, input_scale):
        below = exp(input_scale * (zero if x > zero else x))
        return scale * (x if x > zero else alpha * (below - one))

    @jit
    def elu_slope(x, alpha, scale, input_scale):
        below = exp(input_scale * (zero if x > zero else x))
        return scale * (one if x > zero else alpha * input_scale * below)

    @jit
    def log_of_one_plus_exp(z):
        # log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|))
        return (z if z > zero else zero) + real(math.log1p(exp(-abs(z))))

    @jit
    def softplus(x, beta, threshold, c):
        z = beta * x
        return x if z > threshold else log_of_one_plus_exp(z) / beta

    @jit
    def softplus_slope(x, beta, threshold, c):
        z = beta * x
        return one if z > threshold else one / (one + exp(-z))

    @jit
    def log_sigmoid(x, a, b, c):
        return -log_of_one_plus_exp(-x)

    @jit
    def tanh_of_softplus(x):
        # with e = exp(-|x|): tanh(log(1 + exp(x))) = n / (n + 2 exp(-2 x)), n = 1 + 2 exp(-x); or n / (n + 2), ...
        e = exp(-abs(x))
        n = one + two * e if x > zero else e * (e + two)
        return n / (n + two * (e * e if x > zero else one))

    @jit
    def mish(x, a, b, c):
        return x * tanh_of_softplus(x)

    @jit
    def mish_slope(x, a, b, c):
        t = tanh_of_softplus(x)
        return t + x * (one - t * t) / (one + exp(-x))

    @jit
    def softsign(x, a, b, c):
        return x / (one + abs(x))

    @jit
    def softsign_slope(x, a, b, c):
        return one / ((one + abs(x)) * (one + abs(x)))

    @jit
    def threshold(x, limit, value, c):
        return value if x <= limit else x

    @jit
    def threshold_slope(x, limit, value, c):
        return one if x > limit else zero

    @jit
    def absolute(x, a, b, c):
        return abs(x)

    @jit
    def absolute_slope(x, a, b, c):
        return one if x > zero else -one if x < zero else x

    @jit
    def exponential(x, a, b, c):
        return exp(x)

    @jit
    def logarithm(x, a, b, c):
        return real(math.log(x)) if x > zero else -one / zero if x == zero else zero / zero

    @jit
    def logarithm_slope(x, a, b, c):
        return one / x

    @jit
    def power(x, exponent, b, c):
        if exponent == half:
            return real(math.sqrt(x))
        return x * x if exponent == two else one / x if exponent == -one else x**exponent

    @jit
    def power_slope(x, exponent, b, c):
        return two * x if exponent == two else exponent * x ** (exponent - one)

    return {
        "abs": (absolute, absolute_slope),
        "elu": (elu, elu_slope),
        "erf": (erf_value, erf_slope),
        "exp": (exponential, exponential),
        "gelu": (gelu, gelu_slope),
        "gelu_tanh": (gelu_tanh, gelu_tanh_slope),
        "hardsigmoid": (hardsigmoid, hardsigmoid_slope),
        "hardswish": (hardswish, hardswish_slope),
        "log": (logarithm, logarithm_slope),
        "log_sigmoid": (log_sigmoid, opposite_sigmoid),
        "mish": (mish, mish_slope),
        "power": (power, power_slope),
        "sigmoid": (sigmoid, sigmoid_slope),
        "silu": (silu, silu_slope),
        "softplus": (softplus, softplus_slope),
        "softsign": (softsign, softsign_slope),
        "threshold": (threshold, threshold_slope),
    }
