"""The sheet of reconstructions: true colours, and one extreme value leaves the others their contrast."""

import warnings

import numpy as np
import pytest
from PIL import Image

from minicnn.explain.deconvnet import Reconstruction
from minicnn.explain.receptive_field import Box
from minicnn.figures.features.deconvnet import write_reconstructions

SIDE = 20


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
        shown = Reconstruction(y, 1.0, "conv", 0, (0, 0), field, (0.0, 0.0, SIDE, SIDE), white, "deconvnet")
        pairs.append((image, shown))
    origin = {"name": "net", "sha256": "0" * 64, "device": "cpu", "preprocess": {}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record = write_reconstructions(tmp_path / "sheet.png", pairs, origin)
    assert record["alike"] == same == any("nearly the same" in str(w.message) for w in caught)
