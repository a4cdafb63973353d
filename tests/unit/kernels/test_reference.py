"""The reference kernels against PyTorch in float64, and against sums that fit on paper."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from minicnn.kernels import reference
from tests.helpers.kernel_arrays import LAYOUTS, assert_close
from tests.helpers.kernel_cases import calls_of
from tests.helpers.kernel_settings import (
    CONVOLUTIONS,
    SETTINGS,
    average_settings,
    both,
    drawn,
    examples,
    four_sides,
    pool_settings,
)
from tests.helpers.torch_oracle import ORACLES, TAIL, pad, pooled_size, tensor

# float64: some thousands of roundings of 1e-16.  float32: a chain of at most some hundred terms, eps = 1.2e-7.
TOLERANCES = ((np.float64, 1e-10), (np.float32, 1e-5))


def assert_like_torch(operation, setting):
    expected = ORACLES[operation](calls_of(operation, setting))
    for dtype, tolerance in TOLERANCES:
        for name, call in calls_of(operation, setting, dtype).items():
            result, wanted = call.on(reference, name), expected[name]
            if not isinstance(wanted, tuple):  # a value, perhaps with its mask or switches
                result, wanted = result[:1] if isinstance(result, tuple) else (result,), (wanted,)
            for a, b in zip(result, wanted, strict=True):
                assert_close(a, b, tolerance, f"{name}, {dtype.__name__}")


@pytest.mark.parametrize("operation", SETTINGS)
@examples(250)
@given(data=st.data())
def test_every_value_and_gradient_is_torchs(operation, data):
    assert_like_torch(operation, data.draw(SETTINGS[operation]))


@pytest.mark.parametrize("layer", CONVOLUTIONS)
def test_convolutions_of_real_networks_are_torchs(layer):
    assert_like_torch("conv2d", CONVOLUTIONS[layer])


@examples(250)
@given(setting=pool_settings(native=True))
def test_switches_are_torchs_indices(setting):
    """Torch's index counts pixels of the unpadded input; ties, -inf and NaN included."""
    (x, kernel_size), geometry = calls_of("max_pool2d", setting)["max_pool2d"]
    y, switches = reference.max_pool2d(x, kernel_size, **geometry)
    expected, indices = F.max_pool2d(tensor(x), kernel_size, **geometry, return_indices=True)
    np.testing.assert_array_equal(y, expected.numpy())
    rows, columns = pixels(switches, kernel_size, geometry)
    somewhere = holds_a_pixel(x, kernel_size, geometry)  # elsewhere torch's index is out of bounds
    flat = (rows * x.shape[3] + columns)[somewhere]
    np.testing.assert_array_equal(flat, indices.numpy()[somewhere])


@examples(250)
@given(setting=pool_settings())
def test_switches_point_at_the_maximum(setting):
    """Any padding: a window that holds a pixel has its switch at one with the output's value."""
    (x, kernel_size), geometry = calls_of("max_pool2d", setting)["max_pool2d"]
    y, switches = reference.max_pool2d(x, kernel_size, **geometry)
    rows, columns = pixels(switches, kernel_size, geometry)
    somewhere = holds_a_pixel(x, kernel_size, geometry)
    n, c, p, q = np.nonzero(somewhere)
    row, column = rows[somewhere], columns[somewhere]
    assert (row >= 0).all() and (column >= 0).all()
    np.testing.assert_array_equal(x[n, c, row, column], y[n, c, p, q])
    assert np.isneginf(y[~somewhere]).all()


def pixels(switches, kernel_size, geometry):
    """Row and column in the unpadded input of each switch."""
    (stride, across), (dilation, beside) = both(geometry["stride"]), both(geometry["dilation"])
    top, _, left, _ = four_sides(geometry["padding"])
    r, s = np.divmod(switches.astype(int), both(kernel_size)[1])
    p, q = np.indices(switches.shape)[2:]
    return p * stride + r * dilation - top, q * across + s * beside - left


def holds_a_pixel(x, kernel_size, geometry):
    """Which windows reach the input at all: torch's max-pool of ones, padded with zeros."""
    p, q = pooled_size(x, kernel_size, **geometry)
    ones = pad(torch.ones(x.shape), geometry["padding"], TAIL)
    reached = F.max_pool2d(ones, kernel_size, geometry["stride"], 0, geometry["dilation"])
    return reached[:, :, :p, :q].numpy() > 0


def test_switches_of_large_windows_are_wider():
    x = np.arange(17 * 17.0)[None, None].reshape(1, 1, 17, 17)
    assert reference.max_pool2d(x, 16, stride=1)[1].dtype == np.uint8
    _, switches = reference.max_pool2d(x, 17)
    assert switches.dtype == np.uint16
    assert switches.item() == 288


@examples(250)
@given(setting=average_settings(native=True))
def test_average_pool_is_torchs_own(setting):
    (x, kernel_size), geometry = calls_of("avg_pool2d", setting)["avg_pool2d"]
    expected = F.avg_pool2d(tensor(x), kernel_size, **geometry).numpy()
    assert_close(reference.avg_pool2d(x, kernel_size, **geometry), expected, 1e-10, "avg_pool2d")


@pytest.mark.parametrize("pool", [reference.max_pool2d, reference.avg_pool2d])
def test_stride_none_is_the_kernel_size(pool):
    x = np.random.default_rng(0).standard_normal((1, 2, 7, 9))
    for a, b in zip(pool(x, (2, 3)), pool(x, (2, 3), stride=(2, 3)), strict=True):
        np.testing.assert_array_equal(a, b)


# The cases themselves: that they reach the corners they are there for.


@pytest.mark.parametrize("operation", ["conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d"])
def test_cases_reach_every_corner(operation):
    draws = drawn(operation, 250)
    assert len(set(map(repr, draws))) >= 200
    corners = dict.fromkeys(LAYOUTS, 0)
    for setting in draws:
        for corner, there in corners_of(operation, setting).items():
            corners[corner] = corners.get(corner, 0) + there
        corners[setting["layout"]] += 1
    assert min(corners.values()) >= 5, corners


def corners_of(operation, setting):
    kernel_size, stride = both(setting["kernel_size"]), both(setting["stride"])
    top, bottom, left, right = four_sides(setting["padding"])
    corners = {
        "stride beside the window": stride not in ((1, 1), kernel_size),
        "overlap": stride < kernel_size,
        "uneven padding": top != bottom or left != right,
        "batch of one": setting["n"] == 1,
        "batch of several": setting["n"] > 1,
        "one pixel": setting["size"] == (1, 1),
    }
    if "dilation" in setting:
        corners["dilation"] = both(setting["dilation"]) != (1, 1)
    if "groups" in setting:
        corners["groups"] = setting["groups"] > 1
        corners["depthwise"] = setting["groups"] > 1 and setting["c"] == 1
    if "ceil_mode" in setting:
        x, geometry = np.empty((1, 1, *setting["size"])), [kernel_size, stride, setting["padding"]]
        geometry.append(setting.get("dilation", 1))
        corners["ceil tail"] = setting["ceil_mode"] and pooled_size(x, *geometry, True) != pooled_size(
            x, *geometry, False
        )
    if operation == "max_pool2d":
        corners |= {kind: setting["values"] == kind for kind in ("normal", "ties", "specials")}
    return corners


# By hand.


def maps(*rows):
    """One image of one channel, float64."""
    return np.array(rows, float)[None, None]


def test_convolution_by_hand():
    x, weight = maps([1, 2, 3], [4, 5, 6], [7, 8, 9]), maps([1, 2], [0, -1])
    # y[0, 0] = 1 * 1 + 2 * 2 + 0 * 4 - 1 * 5 + 10
    np.testing.assert_array_equal(reference.conv2d(x, weight, np.array([10.0])), maps([10, 12], [16, 18]))
    # One row of zeros above, two columns to the left, stride 2: y[0, 0] reads zeros and, at its last tap, nothing.
    uneven = reference.conv2d(x, weight, padding=((1, 0), (2, 0)), stride=2)
    np.testing.assert_array_equal(uneven, maps([0, -2], [0, 4 + 10 - 8]))
    dilated = reference.conv2d(x, weight, dilation=2)
    np.testing.assert_array_equal(dilated, maps([1 + 2 * 3 - 9]))


def test_input_gradient_by_hand():
    dy, weight = maps([1, 0], [0, 10]), maps([1, 2], [0, -1])
    # Each dy lays the kernel down where it was read: once at the top left, ten times one pixel further.
    dx = reference.conv2d_input_grad(dy, weight, (3, 3))
    np.testing.assert_array_equal(dx, maps([1, 2, 0], [0, -1 + 10, 20], [0, 0, -10]))
    np.testing.assert_array_equal(reference.conv_transpose2d(dy, weight), dx)
    x = maps([1, 2, 3], [4, 5, 6], [7, 8, 9])
    dweight = reference.conv2d_weight_grad(x, dy, (2, 2))
    np.testing.assert_array_equal(dweight, maps([1 + 50, 2 + 60], [4 + 80, 5 + 90]))


def test_input_gradient_is_convolution_by_the_flipped_kernel():
    """Paper section 4: df/dX_n = df/dX_{n+1} * flip(K), at stride 1 with the complementary padding."""
    rng = np.random.default_rng(0)
    dy, weight = rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((4, 3, 3, 2))
    flipped = weight[:, :, ::-1, ::-1].swapaxes(0, 1)
    expected = reference.conv2d(dy, flipped, padding=(2, 1))
    assert_close(reference.conv2d_input_grad(dy, weight, (7, 7)), expected, 1e-12, "flip")


def test_max_pool_by_hand():
    # Windows (1, 3, 4) and (4, 2, 4): the tie goes to the first 4, which both windows share.
    x = maps([1, 3, 4, 2, 4])
    y, switches = reference.max_pool2d(x, (1, 3), stride=2)
    np.testing.assert_array_equal(y, maps([4, 4]))
    np.testing.assert_array_equal(switches, maps([2, 0]))
    dx = reference.max_pool2d_input_grad(maps([1, 10]), switches, (1, 5), (1, 3), stride=2)
    np.testing.assert_array_equal(dx, maps([0, 0, 11, 0, 0]))


def test_max_pool_prefers_a_pixel_of_minus_infinity_to_padding():
    y, switches = reference.max_pool2d(np.full((1, 1, 1, 1), -np.inf), 3, padding=1)
    assert y.item() == -np.inf
    assert switches.item() == 4
    assert reference.max_pool2d_input_grad(np.ones_like(y), switches, (1, 1), 3, padding=1).item() == 1


def test_ceil_mode_by_hand():
    x = maps([1, 2, 3, 4, 5])
    np.testing.assert_array_equal(reference.max_pool2d(x, (1, 2))[0], maps([2, 4]))
    np.testing.assert_array_equal(reference.max_pool2d(x, (1, 2), ceil_mode=True)[0], maps([2, 4, 5]))
    # The tail that ceil_mode adds is no part of the mean, whatever count_include_pad says ...
    np.testing.assert_array_equal(reference.avg_pool2d(x, (1, 2), ceil_mode=True), maps([1.5, 3.5, 5]))
    # ... and a window that would start beyond the input is dropped: 1, then 4, and none at pixel 6.
    np.testing.assert_array_equal(reference.max_pool2d(x, 1, stride=(1, 3), ceil_mode=True)[0], maps([1, 4]))


def test_count_include_pad_by_hand():
    x = maps([4, 8])
    padded = {"stride": 2, "padding": ((0, 0), (1, 1))}
    np.testing.assert_array_equal(reference.avg_pool2d(x, (1, 2), **padded), maps([2, 4]))
    np.testing.assert_array_equal(reference.avg_pool2d(x, (1, 2), **padded, count_include_pad=False), x)


def test_average_pool_of_nothing_is_zero():
    y = reference.avg_pool2d(maps([4]), 1, padding=1, count_include_pad=False)
    np.testing.assert_array_equal(y, maps([0, 0, 0], [0, 4, 0], [0, 0, 0]))


def test_average_pool_is_a_box_filter():
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 9))
    box = np.full((3, 1, 3, 2), 1 / 6)
    expected = reference.conv2d(x, box, stride=(2, 1), padding=1, groups=3)
    assert_close(reference.avg_pool2d(x, (3, 2), stride=(2, 1), padding=1), expected, 1e-12, "box filter")


def test_local_response_norm_by_hand():
    # Two channels a window: itself and the one before; alpha / size = 1, so d = 1 + 1, 1 + 1 + 4, 1 + 4 + 9.
    x = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    y = reference.local_response_norm(x, 2, alpha=2, beta=1, k=1)
    np.testing.assert_allclose(y.ravel(), [1 / 2, 2 / 6, 3 / 14], rtol=1e-15)
    # dy picks y[1] = x1 / (1 + x0^2 + x1^2): its slopes are -2 x0 x1 / 36, 1 / 6 - 2 x1^2 / 36 and 0.
    dy = np.array([0.0, 1.0, 0.0]).reshape(1, 3, 1, 1)
    dx = reference.local_response_norm_input_grad(x, dy, 2, alpha=2, beta=1, k=1)
    np.testing.assert_allclose(dx.ravel(), [-4 / 36, 1 / 6 - 8 / 36, 0], rtol=1e-14)


def test_kinks_by_hand():
    x = np.array([-1.0, 0.0, 3.0, 6.0, 7.0])
    assert reference.relu(x)[1].tolist() == [False, False, True, True, True]
    assert reference.hardtanh(x, 0, 6)[0].tolist() == [0, 0, 3, 6, 6]
    assert reference.hardtanh(x, 0, 6)[1].tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_softmax_does_not_overflow(scale):
    scores = np.array([[scale, scale, -np.inf]], np.float32)
    np.testing.assert_array_equal(reference.softmax(scores), np.array([[0.5, 0.5, 0]], np.float32))
    np.testing.assert_allclose(reference.log_softmax(scores)[:, :2], -np.log(2), rtol=1e-6)
    assert np.isfinite(reference.cross_entropy(scores, np.array([0])))


def test_cross_entropy_of_equal_scores_is_the_logarithm_of_their_number():
    assert reference.cross_entropy(np.zeros((3, 8)), np.array([0, 5, 7])) == pytest.approx(np.log(8), rel=1e-15)


def test_dropout_drops_the_share_asked_for():
    size, p = 100_000, 0.3
    y, mask = reference.dropout(np.ones((size,)), p, np.random.default_rng(0))
    # A share of n coin tosses has standard deviation sqrt(p (1 - p) / n): five of them.
    assert abs(1 - mask.mean() - p) < 5 * np.sqrt(p * (1 - p) / size)
    np.testing.assert_array_equal(y, np.where(mask, 1 / (1 - p), 0))
