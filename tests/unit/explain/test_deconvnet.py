"""Receptive fields against what gradients reach; reconstructions against torch; the paper's table."""

import json

import numpy as np
import pytest
import torch

import minicnn
from minicnn import Network
from minicnn.cli import main
from minicnn.errors import MinicnnError, ShapeError
from minicnn.explain import deconvnet, receptive_field, top_activations
from minicnn.figures import provenance, verification
from minicnn.io import catalogue
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Residual,
    ZeroPad2d,
)
from tests.helpers.torch_lite0 import digits as torch_digits
from tests.helpers.torch_lite0 import load_weights

IMAGES = catalogue.folder("images")


def positive(net):
    net.load_state_dict({k: np.abs(v) + 0.1 for k, v in net.state_dict().items()})
    return net


NETS = {
    "strides": [
        Conv2d(1, 1, 5, stride=3, padding=2),
        AvgPool2d(3, 2, ceil_mode=True),
        Conv2d(1, 1, 3, dilation=2, padding=2),
    ],
    "same": [Conv2d(1, 1, (3, 4), stride=2, padding="same"), Conv2d(1, 1, 3, padding=((2, 0), (0, 1)))],
    "pad": [ZeroPad2d((1, 2, 2, 0)), Conv2d(1, 1, 3), BatchNorm2d(1)],
    "up": [Conv2d(1, 1, 3, stride=2), ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)],
    "block": [Conv2d(1, 1, 3, stride=2), Residual([Conv2d(1, 1, 3, padding=1)], [Conv2d(1, 1, 1)]), ReLU()],
    "global": [Conv2d(1, 1, 3, stride=2), GlobalAvgPool2d()],
}


@pytest.mark.parametrize("name", NETS)
def test_receptive_fields_are_what_the_gradient_reaches(name):
    """With positive weights every pixel that an activation depends on has a gradient but 0, and no other has."""
    net = positive(Network(NETS[name], input_shape=(1, 23, 29)))
    x = np.ones((1, 1, 23, 29))
    last = net.names[-1]
    y = net.forward(x, upto=last)
    for row, column in {(0, 0), (y.shape[2] // 2, y.shape[3] // 3), (y.shape[2] - 1, y.shape[3] - 1)}:
        dy = np.zeros_like(y)
        dy[0, 0, row, column] = 1
        reached = np.argwhere(net.input_gradient(x, dy, layer=last)[0, 0])
        (ymin, xmin), (ymax, xmax) = reached.min(0), reached.max(0) + 1
        assert receptive_field(net, last, row, column) == (xmin, ymin, xmax, ymax)


POOLED = {
    "alexnet": [Conv2d(1, 1, 5, stride=2), ReLU(), MaxPool2d(3, stride=2), Conv2d(1, 1, 3, padding=1)],
    "ceil": [MaxPool2d(3, stride=2, padding=1, ceil_mode=True), LocalResponseNorm(3), MaxPool2d(2)],
    "concat": [Concat([Conv2d(1, 1, 1)], [MaxPool2d(3, stride=1, padding=1)]), Conv2d(2, 1, 2, stride=2)],
}


@pytest.mark.parametrize("name", POOLED)
def test_receptive_fields_are_where_a_pixel_s_change_is_felt(name):
    """Every pixel raised in turn, above all others: with positive weights no maximum can hide it."""
    net = positive(Network(POOLED[name], input_shape=(1, 13, 17)))
    still, last = np.ones((1, 1, 13, 17)), net.names[-1]
    raised = still + 5 * np.eye(13 * 17).reshape(-1, 1, 13, 17)
    felt = (net.forward(raised, upto=last) != net.forward(still, upto=last)).any(axis=1)
    for row, column in np.ndindex(felt.shape[1:]):
        reached = np.argwhere(felt[:, row, column].reshape(13, 17))
        (ymin, xmin), (ymax, xmax) = reached.min(0), reached.max(0) + 1
        assert receptive_field(net, last, row, column) == (xmin, ymin, xmax, ymax)


def test_a_window_on_padding_sees_nothing():
    net = Network([ZeroPad2d((0, 3, 0, 0)), Conv2d(1, 1, 3)], input_shape=(1, 7, 8))
    assert receptive_field(net, "1", 0, 8) == (0, 0, 0, 0)


def test_features_see_everything_and_places_are_checked():
    net = Network([Conv2d(1, 2, 3), Flatten(), Linear(2 * 5 * 6, 4)], input_shape=(1, 7, 8))
    assert receptive_field(net, "2") == (0, 0, 8, 7)
    with pytest.raises(ShapeError, match="5 x 6"):
        receptive_field(net, "0", 5, 0)
    with pytest.raises(ShapeError, match="input_shape"):
        receptive_field(Network([Conv2d(1, 2, 3)]), "0")


def test_reconstruction_equals_torch():
    """The deconvnet as its authors describe it, with torch's transposed convolutions and unpooling."""
    net = minicnn.load("digits")
    torch_net = load_weights(torch_digits(), net).conv_layers
    reconstruction = deconvnet(net, IMAGES / "seven.png", "conv_layers.4", 11)
    x = torch.from_numpy(net.preprocess(IMAGES / "seven.png"))
    first = torch.relu(torch_net[0](x))
    pooled, where = torch.nn.functional.max_pool2d(first, 2, return_indices=True)
    second = torch.relu(torch_net[3](pooled))
    assert reconstruction.value == pytest.approx(second[0, 11].max().item(), rel=1e-5)
    kept = torch.zeros_like(second)
    row, column = reconstruction.position
    kept[0, 11, row, column] = reconstruction.value
    back = torch.nn.functional.conv_transpose2d(torch.relu(kept), torch_net[3].weight, padding=1)
    back = torch.nn.functional.max_unpool2d(back, where, 2)
    back = torch.nn.functional.conv_transpose2d(torch.relu(back), torch_net[0].weight, padding=1)
    expected = back[0].detach().numpy()
    np.testing.assert_allclose(reconstruction.x, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    box = reconstruction.receptive_field
    outside = reconstruction.x.copy()
    outside[:, box.ymin : box.ymax, box.xmin : box.xmax] = 0
    assert (outside == 0).all() and np.abs(reconstruction.cut).max() > 0
    assert reconstruction.patch.shape[:2] == (box.ymax * 10 - box.ymin * 10, box.xmax * 10 - box.xmin * 10)


def test_top_activations_are_sorted():
    net = minicnn.load("digits")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (28, 28), np.uint8) for _ in range(7)]
    top = top_activations(net, images, "conv_layers.3", 5, count=4)
    values = [net.forward(net.preprocess(i), upto="conv_layers.3")[0, 5].max() for i in images]
    np.testing.assert_allclose([v for _, v in top], sorted(values, reverse=True)[:4])
    assert top[0][0] is images[int(np.argmax(values))]
    with pytest.raises(MinicnnError, match="no images"):
        top_activations(net, [], "conv_layers.3", 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("conv9", 0), "no layer 'conv9'"),
        (("conv_layers.3", 64), "0 to 63"),
        (("conv_layers.3", 0, (14, 0)), "14 x 14"),
        (("conv_layers.3", 0, None, "smooth"), "unknown rule"),
    ],
)
def test_wrong_words_are_named(arguments, message):
    with pytest.raises(MinicnnError, match=message):
        deconvnet(minicnn.load("digits"), IMAGES / "seven.png", *arguments)


def test_the_channel_is_the_first_image_s_strongest_unless_given(tmp_path, capsys):
    words = ["--net", "digits", "--layer", "conv_layers.4", "--json", "-o", str(tmp_path)]
    assert main(["deconvnet", str(IMAGES / "seven.png"), *words]) == 0
    net, printed = minicnn.load("digits"), json.loads(capsys.readouterr().out)
    y = net.forward(net.preprocess(IMAGES / "seven.png"), upto="conv_layers.4")[0]
    assert y[printed["channel"]].max() == y.max() == pytest.approx(printed["activations"][0]["value"])


@pytest.mark.filterwarnings("ignore:channel 7 of .* is not active")
def test_any_activation_of_any_layer_by_command(tmp_path, capsys):
    net, images = minicnn.load("digits"), [str(IMAGES / "seven.png"), str(IMAGES / "coffee.png")]
    for layer, place in (("conv_layers.1", "3,12"), ("conv_layers.7", "0,6"), ("fc_layers.2", None)):
        for rule in ("gradient", "deconvnet", "guided"):
            words = ["--net", "digits", "--layer", layer, "--channel", "7", "--rule", rule, "--json"]
            words += [] if place is None else ["--position", place]
            assert main(["deconvnet", *images, *words, "-o", str(tmp_path)]) == 0
            out = json.loads(capsys.readouterr().out)
            position = None if place is None else tuple(map(int, place.split(",")))
            for one in out["activations"]:
                reconstruction = deconvnet(net, one["image"], layer, 7, position, rule)
                assert one["value"] == reconstruction.value and one["position"] == (position and list(position))
            values = [one["value"] for one in out["activations"]]
            assert values == sorted(values, reverse=True) and verification.verify_figure(out["figure"]).match
    with pytest.raises(SystemExit):
        main(["deconvnet", *images, "--layer", "conv_layers.1", "--position", "3"])
    assert "expected ROW,COLUMN" in capsys.readouterr().err


def test_the_command_writes_a_contact_sheet(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    unit = ["--net", "digits", "--layer", "conv_layers.4", "--channel", "11", "--json"]
    assert main(["deconvnet", str(IMAGES / "seven.png"), str(IMAGES / "coffee.png"), *unit, "--top", "1"]) == 0
    record = json.loads(capsys.readouterr().out)
    reconstruction = deconvnet(minicnn.load("digits"), record["activations"][0]["image"], "conv_layers.4", 11)
    assert len(record["activations"]) == 1 and record["activations"][0]["value"] == reconstruction.value
    settings = provenance.read(record["figure"])["settings"]
    assert settings["layer"] == "conv_layers.4" and settings["rule"] == "deconvnet"
    assert main(["deconvnet", str(IMAGES), *unit[:-1], "-o", "folder"]) == 0
    assert "channel 11" in capsys.readouterr().out and len(list(IMAGES.glob("*.*g"))) == 8
    recorded = provenance.read("folder/conv_layers.4-11.deconvnet.png")
    assert recorded["result"]["searched"] == 8 and len(recorded["images"]) == 8
    verdict = verification.verify_figure("folder/conv_layers.4-11.deconvnet.png")
    assert verdict.match and any("8 are the strongest of 8" in sentence for sentence in verdict.sentences)
    unit[3] = "conv9"
    assert main(["deconvnet", str(IMAGES / "seven.png"), *unit]) == 2
    assert "no layer 'conv9'" in capsys.readouterr().err
