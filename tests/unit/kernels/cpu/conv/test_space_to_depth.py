"""Convolution with a stride by Winograd's algorithm, against the reference in float64.

Bounds: as in test_winograd: 1e-5 of the largest output was measured there and here, three times that is allowed.
"""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.kernels import cpu, reference
from minicnn.kernels.cpu.conv import space_to_depth
from minicnn.kernels.cpu.conv.dispatch import plan_convolution
from minicnn.kernels.cpu.simd.epilogue import Epilogue, Prologue
from minicnn.rules import GUIDED
from minicnn.shapes import output_size

ERROR = 3e-5  # of the largest output

CASES = [  # N, C, K, (H, W), (R, S), stride, padding
    (1, 3, 17, (27, 30), (11, 11), 4, ((2, 2), (2, 2))),
    (2, 3, 5, (23, 9), (7, 5), 2, ((3, 0), (1, 4))),
    (1, 4, 33, (19, 21), (5, 5), 2, ((2, 2), (2, 2))),
    (3, 2, 8, (12, 13), (3, 7), 3, ((0, 1), (2, 0))),
    (1, 1, 4, (16, 11), (4, 3), 4, ((5, 5), (0, 0))),  # windows on padding alone, pixels that none reads
    (0, 3, 16, (16, 16), (5, 5), 2, ((0, 0), (0, 0))),
]


def arrays(case):
    n, c, k, size, kernel_size, stride, padding = case
    rng = np.random.default_rng(0)
    out = output_size(size, kernel_size, (stride, stride), padding, (1, 1))
    x, weight = (
        rng.standard_normal((n, c, *size), dtype="f4"),
        rng.standard_normal((k, c, *kernel_size), dtype="f4"),
    )
    return x, weight, rng.standard_normal((n, k, *out), dtype="f4"), out


def close(actual, expected):
    assert actual.dtype == np.float32 and actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ERROR * np.abs(expected).max(initial=0))


@pytest.mark.parametrize("case", CASES)
def test_forward(case):
    x, weight, dy, out = arrays(case)
    *_, stride, padding = case
    scale, shift = (np.linspace(a, 2, len(weight), dtype="f4") for a in (0.5, -1))
    mask = np.empty(dy.shape, bool)
    y = space_to_depth.forward(x, weight, Epilogue(scale, shift, 0.0, 6.0, mask), stride, padding, out)
    sums = reference.conv2d(x.astype("f8"), weight.astype("f8"), stride=stride, padding=padding)
    close(y, np.clip(sums * scale[:, None, None] + shift[:, None, None], 0, 6))
    np.testing.assert_array_equal(mask, (y > 0) & (y < 6))


@pytest.mark.parametrize("case", CASES)
def test_input_gradient(case):
    x, weight, dy, _ = arrays(case)
    *_, stride, padding = case
    mask, scale = np.random.default_rng(1).random(dy.shape) < 0.5, np.linspace(0.5, 2, len(weight), dtype="f4")
    dx = space_to_depth.input_grad(dy, weight, Prologue(scale, mask, True), x.shape[2:], stride, padding)
    passed = np.where(mask & (dy > 0), dy, 0).astype("f8") * scale[:, None, None]
    arguments = {"stride": stride, "padding": padding}
    close(dx, reference.conv2d_input_grad(passed, weight.astype("f8"), x.shape[2:], **arguments))


def test_the_first_layer_of_alexnet_takes_it():
    """Through the device's own functions, from scores' side and back."""
    rng = np.random.default_rng(2)
    x, weight = rng.standard_normal((1, 3, 67, 67), dtype="f4"), rng.standard_normal((64, 3, 11, 11), dtype="f4")
    geometry = {"stride": 4, "padding": 2}
    assert plan_convolution((len(x), *x.shape[2:]), weight.shape, 4, 2, 1, 1).algorithm == "strided winograd"
    y, mask = cpu.conv2d_relu(x, weight, None, None, **geometry)
    wide = x.astype("f8"), weight.astype("f8")
    close(y, np.maximum(reference.conv2d(*wide, **geometry), 0))
    dx = cpu.conv2d_relu_input_grad(y, mask, GUIDED, weight, None, (67, 67), **geometry)
    close(dx, reference.conv2d_input_grad(y.astype("f8"), wide[1], (67, 67), **geometry))
