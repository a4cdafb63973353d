"""The sheet of reconstructions: true colours, and one extreme value leaves the others their contrast."""

import warnings

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import explain, layers
from minicnn.explain.deconvnet import Reconstruction
from minicnn.explain.receptive_field import Box
from minicnn.figures.features.deconvnet import measure_likeness, write_reconstructions
from minicnn.io.digest import digest_network

SIDE = 20
ONES = np.ones((2, 3, 3, 3))


def drawn(path, x, channels):
    """The lower half of a sheet of one reconstruction, whose patch above it is white."""
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    field = Box(0, 0, SIDE, SIDE)
    shown = Reconstruction(x, 1.0, "conv", 0, (0, 0), field, (0.0, 0.0, SIDE, SIDE), white, "deconvnet")
    origin = {"name": "net", "sha256": "0" * 64, "device": "cpu", "preprocess": {"channels": channels}}
    image = path.with_suffix(".input.png")
    Image.fromarray(white).save(image)
    write_reconstructions(path, [(image, shown)], origin)
    sheet = np.asarray(Image.open(path).convert("RGB"), np.int32)
    return sheet[len(sheet) // 2 :]


@pytest.mark.parametrize(("channels", "first"), [("RGB", 0), ("BGR", 2)])
def test_the_input_s_first_channel_is_drawn_in_its_colour(tmp_path, channels, first):
    x = np.zeros((3, SIDE, SIDE), np.float32)
    x[0] = 1
    lower = drawn(tmp_path / "sheet.png", x, channels)
    expected = np.full(3, 128)
    expected[first] = 255
    # small pictures are enlarged nine times
    assert (np.abs(lower - expected).max(axis=2) <= 1).sum() >= SIDE * SIDE * 50


def test_one_extreme_value_does_not_make_the_others_grey(tmp_path):
    x = np.full((3, SIDE, SIDE), -1.0, np.float32)
    x[0, 0, 0] = 1000
    lower = drawn(tmp_path / "sheet.png", x, "RGB")
    # as strong as can be drawn, which is black
    assert (lower.max(axis=2) <= 1).sum() >= SIDE * SIDE * 50


@pytest.mark.parametrize("same", [True, False])
def test_a_sheet_of_the_same_grid_for_all_says_why(tmp_path, same):
    rng = np.random.default_rng(0)
    x, white = rng.normal(size=(3, SIDE, SIDE)), np.full((SIDE, SIDE, 3), 255, np.uint8)
    image = tmp_path / "input.png"
    Image.fromarray(white).save(image)
    pairs = []
    for factor in (1.0, 0.5, 2.0):
        y = (factor * x if same else rng.normal(size=x.shape)).astype(np.float32)
        field = Box(0, 0, SIDE, SIDE)
        patch = (white / (1 + factor)).astype(np.uint8)
        shown = Reconstruction(y, 1.0, "conv", 0, (0, 0), field, (0.0, 0.0, SIDE, SIDE), patch, "deconvnet")
        pairs.append((image, shown))
    origin = {"name": "net", "sha256": "0" * 64, "device": "cpu", "preprocess": {}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record = write_reconstructions(tmp_path / "sheet.png", pairs, origin)
    assert record["alike"] == same == any("nearly the same" in str(w.message) for w in caught)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ((layers.Conv2d(3, 2, 3, stride=2, weight=ONES), layers.ReLU()), "net has no max-pools"),
        ((layers.Conv2d(3, 2, 3, weight=ONES), layers.ReLU(), layers.MaxPool2d(2)), "no max-pool lies below 1"),
        ((layers.MaxPool2d(2), layers.ReLU()), "below 1 1 max-pool shaped little"),
    ],
)
def test_why_reconstructions_are_the_same_is_said(tmp_path, own, words):
    net = minicnn.Network(own, (3, 16, 16), minicnn.Preprocess((16, 16)), name="net")
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    # the order of the values stays, and so do the switches
    pairs = [(picture, explain.deconvnet(net, picture, "1", 0, (1, 1))) for picture in (image, image // 2 + 64)]
    with pytest.warns(UserWarning, match=words):
        write_reconstructions(tmp_path / "sheet.png", pairs, digest_network(net, "net"), net=net)


def test_reconstructions_are_compared_where_their_activations_are():
    rng = np.random.default_rng(0)
    grid = rng.standard_normal((1, 5, 5))
    shown = []
    for row, column in ((0, 0), (3, 1), (2, 3)):
        x = np.zeros((1, 13, 13), np.float32)
        x[:, 2 * row : 2 * row + 5, 2 * column : 2 * column + 5] = (1 + row) * grid
        shown.append(Reconstruction(x, 1.0, "conv", 0, (row, column), None, None, np.full(1, row), "deconvnet"))
    assert measure_likeness(shown, (2, 2)) == pytest.approx(1, abs=1e-6)
    assert measure_likeness(shown, (1, 1)) < 0.5
    assert measure_likeness(shown[:1]) == measure_likeness([shown[0]] * 2) == 0
