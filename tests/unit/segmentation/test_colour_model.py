"""Colours and their models: L*a*b* against scikit-image, mixtures against SciPy's normal density and the truth."""

import numpy as np
import pytest

from minicnn.errors import ShapeError
from minicnn.images.lab import rgb_to_lab
from minicnn.segmentation.colour_model import GaussianMixture, fit

MEANS = np.array([[20.0, 0, 0], [60, 40, -30], [80, -40, 50]])
WEIGHTS = np.array([0.5, 0.3, 0.2])


def covariance(rng, scale=5.0):
    a = rng.normal(size=(3, 3))
    return scale**2 * (a @ a.T / 3 + 0.2 * np.eye(3))


def mixture(rng):
    return GaussianMixture(WEIGHTS, MEANS, np.stack([covariance(rng) for _ in MEANS]))


def samples(rng, model, count):
    component = rng.choice(len(model.weights), count, p=model.weights)
    return np.stack([rng.multivariate_normal(model.means[k], model.covariances[k]) for k in component])


def test_density_is_scipy_s():
    stats = pytest.importorskip("scipy.stats")
    from scipy.special import logsumexp

    rng = np.random.default_rng(0)
    model = mixture(rng)
    colours = rng.uniform(-100, 100, (7, 11, 3))
    parts = [
        np.log(w) + stats.multivariate_normal(m, c).logpdf(colours)
        for w, m, c in zip(model.weights, model.means, model.covariances, strict=True)
    ]
    assert model.log_density(colours).shape == (7, 11)
    np.testing.assert_allclose(model.log_density(colours), logsumexp(parts, axis=0), rtol=1e-10)


@pytest.mark.parametrize("floor", [1e-6, 1.0, 400.0])
@pytest.mark.parametrize("seed", range(5))
def test_likelihood_never_falls(floor, seed):
    """Also under a floor that holds every covariance up: raising eigenvalues is the exact constrained maximum."""
    rng = np.random.default_rng(seed)
    colours = np.concatenate([rng.normal(0, 30, (80, 3)), rng.uniform(-50, 50, (60, 3)), np.full((20, 3), 7.0)])
    model = fit(colours, 6, weights=rng.random(160), seed=seed, iterations=60, floor=floor)
    history = np.array(model.log_likelihoods)
    assert len(history) == 61 and history[-1] > history[0]
    # rounding of a mean of 160 terms of size up to |history|
    assert np.diff(history).min() >= -1e-12 * np.abs(history).max()
    values = np.linalg.eigvalsh(model.covariances)
    assert values.min() >= floor - 1e-12 * values.max()


def test_history_is_the_mean_log_density():
    rng = np.random.default_rng(1)
    colours, weights = rng.normal(0, 20, (50, 3)), rng.random(50)
    model = fit(colours, 3, weights=weights)
    expected = np.average(model.log_density(colours), weights=weights)
    assert model.log_likelihoods[-1] == pytest.approx(expected, rel=1e-12)


def test_known_mixture_is_recovered():
    rng = np.random.default_rng(2)
    truth = mixture(rng)
    estimate = fit(samples(rng, truth, 6000), 3, iterations=50)
    order = np.argsort(estimate.means[:, 0])
    # five standard errors: of a share sqrt(.25 / 6000), of a mean at most 9 / sqrt(1200), of a variance 4 %
    np.testing.assert_allclose(estimate.weights[order], truth.weights, atol=0.033)
    np.testing.assert_allclose(estimate.means[order], truth.means, atol=1.3)
    size = np.abs(truth.covariances).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(estimate.covariances[order] / size, truth.covariances / size, atol=0.2)


def test_every_start_finds_separate_clusters():
    rng = np.random.default_rng(3)
    colours = np.concatenate([rng.normal(m, 1, (n, 3)) for m, n in zip(MEANS, (900, 90, 9), strict=True)])
    for seed in range(20):
        estimate = fit(colours, 3, seed=seed)
        np.testing.assert_allclose(np.sort(estimate.weights), [9 / 999, 90 / 999, 900 / 999], rtol=1e-6)


def test_a_weight_counts_like_repetition():
    rng = np.random.default_rng(4)
    colours, counts = rng.normal(0, 20, (40, 3)), rng.integers(0, 4, 40)
    weighted, repeated = fit(colours, 3, weights=counts), fit(np.repeat(colours, counts, axis=0), 3)
    np.testing.assert_allclose(weighted.means, repeated.means, rtol=1e-8)
    np.testing.assert_allclose(weighted.covariances, repeated.covariances, rtol=1e-6, atol=1e-8)


def test_one_colour_gives_one_component():
    model = fit(np.full((100, 3), 31.0), 5)
    np.testing.assert_allclose(model.means, [[31, 31, 31]], rtol=1e-13)
    np.testing.assert_allclose(model.covariances, [np.eye(3)], atol=1e-15)
    assert model.log_density([31.0, 31, 31]) == pytest.approx(-1.5 * np.log(2 * np.pi))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_fewer_samples_than_components(count):
    colours = np.arange(3.0 * count).reshape(count, 3) * 10
    model = fit(colours, 5)
    assert len(model.weights) == count
    assert np.isfinite(model.log_density(colours)).all() and np.isfinite(model.log_likelihoods).all()


def test_far_colours_stay_finite():
    model = fit(np.random.default_rng(5).normal(0, 1, (50, 3)), 2)
    assert np.isfinite(model.log_density(np.array([[1e6, -1e6, 1e6], [0, 0, 0]]))).all()


def test_seed_decides():
    colours = np.random.default_rng(6).uniform(-50, 50, (300, 3))
    first, repeated, other = fit(colours, seed=1), fit(colours, seed=1), fit(colours, seed=2)
    np.testing.assert_array_equal(first.means, repeated.means)
    assert not np.array_equal(first.means, other.means)


@pytest.mark.parametrize(
    ("colours", "settings", "message"),
    [
        (np.zeros((0, 3)), {}, "M >= 1"),
        (np.zeros((5, 4)), {}, r"shape \(M, 3\)"),
        (np.full((5, 3), np.nan), {}, "NaN"),
        (np.zeros((5, 3)), {"weights": np.zeros(5)}, "not all zero"),
        (np.zeros((5, 3)), {"weights": -np.ones(5)}, ">= 0"),
        (np.zeros((5, 3)), {"weights": np.ones(4)}, "5 finite weights"),
        (np.zeros((5, 3)), {"weights": np.full(5, np.nan)}, "finite"),
        (np.zeros((5, 3)), {"components": 0}, "components >= 1"),
        (np.zeros((5, 3)), {"floor": 0.0}, "floor > 0"),
        (np.zeros((5, 3)), {"iterations": -1}, "iterations >= 0"),
    ],
)
def test_wrong_samples_and_settings(colours, settings, message):
    with pytest.raises(ShapeError, match=message):
        fit(colours, **settings)


def test_lab_is_scikit_image_s():
    """Up to 0.02: its matrix and white are rounded to six and five digits; a just noticeable difference is 2."""
    color = pytest.importorskip("skimage.color")
    levels = np.array([0, 1, 5, 10, 11, 60, 128, 200, 255], np.uint8)
    image = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    np.testing.assert_allclose(rgb_to_lab(image), color.rgb2lab(image), atol=0.02)


def test_lab_of_greys_and_primaries():
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    lab = rgb_to_lab(grey)
    np.testing.assert_allclose(lab[:, 1:], 0, atol=1e-10)
    np.testing.assert_allclose(lab[[0, 255], 0], [0, 100], atol=1e-10)
    assert (np.diff(lab[:, 0]) > 0).all()
    # published values of sRGB's red, green and blue
    expected = [[53.24, 80.09, 67.20], [87.74, -86.18, 83.18], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(rgb_to_lab(np.eye(3, dtype=np.uint8) * 255), expected, atol=0.02)


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.uint8(3)])
def test_lab_of_what_is_no_picture(image):
    with pytest.raises(ShapeError, match="uint8 of shape"):
        rgb_to_lab(image)
