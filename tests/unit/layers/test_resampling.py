"""Layers that move, repeat or average values, against torch: forward, and back, in both precisions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minicnn import Network, layers
from minicnn.errors import ShapeError
from minicnn.explain import receptive_field
from minicnn.kernels import on, reference
from minicnn.verify.comparison.peers.to_torch import to_torch

RNG = np.random.default_rng(0)
MODES = ("nearest", "nearest-exact", "bilinear", "bicubic")


def sizes(count, low=1, high=9):
    """Random (H, W)."""
    return [tuple(int(n) for n in RNG.integers(low, high, 2)) for _ in range(count)]


CASES = [
    *[
        (layers.Upsample(out, mode=mode), (2, *size))
        for mode in MODES
        for size, out in zip(sizes(8), sizes(8, 1, 20), strict=True)
    ],
    *[
        (layers.Upsample(scale_factor=scale, mode=mode, recompute_scale_factor=again), (2, 7, 5))
        for mode in MODES
        for scale in (2.0, 1.7, 0.6, (3, 0.5))
        for again in (None, True)
    ],
    *[
        (layers.Upsample(out, mode=mode, align_corners=True), (2, *size))
        for mode in MODES[2:]
        for size, out in zip(sizes(6), sizes(6, 1, 20), strict=True)
    ],
    *[(layers.AdaptiveAvgPool2d(out), (3, *size)) for size, out in zip(sizes(8), sizes(8, 1, 7), strict=True)],
    *[(layers.AdaptiveMaxPool2d(out), (3, *size)) for size, out in zip(sizes(8), sizes(8, 1, 7), strict=True)],
    (layers.AdaptiveAvgPool2d((None, 3)), (2, 5, 7)),
    (layers.AdaptiveMaxPool2d((3, None)), (2, 6, 7)),
    (layers.Amax((1, -1)), (3, 4, 5)),
    (layers.Amax(2, keepdim=True), (3, 4, 5)),
    *[
        (kind(padding), (2, 6, 7))
        for kind in (layers.ZeroPad2d, layers.ReflectionPad2d, layers.ReplicationPad2d, layers.CircularPad2d)
        for padding in ((1, 2, 3, 0), (-1, 2, 4, -2), 5, 0)
    ],
    (layers.ConstantPad2d((1, -2, 3, 0), 2.5), (2, 6, 7)),
    (layers.PixelShuffle(3), (18, 2, 4)),
    (layers.PixelShuffle(2, depth_first=True), (12, 2, 4)),
    (layers.PixelUnshuffle(3), (2, 6, 9)),
    (layers.PixelUnshuffle(2, depth_first=True), (3, 4, 6)),
    (layers.ChannelShuffle(3), (12, 2, 3)),
    *[
        (layers.Slice(dim, *cut), (6, 7, 8))
        for dim, cut in ((1, (2, 5)), (-1, (None, -2, 3)), (2, (None, None, -2)))
    ],
    (layers.IndexSelect(1, (3, 0, -1, 3)), (4, 2, 3)),
    (layers.Expand((2, 5, -1)), (2, 1, 4)),
    (layers.Mean((1, -1)), (3, 4, 5)),
    (layers.Mean(1, keepdim=True), (3, 4, 5)),
    (layers.Sum((2, 3), keepdim=True), (3, 4, 5)),
    (layers.Sum(-1), (3, 4, 5)),
]


def name(value):
    return repr(value) if isinstance(value, layers.Layer) else "x".join(map(str, value))


@pytest.mark.parametrize("dtype", (np.float64, np.float32))
@pytest.mark.parametrize(("layer", "shape"), CASES, ids=name)
def test_is_torchs(layer, shape, dtype):
    net = Network([layer], shape)
    x = RNG.standard_normal((2, *shape)).astype(dtype)
    leaf = torch.from_numpy(x).requires_grad_()
    expected = to_torch(net)(leaf)
    y = net(x)
    assert y.shape == (2, *layer.output_shape(shape)) and y.dtype == dtype
    # torch forms float32's interpolation weights in float32: their errors grow with the place, at most 20 here
    eps = 60 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=eps * np.abs(y).max())
    dy = RNG.standard_normal(y.shape).astype(dtype)
    expected.backward(torch.from_numpy(dy))
    dx = net.input_gradient(x, dy)
    np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=0, atol=eps * max(np.abs(dx).max(), 1))


def test_nearest_is_torchs_to_the_place():
    """Where a place falls on the border of two inputs, float32's rounding decides, as it does there."""
    for size, out in ((2, 82), (2, 94), (7, 49), (41, 123), *sizes(30, 1, 90)):
        x = torch.arange(size, dtype=torch.float32).reshape(1, 1, 1, size)
        for mode in MODES[:2]:
            y = Network([layers.Upsample((1, out), mode=mode)])(x.numpy())
            np.testing.assert_array_equal(y, F.interpolate(x, size=(1, out), mode=mode).numpy())


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: layers.Upsample(), "expected either a size or a scale_factor"),
        (lambda: layers.Upsample(2, mode="trilinear"), "mode: expected one of nearest, .*, got 'trilinear'"),
        (lambda: layers.Upsample(2, coordinates="tf_crop_and_resize"), "coordinates: expected one of half_pixel"),
        (lambda: layers.Upsample(2, align_corners=True), "align_corners has no meaning"),
        (lambda: layers.Upsample(scale_factor=0.1).output_shape((1, 5, 5)), "5 x 5 become 0 x 0"),
        (lambda: layers.Upsample(scale_factor=-1), "expected a number > 0"),
        (
            lambda: layers.ReflectionPad2d(5).output_shape((1, 5, 9)),
            "a border of 5 around maps of 5; expected at most 4",
        ),
        (lambda: layers.ZeroPad2d((-3, -2, 0, 0)).output_shape((1, 5, 5)), "leaves nothing of maps of 5 x 5"),
        (lambda: layers.PixelShuffle(2).output_shape((6, 2, 2)), "expected a multiple of 4 channels, got 6"),
        (lambda: layers.PixelUnshuffle(2).output_shape((6, 2, 3)), "multiples of 2, got 2 x 3"),
        (lambda: layers.ChannelShuffle(4).output_shape((6, 2, 3)), "a multiple of 4 channels, got 6"),
        (lambda: layers.Slice(0, 1).output_shape((2, 3)), "expected an axis behind the batch's of 3"),
        (lambda: layers.Slice(1, 5).output_shape((2, 3)), "leaves nothing"),
        (lambda: layers.IndexSelect(1, (5,)).output_shape((2, 3)), "expected places of an axis of 2"),
        (lambda: layers.Expand((2, 3)).output_shape((2, 2)), "can't be repeated"),
        (lambda: layers.Mean((1, 2)).output_shape((2, 2)), "use keepdim=True"),
        (lambda: layers.Slice(1, 1).output_shape((1 << 40,)), "longer than 16,777,216"),
        (lambda: layers.Expand((1 << 40,)), "longer than 16,777,216"),
        (
            lambda: layers.Upsample(2, mode="bicubic", cubic_coeff_a=float("nan")),
            "cubic_coeff_a: expected a number",
        ),
        (lambda: layers.ConstantPad2d(1, None), "value: expected a number"),
        (lambda: layers.AdaptiveAvgPool2d(0), "expected one or two numbers >= 1"),
    ],
)
def test_what_fits_nothing_is_refused(layer, message):
    with pytest.raises(ShapeError, match=message):
        layer()


@pytest.mark.parametrize(
    "layer",
    [
        layers.Upsample((9, 4), mode="bilinear"),
        layers.Upsample(scale_factor=1.5),
        layers.ReflectionPad2d(2),
        layers.AdaptiveAvgPool2d((4, 2)),
        layers.Slice(2, 1, None, 2),
        layers.PixelShuffle(2),
        layers.PixelUnshuffle(2),
        layers.Permute((0, 2, 1)),
        layers.ConstantPad2d((2, -1, 0, 1), 1.0),
    ],
    ids=repr,
)
def test_receptive_field_is_where_the_gradient_is(layer):
    shape = (4, 6, 8)
    net = Network([("conv", layers.Conv2d(4, 4, 1)), ("moved", layer)], shape)
    x = RNG.standard_normal((1, *shape))
    _, rows, columns = layer.output_shape(shape)
    for row, column in {(0, 0), (rows // 2, columns // 2), (rows - 1, columns - 1)}:
        dy = np.zeros((1, *layer.output_shape(shape)))
        dy[..., row, column] = 1
        read = np.argwhere(net.input_gradient(x, dy)[0].any(axis=0))
        box = receptive_field(net, "moved", row, column)
        if not len(read):
            assert box == (0, 0, 0, 0)
            continue
        (top, left), (bottom, right) = read.min(axis=0), read.max(axis=0)
        assert box == (left, top, right + 1, bottom + 1)


def test_infinity_stays_in_its_place():
    """What has no weight is not read: 0 times infinity would be NaN."""
    x = np.array([[[[np.inf, 1.0, 2.0]]]])
    up, pool = layers.Upsample((1, 5), mode="bilinear", align_corners=True), layers.AdaptiveAvgPool2d((1, 2))
    assert up.forward(x, reference)[0].tolist() == [[[[np.inf, np.inf, 1.0, 1.5, 2.0]]]]
    assert pool.forward(x, reference)[0].tolist() == [[[[np.inf, 1.5]]]]


@pytest.mark.parametrize("device", ("reference", "cpu"))
def test_linear_maps_the_last_axis(device):
    shape = (3, 4, 5)
    net = Network([layers.Linear(5, 7)], shape, device=device)
    module, kernels, x = to_torch(net), on(device), RNG.standard_normal((2, *shape)).astype(np.float32)
    leaf = torch.from_numpy(x).requires_grad_()
    expected = module(leaf)
    dy = RNG.standard_normal((2, 3, 4, 7)).astype(np.float32)
    expected.backward(torch.from_numpy(dy))
    close = {"rtol": 0, "atol": 1e-5}  # sums of at most 24 products of order one, in float32
    y, saved = net.layers[0].forward(x, kernels, layers.Keep.INPUTS)
    np.testing.assert_allclose(y, expected.detach().numpy(), **close)
    np.testing.assert_allclose(net.input_gradient(x, dy), leaf.grad.numpy(), **close)
    _, gradients = net.layers[0].backward(dy, saved, kernels, weights=True)
    for name, parameter in module[0].named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), **close)


@pytest.mark.parametrize("extra", (0, 1))
def test_an_output_padding_may_take_back_what_the_padding_takes_away(extra):
    """As torch allows it where the dilation is larger than the stride."""
    net = Network([layers.ConvTranspose2d(2, 3, 3, 1, 1, output_padding=extra, dilation=2)], (2, 4, 5))
    x = RNG.standard_normal((1, 2, 4, 5)).astype(np.float32)
    leaf = torch.from_numpy(x).requires_grad_()
    expected = to_torch(net)(leaf)
    dy = RNG.standard_normal(expected.shape).astype(np.float32)
    expected.backward(torch.from_numpy(dy))
    # float32, sums of at most 27 products of order one
    np.testing.assert_allclose(net(x), expected.detach().numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(net.input_gradient(x, dy), leaf.grad.numpy(), rtol=0, atol=1e-5)
