"""Localisation: from a map to seeds, a mask and a box; degenerate input is said, never NaN."""

import json
from dataclasses import replace

import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.explain import localise, saliency
from minicnn.explain.localise import (
    LOCALISATION_METHODS,
    MaskSettings,
    object_mask,
    object_probability,
    saliency_seeds,
)
from minicnn.explain.smooth_gradient import smooth_gradient
from minicnn.figures import provenance
from minicnn.figures.localisation import write_detection
from minicnn.images import load_image
from minicnn.images.gaussian_blur import gaussian_blur
from minicnn.io import catalogue
from minicnn.io.digest import digest_network

IMAGES = catalogue.folder("images")
PLAIN = MaskSettings(smoothing=0.0, foreground_smoothing=0.0)


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
    mask = object_mask(picture, marked)
    assert (mask & disc).sum() / (mask | disc).sum() > 0.95
    assert (marked > np.quantile(marked, 0.95)).sum() < 0.5 * disc.sum()


def test_seeds_lie_beyond_their_quantiles():
    values = np.random.default_rng(0).permutation(2000).reshape(40, 50).astype(np.float32)
    foreground, background = saliency_seeds(values, PLAIN)
    assert foreground.sum() == 100 and background.sum() == 600
    assert values[foreground].min() > values[~foreground].max()
    assert values[background].max() < values[~background].min()


def test_each_side_s_seeds_are_of_its_own_smoothing():
    values = np.random.default_rng(0).random((60, 80)).astype(np.float32)
    foreground, background = saliency_seeds(values, MaskSettings(smoothing=0.1, foreground_smoothing=0.02))
    fine, coarse = gaussian_blur(values, 0.02 * 80), gaussian_blur(values, 0.1 * 80)
    np.testing.assert_array_equal(foreground, fine > np.quantile(fine, 0.95))
    np.testing.assert_array_equal(background, (coarse < np.quantile(coarse, 0.30)) & ~foreground)


def test_seeds_of_a_map_that_is_mostly_zero_do_not_overlap():
    values = np.zeros((20, 20), np.float32)
    values[3, 4] = 1
    foreground, background = saliency_seeds(values, PLAIN)
    assert foreground.sum() == 1 and background.sum() == 399 and not (foreground & background).any()


@pytest.mark.parametrize("values", [np.zeros((9, 9)), np.full((9, 9), 2.5), np.full((9, 9), np.nan)])
def test_a_map_that_marks_nothing_is_said(values):
    with pytest.raises(MinicnnError, match="constant"):
        saliency_seeds(values.astype(np.float32), MaskSettings())


def test_quantiles_must_separate():
    with pytest.raises(MinicnnError, match=r"0\.9 and 0\.5"):
        MaskSettings(foreground=0.5, background=0.9)


@pytest.mark.filterwarnings("ignore:segment. all pixels", "ignore:the cut found no object")
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 2), (30, 30)])
def test_degenerate_pictures_give_a_mask(shape):
    marked = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    mask = object_mask(np.full((*shape, 3), 77, np.uint8), marked, PLAIN)
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
    first, second = localise(net, IMAGES / "seven.png", targets=2, method="paper")
    assert (first.label, first.target) == ("7", 7) and first.score > second.score
    explained = saliency(net, IMAGES / "seven.png", target=second.target)
    np.testing.assert_array_equal(second.saliency.map, explained.map)
    np.testing.assert_array_equal(second.mask, object_mask(IMAGES / "seven.png", explained.map))
    rows, columns = np.nonzero(first.mask)
    assert first.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    (named,) = localise(net, IMAGES / "seven.png", targets=["7"], method="paper")
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


def test_methods_have_names_and_their_parts_can_be_replaced():
    net = minicnn.load("digits")
    (smooth,) = localise(net, IMAGES / "seven.png", 1, method="smooth")
    assert (smooth.method, smooth.target, smooth.saliency.crops) == ("smooth", 7, "pair") and smooth.mask.any()
    (again,) = localise(net, IMAGES / "seven.png", 1, method="smooth")
    np.testing.assert_array_equal(smooth.saliency.map, again.saliency.map)
    (one,) = localise(net, IMAGES / "seven.png", 1, crops="one", method="paper")
    assert (one.method, one.saliency.crops) == ("paper", "one")
    with pytest.raises(MinicnnError, match="expected one of consensus, paper, smooth, got 'best'"):
        localise(net, IMAGES / "seven.png", method="best")


def test_smooth_gradient_without_noise_is_the_gradient():
    net = minicnn.load("digits")
    x, _ = net.preprocess.batch(IMAGES / "seven.png", "one")
    plain = net.input_gradient(x, 7)
    tight = {"rtol": 1e-5, "atol": 1e-6 * np.abs(plain).max()}  # float32, a mean of equal values
    np.testing.assert_allclose(smooth_gradient(net, x, 7, samples=3, noise=0), plain, **tight)
    squared = smooth_gradient(net, x, 7, samples=3, noise=0, squared=True)
    np.testing.assert_allclose(squared, np.abs(plain), **tight)


def test_smooth_gradient_is_the_mean_over_the_noise_that_its_seed_says():
    net = minicnn.load("digits")
    x, _ = net.preprocess.batch(IMAGES / "seven.png", "one")
    rng, sigma = np.random.default_rng((5, 0)), 0.2 * (x.max() - x.min())
    noisy = [x + sigma * rng.standard_normal(x.shape[1:], np.float32) for _ in range(4)]
    expected = np.mean([net.input_gradient(one, 7) for one in noisy], axis=0)
    gradient = smooth_gradient(net, x, 7, samples=4, noise=0.2, seed=5)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())  # float32 sums
    assert gradient.dtype == x.dtype and not np.array_equal(
        gradient, smooth_gradient(net, x, 7, samples=4, noise=0.2)
    )
    for wrong in ({"samples": 0}, {"noise": -1}, {"noise": np.nan}):
        with pytest.raises(MinicnnError, match="samples >= 1"):
            smooth_gradient(net, x, 7, **wrong)


def test_a_prior_s_chance_is_even_at_its_quantile_and_grows_with_the_map():
    picture, disc, marked = scene()
    values, third = np.array([[3.0, 1.0], [2.0, 0.0], [6.0, 4.0]]), {"smoothing": 0.0, "prior_quantile": 0.6}
    chance = object_probability(values, MaskSettings(prior_steepness=2.0, **third))  # the quantile is 3
    np.testing.assert_allclose(chance, [[1 / 2, 1 / 10], [4 / 13, 0], [36 / 45, 16 / 25]], atol=1e-12)
    assert np.isfinite(object_probability(np.zeros((2, 3)), MaskSettings())).all()
    sure = object_probability(np.array([[0.0, 0.0, 5.0]]), MaskSettings(smoothing=0.0, prior_quantile=0.5))
    assert sure[0, 0] == 0.5 and sure[0, 2] == 1
    mask = object_mask(picture, marked, MaskSettings(prior_weight=1.0))
    assert (mask & disc).sum() / (mask | disc).sum() > 0.9
    with pytest.raises(MinicnnError, match="prior_steepness"):
        MaskSettings(prior_steepness=0.0)


def test_a_strong_prior_outweighs_the_colours():
    picture, disc, marked = scene()
    alike = np.full_like(picture, 128) + (picture % 2)  # the colours say nothing
    high = marked > np.quantile(marked, 0.9)
    mask = object_mask(alike, marked, MaskSettings(smoothing=0.0, gamma=1.0, prior_weight=20.0))
    assert (mask & high).sum() / (mask | high).sum() > 0.5 and disc[mask].mean() > 0.8


def test_the_prior_of_smooth_keeps_what_only_shares_the_object_s_colour_out():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :160]
    disc = (y - 45) ** 2 + (x - 50) ** 2 < 22**2
    beam = (x >= 72) & (x < 130) & (abs(y - 45) <= 10)  # touches the disc
    colours = np.where((disc | beam)[..., None], (200, 40, 30), (60, 140, 70)) + rng.normal(0, 8, (90, 160, 3))
    picture = np.clip(colours, 0, 255).astype(np.uint8)
    marked = np.exp(-((y - 45) ** 2 + (x - 50) ** 2) / 600) + 0.01 * rng.random((90, 160))
    smooth = LOCALISATION_METHODS["smooth"].settings
    kept = object_mask(picture, marked, smooth)
    leaked = object_mask(picture, marked, replace(smooth, prior_weight=0.0))
    assert (kept & disc).sum() / (kept | disc).sum() > 0.95
    assert leaked[beam].mean() > 0.95


def test_a_gradient_that_vanishes_is_said():
    net = minicnn.load("digits")
    dead = {name: np.zeros_like(array) for name, array in net.state_dict().items()}
    net.load_state_dict(dead)
    for method in ("paper", "smooth"):
        with pytest.raises(MinicnnError, match="gradient vanish"):
            localise(net, IMAGES / "seven.png", [7], method=method)


def test_a_large_picture_is_cut_smaller_and_the_box_is_in_its_own_pixels(tmp_path):
    seven = load_image(IMAGES / "seven.png")
    large = seven.resize((1400, 1400))
    net = minicnn.load("digits").to("reference")
    (small_answer,), (answer,) = (localise(net, p, [7], method="paper") for p in (seven, large))
    assert answer.mask.shape == answer.saliency.map.shape == (1400, 1400)
    np.testing.assert_allclose(answer.box, 5 * np.array(small_answer.box), atol=40)
    record = write_detection(tmp_path / "a.png", large, answer, digest_network(net, "digits"), MaskSettings())
    assert record["box"] == list(answer.box)
    assert provenance.read(tmp_path / "a.png")["arrays"]["mask"]["shape"] == [1024, 1024]
