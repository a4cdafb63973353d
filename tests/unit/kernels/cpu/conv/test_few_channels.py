"""Convolutions of one to three channels, straight from the image's rows: widths around vectors, every geometry.

Bound: a sum of some hundred products in float32 errs by some 1e-6 of the sum of their sizes, a few times the
largest output; hence 1e-5 of that, and twice as much where dx sums over filters and taps.
"""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.kernels import cpu, reference
from minicnn.kernels.cpu.conv import dispatch, few_channels
from minicnn.kernels.cpu.conv.dispatch import plan_convolution
from minicnn.kernels.cpu.runtime.thread_pool import set_num_threads
from minicnn.kernels.cpu.simd.gemm_micro import ROWS
from minicnn.kernels.cpu.simd.vector import LANES
from minicnn.rules import DECONVNET, GRADIENT, GUIDED

ERROR = 1e-5
RULES = (GRADIENT, DECONVNET, GUIDED)

GIVEN = [  # N, C, size, K, kernel, stride, padding
    (1, 3, (24, 224), 32, (3, 3), (2, 2), ((0, 1), (0, 1))),  # EfficientNet's
    (2, 3, (40, 100), 64, (7, 7), (2, 2), 3),  # ResNet's
    (1, 3, (33, 70), 64, (3, 3), (1, 1), 1),  # VGG's
    (2, 1, (28, 28), 17, (5, 5), (1, 1), 0),
    (1, 2, (5, 4 * LANES + 3), ROWS, (4, 4), (4, 4), 0),  # every pixel is read once
    (1, 3, (1, LANES), ROWS, (1, 1), (1, 1), 0),
    (3, 3, (7, 2 * LANES), ROWS + 1, (5, 2), (3, 2), ((4, 4), (1, 0))),
]


def drawn(seed):
    """Draw a convolution that is done this way: any stride, kernel, padding and width."""
    rng = np.random.default_rng(seed)
    while True:
        n, c, k = rng.integers(1, 4), rng.integers(1, 4), rng.integers(ROWS, 3 * ROWS)
        stride = tuple(int(s) for s in rng.integers(1, 6, 2))
        kernel = tuple(int(s + rng.integers(0, 6)) for s in stride)
        size = int(rng.integers(1, 30)), int(rng.integers(LANES, 6 * LANES))
        padding = tuple(tuple(int(p) for p in rng.integers(0, side, 2)) for side in kernel)
        if size[0] + sum(padding[0]) < kernel[0] or size[1] + sum(padding[1]) < kernel[1]:
            continue
        shape = int(k), int(c), *kernel
        plan = plan_convolution((1, *size), shape, stride, padding, 1, 1)
        if few_channels.is_applicable(size, shape, plan.geometry, plan.size):
            return int(n), int(c), size, int(k), kernel, stride, padding


CASES = [*GIVEN, *map(drawn, range(40))]


def arrays(case):
    n, c, size, k, kernel, stride, padding = case
    rng = np.random.default_rng(0)
    x, weight, scale, shift = (
        rng.standard_normal(shape, dtype="f4") for shape in ((n, c, *size), (k, c, *kernel), (k,), (k,))
    )
    return x, weight, scale, shift, {"stride": stride, "padding": padding}


def doubles(*given):
    return [array.astype(np.float64) for array in given]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_input_grad(case):
    x, weight, scale, shift, where = arrays(case)
    plan = plan_convolution((len(x), *x.shape[2:]), weight.shape, where["stride"], where["padding"], 1, 1)
    mask = np.empty((len(x), len(weight), *plan.size), bool)
    y = np.empty(mask.shape, np.float32)
    few_channels.forward(x, weight, dispatch.Epilogue(scale, shift, 0.0, 6.0, mask), plan.geometry, y)
    sums = reference.conv2d(*doubles(x, weight), **where)
    sums = sums * scale[:, None, None] + shift[:, None, None]
    np.testing.assert_allclose(y, np.clip(sums, 0, 6), rtol=0, atol=ERROR * np.abs(sums).max())
    assert np.array_equal(mask, (y > 0) & (y < 6))
    dy = np.random.default_rng(1).standard_normal(y.shape, dtype="f4")
    for rule in RULES:
        prologue = dispatch.Prologue(
            scale, mask if rule.where_input_positive else None, rule.where_cotangent_positive
        )
        dx = np.full(x.shape, np.nan, np.float32)
        few_channels.input_grad(dy, weight, prologue, plan.geometry, dx)
        wide, filters, scales = doubles(dy, weight, scale)
        expected = reference.conv2d_relu_input_grad(wide, mask, rule, filters, scales, x.shape[2:], **where)
        np.testing.assert_allclose(dx, expected, rtol=0, atol=2 * ERROR * np.abs(expected).max())


@pytest.mark.parametrize("case", GIVEN, ids=str)
def test_is_what_conv2d_does(case):
    """It is chosen, but for the gradients of one channel and of a 3x3 kernel, and ends where memory does."""
    x, weight, _, shift, where = arrays(case)
    size, given = x.shape[2:], (where["stride"], where["padding"], 1, 1)
    assert plan_convolution((1, *size), weight.shape, *given).algorithm == "first layer"
    chosen = plan_convolution((1, *size), weight.shape, *given, of="input").algorithm
    assert (chosen == "first layer") == (x.shape[1] > 1 and case != GIVEN[2])
    y = cpu.conv2d(x, weight, shift, **where)
    expected = reference.conv2d(*doubles(x, weight, shift), **where)
    np.testing.assert_allclose(y, expected, rtol=0, atol=ERROR * np.abs(expected).max())


@pytest.mark.parametrize("case", GIVEN, ids=str)
def test_adjoint_and_the_same_bits_on_any_number_of_threads(case):
    x, weight, _, _, where = arrays(case)
    results = []
    try:
        for count in (1, 2):
            set_num_threads(count)
            y = cpu.conv2d(x, weight, **where)
            results.append((y, cpu.conv2d_input_grad(y, weight, x.shape[2:], **where)))
    finally:
        set_num_threads(None)
    (y, dx), (same_y, same_dx) = results
    assert y.tobytes() == same_y.tobytes() and dx.tobytes() == same_dx.tobytes()
    np.testing.assert_allclose(np.vdot(y, y), np.vdot(x, dx), rtol=1e-4)


def test_nan_and_infinity_pass():
    x, weight, _, _, where = arrays(GIVEN[0])
    x[0, 0, 3, 5], x[0, 2, 9, 9] = np.nan, np.inf
    y, expected = cpu.conv2d(x, weight, **where), reference.conv2d(x, weight, **where)
    assert np.array_equal(np.isnan(y), np.isnan(expected)) and np.array_equal(np.isinf(y), np.isinf(expected))
