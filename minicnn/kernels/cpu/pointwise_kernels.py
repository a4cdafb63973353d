"""Functions of each value and their slopes, compiled: kernels for the names of ``reference.pointwise.FUNCTIONS``.

Schedule: threads take blocks of BLOCK values.  Exponential and error function are polynomials without a branch or
a call, which the compiler turns into vector instructions; each function has kernels of its own, compiled when it
is first used.
Memory: y.
Gain: NumPy makes a pass over memory for each of some five to fifteen steps.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba import float32
from numba.core.types import Type

from minicnn.kernels.cpu.pointwise import BLOCK
from minicnn.kernels.cpu.runtime.jit import Kernel, inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.scalar_functions import scalar_functions

__all__: list[str] = []

# float32 numbers, since a Python float would make a loop compute in float64
LOG2E, LN2_HIGH, LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
ONE, HALF, ROUND = np.float32(1), np.float32(0.5), np.float32(12582912.0)  # 1.5 2^23: adding it rounds
E2, E3, E4, E5, E6 = (np.float32(1 / n) for n in (2, 6, 24, 120, 720))
HIGHEST, LOWEST, INFINITY = np.float32(88.72), np.float32(-87.33), np.float32(np.inf)


@inner
def exp(x):
    """exp(x) = 2^n exp(r), |r| <= ln(2) / 2: about two units in the last place."""
    clipped = min(max(x, LOWEST), HIGHEST)
    n = (clipped * LOG2E + ROUND) - ROUND
    r = (clipped - n * LN2_HIGH) - n * LN2_LOW
    series = ((((E6 * r + E5) * r + E4) * r + E3) * r + E2) * r * r + r + ONE
    # the power of two, whose exponent is written into the bits of a float32, in two steps: n may be 128
    half = np.int32(n) >> np.int32(1)
    y = series * _power_of_two(half) * _power_of_two(np.int32(n) - half)
    return x if x != x else INFINITY if x > HIGHEST else ZERO if x < LOWEST else y


@inner
def _power_of_two(n):
    return np.int32((n + np.int32(127)) << np.int32(23)).view(np.float32)


@inner
def erf(x):
    """Error function: a polynomial near 0, 1 - exp of one elsewhere; about one unit in the last place."""
    t, s = abs(x), x * x
    near = P1
    near = near * s + P2
    near = near * s + P3
    near = near * s + P4
    near = near * s + P5
    near = near * s + P6
    far = Q1 * t + Q2
    far = far * s + (Q3 * t + Q4)
    far = far * t + Q5
    far = far * t + Q6
    far = far * t + Q7
    far = ONE - exp(far * t - t)
    return near * x + x if t <= BORDER else far if x > ZERO else -far


# minimax polynomials of N. Juffa, "Efficient and accurate erff", 2015
P1, P2, P3 = np.float32(-5.96761703e-4), np.float32(4.99119423e-3), np.float32(-2.67681349e-2)
P4, P5, P6 = np.float32(1.12819925e-1), np.float32(-3.76125336e-1), np.float32(1.28379166e-1)
Q1, Q2, Q3 = np.float32(-1.72853470e-5), np.float32(3.83197126e-4), np.float32(-3.88396438e-3)
Q4, Q5, Q6 = np.float32(2.42546219e-2), np.float32(-1.06777877e-1), np.float32(-6.34846687e-1)
Q7, BORDER, ZERO = np.float32(-1.28717512e-1), np.float32(0.927734375), np.float32(0)


# Templates: a kernel is compiled for each function, whose value or slope takes the place of FUNCTION.

FUNCTION: Any = None
EACH: Any = None  # and the loop over it, of EACH


def _each_value(block, x, a, b, c, y):
    for i in range(block * BLOCK, min(block * BLOCK + BLOCK, len(x))):
        y[i] = FUNCTION(x[i], a, b, c)


def _value(x, a, b, c, y):
    parallel_for(EACH, (len(x) + BLOCK - 1) // BLOCK, (x, a, b, c, y))


def _each_slope(block, dy, x, a, b, c, dx):
    for i in range(block * BLOCK, min(block * BLOCK + BLOCK, len(x))):
        dx[i] = FUNCTION(x[i], a, b, c) * dy[i]


def _slope(dy, x, a, b, c, dx):
    parallel_for(EACH, (len(x) + BLOCK - 1) // BLOCK, (dy, x, a, b, c, dx))


def _specialise(template: Callable, name: str, **names: Callable) -> Callable:
    """Return a function of the template's code in which some global names mean what ``names`` says."""
    function = types.FunctionType(template.__code__, {**globals(), **names}, name)
    # compiled kernels are kept under this name
    function.__qualname__, function.__module__ = name, __name__
    return function


def _make_kernel(name: str, of_each: Callable, run: Callable, function: Callable, *arrays: Type) -> Kernel:
    each = inner(_specialise(of_each, f"_each_{name}", FUNCTION=function))
    return kernel(*arrays, float32, float32, float32, writes(1))(_specialise(run, name, EACH=each))


def _make_kernels() -> Iterator[tuple[str, Kernel]]:
    for name, (value, slope) in scalar_functions(np.float32, inner, exp, erf).items():
        yield f"_{name}", _make_kernel(f"_{name}", _each_value, _value, value, reads(1))
        own = f"_{name}_slope"
        yield own, _make_kernel(own, _each_slope, _slope, slope, reads(1), reads(1))


# as values of this module ``jit.warm_up`` finds them
globals().update(_make_kernels())
