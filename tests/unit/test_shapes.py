"""Output sizes against PyTorch's, paddings against their definitions, and the sentences bad geometry gets."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn.errors import ShapeError
from minicnn.shapes import (
    check_array,
    output_size,
    pair,
    same_padding,
    sides,
    span,
    transposed_size,
)
from tests.helpers.kernel_settings import both, examples, four_sides

small = st.integers(1, 5)
pairs = st.tuples(small, small)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
no_padding = st.tuples(st.integers(0, 4), st.integers(0, 4))


def map_of(size):
    """A map without data: torch computes its shape alone."""
    return torch.empty(1, 1, *size, device="meta")


def fits(size, kernel_size, padding, dilation):
    return all(
        n + before + after >= d * (k - 1) + 1
        for n, k, (before, after), d in zip(size, kernel_size, padding, dilation, strict=True)
    )


@examples(500)
@given(size=sizes, kernel_size=pairs, stride=pairs, padding=no_padding, dilation=pairs, data=st.data())
def test_output_size_is_torchs_convolution(size, kernel_size, stride, padding, dilation, data):
    uneven = tuple((before, data.draw(st.integers(0, 4))) for before in padding)
    assume(fits(size, kernel_size, uneven, dilation))
    (top, bottom), (left, right) = uneven
    padded = F.pad(map_of(size), (left, right, top, bottom))
    weight = torch.empty(1, 1, *kernel_size, device="meta")
    expected = F.conv2d(padded, weight, stride=stride, dilation=dilation).shape[2:]
    assert output_size(size, kernel_size, stride, uneven, dilation) == tuple(expected)


@pytest.mark.parametrize("ceil_mode", [False, True])
@examples(500)
@given(size=sizes, kernel_size=pairs, stride=pairs, dilation=pairs, data=st.data())
def test_output_size_is_torchs_pool(size, kernel_size, stride, dilation, data, ceil_mode):
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel_size)
    assume(fits(size, kernel_size, sides(padding), dilation))
    expected = F.max_pool2d(map_of(size), kernel_size, stride, padding, dilation, ceil_mode).shape[2:]
    assert output_size(size, kernel_size, stride, sides(padding), dilation, ceil_mode) == tuple(expected)


def test_ceil_mode_drops_a_window_that_starts_beyond_the_input():
    one = (1, 1)
    assert output_size((3, 5), one, (3, 3), sides(0), one, ceil_mode=True) == (1, 2)
    assert output_size((2, 2), one, (2, 2), ((1, 1), (0, 1)), one, ceil_mode=True) == (2, 1)


@examples(500)
@given(
    size=st.tuples(small, small),
    kernel_size=pairs,
    stride=pairs,
    padding=no_padding,
    dilation=pairs,
    data=st.data(),
)
def test_transposed_size_is_torchs(size, kernel_size, stride, padding, dilation, data):
    extra = tuple(data.draw(st.integers(0, s - 1)) for s in stride)
    x, weight = map_of(size), torch.empty(1, 1, *kernel_size, device="meta")
    full = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel_size, strict=True)]
    assume(all(f + e > 2 * p for f, e, p in zip(full, extra, padding, strict=True)))
    expected = F.conv_transpose2d(x, weight, None, stride, padding, extra, 1, dilation).shape[2:]
    assert transposed_size(size, kernel_size, stride, sides(padding), extra, dilation) == tuple(expected)


@examples(300)
@given(
    size=st.tuples(small, small),
    kernel_size=pairs,
    stride=pairs,
    padding=no_padding,
    dilation=pairs,
    data=st.data(),
)
def test_transposed_size_is_the_inverse_of_output_size(size, kernel_size, stride, padding, dilation, data):
    """Whatever the extra rows, below the stride, the convolution of the result has the input's size again."""
    extra = tuple(data.draw(st.integers(0, s - 1)) for s in stride)
    uneven = tuple((before, data.draw(st.integers(0, 4))) for before in padding)
    try:
        larger = transposed_size(size, kernel_size, stride, uneven, extra, dilation)
    except ShapeError:
        assume(False)
    assert output_size(larger, kernel_size, stride, uneven, dilation) == size


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@examples(200)
@given(size=st.tuples(st.integers(1, 12), st.integers(1, 12)), kernel_size=pairs, dilation=pairs)
def test_same_padding_at_stride_one_is_torchs(size, kernel_size, dilation):
    """By values: the output's size alone would not tell which side has the larger half."""
    rng = np.random.default_rng(0)
    x, weight = (torch.from_numpy(rng.standard_normal((1, 1, *shape))) for shape in (size, kernel_size))
    (top, bottom), (left, right) = same_padding(size, kernel_size, (1, 1), dilation)
    ours = F.conv2d(F.pad(x, (left, right, top, bottom)), weight, dilation=dilation)
    expected = F.conv2d(x, weight, dilation=dilation, padding="same")
    # float64, at most 25 terms of order one
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


@examples(300)
@given(size=sizes, kernel_size=pairs, stride=pairs, dilation=pairs)
def test_same_padding_is_the_least_that_reaches_every_pixel_start(size, kernel_size, stride, dilation):
    padding = same_padding(size, kernel_size, stride, dilation)
    wanted = tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
    assert output_size(size, kernel_size, stride, padding, dilation) == wanted
    for axis, (before, after) in enumerate(padding):
        assert 0 <= after - before <= 1
        if after:
            less = [*padding]
            less[axis] = (before, after - 1)
            short = fits(size, kernel_size, less, dilation) and output_size(
                size, kernel_size, stride, tuple(less), dilation
            )
            assert short != wanted


@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "expected"),
    [
        (224, 3, 2, (0, 1)),
        (112, 5, 2, (1, 2)),
        (56, 3, 1, (1, 1)),
        (7, 5, 2, (2, 2)),
        (5, 1, 2, (0, 0)),
        (8, 2, 1, (0, 1)),
    ],
)
def test_same_padding_by_hand(size, kernel_size, stride, expected):
    """TensorFlow's SAME: max((ceil(n / s) - 1) s + k - n, 0), the smaller half first."""
    padding = same_padding(both(size), both(kernel_size), both(stride), (1, 1))
    assert padding == (expected, expected)


def test_span_counts_the_first_and_the_last_tap():
    assert [span(k, d) for k, d in ((1, 5), (3, 1), (3, 2), (4, 3))] == [1, 3, 5, 10]


@examples(100)
@given(padding=st.integers(0, 9) | no_padding | st.tuples(no_padding, no_padding))
def test_sides_of_one_number_a_pair_or_four(padding):
    (top, bottom), (left, right) = sides(padding)
    assert (top, bottom, left, right) == four_sides(padding)


def test_pair_takes_numpy_integers_and_lists():
    assert pair(np.int64(3), "stride") == (3, 3)
    assert pair([1, np.int32(2)], "stride") == (1, 2)
    assert all(type(v) is int for v in pair(np.int64(3), "stride"))


# The sentences.


@pytest.mark.parametrize("value", [0, -1, 1.5, (1, 2, 3), (1,), (0, 1), (1, 2.0), "3", None, ((1, 2), 3)])
def test_pair_refuses(value):
    with pytest.raises(ShapeError) as caught:
        pair(value, "stride")
    assert str(caught.value) == f"stride: expected a whole number >= 1 or a pair of them, got {value!r}"


@pytest.mark.parametrize("padding", [-1, (1, -1), ((0, 1), (2, -1)), ((0, 1), (2, 3, 4)), "same", 0.5])
def test_sides_refuses(padding):
    with pytest.raises(ShapeError, match="padding: expected a whole number >= 0 or a pair"):
        sides(padding)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_window_that_does_not_fit_is_refused_with_all_sizes(ceil_mode):
    one = (1, 1)
    assert output_size((2, 3), (3, 3), one, ((1, 0), (0, 0)), one, ceil_mode) == (1, 1)
    with pytest.raises(ShapeError) as caught:
        output_size((2, 2), (3, 3), one, ((1, 0), (0, 0)), one, ceil_mode)
    assert str(caught.value) == (
        "a window of (3, 3) with dilation (1, 1) does not fit into an input of (2, 2) with padding "
        "((1, 0), (0, 0)); use a larger input or a smaller window"
    )


def test_transposed_convolution_without_output_is_refused():
    one = (1, 1)
    with pytest.raises(ShapeError, match=r"an input of \(1, 2\) leaves no output \(-1 x 2\)"):
        transposed_size((1, 2), one, one, ((1, 1), (0, 0)), (0, 0), one)


@pytest.mark.parametrize(
    ("x", "ndim", "sentence"),
    [
        ([1.0], None, "net: expected a NumPy array, got list"),
        (
            np.zeros(3, np.float16),
            None,
            "net: expected dtype float32 or float64, got float16; use x.astype('float32')",
        ),
        (np.zeros(3, int), None, "net: expected dtype float32 or float64, got int64; use x.astype('float32')"),
        (np.zeros(3, ">f4"), None, "net: expected dtype float32 or float64, got >f4; use x.astype('float32')"),
        (np.zeros((3, 8, 8)), 4, "net: expected 4 axes, got shape (3, 8, 8); add a batch axis with x[None]"),
        (np.zeros((3, 8)), 4, "net: expected 4 axes, got shape (3, 8)"),
    ],
)
def test_check_array_refuses(x, ndim, sentence):
    with pytest.raises(ShapeError) as caught:
        check_array(x, "net", ndim)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_check_array_accepts(dtype):
    check_array(np.zeros((1, 2, 3, 4), dtype), "net", 4)
    check_array(np.zeros((), dtype), "net")
