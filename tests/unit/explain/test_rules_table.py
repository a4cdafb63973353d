"""Section 4's table: three rules, one backward pass; they differ at rectifiers and nowhere else, bit for bit."""

import json

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import Network, Preprocess, layers
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.explain.rules_table import group_by_kind, rules_by_layer
from minicnn.figures import verification
from minicnn.io import catalogue
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Permute,
    PReLU,
    ReLU,
    ReLU6,
    Reshape,
    Residual,
    Sequential,
    Tanh,
    ZeroPad2d,
)

SEVEN = str(catalogue.folder("images") / "seven.png")
MAPS, FEATURES = (2, 4, 9, 10), (2, 12)
NORM = {
    "weight": np.array([1, -2, 0.5, 3], np.float32),
    "running_mean": np.ones(4, np.float32),
    "running_var": np.full(4, 2, np.float32),
}
ALIKE = {
    "convolution": (Conv2d(4, 6, 3, stride=2, padding=1), MAPS),
    "convolution 3x3": (Conv2d(4, 4, 3, padding=1), MAPS),
    "convolution 1x1": (Conv2d(4, 5, 1), MAPS),
    "depthwise convolution": (Conv2d(4, 4, 3, padding=1, groups=4), MAPS),
    "dilated convolution in groups": (Conv2d(4, 6, 3, dilation=2, groups=2), MAPS),
    "transposed convolution": (ConvTranspose2d(4, 3, 3, stride=2), MAPS),
    "max-pool": (MaxPool2d(2), MAPS),
    "overlapping max-pool": (MaxPool2d(3, stride=2, padding=1, ceil_mode=True), MAPS),
    "average pool": (AvgPool2d(3, stride=2), MAPS),
    "global average pool": (GlobalAvgPool2d(), MAPS),
    "local response normalisation": (LocalResponseNorm(5, alpha=0.5), MAPS),
    "batch normalisation": (BatchNorm2d(4, **NORM), MAPS),
    "linear": (Linear(12, 7), FEATURES),
    "flatten": (Flatten(), MAPS),
    "reshape": (Reshape((2, 2, 3)), FEATURES),
    "permute": (Permute((1, 2, 0)), MAPS),
    "dropout": (Dropout(0.5), MAPS),
    "resize": (layers.Upsample(scale_factor=1.5, mode="bilinear"), MAPS),
    "mirrored border": (layers.ReflectionPad2d(2), MAPS),
    "slice": (layers.Slice(1, 1, 3), MAPS),
    "shuffle": (layers.ChannelShuffle(2), MAPS),
    "mean over channels": (layers.Mean(1, keepdim=True), MAPS),
    "maximum over a map": (layers.Amax((2, 3)), MAPS),
    "adaptive max-pool": (layers.AdaptiveMaxPool2d((4, 3)), MAPS),
    "adaptive average pool": (layers.AdaptiveAvgPool2d((4, 3)), MAPS),
    "zero padding": (ZeroPad2d((1, 2, 0, 3)), MAPS),
    "addition": (Residual([Conv2d(4, 4, 1)]), MAPS),
    "concatenation": (Concat([Conv2d(4, 2, 1)], []), MAPS),
}
RULES = ("gradient", "deconvnet", "guided")


@pytest.fixture(params=["reference", "cpu"])
def device(request):
    if request.param == "cpu":
        pytest.importorskip("numba")
    return request.param


def by_rules(layer, shape, device):
    """x, dy and dx by each rule, through a network of that layer alone."""
    rng = np.random.default_rng(0)
    net = Network([layer], device=device)
    x = rng.standard_normal(shape).astype(np.float32)
    x[rng.random(shape) < 0.1] = 0
    y, tape = net.trace(x)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dy[rng.random(y.shape) < 0.1] = 0
    return x, dy, [net.backward(tape, dy, rule) for rule in RULES]


@pytest.mark.parametrize("name", ALIKE)
def test_the_rules_are_identical_at(name, device):
    _, _, (gradient, deconvnet, guided) = by_rules(*ALIKE[name], device)
    assert np.abs(gradient).max() > 0
    np.testing.assert_array_equal(gradient, deconvnet)
    np.testing.assert_array_equal(gradient, guided)


@pytest.mark.parametrize("shape", [MAPS, FEATURES])
@pytest.mark.parametrize("layer", [ReLU(), ReLU6()])
def test_they_differ_at_rectifiers_as_the_table_says(layer, shape, device):
    x, dy, (gradient, deconvnet, guided) = by_rules(layer, shape, device)
    through = (x > 0) & (x < 6)
    np.testing.assert_array_equal(gradient, np.where(through, dy, 0))
    np.testing.assert_array_equal(deconvnet, np.where(dy > 0, dy, 0))
    np.testing.assert_array_equal(guided, np.where(through & (dy > 0), dy, 0))
    assert not np.array_equal(gradient, deconvnet) and not np.array_equal(deconvnet, guided)


def test_a_rectifier_inside_of_a_merged_step_differs_as_alone(device):
    """A device may run convolution, normalisation and rectifier as one step; the rules act on it as on three."""
    layers = [Conv2d(4, 4, 3, padding=1), BatchNorm2d(4, **NORM), ReLU()]
    x, dy, dxs = by_rules(Sequential(layers), MAPS, device)
    net = Network(layers)
    y = net.forward(x, upto="1")
    masks = (y > 0, dy > 0, (y > 0) & (dy > 0))
    for mask, dx in zip(masks, dxs, strict=True):
        expected = net.input_gradient(x, np.where(mask, dy, 0).astype(np.float32), layer="1")
        np.testing.assert_allclose(dx, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_digits_net_s_table(device):
    layers = list(rules_by_layer(minicnn.load("digits").to(device), SEVEN))
    assert [one.layer for one in layers] == minicnn.load("digits").names
    for one in layers:
        assert (min(one.deviation) > 0.3) if one.kind == "ReLU" else (one.deviation == (0, 0)), one.layer
    kinds = {kind.kind: kind for kind in group_by_kind(layers)}
    assert kinds["ReLU"].count == 4 and kinds["Conv2d"].count == 3
    rectifiers = [one.deviation for one in layers if one.kind == "ReLU"]
    assert (
        kinds["ReLU"].deviation == tuple(np.max(rectifiers, axis=0))
        and kinds["ReLU"].first.layer == "conv_layers.1"
    )
    pictures = kinds["ReLU"].first.pictures
    np.testing.assert_array_equal(pictures["gradient"], np.where(pictures["x"] > 0, pictures["dy"], 0))
    np.testing.assert_array_equal(pictures["deconvnet"], np.maximum(pictures["dy"], 0))


def small_net(rectifier):
    """Blocks in blocks, and a rectifier that may have no other rules."""
    inner = Concat([("a", Conv2d(3, 2, 1)), ("b", ReLU())], [("c", MaxPool2d(3, stride=1, padding=1))])
    body = [("mix", inner), ("norm", LocalResponseNorm(3)), ("back", Conv2d(5, 3, 3, padding=1))]
    layers = [("block", Residual(body)), ("last", rectifier), Flatten(), Linear(3 * 8 * 8, 4)]
    return Network(layers, input_shape=(3, 8, 8), preprocess=Preprocess(size=(8, 8)))


def test_blocks_are_opened_and_rules_that_are_not_defined_are_said():
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    layers = {one.layer: one for one in rules_by_layer(small_net(PReLU()), picture)}
    inside = ["block.mix.a", "block.mix.b", "block.mix.c", "block.norm", "block.back"]
    assert list(layers) == [*inside, "last", "2", "3"]
    assert layers["last"].deviation is None and set(layers["last"].pictures) == {"x", "dy", "gradient"}
    different = {one.kind for one in layers.values() if one.deviation and any(one.deviation)}
    assert different == {"ReLU"}
    twice = Network([Tanh(), Conv2d(3, 2, 3), Tanh()], preprocess=Preprocess(size=(8, 8)))
    kinds = group_by_kind(rules_by_layer(twice, picture))
    assert [(kind.kind, kind.count, kind.deviation) for kind in kinds] == [
        ("Tanh", 2, None),
        ("Conv2d", 1, (0, 0)),
    ]


def test_a_net_without_preprocessing_says_so():
    with pytest.raises(MinicnnError, match="how an image becomes its input"):
        list(rules_by_layer(Network([ReLU()]), SEVEN))


def test_the_command_writes_the_table(tmp_path, capsys):
    words = ["deconvnet", "--table", SEVEN, "--net", "digits", "-o", str(tmp_path)]
    assert main(words) == 0
    assert "3 MaxPool2d" in capsys.readouterr().out
    assert main([*words, "--json", "--overwrite"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    for kind in record["kinds"]:
        assert (kind["deconvnet"] > 0 and kind["guided"] > 0) == (kind["kind"] == "ReLU")
    assert verification.verify_figure(record["figure"]).match
    assert main(["deconvnet", SEVEN, "--net", "digits"]) == 2
    assert "--table compares the three rules" in capsys.readouterr().err


def test_the_command_writes_a_table_with_undefined_rules(tmp_path, capsys):
    minicnn.save(small_net(PReLU()), tmp_path / "net.npz")
    Image.effect_noise((8, 8), 50).save(tmp_path / "a.png")
    words = [str(tmp_path / "a.png"), "--net", str(tmp_path / "net.npz"), "-o", str(tmp_path)]
    assert main(["deconvnet", "--table", *words]) == 0
    assert "not defined" in capsys.readouterr().out
    assert verification.verify_figure(tmp_path / "a.rules.png").match
