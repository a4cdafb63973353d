"""Convolutions whose weights several images share in one product: small maps, and kernels as large as the map.

Bound: as for the first layer, 1e-5 of the largest value; a weight's gradient sums over images as well, and errs by
twice that.
"""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.kernels import cpu, reference
from minicnn.kernels.cpu.conv import small_maps, whole_maps
from minicnn.kernels.cpu.conv.dispatch import plan_convolution
from minicnn.kernels.cpu.runtime.thread_pool import set_num_threads
from minicnn.kernels.cpu.simd.epilogue import Epilogue, Prologue
from minicnn.rules import DECONVNET, GRADIENT, GUIDED

ERROR = 1e-5
LENET = [  # N, C, size, K, kernel, padding, dilation
    (64, 1, (32, 32), 6, (5, 5), 0, 1),
    (64, 6, (14, 14), 16, (5, 5), 0, 1),
    (9, 3, (6, 17), 5, (3, 2), ((2, 1), (0, 4)), (2, 1)),  # more images than tasks, and padding on one side
    (8, 2, (3, 3), 4, (3, 3), 2, 1),  # most of what taps read is padding
]


def drawn(seed):
    """Draw a convolution of small maps: any kernel, padding and dilation that stride 1 allows."""
    rng = np.random.default_rng(seed)
    while True:
        n, c, k = (int(number) for number in rng.integers([8, 1, 1], [40, 8, 20]))
        kernel = tuple(int(side) for side in rng.integers(1, 6, 2))
        size = tuple(int(side) for side in rng.integers(1, 20, 2))
        padding = tuple(tuple(int(p) for p in rng.integers(0, side + 1, 2)) for side in kernel)
        dilation = tuple(int(d) for d in rng.integers(1, 3, 2))
        spans = [d * (side - 1) + 1 for d, side in zip(dilation, kernel, strict=True)]
        if all(s + sum(p) >= span for s, p, span in zip(size, padding, spans, strict=True)) and kernel != (1, 1):
            return n, c, size, k, kernel, padding, dilation


def arrays(case):
    n, c, size, k, kernel, padding, dilation = case
    rng = np.random.default_rng(0)
    shapes = (n, c, *size), (k, c, *kernel), (k,), (k,)
    x, weight, scale, shift = (rng.standard_normal(shape, dtype="f4") for shape in shapes)
    where = {"padding": padding, "dilation": dilation}
    plan = plan_convolution((1, *size), weight.shape, 1, padding, dilation, 1)
    return x, weight, scale, shift, where, plan


def doubles(*given):
    return [array.astype(np.float64) for array in given]


def assert_near(ours, theirs, error=ERROR):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=error * max(1e-30, np.abs(theirs).max()))


@pytest.mark.parametrize("case", [*LENET, *map(drawn, range(40))], ids=str)
def test_small_maps_equal_the_reference(case):
    x, weight, scale, shift, where, plan = arrays(case)
    assert small_maps.is_applicable(len(x), weight.shape, plan.geometry, plan.size)
    mask = np.empty((len(x), len(weight), *plan.size), bool)
    y, dx, dweight = (np.empty(shape, np.float32) for shape in (mask.shape, x.shape, weight.shape))
    small_maps.forward(x, weight, Epilogue(scale, shift, 0.0, 6.0, mask), plan.geometry, y)
    sums = reference.conv2d(*doubles(x, weight), **where) * scale[:, None, None] + shift[:, None, None]
    assert_near(y, np.clip(sums, 0, 6))
    assert np.array_equal(mask, (y > 0) & (y < 6))
    dy = np.random.default_rng(1).standard_normal(y.shape, dtype="f4")
    small_maps.weight_grad(x, dy, plan.geometry, dweight)
    expected = reference.conv2d_weight_grad(*doubles(x, dy), weight.shape[2:], **where)
    assert_near(dweight, expected, 2 * ERROR)
    for rule in (GRADIENT, DECONVNET, GUIDED):
        prologue = Prologue(scale, mask if rule.where_input_positive else None, rule.where_cotangent_positive)
        small_maps.input_grad(dy, weight, prologue, plan.geometry, dx)
        given = *doubles(dy), mask, rule, *doubles(weight, scale), x.shape[2:]
        assert_near(dx, reference.conv2d_relu_input_grad(*given, **where), 2 * ERROR)


@pytest.mark.parametrize("n, c, size, k", [(64, 16, (5, 5), 120), (2, 3, (4, 7), 33), (3, 1, (1, 9), 1)], ids=str)
def test_whole_maps_equal_the_reference(n, c, size, k):
    x, weight, scale, shift, _, plan = arrays((n, c, size, k, size, 0, 1))
    assert whole_maps.is_applicable(n, size, weight.shape, plan.geometry, plan.size)
    mask = np.empty((n, k, 1, 1), bool)
    y, dx, dweight = (np.empty(shape, np.float32) for shape in (mask.shape, x.shape, weight.shape))
    whole_maps.forward(x, weight, Epilogue(scale, shift, -1.0, 2.0, mask), plan.geometry, y)
    sums = reference.conv2d(*doubles(x, weight)) * scale[:, None, None] + shift[:, None, None]
    assert_near(y, np.clip(sums, -1, 2))
    assert np.array_equal(mask, (y > -1) & (y < 2))
    dy = np.random.default_rng(1).standard_normal(y.shape, dtype="f4")
    whole_maps.weight_grad(x, dy, plan.geometry, dweight)
    assert_near(dweight, reference.conv2d_weight_grad(*doubles(x, dy), size))
    whole_maps.input_grad(dy, weight, Prologue(scale, mask, True), plan.geometry, dx)
    given = *doubles(dy), mask, GUIDED, *doubles(weight, scale), size
    assert_near(dx, reference.conv2d_relu_input_grad(*given))


def test_one_image_or_a_few_have_an_algorithm_of_their_own():
    def chosen(images, case, of="weight"):
        _, c, size, k, kernel, padding, dilation = case
        return plan_convolution((images, *size), (k, c, *kernel), 1, padding, dilation, 1, of=of).algorithm

    assert [chosen(images, LENET[1]) for images in (1, 7, 8, 64)] == ["im2col"] * 2 + ["small maps"] * 2
    whole = 64, 16, (5, 5), 120, (5, 5), 0, 1
    assert [chosen(images, whole, "output") for images in (1, 2, 64)] == ["im2col", "whole maps", "whole maps"]
    # outputs outnumber the columns: copying them would cost more than is saved
    assert chosen(64, (64, 1, (28, 28), 32, (3, 3), 1, 1)) == "im2col"


@pytest.mark.parametrize("case", [*LENET[:2], (64, 16, (5, 5), 120, (5, 5), 0, 1)], ids=str)
def test_bits_are_the_same_on_any_number_of_threads(case):
    x, weight, _, _, where, _ = arrays(case)
    results = []
    for threads in (1, 2):
        set_num_threads(threads)
        try:
            y = cpu.conv2d(x, weight, **where)
            dweight = cpu.conv2d_weight_grad(x, y, weight.shape[2:], **where)
            results.append((y, dweight, cpu.conv2d_input_grad(y, weight, x.shape[2:], **where)))
        finally:
            set_num_threads(None)
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)
