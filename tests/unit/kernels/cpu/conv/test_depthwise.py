"""Depthwise convolution by whole vectors: widths around a vector, planes at the end of memory, every geometry.

Bound: a sum of at most 25 products in float32 errs by at most 25 x 6e-8 = 1.5e-6 of the sum of their sizes, which
is a few times the largest output here; hence 1e-5 of that.
"""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.kernels import cpu, reference
from minicnn.kernels.cpu.runtime.thread_pool import num_threads, set_num_threads
from minicnn.rules import DECONVNET, GRADIENT, GUIDED

ERROR = 1e-5  # of the largest output

CASES = [  # N, C, size, kernel, stride, padding, dilation
    (1, 5, (7, 7), (5, 5), 1, 2, 1),
    (2, 3, (14, 14), (3, 3), 2, ((0, 1), (0, 1)), 1),
    (3, 2, (28, 27), (5, 5), 2, ((1, 2), (1, 2)), 1),
    (1, 3, (1, 1), (3, 3), 1, 1, 1),
    (2, 35, (40, 33), (3, 3), 1, 1, 1),
    (1, 4, (33, 60), (3, 5), (2, 1), ((3, 0), (4, 1)), (1, 2)),
    (1, 3, (20, 50), (3, 3), 3, 1, 2),
    (2, 2, (50, 70), (4, 3), (1, 2), 0, 1),
    (1, 2, (60, 41), (5, 5), 2, 2, 1),
    (1, 3, (9, 9), (1, 1), 1, 3, 1),
    (1, 3, (9, 9), (1, 1), 2, 3, 1),
    (1, 2, (3, 120), (3, 3), 1, 1, 1),
]


def arrays(case):
    n, c, size, kernel_size, stride, padding, dilation = case
    rng = np.random.default_rng(0)
    sizes = (n, c, *size), (c, 1, *kernel_size), (c,), (c,)
    x, weight, scale, shift = (rng.standard_normal(size, dtype="f4") for size in sizes)
    return x, weight, scale, shift, {"stride": stride, "padding": padding, "dilation": dilation, "groups": c}


def doubles(*given):
    return [array.astype(np.float64) for array in given]


@pytest.mark.parametrize("case", CASES)
def test_forward_and_input_grad(case):
    x, weight, scale, shift, geometry = arrays(case)
    y, mask = cpu.conv2d_relu(x, weight, scale, shift, **geometry)
    sums = reference.conv2d(*doubles(x, weight), **geometry)
    sums = sums * scale[:, None, None] + shift[:, None, None]
    np.testing.assert_allclose(y, np.maximum(sums, 0), rtol=0, atol=ERROR * np.abs(sums).max())
    assert np.array_equal(mask, y > 0)
    dy = np.random.default_rng(1).standard_normal(y.shape, dtype="f4")
    for rule in (GRADIENT, DECONVNET, GUIDED):
        dx = cpu.conv2d_relu_input_grad(dy, mask, rule, weight, scale, x.shape[2:], **geometry)
        wide, filters, scales = doubles(dy, weight, scale)
        expected = reference.conv2d_relu_input_grad(wide, mask, rule, filters, scales, x.shape[2:], **geometry)
        np.testing.assert_allclose(dx, expected, rtol=0, atol=ERROR * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("case", CASES[:6])
def test_same_bits_on_any_number_of_threads(case):
    x, weight, scale, shift, geometry = arrays(case)
    results = []
    try:
        for count in range(1, num_threads() + 1):
            set_num_threads(count)
            y, mask = cpu.conv2d_relu(x, weight, scale, shift, clip_max=6, **geometry)
            dx = cpu.conv2d_relu_input_grad(y, mask, GRADIENT, weight, scale, x.shape[2:], **geometry)
            results.append((y.tobytes(), mask.tobytes(), dx.tobytes()))
    finally:
        set_num_threads(None)
    assert set(results) == {results[0]}


def test_what_lies_around_a_map_is_of_no_account():
    """Vectors read beyond the end of a row and of a plane; NaN there must not get into a sum."""
    x, weight, scale, shift, geometry = arrays(CASES[0])
    alone, _ = cpu.conv2d_relu(x, weight, scale, shift, **geometry)
    x[:, 1::2] = np.nan
    y, _ = cpu.conv2d_relu(x, weight, scale, shift, **geometry)
    assert np.array_equal(y[:, ::2], alone[:, ::2]) and np.isnan(y[:, 1::2]).all()
