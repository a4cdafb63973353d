"""Our ONNX writer against the onnx package's checker and onnxruntime, and back through our reader."""

import itertools
import json

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import Network, Preprocess, layers, zoo
from minicnn.errors import WeightsError
from minicnn.formats.onnx import read, write, writer
from minicnn.formats.onnx.export import NODES
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2d,
    Permute,
    PReLU,
    ReLU,
    ReLU6,
    Reshape,
    Residual,
    Sequential,
    Softmax,
    Tanh,
    ZeroPad2d,
)
from tests.conformance.onnx_graphs import expected, run_net
from tests.helpers.verify_cases import JOINS

CLOSE = 1e-5  # of the largest value: single precision on both sides
SHAPE = (4, 7, 6)


def positive(*shape):
    return np.random.default_rng(len(shape)).uniform(0.5, 1.5, shape).astype(np.float32)


STATISTICS = {name: positive(4) * i for i, name in enumerate(("running_mean", "running_var"), 1)}
LAYERS = {
    "nothing": [],
    "conv": [Conv2d(4, 6, (3, 2), stride=(2, 1), padding=((0, 1), (2, 0)), groups=2)],
    "conv same": [Conv2d(4, 6, 3, stride=2, padding="same", dilation=2, bias=False)],
    "up": [ConvTranspose2d(4, 6, 3, stride=2, padding=((0, 1), (1, 2)), output_padding=(1, 0), groups=2)],
    "norm": [BatchNorm2d(4, eps=1e-3, weight=positive(4), bias=positive(4), **STATISTICS)],
    "norm without weight": [BatchNorm2d(4, affine=False, **STATISTICS)],
    **{f"response {n}": [LocalResponseNorm(n, alpha=0.5, beta=0.7, k=2.0)] for n in (1, 2, 3, 4, 7)},
    "rectifiers": [ReLU(), ReLU6(), LeakyReLU(0.2), PReLU(1), PReLU(4, weight=positive(4)), Tanh()],
    "smooth": [layers.ELU(0.5), layers.SELU(), layers.ELU(0.7, 1.3), layers.CELU(0.5), layers.Softsign()],
    "gates": [layers.Hardsigmoid(), layers.Sigmoid(), layers.Hardswish(), layers.Softplus(), layers.LogSigmoid()],
    "clips": [layers.Hardtanh(), layers.Hardtanh(0, 0.5), layers.Hardtanh(-np.inf, 0.4), layers.Threshold(0.1)],
    "elementary": [layers.Abs(), layers.Exp(), layers.Log(), layers.Erf(), layers.Pow(0.5)],
    "layer norms": [
        layers.LayerNorm2d(4, eps=0.1),
        layers.LayerNorm((7, 6), 0.2),
        layers.LayerNorm(6, bias=False),
    ],
    "instance norms": [layers.InstanceNorm2d(4), layers.InstanceNorm2d(4, 0.1, affine=True)],
    "scales": [layers.Scale((4, 1, 1), False, weight=positive(4, 1, 1)), layers.Scale((7, 6), False)],
    "ends": [Dropout(0.2), Softmax()],
    "logarithms": [GlobalAvgPool2d(), Flatten(), LogSoftmax()],
    "moves": [ZeroPad2d((1, 2, 3, 0)), Permute((1, 2, 0)), Reshape((3, 5, 24)), Permute((2, 0, 1))],
    "rows": [
        Flatten(),
        Linear(168, 5),
        PReLU(5, weight=positive(5)),
        Linear(5, 3, bias=False),
        Reshape((3, 1, 1)),
    ],
    "resized": [
        layers.Upsample((9, 4)),
        layers.Upsample(scale_factor=1.5, mode="nearest-exact"),
        layers.Upsample(scale_factor=(2, 1), mode="bilinear"),
        layers.Upsample((5, 7), mode="bilinear", align_corners=True),
        layers.Upsample(scale_factor=1.3, mode="bicubic", recompute_scale_factor=True),
    ],
    "borders": [
        layers.ConstantPad2d((1, -1, 0, 2), 1.5),
        layers.ReflectionPad2d((1, 2, 0, 3)),
        layers.ReplicationPad2d(1),
        layers.CircularPad2d((2, 0, 1, 3)),
    ],
    "parts": [layers.Slice(1, -3), layers.Slice(3, None, None, -2), layers.IndexSelect(2, (3, 0, 0))],
    "shuffles": [
        layers.ChannelShuffle(2),
        layers.PixelShuffle(2),
        layers.PixelUnshuffle(2),
        layers.PixelShuffle(2, depth_first=True),
        layers.PixelUnshuffle(2, depth_first=True),
    ],
    "reductions": [
        layers.AdaptiveAvgPool2d((7, 3)),
        layers.AdaptiveAvgPool2d((4, 2)),
        layers.Sum(1, keepdim=True),
        layers.Expand((2, -1, -1)),
        layers.Mean((2, 3)),
    ],
    "maxima": [layers.AdaptiveMaxPool2d((7, 3)), layers.Amax(3, keepdim=True), layers.AdaptiveMaxPool2d(1)],
    "dilated pool": [MaxPool2d(2, 1, 1, 3)],
}


def network(chain, shape=SHAPE, **kwargs):
    return Network(chain, shape, **kwargs)


def check(net, path, back=True):
    """The checker passes it, onnxruntime answers as we do, and we read it as we wrote it."""
    write(path, net)
    onnx.checker.check_model(str(path), full_check=True)
    x = np.random.default_rng(0).standard_normal((2, *net.input_shape)).astype(np.float32)
    y, reference = run_net(net, x), expected(path, x)
    assert y.shape == reference.shape
    np.testing.assert_allclose(y, reference, rtol=0, atol=CLOSE * np.abs(reference).max(initial=1e-30))
    if back:
        again = read(path)
        np.testing.assert_allclose(run_net(again, x).reshape(y.shape), y, rtol=0, atol=CLOSE * np.abs(y).max())
        assert [n for n in again.state_dict() if n in net.state_dict()] == list(net.state_dict())
    return reference


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, tmp_path):
    check(network(LAYERS[name]), tmp_path / "net.onnx")


@pytest.mark.parametrize(
    "layer", [layers.SiLU(), layers.Mish(), layers.GELU(), layers.GELU("tanh"), layers.RMSNorm(4)]
)
def test_formulas(layer, tmp_path):
    """What opset 17 has no operator for is written as exporters write it."""
    check(
        network([Conv2d(4, 3, 3), layer, Conv2d(3, 2, 1)]),
        tmp_path / "net.onnx",
        back=not isinstance(layer, layers.RMSNorm),
    )


def test_softplus_of_a_steeper_argument(tmp_path):
    check(network([layers.Softplus(2.0)]), tmp_path / "net.onnx")
    for other in (layers.Softplus(1.0, threshold=3.0), layers.Threshold(0.0, -1.0), layers.ELU(1.0, 1.0, 2.0)):
        with pytest.raises(WeightsError, match="layer '0': ONNX has no"):
            write(tmp_path / "net.onnx", network([other]))


def test_every_layer_is_written_or_refused_by_name(tmp_path):
    blocks = {layers.Sequential, layers.Residual, layers.Concat, *(getattr(layers, name) for name in JOINS)}
    classes = {getattr(layers, name) for name in layers.__all__ if name not in ("Keep", "Kind", "Layer")} - blocks
    assert NODES.keys() <= classes and len(NODES) >= 20
    for refused in classes - NODES.keys():
        with pytest.raises(WeightsError, match=f"layer '0': no ONNX operator is known for {refused.__name__}"):
            write(tmp_path / "net.onnx", network([refused()]))


@pytest.mark.parametrize("kernel", (1, 2, 3))
def test_pools(kernel, tmp_path):
    """Every combination of stride, padding and rounding on small maps: versions of ONNX read ceil_mode apart."""
    sides = [pair for pair in itertools.product(range(3), repeat=2) if max(pair) < kernel]
    for stride, (before, after), ceil_mode, size in itertools.product((1, 2, 3), sides, (False, True), (5, 6)):
        padding = ((before, after), (after, before))
        pools = [
            MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode),
            AvgPool2d(kernel, stride, padding, ceil_mode=ceil_mode, count_include_pad=False),
            AvgPool2d(kernel, stride, padding, ceil_mode=ceil_mode, count_include_pad=True),
        ]
        parts = Concat(*[[pool] for pool in pools])
        check(network([("pools", parts)], (2, size, size + 1)), tmp_path / "net.onnx", back=False)


def test_dilated_pool_whose_padding_onnxruntime_refuses(tmp_path):
    check(network([MaxPool2d(2, 1, 2, 3)]), tmp_path / "net.onnx", back=False)


def test_blocks_and_their_names(tmp_path):
    chain = [
        ("stem", Residual([("conv", Conv2d(4, 4, 3, padding=1)), ("relu", ReLU())])),
        ("mixed", Concat([], [("one", Conv2d(4, 2, 1))], [("deep", Residual([ReLU()], [BatchNorm2d(4)]))])),
        ("head", Sequential([("conv", Conv2d(10, 3, 1)), ("inner", Sequential([ReLU()]))])),
        ("twice", Residual([], [])),
    ]
    net = network(chain)
    check(net, tmp_path / "net.onnx")
    again = read(tmp_path / "net.onnx")
    assert again["mixed.deep.body.0"] and again["stem.conv"] and again["head.inner.0"]


@pytest.mark.parametrize("name", ("lenet5", "digits", "efficientnet-lite0", "mtcnn-onet"))
def test_zoo(name, tmp_path):
    architecture = zoo.architecture(name)
    net = Network(architecture.layers, architecture.input_shape, architecture.preprocess)
    check(net, tmp_path / "net.onnx")
    assert read(tmp_path / "net.onnx").preprocess == net.preprocess


def test_what_comes_with_the_weights(tmp_path):
    labels = ["häuschen", "two", "three"]
    preprocess = Preprocess(size=(7, 6), channels="BGR", scale=1.0, mean=(104.0, 116.7, 122.7))
    net = network([Conv2d(3, 3, (7, 6)), Flatten(), Softmax()], (3, 7, 6), preprocess=preprocess, labels=labels)
    write(tmp_path / "net.onnx", net)
    again = read(tmp_path / "net.onnx")
    assert again.labels == labels and again.preprocess == preprocess
    metadata = {m.key: m.value for m in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert json.loads(metadata["minicnn.labels"]) == labels


def test_same_network_same_bytes(tmp_path):
    net = network(LAYERS["conv"] + [ReLU()])
    write(tmp_path / "a.onnx", net)
    write(tmp_path / "b.onnx", net.to("reference"))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_float64_stays(tmp_path):
    net = network([Conv2d(4, 3, 2), LocalResponseNorm(2), ReLU6()])
    wide = {name: a.astype(np.float64) for name, a in net.state_dict().items()}
    net = Network.from_state_dict([Conv2d(4, 3, 2), LocalResponseNorm(2), ReLU6()], wide, SHAPE)
    write(tmp_path / "net.onnx", net)
    x = np.random.default_rng(0).standard_normal((2, *SHAPE))
    assert onnx.load(tmp_path / "net.onnx").graph.initializer[0].data_type == onnx.TensorProto.DOUBLE
    np.testing.assert_array_equal(read(tmp_path / "net.onnx")(x), net(x))


def test_open_size(tmp_path):
    net = Network([Conv2d(3, 4, 3, stride=2, padding="same"), ReLU(), GlobalAvgPool2d(), Flatten()])
    write(tmp_path / "net.onnx", net)
    for size in ((5, 8), (9, 6)):
        x = np.random.default_rng(0).standard_normal((1, 3, *size)).astype(np.float32)
        np.testing.assert_allclose(expected(tmp_path / "net.onnx", x), net(x), atol=CLOSE)
        np.testing.assert_array_equal(read(tmp_path / "net.onnx")(x), net(x))
    with pytest.raises(WeightsError, match="ceil_mode needs the input's size"):
        write(tmp_path / "pool.onnx", Network([Conv2d(3, 4, 3), MaxPool2d(3, 2, ceil_mode=True)]))
    with pytest.raises(WeightsError, match="set input_shape"):
        write(tmp_path / "relu.onnx", Network([ReLU()]))


def test_too_large_or_nowhere(tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match="can't be written"):
        write(tmp_path / "no" / "net.onnx", network([ReLU()]))
    monkeypatch.setattr(writer, "MAX_BYTES", 500)
    with pytest.raises(WeightsError, match="at most 2 GiB"):
        write(tmp_path / "net.onnx", network([Conv2d(4, 6, 3)]))
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_nets_come_back(data, tmp_path_factory):
    """Chains and nested blocks drawn at random, of layers that keep the shape."""
    simple = st.sampled_from([ReLU, ReLU6, Tanh, lambda: Conv2d(3, 3, 3, padding=1), lambda: PReLU(3), Dropout])

    def chains(depth):
        inner = chains(depth - 1) if depth else st.just([])
        blocks = [simple.map(lambda make: make())]
        if depth:
            branch = st.tuples(inner, inner)
            blocks.append(branch.map(lambda b: Residual(*b)))
            blocks.append(branch.map(lambda b: Sequential([Concat(*b), Conv2d(6, 3, 1)])))
        return st.lists(st.one_of(blocks), max_size=3)

    net = network(data.draw(chains(2)), (3, 4, 4), seed=1)
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    write(path, net)
    again, x = read(path), np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(again(x), net(x))
    assert sorted(again.state_dict()) == sorted(net.state_dict())
