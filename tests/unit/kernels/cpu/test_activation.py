"""Compiled rectifiers, on arrays large enough for them, are the reference's bit for bit: no value is rounded."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.kernels import cpu, reference
from minicnn.rules import DECONVNET, GRADIENT, GUIDED


@pytest.mark.parametrize(("name", "bounds"), [("relu", ()), ("hardtanh", (0, 6)), ("hardtanh", (-1.0, 2.5))])
@pytest.mark.parametrize("shape", [(2, 7, 40, 41), (8193,), (8192,), (0, 4)])
def test_rectifiers_and_their_gradients(name, bounds, shape):
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(scale=5, size=shape).astype(np.float32) for _ in range(2))
    for array in (x, dy):
        for value in (np.nan, np.inf, -np.inf, 0, -0.0, 6, -1, 2.5):
            array[rng.random(shape) < 0.02] = value
    y, mask = getattr(cpu, name)(x, *bounds)
    expected, where = getattr(reference, name)(x, *bounds)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(mask, where)
    for rule in (GRADIENT, DECONVNET, GUIDED):
        dx = cpu.relu_input_grad(dy, mask, rule)
        np.testing.assert_array_equal(dx, reference.relu_input_grad(dy, mask, rule))
