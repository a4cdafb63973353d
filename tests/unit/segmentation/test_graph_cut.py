"""Segmentation: energies against slow sums and all labellings, strokes obeyed, degenerate pictures, components."""

import itertools
from functools import partial

import numpy as np
import pytest
from PIL import Image

from minicnn.errors import ImageError, ShapeError
from minicnn.images.lab import rgb_to_lab
from minicnn.segmentation import colour_model
from minicnn.segmentation.graph_cut import (
    boundary_term,
    bounding_box,
    energy,
    largest_component,
    minimise,
    minimise_each,
    region_term,
    segment,
)
from minicnn.segmentation.max_flow import OFFSETS
from minicnn.segmentation.seeds import draw_samples, resize_seeds

pytest.importorskip("scipy")


def scene(shape=(60, 80)):
    """A striped red disc on a green and grey ground with noise, the disc, and a few seeds of each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    disc = (y - 28) ** 2 + (x - 45) ** 2 < 18**2
    red = np.where((x // 4 % 2)[..., None] == 0, (200, 40, 30), (150, 20, 60))
    ground = np.where((y // 9 % 2)[..., None] == 0, (60, 140, 70), (120, 120, 125))
    picture = np.clip(np.where(disc[..., None], red, ground) + rng.normal(0, 10, (*shape, 3)), 0, 255)
    foreground, background = np.zeros((2, *shape), bool)
    foreground[22:34, 40:50] = background[:4] = background[-4:] = True
    return picture.astype(np.uint8), disc, foreground, background


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def slow_boundary(colours, gamma, variance):
    links = np.zeros((4, *colours.shape[:2]))
    for (y, x), (k, (down, right)) in itertools.product(np.ndindex(colours.shape[:2]), enumerate(OFFSETS)):
        if y + down < colours.shape[0] and 0 <= x + right < colours.shape[1]:
            square = ((colours[y, x] - colours[y + down, x + right]) ** 2).sum()
            links[k, y, x] = gamma * np.exp(-square / (2 * variance)) / np.sqrt(down**2 + right**2)
    return links


def slow_energy(mask, region, links):
    total = sum(region[(int(mask[p]), *p)] for p in np.ndindex(mask.shape))
    for (y, x), (k, (down, right)) in itertools.product(np.ndindex(mask.shape), enumerate(OFFSETS)):
        if y + down < mask.shape[0] and 0 <= x + right < mask.shape[1]:
            total += links[k, y, x] * (mask[y, x] != mask[y + down, x + right])
    return total


@pytest.mark.parametrize("shape", [(5, 6), (1, 7), (7, 1), (1, 1)])
def test_boundary_term_is_its_formula(shape):
    colours = np.random.default_rng(1).uniform(-50, 50, (*shape, 3))
    np.testing.assert_allclose(boundary_term(colours, 30.0, 12.0), slow_boundary(colours, 30.0, 144.0), rtol=1e-12)
    squares = [
        ((colours[p] - colours[q]) ** 2).sum()
        for p, q in itertools.combinations(np.ndindex(shape), 2)
        if max(abs(p[0] - q[0]), abs(p[1] - q[1])) == 1
    ]
    expected = slow_boundary(colours, 30.0, np.mean(squares) if squares else 1)
    np.testing.assert_allclose(boundary_term(colours, 30.0), expected, rtol=1e-12)


def test_region_term_is_its_formula():
    rng = np.random.default_rng(2)
    colours, prior = rng.uniform(0, 100, (4, 5, 3)), rng.random((4, 5))
    models = [colour_model.fit(rng.uniform(0, 100, (40, 3)), 2) for _ in "fb"]
    region = region_term(colours, *models, prior=prior, prior_weight=3.0)
    for label, (model, probability) in enumerate([(models[1], 1 - prior), (models[0], prior)]):
        expected = -model.log_density(colours) - 3 * np.log(probability)
        np.testing.assert_allclose(region[label], expected, rtol=1e-12)
    certain = region_term(colours, *models, prior=np.round(prior))
    assert np.isfinite(certain).all()


def test_energy_is_its_formula():
    rng = np.random.default_rng(3)
    region, links, mask = rng.normal(size=(2, 6, 7)), rng.random((4, 6, 7)), rng.random((6, 7)) < 0.5
    assert energy(mask, region, links) == pytest.approx(slow_energy(mask, region, links), rel=1e-12)


@pytest.mark.parametrize("clamp", [False, True])
def test_least_of_all_labellings(clamp):
    rng = np.random.default_rng(4)
    masks = np.array(list(itertools.product([False, True], repeat=6))).reshape(-1, 2, 3)
    for strength in np.repeat([0.1, 1, 5], 30):
        region, links = rng.normal(size=(2, 2, 3)) * 3, rng.exponential(strength, (4, 2, 3))
        clamped = np.zeros((2, 2, 3), bool)
        clamped[0, 0, rng.integers(3)] = clamped[1, 1, rng.integers(3)] = clamp
        allowed = [m for m in masks if m[clamped[0]].all() and not m[clamped[1]].any()]
        mask = minimise(region, links, clamped)
        assert any((mask == m).all() for m in allowed)
        minimum = min(slow_energy(m, region, links) for m in allowed)
        assert energy(mask, region, links) == pytest.approx(minimum, rel=1e-9)


def test_no_mask_has_less_energy():
    """The cut beats the truth, the seeds, both constants and every change of one pixel or of a small square."""
    picture, disc, foreground, background = scene()
    colours = rgb_to_lab(picture)
    models = [colour_model.fit(colours[side]) for side in (foreground, background)]
    region, links = region_term(colours, *models), boundary_term(colours, 20.0)
    mask = minimise(region, links)
    minimum = energy(mask, region, links)
    others = [disc, foreground, np.zeros_like(disc), np.ones_like(disc)]
    for y, x in itertools.product(range(0, 60, 5), range(0, 80, 5)):
        for size in (1, 6):
            others.append(mask.copy())
            others[-1][y : y + size, x : x + size] ^= True
    tolerance = 1e-9 * abs(minimum)
    assert all(energy(other, region, links) >= minimum - tolerance for other in others)
    assert overlap(mask, disc) > 0.95


@pytest.mark.parametrize(
    "settings", [{}, {"hard": False}, {"colour_space": "rgb"}, {"iterations": 3}, {"gamma": 5}]
)
def test_segment_finds_the_object(settings):
    picture, disc, foreground, background = scene()
    before = picture.copy(), foreground.copy(), background.copy()
    mask = segment(picture, foreground, background, **settings)
    assert mask.dtype == bool and overlap(mask, disc) > 0.95
    np.testing.assert_array_equal(mask, segment(Image.fromarray(picture), foreground, background, **settings))
    for array, same in zip((picture, foreground, background), before, strict=True):
        np.testing.assert_array_equal(array, same)


def test_segment_is_the_sum_of_its_parts():
    picture, _, foreground, background = scene()
    colours = rgb_to_lab(picture)
    # each side is drawn from the same generator in turn
    rng = np.random.default_rng(7)
    drawn = [draw_samples(colours, side, 50, rng) for side in (foreground, background)]
    models = [colour_model.fit(c, weights=w) for c, w in drawn]
    expected = minimise(region_term(colours, *models), boundary_term(colours, 20.0))
    mask = segment(picture, foreground, background, gamma=20.0, hard=False, samples=50, seed=7)
    np.testing.assert_array_equal(mask, expected)


def test_strokes_are_obeyed():
    """Also where colour says otherwise: a stroke of background across the object, one of object on the ground."""
    picture, _, foreground, background = scene()
    background[20, 30:62], foreground[55, 60:70] = ~foreground[20, 30:62], True
    background[-4:, 58:72] = False
    for settings in ({}, {"working_size": 40}, {"iterations": 3}, {"gamma": 1000.0}):
        mask = segment(picture, foreground, background, **settings)
        assert mask[foreground].all() and not mask[background].any()
    soft = segment(picture, foreground, background, hard=False, gamma=20.0)
    assert soft[20, 35:55].any() and not soft[55, 60:70].all()


def test_probabilities_are_prior_and_weight():
    picture, disc, _, _ = scene()
    rng = np.random.default_rng(5)
    probability = np.clip(np.where(disc, 0.7, 0.3) + rng.normal(0, 0.1, disc.shape), 0, 1)
    assert overlap(segment(picture, probability, 1 - probability), disc) > 0.95
    # where colours say nothing, the prior decides
    grey = np.full((*disc.shape, 3), 128, np.uint8)
    with pytest.warns(UserWarning, match="same colour"):
        mask = segment(grey, probability, 1 - probability, gamma=1.0)
    assert overlap(mask, disc) > 0.95


def test_a_prior_moves_the_cut():
    picture, disc, foreground, background = scene()
    assert overlap(segment(picture, foreground, background, prior=disc.astype(float)), disc) > 0.95
    nowhere = segment(picture, foreground, background, prior=np.zeros(disc.shape), prior_weight=1e4)
    np.testing.assert_array_equal(nowhere, foreground)


def test_working_size():
    picture, disc, foreground, background = scene((90, 121))
    mask = segment(picture, foreground, background, working_size=41)
    assert mask.shape == (90, 121) and overlap(mask, disc) > 0.8
    np.testing.assert_array_equal(
        segment(picture, foreground, background, working_size=5000), segment(picture, foreground, background)
    )


def test_thin_strokes_survive_reduction():
    seeds = np.zeros((2, 100, 100), bool)
    seeds[0, 10], seeds[1, :, 90] = True, True
    seeds[0, 10, 90] = False
    small = resize_seeds(seeds, (20, 20))
    assert small[0, 2, :18].all() and small[1, 3:, 18].all() and not (small[0] & small[1]).any()


def test_refitting_lets_few_seeds_do():
    """Four pixels of each make poor models of noisy colours; what they find makes better ones (GrabCut's loop)."""
    disc = scene()[1]
    noise = np.random.default_rng(9).normal(0, 30, (*disc.shape, 3))
    picture = np.clip(np.where(disc[..., None], (150, 110, 100), (110, 115, 140)) + noise, 0, 255).astype(np.uint8)
    foreground, background = np.zeros((2, *disc.shape), bool)
    foreground[26:28, 40:42] = background[2:4, 2:4] = True
    once, often = (segment(picture, foreground, background, gamma=6.0, iterations=i) for i in (1, 8))
    assert overlap(often, disc) > 0.95 and overlap(once, disc) < 0.6


def test_own_model():
    picture, disc, foreground, background = scene()
    single = partial(colour_model.fit, components=1, floor=25.0)
    assert overlap(segment(picture, foreground, background, model=single), disc) > 0.9


def test_each_side_may_have_a_colour_model_of_its_own():
    picture, disc, foreground, background = scene()
    fitted = []

    def fit(name, components):
        def model(colours, weights):
            fitted.append((name, len(colours)))
            return colour_model.fit(colours, components, weights=weights)

        return model

    mask = segment(picture, foreground, background, model=(fit("object", 2), fit("background", 3)))
    assert fitted == [("object", foreground.sum()), ("background", background.sum())]
    assert overlap(mask, disc) > 0.9


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 50), (50, 1)])
def test_narrow_pictures(shape):
    ramp = np.linspace(0, 255, shape[0] * shape[1]).astype(np.uint8).reshape(shape)
    foreground, background = np.zeros((2, *shape), bool)
    foreground.flat[0] = background.flat[-1] = True
    mask = segment(np.repeat(ramp[..., None], 3, axis=2), foreground, background, gamma=0.1)
    assert mask.flat[0] and not mask.flat[-1]
    assert np.abs(np.diff(mask.ravel().astype(int))).sum() == 1


@pytest.mark.parametrize("settings", [{}, {"gamma": 0.0}, {"iterations": 4}, {"working_size": 3}])
def test_a_picture_of_one_colour(settings):
    """Both models are one; of all masks that keep the seeds the smallest is the seeds."""
    foreground, background = np.zeros((2, 9, 12), bool)
    foreground[0, 0] = background[8, 11] = True
    grey = np.full((9, 12, 3), 90, np.uint8)
    with pytest.warns(UserWarning, match="same colour"):
        mask = segment(grey, foreground, background, **settings)
    assert mask[0, 0] and not mask[8, 11]
    with pytest.warns(UserWarning, match="same colour"):
        assert not segment(grey, foreground, background, hard=False, **settings).any()


def test_seeds_of_one_colour():
    """A black and a white half: each model is one colour, and its covariance the floor."""
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[:, 5:] = 255
    foreground, background = np.zeros((2, 10, 10), bool)
    foreground[2, 2:4] = background[7, 7] = True
    mask = segment(picture, foreground, background)
    np.testing.assert_array_equal(mask, picture[..., 0] == 0)


def wrong(**changes):
    picture, _, foreground, background = scene()
    return {"image": picture, "foreground": foreground, "background": background, **changes}


NONE = np.zeros((60, 80), bool)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"foreground": NONE}, "foreground marks no pixel"),
        ({"background": NONE}, "background marks no pixel"),
        ({"background": ~NONE}, "120 pixels are seeds of both"),
        ({"foreground": NONE[:5]}, r"shape \(60, 80\), got \(5, 80\)"),
        ({"foreground": NONE.astype(np.uint8)}, "picture > 0"),
        ({"foreground": NONE + 0.5}, "both bool"),
        ({"foreground": NONE + 1.5, "background": NONE + 0.5}, "foreground between 0 and 1"),
        ({"foreground": NONE * np.nan, "background": NONE + 0.5}, "foreground between 0 and 1"),
        ({"prior": NONE + 2.0}, "prior between 0 and 1"),
        ({"prior": NONE[:5] + 0.5}, "prior of the image's shape"),
        ({"prior_weight": -1.0}, "prior_weight"),
        ({"gamma": -1.0}, "gamma >= 0"),
        ({"gamma": np.nan}, "gamma >= 0"),
        ({"sigma": 0.0}, "sigma > 0"),
        ({"iterations": 0}, "at least 1"),
        ({"samples": 0}, "at least 1"),
        ({"working_size": 0}, "at least 1"),
        ({"colour_space": "hsv"}, "unknown colour space 'hsv'"),
        ({"solver": "simplex"}, "unknown solver 'simplex'"),
    ],
)
def test_wrong_arguments(changes, message):
    with pytest.raises(ShapeError, match=message):
        segment(**wrong(**changes))


def test_wrong_picture():
    with pytest.raises(ImageError):
        segment(**wrong(image=np.zeros((60, 80, 3))))


def test_largest_component_is_scipy_s():
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(8)
    for _ in range(300):
        mask = rng.random(rng.integers(1, 14, 2)) < rng.choice([0.1, 0.3, 0.5, 0.8])
        label, count = ndimage.label(mask, np.ones((3, 3)))
        expected = label == np.bincount(label[mask]).argmax() if count else mask
        np.testing.assert_array_equal(largest_component(mask), expected)  # of equal ones the first, both


def test_largest_component_of_a_spiral_and_a_comb():
    comb = np.zeros((40, 81), bool)
    comb[:, ::2] = comb[-1] = True
    np.testing.assert_array_equal(largest_component(comb), comb)
    diagonal = np.eye(50, dtype=bool)
    np.testing.assert_array_equal(largest_component(diagonal), diagonal)
    assert not largest_component(np.zeros((3, 4), bool)).any()


def test_bounding_box():
    mask = np.zeros((20, 30), bool)
    mask[4, 7] = mask[9, 3] = True
    assert bounding_box(mask) == (3, 4, 8, 10)
    assert bounding_box(~mask) == (0, 0, 30, 20)
    with pytest.raises(ShapeError, match="the mask is empty"):
        bounding_box(np.zeros((3, 3), bool))
    with pytest.raises(ShapeError, match="dtype bool"):
        largest_component(np.zeros((3, 3)))


def test_several_cuts_at_once_are_those_one_by_one():
    rng = np.random.default_rng(5)
    energies = [(rng.random((2, 30, 40)), rng.random((4, 30, 40))) for _ in range(12)]
    for (region, links), mask in zip(energies, minimise_each(energies), strict=True):
        np.testing.assert_array_equal(mask, minimise(region, links))
        np.testing.assert_array_equal(mask, minimise(region, links, solver="numpy"))
