"""Keras's layers that resize, cut, reorder and pool maps, against torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import minicnn
from minicnn.errors import WeightsError
from tests.helpers.keras_files import floats, h5, keras, layer, sequential

RNG = np.random.default_rng(0)
KERNEL, BIAS = floats(RNG, 3, 5), floats(RNG, 5)
SHAPE = (9, 8, 3)  # H x W x C

CASES = {
    "nearest": (layer("UpSampling2D", "x", size=[2, 3]), lambda x: F.interpolate(x, scale_factor=(2.0, 3.0))),
    "bilinear": (
        layer("UpSampling2D", "x", size=[2, 2], interpolation="bilinear"),
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    ),
    "cropping": (layer("Cropping2D", "x", cropping=[[1, 2], [0, 3]]), lambda x: x[:, :, 1:-2, :-3]),
    "middle": (layer("CenterCrop", "x", height=6, width=5), lambda x: x[:, :, 1:7, 1:6]),
    "root mean square": (
        layer("RMSNormalization", "x", BIAS[:3], axis=-1, epsilon=0.1),
        lambda x: F.rms_norm(x.movedim(1, -1), (3,), torch.from_numpy(BIAS[:3]), 0.1).movedim(-1, 1),
    ),
    "resizing": (
        layer("Resizing", "x", height=7, width=15, interpolation="bilinear"),
        lambda x: F.interpolate(x, size=(7, 15), mode="bilinear"),
    ),
    # of H x W x C: the channels become the rows, and so on
    "permute": (layer("Permute", "x", dims=[3, 1, 2]), lambda x: x.permute(0, 3, 1, 2)),
    "full layer": (
        layer("Dense", "x", KERNEL, BIAS),
        lambda x: F.linear(x.movedim(1, -1), torch.from_numpy(KERNEL.T), torch.from_numpy(BIAS)).movedim(-1, 1),
    ),
    "largest": (layer("GlobalMaxPooling2D", "x", keepdims=True), lambda x: x.amax((2, 3), keepdim=True)),
    "adaptive": (
        layer("AdaptiveAveragePooling2D", "x", output_size=[4, 3]),
        lambda x: F.adaptive_avg_pool2d(x, (4, 3)),
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("open_size", (False, True))
def test_maps(name, open_size, tmp_path):
    item, oracle = CASES[name]
    shape = (None, None, 3) if open_size and name not in ("permute", "middle") else SHAPE
    net = minicnn.load(keras(tmp_path / "net.keras", sequential(item, shape=shape)))
    x = floats(RNG, 2, 3, *SHAPE[:2])
    expected = oracle(torch.from_numpy(x)).numpy()
    # float32, sums of a few products of order one
    np.testing.assert_allclose(
        net.forward(x, upto=net.names[-1]).reshape(expected.shape), expected, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("padding", ("same", "valid"))
@pytest.mark.parametrize(("kernel", "stride", "dilation"), ((3, 2, 1), (4, 2, 1), (2, 3, 1), (3, 1, 2)))
@pytest.mark.parametrize("extra", (None, 0, 1))
def test_transposed_convolution(padding, kernel, stride, dilation, extra, tmp_path):
    """Output sizes are those of Keras's manual; the smaller half of what is too much is cut off first."""
    n, weight = 5, floats(RNG, kernel, kernel, 2, 3)
    span = dilation * (kernel - 1) + 1
    settings = {"strides": [stride] * 2, "dilation_rate": [dilation] * 2, "padding": padding, "use_bias": False}
    settings |= {} if extra is None else {"output_padding": [extra] * 2}
    if extra is None:
        size = n * stride if padding == "same" else (n - 1) * stride + max(span, stride)
    else:
        size = (n - 1) * stride + (span % 2 if padding == "same" else span) + extra
    if size - (n - 1) * stride - span >= stride:
        pytest.skip("torch has no output padding of a whole stride")
    item = layer("Conv2DTranspose", "x", weight, **settings)
    net = minicnn.load(keras(tmp_path / "net.keras", sequential(item, shape=(n, n, 3))))
    x = floats(RNG, 1, 3, n, n)
    full = F.conv_transpose2d(
        torch.from_numpy(x),
        torch.from_numpy(weight.transpose(3, 2, 0, 1).copy()),
        stride=stride,
        dilation=dilation,
    )
    before = max((full.shape[2] - size) // 2, 0)
    longer = F.pad(full, (0, stride, 0, stride))
    expected = longer[:, :, before : before + size, before : before + size].numpy()
    y = net(x)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (layer("UpSampling2D", "x", interpolation="bicubic"), "interpolation bicubic, which backends"),
        (layer("Resizing", "x", height=4, width=4, crop_to_aspect_ratio=True), "crop_to_aspect_ratio"),
        (layer("Permute", "x", dims=[1, 2]), "dims: expected each of 1 to 3 once"),
        (layer("Cropping2D", "x", cropping=9), "leaves nothing"),
    ],
)
def test_refused(item, message, tmp_path):
    with pytest.raises(WeightsError, match=f"layer 'x'.*{message}"):
        minicnn.load(keras(tmp_path / "net.keras", sequential(item, shape=SHAPE)))


@pytest.mark.parametrize(("version", "read"), (("2.2.4", False), ("2.2.4-tf", True), ("2.10.0", True)))
def test_bilinear_of_tensorflow_1(version, read, tmp_path):
    item = layer("UpSampling2D", "x", interpolation="bilinear")
    path = h5(tmp_path / "net.h5", sequential(item, shape=SHAPE), keras_version=version)
    if read:
        assert minicnn.load(path).layers[0].mode == "bilinear"
        return
    with pytest.raises(WeightsError, match="placed pixels by their corners"):
        minicnn.load(path)


def test_a_middle_larger_than_the_picture_is_refused(tmp_path):
    path = keras(tmp_path / "net.keras", sequential(layer("CenterCrop", "x", height=10, width=8), shape=SHAPE))
    with pytest.raises(WeightsError, match=r"layer 'x' \(CenterCrop\): cuts \(10, 8\) out of \(9, 8\)"):
        minicnn.load(path)


def test_rows_are_flattened_in_their_order(tmp_path):
    rows = [layer("Reshape", "r", target_shape=[24, 9]), layer("Flatten", "f")]
    net = minicnn.load(keras(tmp_path / "net.keras", sequential(*rows, shape=SHAPE)))
    x = floats(RNG, 2, 3, *SHAPE[:2])
    np.testing.assert_array_equal(net(x), x.transpose(0, 2, 3, 1).reshape(2, -1))


def test_a_softmax_before_a_reshape_is_the_end(tmp_path):
    """The end of MobileNet, as Keras 2 wrote it."""
    rows = [
        layer("GlobalAveragePooling2D", "p", keepdims=True),
        layer("Activation", "prob", activation="softmax"),
        layer("Reshape", "r", target_shape=[3]),
    ]
    net = minicnn.load(keras(tmp_path / "net.keras", sequential(*rows, shape=SHAPE)))
    x = floats(RNG, 2, 3, *SHAPE[:2])
    np.testing.assert_allclose(net(x), x.mean((2, 3)), rtol=1e-5, atol=1e-6)
    assert net.names[-1] == "prob"


def test_a_vector_repeated_as_rows(tmp_path):
    flat, again = layer("GlobalMaxPooling2D", "f"), layer("RepeatVector", "r", n=4)
    net = minicnn.load(h5(tmp_path / "net.h5", sequential(flat, again, shape=(5, 6, 3))))
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 6)).astype(np.float32)
    expected = np.repeat(x.max(axis=(2, 3))[:, None], 4, axis=1)
    np.testing.assert_array_equal(net.forward(x, upto="r"), expected)
    for count in (0, 1 << 13, "4"):
        path = h5(tmp_path / "bad.h5", sequential(flat, layer("RepeatVector", "r", n=count), shape=(5, 6, 3)))
        with pytest.raises(WeightsError, match=r"layer 'r' \(RepeatVector\): repeats"):
            minicnn.load(path)
