"""Localisation: from a map to seeds, a mask and a box; degenerate input is said, never NaN."""

import json

import numpy as np
import pytest

import minicnn
from minicnn import catalogue, provenance
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.explain import localise, saliency
from minicnn.explain.localise import Settings, mask_of, seeds_of
from minicnn.explain.smoothing import gaussian_blur

IMAGES = catalogue.folder("images")
PLAIN = Settings(smoothing=0.0)


def scene():
    """A red disc on a green and grey ground, and a map that marks the middle of the disc alone."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :120]
    disc = (y - 40) ** 2 + (x - 70) ** 2 < 24**2
    colours = np.where(disc[..., None], (200, 40, 30), (60, 140, 70)) + rng.normal(0, 8, (90, 120, 3))
    marked = np.exp(-((y - 40) ** 2 + (x - 66) ** 2) / 60) + 0.01 * rng.random((90, 120))
    return np.clip(colours, 0, 255).astype(np.uint8), disc, marked.astype(np.float32)


def test_colour_carries_the_mark_to_the_whole_object():
    picture, disc, marked = scene()
    mask = mask_of(picture, marked)
    assert (mask & disc).sum() / (mask | disc).sum() > 0.95
    assert (marked > np.quantile(marked, 0.95)).sum() < 0.5 * disc.sum()


def test_seeds_lie_beyond_their_quantiles():
    values = np.random.default_rng(0).permutation(2000).reshape(40, 50).astype(np.float32)
    foreground, background = seeds_of(values, PLAIN)
    assert foreground.sum() == 100 and background.sum() == 600
    assert values[foreground].min() > values[~foreground].max()
    assert values[background].max() < values[~background].min()


def test_seeds_of_a_map_that_is_mostly_zero_do_not_overlap():
    values = np.zeros((20, 20), np.float32)
    values[3, 4] = 1
    foreground, background = seeds_of(values, PLAIN)
    assert foreground.sum() == 1 and background.sum() == 399 and not (foreground & background).any()


@pytest.mark.parametrize("values", [np.zeros((9, 9)), np.full((9, 9), 2.5), np.full((9, 9), np.nan)])
def test_a_map_that_marks_nothing_is_said(values):
    with pytest.raises(MinicnnError, match="constant"):
        seeds_of(values.astype(np.float32), Settings())


def test_quantiles_must_separate():
    with pytest.raises(MinicnnError, match=r"0\.9 and 0\.5"):
        Settings(foreground=0.5, background=0.9)


@pytest.mark.filterwarnings("ignore:segment. all pixels", "ignore:the cut found no object")
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 2), (30, 30)])
def test_degenerate_pictures_give_a_mask(shape):
    marked = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    mask = mask_of(np.full((*shape, 3), 77, np.uint8), marked, PLAIN)
    assert mask.shape == shape and mask.dtype == bool and mask.any()


def test_blur_is_a_gaussian_s():
    point = np.zeros((41, 41))
    point[20, 20] = 1
    y, x = np.mgrid[-20:21, -20:21]
    expected = np.exp(-(x**2 + y**2) / (2 * 3.0**2)) / (2 * np.pi * 3.0**2)
    # cut at three sigma, which leaves 0.3 % out
    np.testing.assert_allclose(gaussian_blur(point, 3.0), expected, atol=0.01 * expected.max())
    np.testing.assert_allclose(gaussian_blur(np.ones((5, 7)), 2.0), 1)


@pytest.mark.filterwarnings("ignore:the cut found no object")
def test_localise_finds_a_digit_and_agrees_with_its_parts():
    net = minicnn.load("digits")
    first, second = localise(net, IMAGES / "seven.png", targets=2)
    assert (first.label, first.target) == ("7", 7) and first.score > second.score
    found = saliency(net, IMAGES / "seven.png", target=second.target)
    np.testing.assert_array_equal(second.saliency.map, found.map)
    np.testing.assert_array_equal(second.mask, mask_of(IMAGES / "seven.png", found.map))
    rows, columns = np.nonzero(first.mask)
    assert first.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    (named,) = localise(net, IMAGES / "seven.png", targets=["7"])
    np.testing.assert_array_equal(named.mask, first.mask)


@pytest.mark.parametrize(("targets", "message"), [(0, "1 to 10"), (11, "1 to 10"), (["x"], "no class 'x'")])
def test_wrong_targets(targets, message):
    with pytest.raises(MinicnnError, match=message):
        localise(minicnn.load("digits"), IMAGES / "seven.png", targets=targets)


@pytest.mark.filterwarnings("ignore:the cut found no object")
def test_the_command_writes_a_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["localise", str(IMAGES / "seven.png"), "--net", "digits", "--top", "2", "--gamma", "50", "--json"]
    assert main(words) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert [d["figure"] for d in record["detections"]] == ["seven.localisation.png", "seven.localisation.2.png"]
    for detection in record["detections"]:
        kept = provenance.read(detection["figure"])
        assert kept["result"]["box"] == detection["box"] and kept["settings"]["settings"]["gamma"] == 50
        assert kept["settings"]["method"] == "paper"
