"""Saliency maps against an independent computation in torch."""

import functools

import numpy as np
import pytest
import torch
from PIL import Image

import minicnn
from minicnn.errors import MinicnnError
from minicnn.explain import saliency
from minicnn.io import catalogue
from tests.helpers.torch_lite0 import digits, load_weights
from tests.helpers.torch_maps import TOLERANCE, build_case, torch_map

IMAGES = catalogue.folder("images")


@pytest.fixture(scope="module")
def lite0():
    return minicnn.load("efficientnet-lite0")


@functools.lru_cache(maxsize=1)
def expected(case, crops):
    net, torch_net, path, target = build_case(case)
    return net, torch_map(net.preprocess, torch_net, path, target, crops), path, target


MAPS = [("digits", crops, device) for crops in ("one", "ten") for device in ("reference", "cpu")]
MAPS += [("lite0", "one", "reference"), ("lite0", "one", "cpu"), ("lite0", "ten", "cpu")]
MAPS += [("vgg16", "one", "reference"), ("vgg16", "one", "cpu")]


# the others take minutes in float64: tests/torch_maps.py, run as a program, shows them all
@pytest.mark.parametrize(("case", "crops", "device"), MAPS)
def test_map_equals_an_independent_computation(case, crops, device):
    if device == "cpu":
        pytest.importorskip("numba")
    net, truth, path, target = expected(case, crops)
    explained = saliency(net.to(device), path, target=target, crops=crops)
    assert explained.map.shape == truth.shape and explained.map.dtype == np.float32 and explained.target == target
    np.testing.assert_allclose(explained.map, truth, rtol=0, atol=TOLERANCE * truth.max())
    assert explained.gradient.shape == ((10 if crops == "ten" else 1), *net.input_shape)


def test_grey_image_is_the_absolute_gradient():
    net = minicnn.load("digits")
    picture = np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8)
    explained = saliency(net, picture, target=3, crops="one")
    x = torch.from_numpy(net.preprocess(picture)).requires_grad_()
    (dx,) = torch.autograd.grad(load_weights(digits(), net)(x)[0, 3], x)
    np.testing.assert_allclose(explained.map, dx[0, 0].abs().numpy(), rtol=0, atol=1e-5 * dx.abs().max().item())


def test_target_defaults_to_the_top_class_and_scores_are_means(lite0):
    explained = saliency(lite0, IMAGES / "rocket.jpg")
    x, _ = lite0.preprocess.batch(IMAGES / "rocket.jpg", "ten")
    scores = lite0(x)
    assert explained.target == scores.mean(axis=0).argmax() and explained.label == lite0.labels[explained.target]
    assert explained.score == pytest.approx(scores[:, explained.target].mean(), rel=1e-5)


def test_digits_are_never_mirrored():
    explained = saliency(minicnn.load("digits"), IMAGES / "seven.png")
    assert explained.label == "7" and explained.probability > 0.99 and len(explained.views) == 1


def test_whole_view_covers_a_long_picture(lite0):
    picture = np.asarray(Image.open(IMAGES / "coffee.png").convert("RGB"))[150:250]
    one = saliency(lite0, picture, target=967, crops="one").map
    whole = saliency(lite0, picture, target=967, crops="whole").map
    assert one.shape == whole.shape == (100, 600)
    assert (one[:, :100] == 0).all() and (whole > 0).mean() > 0.99


def test_rules_and_probability_give_other_maps(lite0):
    maps = [
        saliency(lite0, IMAGES / "coffee.png", 967, "one", rule).map
        for rule in ("gradient", "guided", "deconvnet")
    ]
    maps.append(saliency(lite0, IMAGES / "coffee.png", 967, "one", of="probability").map)
    for i, a in enumerate(maps):
        for b in maps[:i]:
            assert np.abs(a / a.max() - b / b.max()).max() > 0.05


@pytest.mark.parametrize(
    ("target", "message"),
    [("expresso", "did you mean 'espresso'"), (1000, "0 to 999"), ("-3", "0 to 999"), ("qqqqqq", "known are")],
)
def test_unknown_classes_are_named(lite0, target, message):
    with pytest.raises(MinicnnError, match=message):
        saliency(lite0, IMAGES / "coffee.png", target, crops="one")


def test_a_net_without_preprocessing_says_so():
    net = minicnn.Network([minicnn.layers.Flatten(), minicnn.layers.Linear(12, 2)], input_shape=(3, 2, 2))
    with pytest.raises(MinicnnError, match="preprocess"):
        saliency(net, IMAGES / "coffee.png")
    net.preprocess = minicnn.Preprocess(size=(2, 2))
    assert saliency(net, IMAGES / "coffee.png").label is None
