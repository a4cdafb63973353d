"""Max-pools by whole vectors: maps narrower and wider than one, odd sizes, NaN, infinities, ties, last maps."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.kernels import cpu, reference

CASES = [  # shape of x, kernel size, stride, padding, dilation, ceil mode
    ((2, 9, 28, 28), 2, 2, 0, 1, False),
    ((2, 9, 7, 7), 2, 2, 0, 1, False),
    ((2, 9, 7, 7), 2, 2, 0, 1, True),
    ((1, 3, 55, 55), 3, 2, 0, 1, False),
    ((1, 3, 54, 54), 3, 2, 0, 1, True),
    ((2, 3, 20, 20), 3, 2, 1, 1, False),
    ((2, 3, 20, 60), 3, 1, 0, 2, False),
    ((1, 40, 35, 33), 2, 2, 0, 1, False),
    ((1, 5, 65, 67), 2, 2, 0, 1, False),
    ((2, 9, 40, 41), 2, 1, 0, 1, False),
    ((1, 9, 40, 41), 3, 3, 0, 1, False),
    ((3, 5, 2, 2), 2, 2, 0, 1, False),
    ((2, 70, 15, 14), 2, 2, 0, 1, False),
    ((2, 2, 20, 150), 2, 2, 0, 1, False),
    ((1, 9, 34, 32), 2, 2, 0, 1, False),
]


@pytest.mark.parametrize("case", CASES)
def test_is_the_references_bit_for_bit(case):
    """A maximum is one of its inputs, and sums of whole numbers are exact: there is nothing to tolerate."""
    shape, kernel_size, stride, padding, dilation, ceil_mode = case
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, shape).astype(np.float32)  # many are equal
    x[rng.random(shape) < 0.05], x[rng.random(shape) < 0.1] = np.nan, -np.inf
    y, switches = cpu.max_pool2d(x, kernel_size, **geometry)
    expected, taps = reference.max_pool2d(x, kernel_size, **geometry)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(switches, taps)
    dy = rng.integers(-9, 9, y.shape).astype(np.float32)  # sums of whole numbers are exact in any order
    dy[rng.random(dy.shape) < 0.05] = np.nan
    dx = cpu.max_pool2d_input_grad(dy, taps, shape[2:], kernel_size, **geometry)
    expected = reference.max_pool2d_input_grad(dy, taps, shape[2:], kernel_size, **geometry)
    np.testing.assert_array_equal(dx, expected)
