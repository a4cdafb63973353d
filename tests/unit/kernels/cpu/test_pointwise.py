"""Compiled functions of each value, on arrays large enough for them, against the reference in float64."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.kernels import cpu, reference
from tests.helpers.kernel_settings import ACTIVATIONS, POSITIVE


@pytest.mark.parametrize(("function", "constants"), ACTIVATIONS, ids=lambda v: v if isinstance(v, str) else "")
def test_values_and_slopes(function, constants):
    """A few units in the last place of float32, of the largest value: exp and erf are polynomials here."""
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(scale=4, size=(2, 3, 40, 41)).astype(np.float32) for _ in range(2))
    x = np.abs(x) + np.float32(0.1) if function in POSITIVE else x
    y, dx = cpu.pointwise(x, function, constants), cpu.pointwise_input_grad(dy, x, function, constants)
    assert y.dtype == dx.dtype == np.float32
    wide = x.astype(np.float64)
    # of steps that grow with x, such as the argument of gelu_tanh, the rounding is x times as large
    tolerance = 4e-6 if function in ("gelu_tanh", "mish") else 5e-7
    for actual, expected in (
        (y, reference.pointwise(wide, function, constants)),
        (dx, reference.pointwise_input_grad(dy.astype(np.float64), wide, function, constants)),
    ):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_the_exponential_of_what_is_no_number_or_too_large():
    x = np.resize(np.float32([np.nan, np.inf, -np.inf, 89, -104, 0]), 9000)
    expected = np.float32([np.nan, np.inf, 0, np.inf, 0, 1])
    np.testing.assert_array_equal(cpu.pointwise(x, "exp")[:6], expected)
