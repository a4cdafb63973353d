"""Caffe's files: every age of them, against torch and against Caffe's own loops written out."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import minicnn
from minicnn.errors import WeightsError
from minicnn.formats.caffe import read, read_mean
from tests.helpers.caffe_files import blob, write

CLOSE = 1e-5  # of the largest value: single precision on both sides


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


def tensors(arrays):
    return {name: [torch.from_numpy(a) for a in parts] for name, parts in arrays.items()}


def same(net, x, reference, upto=None):
    reference = reference.numpy() if isinstance(reference, torch.Tensor) else reference
    y = net.forward(x, upto=upto)
    assert y.shape == reference.shape
    np.testing.assert_allclose(y, reference, rtol=0, atol=CLOSE * np.abs(reference).max())


# one net, in the words of three ages

ALEXNET = {
    2: """name: "small"  # a comment
    layer { name: "data" type: "Input" top: "data" input_param { shape: { dim: 10 dim: 3 dim: 19 dim: 17 } } }
    layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 } param { lr_mult: 2 }
      convolution_param { num_output: 6 kernel_size: 3 pad: 1 stride: 2 weight_filler { type: "xavier" } } }
    layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
    layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1"
      lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 k: 2 } }
    layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
      pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
    layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
      convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 } }
    layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
    layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
      pooling_param { pool: AVE kernel_size: 2 stride: 2 pad: 1 } }
    layer { name: "fc3" type: "InnerProduct" bottom: "pool2" top: "fc3" inner_product_param { num_output: 7 } }
    layer { name: "relu3" type: "ReLU" bottom: "fc3" top: "fc3" }
    layer { name: "drop3" type: "Dropout" bottom: "fc3" top: "fc3" dropout_param { dropout_ratio: 0.5 } }
    layer { name: "fc4" type: "InnerProduct" bottom: "fc3" top: "fc4" inner_product_param { num_output: 5 } }
    layer { name: "prob" type: "Softmax" bottom: "fc4" top: "prob" }""",
    1: """name: "small" input: "data" input_dim: 10 input_dim: 3 input_dim: 19 input_dim: 17
    layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 1 blobs_lr: 2 weight_decay: 0
      convolution_param { num_output: 6 kernel_size: 3 pad: 1 stride: 2 } }
    layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
    layers { name: "norm1" type: LRN bottom: "conv1" top: "norm1"
      lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 k: 2 } }
    layers { name: "pool1" type: POOLING bottom: "norm1" top: "pool1"
      pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
    layers { name: "conv2" type: CONVOLUTION bottom: "pool1" top: "conv2"
      convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 } }
    layers { name: "relu2" type: RELU bottom: "conv2" top: "conv2" }
    layers { name: "pool2" type: POOLING bottom: "conv2" top: "pool2"
      pooling_param { pool: AVE kernel_size: 2 stride: 2 pad: 1 } }
    layers { name: "fc3" type: INNER_PRODUCT bottom: "pool2" top: "fc3" inner_product_param { num_output: 7 } }
    layers { name: "relu3" type: RELU bottom: "fc3" top: "fc3" }
    layers { name: "drop3" type: DROPOUT bottom: "fc3" top: "fc3" dropout_param { dropout_ratio: 0.5 } }
    layers { name: "fc4" type: INNER_PRODUCT bottom: "fc3" top: "fc4" inner_product_param { num_output: 5 } }
    layers { name: "prob" type: SOFTMAX bottom: "fc4" top: "prob" }""",
    0: """name: "small" input: "data" input_dim: 10 input_dim: 3 input_dim: 19 input_dim: 17
    layers { layer { name: "pad1" type: "padding" pad: 1 } bottom: "data" top: "pad1" }
    layers { layer { name: "conv1" type: "conv" num_output: 6 kernelsize: 3 stride: 2 biasterm: true }
      bottom: "pad1" top: "conv1" }
    layers { layer { name: "relu1" type: "relu" } bottom: "conv1" top: "conv1" }
    layers { layer { name: "norm1" type: "lrn" local_size: 3 alpha: 0.5 beta: 0.75 k: 2 }
      bottom: "conv1" top: "norm1" }
    layers { layer { name: "pool1" type: "pool" pool: MAX kernelsize: 3 stride: 2 } bottom: "norm1" top: "pool1" }
    layers { layer { name: "conv2" type: "conv" num_output: 4 kernelsize: 3 pad: 1 group: 2 }
      bottom: "pool1" top: "conv2" }
    layers { layer { name: "relu2" type: "relu" } bottom: "conv2" top: "conv2" }
    layers { layer { name: "pool2" type: "pool" pool: AVE kernelsize: 2 stride: 2 pad: 1 }
      bottom: "conv2" top: "pool2" }
    layers { layer { name: "fc3" type: "innerproduct" num_output: 7 } bottom: "pool2" top: "fc3" }
    layers { layer { name: "relu3" type: "relu" } bottom: "fc3" top: "fc3" }
    layers { layer { name: "drop3" type: "dropout" dropout_ratio: 0.5 } bottom: "fc3" top: "fc3" }
    layers { layer { name: "fc4" type: "innerproduct" num_output: 5 } bottom: "fc3" top: "fc4" }
    layers { layer { name: "prob" type: "softmax" } bottom: "fc4" top: "prob" }""",
}
ALEXNET_WEIGHTS = {
    "conv1": [normal(6, 3, 3, 3), normal(6)],
    "conv2": [normal(4, 3, 3, 3), normal(4)],
    "fc3": [normal(7, 36), normal(7)],
    "fc4": [normal(5, 7), normal(5)],
}


def alexnet_in_torch(x):
    w = tensors(ALEXNET_WEIGHTS)
    x = F.relu(F.conv2d(x, *w["conv1"], stride=2, padding=1))
    x = F.local_response_norm(x, 3, alpha=0.5, beta=0.75, k=2.0)
    x = F.relu(F.conv2d(F.max_pool2d(x, 3, 2, ceil_mode=True), *w["conv2"], padding=1, groups=2))
    x = F.avg_pool2d(x, 2, 2, 1, ceil_mode=True).flatten(1)
    return F.linear(F.relu(F.linear(x, *w["fc3"])), *w["fc4"])


@pytest.mark.parametrize("version", ALEXNET)
@pytest.mark.parametrize("weights_version", ALEXNET)
def test_three_ages(version, weights_version, tmp_path):
    net = read(*write(tmp_path, ALEXNET[version], ALEXNET_WEIGHTS, weights_version))
    x = normal(2, 3, 19, 17)
    same(net, x, alexnet_in_torch(torch.from_numpy(x)))
    same(net, x, torch.softmax(alexnet_in_torch(torch.from_numpy(x)), 1), upto="prob")
    names = ["conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "pool2"]
    names += ["fc3_1", "fc3", "relu3", "drop3", "fc4", "prob"]
    assert net.names == (["pad1"] if version == 0 else []) + names
    assert net.input_shape == (3, 19, 17) and net.name == "small"
    assert net.preprocess is None and net.labels is None


def test_loads_by_its_suffix(tmp_path):
    paths = write(tmp_path, ALEXNET[2], ALEXNET_WEIGHTS)
    net = minicnn.load(paths[0], weights=paths[1])
    assert net.names[0] == "conv1"
    with pytest.raises(WeightsError, match="weights="):
        minicnn.load(paths[0])


# blocks, normalisation and the rest


def header(*shape):
    dims = " ".join(f"dim: {n}" for n in (1, *shape))
    return f'input: "data" input_shape {{ {dims} }}\n'


def layer(name, kind, bottoms, top=None, params=""):
    wires = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {wires} top: "{top or name}" {params} }}\n'


def test_residual_and_concatenating_blocks(tmp_path):
    text = header(3, 6, 5)
    text += layer(
        "conv", "Convolution", "data", params="convolution_param { num_output: 3 kernel_size: 1 bias_term: false }"
    )
    text += layer("bn", "BatchNorm", "conv", "conv", "batch_norm_param { use_global_stats: true eps: 0.001 }")
    text += layer("scale", "Scale", "conv", "conv", "scale_param { bias_term: true }")
    text += layer("relu", "ReLU", "conv", "conv")
    text += layer("sum", "Eltwise", "data conv")
    text += layer("bn2", "BatchNorm", "sum")
    text += layer(
        "one", "Convolution", "bn2", params="convolution_param { num_output: 2 kernel_h: 1 kernel_w: 3 pad_w: 1 }"
    )
    text += layer("scale2", "Scale", "bn2", params="scale_param { }")
    text += layer("mixed", "Concat", "bn2 one scale2", params="concat_param { axis: 1 }")
    text += layer("pool", "Pooling", "mixed", params="pooling_param { pool: AVE global_pooling: true }")
    mean, variance, factor = normal(3), np.abs(normal(3, seed=1)) + 1, np.float32([4.0])
    weights = {
        "conv": [normal(3, 3, 1, 1)],
        "bn": [mean, variance, factor],
        "scale": [normal(3, seed=2), normal(3, seed=3)],
        "bn2": [mean, variance, np.float32([0.0])],
        "one": [normal(2, 3, 1, 3), normal(2)],
        "scale2": [normal(3, seed=4)],
    }
    net = read(*write(tmp_path, text, weights))
    x, w = torch.from_numpy(normal(2, 3, 6, 5)), tensors(weights)
    y = F.batch_norm(F.conv2d(x, *w["conv"]), w["bn"][0] / 4, w["bn"][1] / 4, *w["scale"], eps=0.001)
    y = x + F.relu(y)
    y = y / math.sqrt(1e-5)
    mixed = torch.cat([y, F.conv2d(y, *w["one"], padding=(0, 1)), y * w["scale2"][0][:, None, None]], 1)
    same(net, x.numpy(), mixed, upto="mixed")
    same(net, x.numpy(), mixed.mean((2, 3)))
    names = ["conv", "scale", "relu", "sum", "bn2", "one", "scale2", "mixed", "pool", "flatten"]
    assert net["scale"].weight.shape == (3,) and net.names == names


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("operation: PROD", lambda a, b: a * b),
        ("operation: MAX", torch.maximum),
        ("operation: SUM", torch.add),
        ("coeff: 1 coeff: -1", torch.sub),
        ("coeff: 0.5 coeff: 0.5", lambda a, b: (a + b) / 2),
        ("coeff: 1 coeff: 0.25", lambda a, b: a + b / 4),
        ("coeff: -0.5 coeff: 2", lambda a, b: 2 * b - a / 2),
    ],
)
def test_values_combined(tmp_path, params, expected):
    text = header(2, 5, 6) + layer("scale", "Scale", "data") + layer("tanh", "TanH", "scale")
    text += layer("e", "Eltwise", "scale tanh", params=f"eltwise_param {{ {params} }}")
    text += layer("rows", "Concat", "e tanh", params="concat_param { axis: -2 }")
    net = read(*write(tmp_path, text, {"scale": [np.ones(2, np.float32)]}))
    x = normal(2, 2, 5, 6)
    y = torch.from_numpy(x)
    same(net, x, torch.cat([expected(y, torch.tanh(y)), torch.tanh(y)], 2))


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        ("AbsVal", "", torch.abs),
        ("BNLL", "", F.softplus),
        ("Clip", "clip_param { min: -0.5 max: 1 }", lambda x: x.clamp(-0.5, 1)),
        ("ELU", "elu_param { alpha: 0.5 }", lambda x: F.elu(x, 0.5)),
        ("Exp", "", torch.exp),
        ("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }", lambda x: 2 ** (0.5 * x + 1)),
        ("Log", "log_param { base: 10 scale: 0.1 shift: 9 }", lambda x: torch.log10(0.1 * x + 9)),
        ("Power", "power_param { power: 2 scale: 3 shift: 1 }", lambda x: (3 * x + 1) ** 2),
        ("ReLU6", "", F.relu6),
        ("Sigmoid", "", torch.sigmoid),
        ("Swish", "", F.silu),
        ("Swish", "swish_param { beta: 2 }", lambda x: x * torch.sigmoid(2 * x)),
    ],
)
def test_functions_of_each_value(tmp_path, kind, params, expected):
    text = header(2, 5, 6) + layer("scale", "Scale", "data") + layer("f", kind, "scale", params=params)
    net = read(*write(tmp_path, text, {"scale": [np.ones(2, np.float32)]}))
    x = normal(2, 2, 5, 6)
    same(net, x, expected(torch.from_numpy(x)), upto=net.names[-1])


def test_response_normalisation_within_channels(tmp_path):
    """As in Caffe's own CIFAR-10 net: the mean of the squares counts the padding, and k is 1."""
    params = "lrn_param { local_size: 3 alpha: 0.5 beta: 0.7 k: 4 norm_region: WITHIN_CHANNEL }"
    text = header(2, 5, 6) + layer("scale", "Scale", "data") + layer("norm", "LRN", "scale", params=params)
    net = read(*write(tmp_path, text, {"scale": [np.ones(2, np.float32)]}))
    x = torch.from_numpy(normal(2, 2, 5, 6))
    same(net, x.numpy(), x / (1 + 0.5 * F.avg_pool2d(x * x, 3, 1, 1)) ** 0.7)


def test_the_other_layers(tmp_path):
    text = header(4, 5, 6)
    text += layer(
        "up",
        "Deconvolution",
        "data",
        params="convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 group: 2 }",
    )
    text += layer(
        "dilated", "Convolution", "up", params="convolution_param { num_output: 2 kernel_size: 3 dilation: 2 }"
    )
    text += layer("prelu", "PReLU", "dilated", "dilated")
    text += layer("leaky", "ReLU", "dilated", "dilated", "relu_param { negative_slope: 0.1 }")
    text += layer("shared", "PReLU", "dilated", params="prelu_param { channel_shared: true }")
    text += layer("tanh", "TanH", "shared") + layer("bias", "Bias", "tanh")
    text += layer("power", "Power", "bias", params="power_param { scale: 2 shift: 0.5 }")
    text += layer("reshape", "Reshape", "power", params="reshape_param { shape { dim: 0 dim: 5 dim: -1 } }")
    text += layer("flat", "Flatten", "reshape")
    text += layer(
        "fc",
        "InnerProduct",
        "flat",
        params="inner_product_param { num_output: 3 transpose: true bias_term: false }",
    )
    text += layer("bn", "BatchNorm", "fc")
    weights = {
        "up": [normal(4, 3, 3, 3), normal(6)],
        "dilated": [normal(2, 6, 3, 3), normal(2)],
        "prelu": [normal(2)],
        "shared": [np.float32([0.3])],
        "bias": [normal(2)],
        "fc": [normal(70, 3)],
        "bn": [normal(3), np.abs(normal(3)) + 1, np.float32([1])],
    }
    net = read(*write(tmp_path, text, weights))
    x, w = torch.from_numpy(normal(2, 4, 5, 6)), tensors(weights)
    y = F.conv2d(F.conv_transpose2d(x, *w["up"], stride=2, padding=1, groups=2), *w["dilated"], dilation=2)
    y = F.prelu(F.leaky_relu(F.prelu(y, w["prelu"][0]), 0.1), w["shared"][0])
    y = (torch.tanh(y) + w["bias"][0][:, None, None]) * 2 + 0.5
    y = F.batch_norm(y.flatten(1) @ w["fc"][0], *w["bn"][:2])
    same(net, x.numpy(), y)


# conventions, against Caffe's loops


def caffe_pool(x, method, kernel, stride, pad, ceil_mode):
    """What pooling_layer.cpp does, number by number."""
    height, width = x.shape
    rounded = math.ceil if ceil_mode else math.floor
    sizes = [rounded((n + 2 * pad - kernel) / stride) + 1 for n in (height, width)]
    if pad:
        sizes = [c - 1 if (c - 1) * stride >= n + pad else c for c, n in zip(sizes, (height, width), strict=True)]
    y = np.empty(sizes)
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            top, left = i * stride - pad, j * stride - pad
            if method == "MAX":
                bottom, right = min(top + kernel, height), min(left + kernel, width)
                y[i, j] = x[max(top, 0) : bottom, max(left, 0) : right].max()
            else:
                bottom, right = min(top + kernel, height + pad), min(left + kernel, width + pad)
                area = (bottom - top) * (right - left)
                y[i, j] = x[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)].sum() / area
    return y


@pytest.mark.parametrize("method", ("MAX", "AVE"))
@pytest.mark.parametrize("mode", ("CEIL", "FLOOR", None))
def test_pools(method, mode, tmp_path):
    x = normal(1, 1, 7, 6)
    for kernel, stride, pad in ((k, s, p) for k in (1, 2, 3) for s in (1, 2, 3) for p in range(k)):
        params = f"pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad}"
        params += f" round_mode: {mode}" if mode else ""
        paths = write(
            tmp_path,
            header(1, 7, 6) + layer("p", "Pooling", "data", params=f"pooling_param {{ {params} }}"),
            {"-": [x]},
        )
        if kernel < stride and not pad and mode != "FLOOR" and any((n - kernel) % stride for n in (7, 6)):
            with pytest.raises(WeightsError, match="lies outside of an input"):
                read(*paths)
            continue
        reference = caffe_pool(x[0, 0].astype(np.float64), method, kernel, stride, pad, mode != "FLOOR")
        y = read(*paths).forward(x, upto="p")
        np.testing.assert_allclose(y[0, 0], reference, atol=1e-6)


def test_response_normalisation_divides_alpha_by_its_size(tmp_path):
    text = header(7, 2, 3) + layer("n", "LRN", "data", params="lrn_param { local_size: 5 alpha: 0.9 beta: 0.6 }")
    x = normal(2, 7, 2, 3)
    squares = np.pad(x.astype(np.float64) ** 2, ((0, 0), (2, 2), (0, 0), (0, 0)))
    windows = sum(squares[:, i : i + 7] for i in range(5))
    same(read(*write(tmp_path, text, {"-": [x]})), x, x / (1 + 0.9 / 5 * windows) ** 0.6)


# training descriptions, means


TRAIN_VAL = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 8 mirror: true } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 6 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.5 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 6 } }
layer { name: "aux" type: "InnerProduct" bottom: "conv" top: "aux" inner_product_param { num_output: 2 } }
layer { name: "auxloss" type: "SoftmaxWithLoss" bottom: "aux" bottom: "label" top: "auxloss" loss_weight: 0.3 }
layer { name: "only" type: "Dropout" bottom: "conv" top: "conv" exclude { phase: TEST } }
layer { name: "staged" type: "Dropout" bottom: "conv" top: "conv" include { stage: "fine" } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "top" type: "Accuracy" bottom: "fc" bottom: "label" top: "top" include { phase: TEST } }
"""
TRAIN_WEIGHTS = {
    "conv": [normal(4, 3, 6, 6), normal(4)],
    "aux": [normal(2, 4), normal(2)],
    "fc": [normal(2, 4, seed=1), normal(2)],
}


def test_training_description(tmp_path):
    net = read(*write(tmp_path, TRAIN_VAL, TRAIN_WEIGHTS))
    assert net.names == ["conv", "fc_1", "fc"] and net.input_shape == (3, 6, 6)
    picture = np.full((6, 6, 3), (10, 20, 30), np.uint8)
    assert net.preprocess.channels == "BGR"
    expected = (np.float32([30, 20, 10]) - np.float32([104, 117, 123])) * 0.5
    np.testing.assert_allclose(net.preprocess(picture)[0, :, 0, 0], expected)


def test_mean_images(tmp_path):
    mean = np.arange(3 * 8 * 8, dtype=np.float32).reshape(1, 3, 8, 8)
    (tmp_path / "mean.binaryproto").write_bytes(blob(mean, old=True).SerializeToString())
    actual = read_mean(tmp_path / "mean.binaryproto")
    np.testing.assert_array_equal(actual, mean[0])
    params = "convolution_param { num_output: 2 kernel_size: 3 }"
    text = header(3, 6, 4) + layer("conv", "Convolution", "data", params=params)
    paths = write(tmp_path, text, {"conv": [normal(2, 3, 3, 3), normal(2)]})
    net = read(*paths, mean=actual)
    np.testing.assert_array_equal(net.preprocess.mean, mean[0, :, 1:7, 2:6])
    assert read(*paths, mean=(1, 2, 3)).preprocess.mean == (1.0, 2.0, 3.0)
    for wrong in ((1, 2), actual[:, :3], actual[:2]):
        with pytest.raises(WeightsError, match="mean: "):
            read(*paths, mean=wrong)
    (tmp_path / "two.binaryproto").write_bytes(blob(np.concatenate([mean, mean]), old=True).SerializeToString())
    with pytest.raises(WeightsError, match="expected one mean image"):
        read_mean(tmp_path / "two.binaryproto")


def test_a_model_written_by_hand(tmp_path):
    """One full layer, 1 x 2, byte by byte: 3 x0 - x1 + 0.5."""
    floats = {3.0: b"\x00\x00\x40\x40", -1.0: b"\x00\x00\x80\xbf", 0.5: b"\x00\x00\x00\x3f"}
    shape = b"\x3a\x04\x0a\x02\x01\x02"  # field 7, 4 bytes: field 1, packed, 1 and 2
    weight = shape + b"\x2a\x08" + floats[3.0] + floats[-1.0]  # field 5: two floats
    bias = b"\x3a\x03\x0a\x01\x01" + b"\x2a\x04" + floats[0.5]
    blobs = b"\x3a" + bytes([len(weight)]) + weight + b"\x3a" + bytes([len(bias)]) + bias
    body = b"\x0a\x02fc" + b"\x12\x0cInnerProduct" + blobs
    (tmp_path / "net.caffemodel").write_bytes(b"\xa2\x06" + bytes([len(body)]) + body)  # field 100
    text = 'input: "x" input_dim: 1 input_dim: 2 input_dim: 1 input_dim: 1\n'
    text += layer("fc", "InnerProduct", "x", params="inner_product_param { num_output: 1 }")
    (tmp_path / "net.prototxt").write_text(text)
    net = read(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    np.testing.assert_array_equal(net(np.float32([[2, 5], [1, 1]]).reshape(2, 2, 1, 1)), [[1.5], [2.5]])


def test_a_scale_without_a_mean_takes_none_away(tmp_path):
    other = TRAIN_VAL.replace("mean_value: 104 mean_value: 117 mean_value: 123", "{}")
    path = write(tmp_path, other.replace("{}", ""), TRAIN_WEIGHTS)
    preprocess = minicnn.load(path[0], weights=path[1]).preprocess
    assert (preprocess.scale, preprocess.mean) == (0.5, (0, 0, 0))
    path = write(tmp_path, other.replace("{}", 'mean_file: "mean.binaryproto"'), TRAIN_WEIGHTS)
    assert minicnn.load(path[0], weights=path[1]).preprocess is None
