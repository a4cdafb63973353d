"""The fully connected layer for several images: tails of rows, columns and images, the adjoint, any threads.

Bound: a sum of n products in float32, in whatever order, errs by at most n x 6e-8 of the sum of their sizes, and
rounding errors, which have either sign, mostly cancel: of 1300 products some 40 x 6e-8 are left.  Hence 2e-6 of
that sum.
"""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.kernels import cpu
from minicnn.kernels.cpu.linear import batched
from minicnn.kernels.cpu.runtime.thread_pool import num_threads, set_num_threads
from minicnn.kernels.cpu.simd.vector import LANES

ERROR = 2e-6  # of the sum of the products' sizes

SHAPES = [  # images, outputs, inputs
    (1, 1, LANES),
    (2, 3, LANES + 1),
    (3, 1, 5 * LANES - 1),
    (4, 50, 3 * LANES),
    (5, 47, 100),
    (7, 48, 513),
    (8, 97, 1024),
    (9, 200, 1300),
    (16, 49, 1031),
    (32, 145, 640),
    (64, 20, 130),
    (65, 10, 300),
    (131, 65, 517),
]
shapes = pytest.mark.parametrize("shape", SHAPES)


def arrays(shape):
    images, outputs, inputs = shape
    rng = np.random.default_rng(sum(shape))
    return [rng.standard_normal(size, "f4") for size in ((images, inputs), (outputs, inputs), (images, outputs))]


def is_product(product, a, b):
    """Whether float32 numbers are the product of two matrices."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.all(np.abs(product - a @ b) <= ERROR * (np.abs(a) @ np.abs(b)))


@shapes
def test_forward_and_input_grad(shape):
    x, weight, dy = arrays(shape)
    y, dx = batched.forward(x, weight), batched.input_grad(dy, weight)
    assert y.dtype == dx.dtype == np.float32
    assert y.flags.c_contiguous and dx.flags.c_contiguous
    assert is_product(y, x, weight.T)
    assert is_product(dx, dy, weight)


def test_every_number_of_images_and_lengths_of_rows_around_a_vector():
    rng = np.random.default_rng(0)
    for images in range(41):
        outputs, inputs = rng.integers(1, 60), rng.integers(1, 7 * LANES)
        x, weight, dy = arrays((images, outputs, inputs))
        assert is_product(cpu.linear(x, weight), x, weight.T), (images, outputs, inputs)
        assert is_product(cpu.linear_input_grad(dy, weight), dy, weight), (images, outputs, inputs)


@shapes
def test_the_gradient_is_the_adjoint(shape):
    x, weight, dy = arrays(shape)
    y, dx = batched.forward(x, weight), batched.input_grad(dy, weight)
    forward, adjoint = np.vdot(y.astype(np.float64), dy), np.vdot(x, dx.astype(np.float64))
    assert abs(forward - adjoint) <= 2 * ERROR * np.vdot(np.abs(x) @ np.abs(weight.T), np.abs(dy))


@shapes
def test_same_bits_on_any_number_of_threads(shape):
    x, weight, dy = arrays(shape)
    bits = []
    try:
        for count in range(1, num_threads() + 1):
            set_num_threads(count)
            y, dx = batched.forward(x, weight), batched.input_grad(dy, weight)
            bits.append((y.tobytes(), dx.tobytes()))
    finally:
        set_num_threads(None)
    assert set(bits) == {bits[0]}


@pytest.mark.parametrize("images", [2, 7, 8, 33])
def test_what_lies_around_the_arrays_does_not_matter(images):
    """NaN before and behind an image, a row or dy must not get into another's sums."""
    x, weight, dy = arrays((images, 51, 100))
    y, dx = batched.forward(x, weight), batched.input_grad(dy, weight)
    spoiled = [np.full((len(array) + 2, array.shape[1]), np.nan, np.float32) for array in (x, weight, dy)]
    for whole, array in zip(spoiled, (x, weight, dy), strict=True):
        whole[1:-1] = array
    x, weight, dy = (whole[1:-1] for whole in spoiled)
    assert np.array_equal(batched.forward(x, weight), y)
    assert np.array_equal(batched.input_grad(dy, weight), dx)


def test_nan_stays_with_its_image_and_its_row():
    x, weight, dy = arrays((9, 50, 100))
    y, dx = batched.forward(x, weight), batched.input_grad(dy, weight)
    x[4, 99] = dy[4, 49] = np.nan
    for result, before in ((batched.forward(x, weight), y), (batched.input_grad(dy, weight), dx)):
        assert np.isnan(result[4]).all()
        assert np.array_equal(np.delete(result, 4, 0), np.delete(before, 4, 0))
