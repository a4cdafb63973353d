"""Winograd's convolution against reference in float64, its adjoint, and the same bits on any number of threads.

Bounds: float32 rounds at 6e-8.  The transforms' coefficients, up to 8 in both directions, let what they cancel be
some ten times as large as the result, and sums over a few hundred channels round like the root of their number:
measured 1e-5 of the largest output, where im2col has 1e-6; the tests allow three times that.
"""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.kernels import reference
from minicnn.kernels.cpu.conv.winograd import convolve, weight_grad
from minicnn.kernels.cpu.runtime.thread_pool import num_threads, set_num_threads
from minicnn.kernels.cpu.simd.epilogue import Epilogue, Prologue

ERROR = 3e-5  # of the largest output

SIDES = [
    ((0, 0), (0, 0)),
    ((1, 1), (1, 1)),
    ((2, 2), (2, 2)),
    ((0, 2), (1, 0)),
    ((2, 1), (0, 3)),
    ((4, 0), (1, 5)),
]
SHAPES = [  # N, C, K, H, W
    (1, 1, 1, 3, 3),
    (1, 3, 5, 4, 3),
    (3, 17, 9, 13, 7),
    (2, 16, 8, 6, 18),
    (3, 2, 33, 5, 5),
    (1, 64, 40, 21, 66),
    (2, 130, 70, 9, 10),
    (3, 5, 3, 31, 75),
    (1, 260, 35, 28, 26),  # 49 tiles, one beyond whole vectors, and more channels than a cache holds weights of
    (1, 19, 250, 26, 28),
]


def arrays(shape, padding, seed=0):
    rng = np.random.default_rng(seed)
    n, c, k, h, w = shape
    (top, bottom), (left, right) = padding
    x = rng.standard_normal((n, c, h, w), dtype="f4")
    weight = rng.standard_normal((k, c, 3, 3), dtype="f4")
    dy = rng.standard_normal((n, k, h + top + bottom - 2, w + left + right - 2), dtype="f4")
    return x, weight, dy


def identity_epilogue(count):
    return Epilogue(np.ones(count, np.float32), np.zeros(count, np.float32))


def close(actual, expected):
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ERROR * np.abs(expected).max())


def doubles(*given):
    return [array.astype(np.float64) for array in given]


@pytest.mark.parametrize("padding", SIDES)
@pytest.mark.parametrize("shape", SHAPES)
def test_forward(shape, padding):
    x, weight, _ = arrays(shape, padding)
    y = convolve.forward(x, weight, identity_epilogue(len(weight)), padding)
    close(y, reference.conv2d(*doubles(x, weight), padding=padding))


@pytest.mark.parametrize("padding", SIDES)
@pytest.mark.parametrize("shape", SHAPES)
def test_input_grad(shape, padding):
    x, weight, dy = arrays(shape, padding)
    dx = convolve.input_grad(dy, weight, Prologue(np.ones(len(weight), np.float32)), x.shape[2:], padding)
    close(dx, reference.conv2d_input_grad(*doubles(dy, weight), x.shape[2:], padding=padding))


@pytest.mark.parametrize("size", [(5, 5), (4, 3), (3, 7), (11, 6)])
def test_larger_kernels(size):
    """Kernels that are cut into blocks of 3x3, the last ones filled up with zeros, and their input gradient."""
    rng = np.random.default_rng(0)
    padding = ((2, 1), (0, 3))
    x, weight = rng.standard_normal((2, 18, 29, 33), dtype="f4"), rng.standard_normal((37, 18, *size), dtype="f4")
    y = convolve.forward(x, weight, identity_epilogue(37), padding)
    close(y, reference.conv2d(*doubles(x, weight), padding=padding))
    dy = rng.standard_normal(y.shape, dtype="f4")
    dx = convolve.input_grad(dy, weight, Prologue(np.ones(37, np.float32)), (29, 33), padding)
    close(dx, reference.conv2d_input_grad(*doubles(dy, weight), (29, 33), padding=padding))


@pytest.mark.parametrize("least, most", [(0, np.inf), (0, 6), (-np.inf, np.inf)])
def test_epilogue(least, most):
    """Scale, shift and clamp; the mask says where y is strictly between the clamp's ends."""
    x, weight, dy = arrays((3, 20, 37, 13, 22), SIDES[1])
    scale, shift = np.random.default_rng(1).standard_normal((2, 37), dtype="f4")
    mask = np.empty(dy.shape, bool)
    y = convolve.forward(x, weight, Epilogue(scale, shift, least, most, mask), SIDES[1])
    sums = reference.conv2d(*doubles(x, weight), padding=1) * scale[:, None, None] + shift[:, None, None]
    # the clamp hides the largest sums, of which the error is a part
    np.testing.assert_allclose(y, np.clip(sums, least, most), rtol=0, atol=ERROR * np.abs(sums).max())
    assert np.array_equal(mask, (y > least) & (y < most))
    assert mask.any() and (mask.all() or least == 0)


@pytest.mark.parametrize("only_positive", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_prologue(masked, only_positive):
    _x, weight, dy = arrays((3, 20, 37, 13, 22), SIDES[3])
    rng = np.random.default_rng(1)
    scale, mask = rng.standard_normal(37, dtype="f4"), rng.random(dy.shape) < 0.5
    prologue = Prologue(scale, mask if masked else None, only_positive)
    dx = convolve.input_grad(dy, weight, prologue, (13, 22), SIDES[3])
    passed = (mask | (not masked)) & ((dy > 0) | (not only_positive))
    through, weight = doubles(dy * scale[:, None, None] * passed, weight)
    close(dx, reference.conv2d_input_grad(through, weight, (13, 22), padding=SIDES[3]))


@pytest.mark.parametrize("shape", SHAPES)
def test_adjoint(shape):
    """<dy, conv(x)> = <input_grad(dy), x>: both round as above, relative to the norms that bound them."""
    padding = SIDES[3]
    x, weight, dy = arrays(shape, padding)
    y = convolve.forward(x, weight, identity_epilogue(len(weight)), padding)
    dx = convolve.input_grad(dy, weight, Prologue(np.ones(len(weight), np.float32)), x.shape[2:], padding)
    y, dx, x, dy = doubles(y, dx, x, dy)
    assert abs((dy * y).sum() - (dx * x).sum()) <= ERROR * np.linalg.norm(dy) * np.linalg.norm(y)


def test_tiles_kept_in_parts(monkeypatch):
    """A map whose tiles are taken some at a time has the bits of one whose tiles are taken at once."""
    x, weight, _dy = arrays((2, 9, 34, 40, 61), SIDES[1])
    whole = convolve.forward(x, weight, identity_epilogue(34), SIDES[1])
    monkeypatch.setattr(convolve, "KEPT", 0)
    assert np.array_equal(convolve.forward(x, weight, identity_epilogue(34), SIDES[1]), whole)


def test_channels_in_parts(monkeypatch):
    """Sums over channels that are taken some at a time have the bits of sums over all of them."""
    x, weight, dy = arrays((1, 75, 75, 26, 26), SIDES[1])
    prologue = Prologue(np.ones(75, np.float32))
    whole = convolve.forward(x, weight, identity_epilogue(75), SIDES[1])
    back = convolve.input_grad(dy, weight, prologue, (26, 26), SIDES[1])
    monkeypatch.setattr(convolve, "WEIGHTS", 0)
    monkeypatch.setattr(convolve, "PART", 16)
    assert np.array_equal(convolve.forward(x, weight, identity_epilogue(75), SIDES[1]), whole)
    assert np.array_equal(convolve.input_grad(dy, weight, prologue, (26, 26), SIDES[1]), back)


def test_same_bits_on_any_number_of_threads():
    x, weight, dy = arrays((2, 33, 100, 30, 41), SIDES[1])
    prologue, results = Prologue(np.ones(100, np.float32)), []
    try:
        for count in range(1, num_threads() + 1):
            set_num_threads(count)
            y = convolve.forward(x, weight, identity_epilogue(100), SIDES[1])
            results.append((y, convolve.input_grad(dy, weight, prologue, (30, 41), SIDES[1])))
    finally:
        set_num_threads(None)
    for y, dx in results[1:]:
        assert np.array_equal(y, results[0][0]) and np.array_equal(dx, results[0][1])


def test_views_and_read_only_arrays():
    """Arrays in other orders, and read-only ones, give what contiguous ones give."""
    x, weight, _ = arrays((2, 5, 6, 9, 11), SIDES[1])
    expected = convolve.forward(x, weight, identity_epilogue(6), SIDES[1])
    x.setflags(write=False)
    turned = np.asfortranarray(weight)
    assert np.array_equal(convolve.forward(x, turned, identity_epilogue(6), SIDES[1]), expected)


def test_no_images():
    x, weight, dy = arrays((0, 5, 6, 9, 11), SIDES[1])
    assert convolve.forward(x, weight, identity_epilogue(6), SIDES[1]).shape == dy.shape


def weight_gradient(x, dy, padding):
    dweight = np.empty((dy.shape[1], x.shape[1], 3, 3), np.float32)
    (top, _), (left, _) = padding
    weight_grad.weight_grad(x, dy, (top, left), dweight)
    return dweight


@pytest.mark.parametrize("padding", SIDES)
@pytest.mark.parametrize("shape", SHAPES)
def test_weight_grad(shape, padding):
    x, _, dy = arrays(shape, padding)
    close(weight_gradient(x, dy, padding), reference.conv2d_weight_grad(*doubles(x, dy), (3, 3), padding=padding))


def test_weight_grad_in_parts(monkeypatch):
    """Tiles taken some at a time are added up in another order than tiles taken at once: roundings."""
    x, _, dy = arrays((2, 9, 34, 40, 61), SIDES[1])
    whole = weight_gradient(x, dy, SIDES[1])
    monkeypatch.setattr(weight_grad, "KEPT", 0)
    close(weight_gradient(x, dy, SIDES[1]), whole)


def test_weight_grad_has_the_same_bits_on_any_number_of_threads():
    x, _, dy = arrays((2, 33, 100, 30, 41), SIDES[1])
    results = []
    try:
        for count in range(1, num_threads() + 1):
            set_num_threads(count)
            results.append(weight_gradient(x, dy, SIDES[1]))
    finally:
        set_num_threads(None)
    assert all(np.array_equal(dweight, results[0]) for dweight in results)


def test_weight_grad_of_no_images_is_0():
    x, _, dy = arrays((0, 5, 6, 9, 11), SIDES[1])
    assert not weight_gradient(x, dy, SIDES[1]).any()
