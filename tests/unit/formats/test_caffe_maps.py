"""Caffe's layers that resize, cut, reorder and reduce maps, against torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import minicnn
from minicnn.errors import WeightsError
from tests.helpers.caffe_files import write

SHAPE = (4, 6, 9)
INPUT = 'input: "data" input_shape { dim: 1 dim: 4 dim: 6 dim: 9 } '


def layer(kind, bottoms, tops, params=""):
    ends = "".join(f'bottom: "{b}" ' for b in bottoms.split()) + "".join(f'top: "{t}" ' for t in tops.split())
    return f'layer {{ name: "{tops.split()[0]}" type: "{kind}" {ends} {params} }} '


def read(folder, text, arrays=None):
    # a file of weights holds some, if only of a layer that is not deployed
    description, weights = write(folder, INPUT + text, arrays or {"loss": [np.ones(1)]})
    return minicnn.load(description, weights=weights)


def interpolated(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


CASES = {
    "zoom": (layer("Interp", "data", "y", "interp_param { zoom_factor: 2 }"), lambda x: interpolated(x, (11, 17))),
    "shrink": (
        layer("Interp", "data", "y", "interp_param { shrink_factor: 2 }"),
        lambda x: interpolated(x, (3, 5)),
    ),
    "size, cut before": (
        layer("Interp", "data", "y", "interp_param { height: 7 width: 5 pad_beg: -1 pad_end: -2 }"),
        lambda x: interpolated(x[:, :, 1:-2, 1:-2], (7, 5)),
    ),
    "upsample": (
        layer("Upsample", "data", "y", "upsample_param { scale: 3 }"),
        lambda x: F.interpolate(x, scale_factor=3),
    ),
    "permute": (
        layer("Permute", "data", "y", "permute_param { order: 0 order: 2 }"),
        lambda x: x.permute(0, 2, 1, 3),
    ),
    "flatten": (layer("Flatten", "data", "y", "flatten_param { axis: 2 }"), lambda x: x.flatten(2)),
    "flatten channels": (
        layer("Flatten", "data", "y", "flatten_param { end_axis: -2 }"),
        lambda x: x.flatten(1, 2),
    ),
    "mean": (
        layer("Reduction", "data", "y", "reduction_param { operation: MEAN axis: 2 }"),
        lambda x: x.mean((2, 3)),
    ),
    "absolute sum": (
        layer("Reduction", "data", "y", "reduction_param { operation: ASUM axis: -1 }"),
        lambda x: x.abs().sum(3),
    ),
    "shuffle": (
        layer("ShuffleChannel", "data", "y", "shuffle_channel_param { group: 2 }"),
        lambda x: F.channel_shuffle(x, 2),
    ),
    "tile": (layer("Tile", "data", "y", "tile_param { tiles: 2 }"), lambda x: x.repeat(1, 2, 1, 1)),
    "slice": (
        layer("Slice", "data", "a b c", "slice_param { slice_point: 1 slice_point: 3 }")
        + layer("ReLU", "b", "r")
        + layer("Concat", "c r a", "y"),
        lambda x: torch.cat([x[:, 3:], x[:, 1:3].relu(), x[:, :1]], 1),
    ),
    "crop": (
        layer("Upsample", "data", "big") + layer("Crop", "big data", "y", "crop_param { offset: 2 offset: 5 }"),
        lambda x: F.interpolate(x, scale_factor=2)[:, :, 2:8, 5:14],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_maps(name, tmp_path):
    text, oracle = CASES[name]
    net = read(tmp_path, text)
    x = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32)
    expected = oracle(torch.from_numpy(x)).numpy()
    y = net(x)
    assert y.size == expected.size
    # float32, sums of at most 54 numbers of order one
    np.testing.assert_allclose(y.reshape(expected.shape), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ("DepthwiseConvolution", "ConvolutionDepthwise"))
def test_depthwise_convolutions_of_forks(kind, tmp_path):
    weight = np.random.default_rng(0).standard_normal((4, 1, 3, 3)).astype(np.float32)
    text = layer(kind, "data", "y", "convolution_param { num_output: 4 kernel_size: 3 bias_term: false }")
    net = read(tmp_path, text, {"y": [weight]})
    x = np.random.default_rng(1).standard_normal((1, *SHAPE)).astype(np.float32)
    expected = F.conv2d(torch.from_numpy(x), torch.from_numpy(weight), groups=4).numpy()
    np.testing.assert_allclose(net(x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (layer("Interp", "data", "y", "interp_param { zoom_factor: 2 height: 4 width: 4 }"), "zoom_factor 2"),
        (layer("Interp", "data", "y", "interp_param { pad_beg: 3 }"), "expected at most 0"),
        (layer("Permute", "data", "y", "permute_param { order: 1 order: 0 }"), "the batch first"),
        (layer("Reduction", "data", "y"), "axis 0; expected one after the batch"),
        (layer("Reduction", "data", "y", "reduction_param { axis: 2 coeff: 2 }"), "coeff other than 1"),
        (
            layer("Slice", "data", "a b", "slice_param { slice_point: 4 }") + layer("Concat", "a b", "y"),
            "into 2 parts",
        ),
        (layer("Tile", "data", "y", "tile_param { tiles: 99999 }"), "99999 tiles"),
    ],
)
def test_refused(text, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        read(tmp_path, text)


def test_one_of_several_outputs(tmp_path):
    text = layer("AbsVal", "data", "a") + layer("Power", "data", "b", "power_param { scale: -2 }")
    with pytest.raises(WeightsError, match=r"2 outputs \(a, b\); choose one"):
        read(tmp_path, text)
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 5))
    nets = {
        name: minicnn.load(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", output=name) for name in "ab"
    }
    np.testing.assert_array_equal(nets["a"](x), abs(x))
    np.testing.assert_array_equal(nets["b"](x), -2 * x)
