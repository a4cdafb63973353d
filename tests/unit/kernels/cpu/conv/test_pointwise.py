"""1x1 convolution against the reference in float64, and the same bits on any number of threads.

Bound: sums of at most 130 products in float32 round like the root of their number, 11 times 6e-8 of their terms;
1e-5 of the largest output is ten times that.
"""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.kernels import cpu, reference
from minicnn.kernels.cpu.conv import pointwise
from minicnn.kernels.cpu.runtime.thread_pool import num_threads, set_num_threads
from minicnn.rules import DECONVNET, GRADIENT, GUIDED

ERROR = 1e-5  # of the largest output

SHAPES = [  # N, C, K, H, W: below and beyond whole vectors, panels and blocks; one pixel
    (1, 16, 24, 7, 7),
    (3, 24, 9, 5, 9),
    (2, 19, 33, 4, 4),
    (1, 130, 70, 9, 10),
    (3, 8, 8, 3, 11),
    (1, 11, 17, 40, 29),
    (3, 40, 12, 1, 1),
    (2, 3, 5, 6, 6),
    (0, 16, 16, 8, 8),
    (2, 53, 17, 7, 7),  # from here on with columns beyond whole vectors that are multiplied alone
    (1, 16, 12, 25, 25),
    (1, 12, 40, 3, 11),
    (1, 20, 8, 2, 25),
]


def arrays(shape):
    rng = np.random.default_rng(0)
    n, c, k, h, w = shape
    sizes = (n, c, h, w), (k, c, 1, 1), (k,), (k,), (n, k, h, w)
    return [rng.standard_normal(size, dtype="f4") for size in sizes]


def doubles(*given):
    return [array.astype(np.float64) for array in given]


def close(actual, expected):
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ERROR * np.abs(expected).max(initial=0))


@pytest.mark.parametrize("shape", SHAPES)
def test_forward(shape):
    x, weight, _scale, bias, _dy = arrays(shape)
    close(cpu.conv2d(x, weight, bias), reference.conv2d(*doubles(x, weight, bias)))


@pytest.mark.parametrize("clip_max", [None, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_rectified(shape, clip_max):
    """The mask is that of the values found, strictly between the clamp's ends."""
    x, weight, scale, shift, _dy = arrays(shape)
    y, mask = cpu.conv2d_relu(x, weight, scale, shift, clip_max=clip_max)
    sums = reference.conv2d(*doubles(x, weight)) * scale[:, None, None] + shift[:, None, None]
    atol = ERROR * np.abs(sums).max(initial=0)  # the clamp hides the largest sums, of which the error is a part
    np.testing.assert_allclose(y, np.clip(sums, 0, clip_max), rtol=0, atol=atol)
    assert np.array_equal(mask, (y > 0) & (y < (np.inf if clip_max is None else clip_max)))


@pytest.mark.parametrize("rule", [GRADIENT, DECONVNET, GUIDED], ids=lambda rule: rule.name)
@pytest.mark.parametrize("shape", SHAPES)
def test_input_grad(shape, rule):
    x, weight, scale, _shift, dy = arrays(shape)
    mask, size = np.random.default_rng(1).random(dy.shape) < 0.5, x.shape[2:]
    dx = cpu.conv2d_relu_input_grad(dy, mask, rule, weight, scale, size)
    dy, weight, scale = doubles(dy, weight, scale)
    close(dx, reference.conv2d_relu_input_grad(dy, mask, rule, weight, scale, size))


def test_nan_and_infinity_stay():
    x, weight, scale, shift, _dy = arrays((1, 16, 8, 5, 7))
    x[0, 3, 2, 4], x[0, 3, 4, 6] = np.nan, np.inf
    weight[:, 3] = np.abs(weight[:, 3])
    y, mask = cpu.conv2d_relu(x, weight, np.abs(scale), shift)
    assert np.isnan(y[:, :, 2, 4]).all() and not mask[:, :, 2, 4].any()
    assert np.isposinf(y[:, :, 4, 6]).all() and mask[:, :, 4, 6].all()


@pytest.mark.parametrize("shape", [*SHAPES[:6], *SHAPES[9:]])
def test_same_bits_on_any_number_of_threads(shape):
    x, weight, scale, shift, dy = arrays(shape)
    results = []
    try:
        for count in range(1, num_threads() + 1):
            set_num_threads(count)
            y, mask = cpu.conv2d_relu(x, weight, scale, shift, clip_max=6)
            dx = cpu.conv2d_relu_input_grad(dy, mask, GRADIENT, weight, scale, x.shape[2:])
            results.append((y.tobytes(), mask.tobytes(), dx.tobytes()))
    finally:
        set_num_threads(None)
    assert set(results) == {results[0]}


def test_small_matrices_go_elsewhere():
    assert pointwise.is_applicable(16, 16, 49)
    assert (
        not pointwise.is_applicable(16, 16, 1)
        and not pointwise.is_applicable(1, 16, 49)
        and not pointwise.is_applicable(16, 1, 49)
    )
