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
        (layer("Python", "data", "y", 'python_param { module: "a" }'), "needs its program"),
        (layer("ReLU", "data", "f") + layer("Scale", "data f", "y"), "expected axis: 0"),
        (layer("MVN", "data", "y", "mvn_param { eps: 0.1 }"), "added to the deviation"),
    ],
)
def test_refused(text, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        read(tmp_path, text)


def of_channels(seed, positive=False):
    values = np.random.default_rng(seed).standard_normal(4).astype(np.float32)
    return abs(values) if positive else values


def norm(x, dims, eps):
    return ((x * x).sum(dims, keepdim=True) + eps).sqrt()


S, T, M, V = (torch.from_numpy(of_channels(seed, seed == 3))[:, None, None] for seed in range(4))
EXCITED = (
    'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: AVE global_pooling: true } } '
)
NORMS = {
    "a factor for each channel": (
        EXCITED + layer("Flatten", "p", "f") + layer("Scale", "data f", "y", "scale_param { axis: 0 }"),
        [],
        lambda x: x * x.mean((2, 3), keepdim=True),
    ),
    "a factor for each value": (
        layer("TanH", "data", "f") + layer("Scale", "data f", "y", "scale_param { axis: 0 }"),
        [],
        lambda x: x * x.tanh(),
    ),
    "BN of PSPNet": (
        layer("BN", "data", "y", "bn_param { eps: 1e-3 momentum: 0.95 frozen: true slope_filler { value: 1 } }"),
        [S, T, M, V],
        lambda x: (x - M) / (V + 1e-3).sqrt() * S + T,
    ),
    "BN of SegNet": (
        layer("BN", "data", "y", "bn_param { bn_mode: INFERENCE }"),
        [S, T],
        lambda x: x * S + T,
    ),
    "Normalize": (
        layer("Normalize", "data", "y", "norm_param { across_spatial: false channel_shared: false eps: 0.5 }"),
        [S[:, 0, 0]],
        lambda x: x / norm(x, 1, 0.5) * S,
    ),
    "Normalize, all": (
        layer("Normalize", "data", "y", "norm_param { scale_filler { value: 20 } }"),
        [S[0, 0, 0]],
        lambda x: x / norm(x, (1, 2, 3), 1e-10) * S[0, 0, 0],
    ),
    "MVN": (layer("MVN", "data", "y"), [], lambda x: F.instance_norm(x, eps=0)),
    "MVN across channels": (
        layer("MVN", "data", "y", "mvn_param { across_channels: true }"),
        [],
        lambda x: F.group_norm(x, 1, eps=0),
    ),
    "MVN, mean alone": (
        layer("MVN", "data", "y", "mvn_param { normalize_variance: false }"),
        [],
        lambda x: x - x.mean((2, 3), keepdim=True),
    ),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms_and_second_inputs(name, tmp_path):
    text, arrays, oracle = NORMS[name]
    net = read(
        tmp_path, text, {"y": [a.numpy()[None] if a.ndim == 3 else a.numpy() for a in arrays]} if arrays else None
    )
    x = np.random.default_rng(0).standard_normal((2, *SHAPE))
    expected = oracle(torch.from_numpy(x)).numpy()
    # Caffe adds its eps of 1e-9 to the deviation, and that of 0.5 is a float32
    np.testing.assert_allclose(net(x), expected, rtol=0, atol=1e-7)


def test_one_of_several_outputs(tmp_path):
    text = layer("AbsVal", "data", "a") + layer("Power", "data", "b", "power_param { scale: -2 }")
    with pytest.raises(WeightsError, match=r"2 outputs \(a, b\); choose one"):
        read(tmp_path, text)
    x = np.random.default_rng(0).standard_normal((2, *SHAPE))
    nets = {
        name: minicnn.load(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", output=name) for name in "ab"
    }
    np.testing.assert_array_equal(nets["a"](x), abs(x))
    np.testing.assert_array_equal(nets["b"](x), -2 * x)
