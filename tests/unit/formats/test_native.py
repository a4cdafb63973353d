"""Our own file: it round-trips, maps its weights, and builds nothing from a description that is not ours."""

import json

import numpy as np
import pytest

import minicnn
from minicnn import Network, Preprocess
from minicnn.errors import WeightsError
from minicnn.formats import native
from minicnn.formats.containers import npz
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    PReLU,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
    Softmax,
    ZeroPad2d,
)


def every_layer():
    body = [("a", Conv2d(4, 4, 3, padding="same")), ("b", BatchNorm2d(4, eps=1e-3)), ("c", ReLU6())]
    layers = [
        ("pad", ZeroPad2d((1, 2, 3, 4))),
        ("conv", Conv2d(3, 4, (3, 2), stride=(2, 1), padding=((1, 0), (0, 2)), dilation=2, bias=False)),
        ("norm", LocalResponseNorm(3, 2e-4, 0.6, 2.0)),
        ("block", Residual(body, [("s", Conv2d(4, 4, 1, groups=2))])),
        ("inner", Sequential([PReLU(4), LeakyReLU(0.2), ReLU()])),
        ("up", ConvTranspose2d(4, 2, 3, stride=2, output_padding=1)),
        ("max", MaxPool2d(3, 2, ceil_mode=True)),
        ("avg", AvgPool2d(2, 1, count_include_pad=False)),
        ("mean", GlobalAvgPool2d()),
        ("flat", Flatten()),
        ("drop", Dropout(0.3)),
        ("full", Linear(2, 3)),
        ("softmax", Softmax()),
    ]
    preprocess = Preprocess(size=(17, 15), resize=20, channels="BGR", scale=1.0, mean=(1.0, 2.0, 3.0))
    return Network(layers, (3, 17, 15), preprocess, ["a", "b", "ç"], name="everything")


def test_everything_comes_back(tmp_path):
    net = every_layer()
    minicnn.save(net, tmp_path / "net.npz")
    back = minicnn.load(tmp_path / "net.npz")
    assert (back.name, back.input_shape, back.labels) == (net.name, net.input_shape, net.labels)
    assert back.preprocess == net.preprocess and back.names == net.names
    assert [repr(layer) for layer in back.layers] == [repr(layer) for layer in net.layers]
    x = np.random.default_rng(0).standard_normal((2, 3, 17, 15)).astype(np.float32)
    np.testing.assert_array_equal(back(x), net(x))
    np.testing.assert_array_equal(back.input_gradient(x, 1), net.input_gradient(x, 1))


def test_weights_are_mapped_and_float64_is_kept(tmp_path):
    net = every_layer()
    net.load_state_dict({k: v.astype(np.float64) for k, v in net.state_dict().items()})
    minicnn.save(net, tmp_path / "net.npz")
    state = minicnn.load(tmp_path / "net.npz").state_dict()
    assert {a.dtype for a in state.values()} == {np.dtype(np.float64)}
    assert not any(a.flags.owndata or a.flags.writeable for a in state.values())


def test_the_same_net_is_the_same_file(tmp_path):
    for name in ("a.npz", "b.npz"):
        minicnn.save(every_layer(), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_half_precision_for_large_arrays_only(tmp_path):
    net = Network([Flatten(), Linear(300, 200), Linear(200, 10)], (3, 10, 10))
    native.write(tmp_path / "net.npz", net, half=True)
    stored, _ = npz.read(tmp_path / "net.npz")
    assert {k: str(a.dtype) for k, a in stored.items() if k.endswith("weight")} == {
        "1.weight": "float16",
        "2.weight": "float32",
    }
    back = minicnn.load(tmp_path / "net.npz").state_dict()
    np.testing.assert_array_equal(back["1.weight"], net["1"].weight.astype(np.float16).astype(np.float32))


def test_a_state_dictionary_in_an_npz(tmp_path):
    state = minicnn.load("digits").state_dict()
    np.savez(tmp_path / "state.npz", **state)
    net = minicnn.load(tmp_path / "state.npz", architecture="digits")
    np.testing.assert_array_equal(net["conv_layers.3"].weight, state["conv_layers.3.weight"])
    with pytest.raises(WeightsError, match="architecture="):
        minicnn.load(tmp_path / "state.npz")


def test_names_that_can_not_be_saved(tmp_path):
    with pytest.raises(WeightsError, match=r"\.npz"):
        minicnn.save(every_layer(), tmp_path / "net.xyz")
    with pytest.raises(WeightsError):
        minicnn.save(every_layer(), tmp_path / "nowhere" / "net.npz")
    assert not list(tmp_path.iterdir())


def nested(depth):
    entry = ["x", "ReLU", {}]
    for _ in range(depth):
        entry = ["x", "Sequential", [[entry]]]
    return entry


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 99},
        {"layers": [["x", "os.system", {}]]},
        {"layers": [["x", "Layer", {}]]},
        {"layers": [["x", "Keep", {}]]},
        {"layers": [["x", "Kind", {}]]},
        {"layers": [["x", "__class__", {}]]},
        {"layers": [["x", "Linear", {"in_features": 2, "out_features": "3"}]]},
        {"layers": [["x", "Linear", {"in_features": 2, "out_features": 3, "nonsense": 1}]]},
        {"layers": [["x", "Conv2d", {"in_channels": 0, "out_channels": 3, "kernel_size": 3}]]},
        {"layers": [["x", "Conv2d", {"in_channels": 3, "out_channels": 3, "kernel_size": {"a": 1}}]]},
        {"layers": [["x", "Linear", {"in_features": 1 << 60, "out_features": 1 << 60}]]},
        {"layers": [["x", "ReLU"]]},
        {"layers": ["ReLU"]},
        {"layers": 7},
        {"layers": None},
        {"layers": [nested(300)]},
        {"layers": []},
        {"input_shape": [1, 2]},
        {"input_shape": "abc"},
        {"labels": ["only one"]},
        {"labels": 3},
        {"preprocess": {"size": [0, 0]}},
        {"preprocess": 7},
    ],
)
def test_descriptions_that_describe_no_net(tmp_path, change):
    net = every_layer()
    npz.write(tmp_path / "net.npz", net.state_dict(), {native.MEMBER: json.dumps(native.describe(net) | change)})
    with pytest.raises(WeightsError, match=r"net\.npz"):
        minicnn.load(tmp_path / "net.npz")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", "[" * 100_000, '{"format": "minicnn"}'])
def test_text_that_is_no_description(tmp_path, text):
    npz.write(tmp_path / "net.npz", every_layer().state_dict(), {native.MEMBER: text})
    with pytest.raises(WeightsError, match=r"net\.npz"):
        minicnn.load(tmp_path / "net.npz")
