"""Saliency maps against an independent computation in torch."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch_lite0 import Lite0, digits, with_weights_of

import minicnn
from minicnn import catalogue
from minicnn.errors import MinicnnError
from minicnn.explain import saliency

IMAGES = catalogue.folder("images")


def resized(path, short):
    picture = Image.open(path).convert("RGB")
    w, h = picture.size
    size = (short, int(short * h / w)) if w < h else (int(short * w / h), short)
    return picture, picture.resize(size, Image.Resampling.BICUBIC)


def torch_map(net, twin, path, target, crops):
    """The paper's map, step by step: crop, flip, gradient, largest absolute value, flip back, put back, mean."""
    picture, small = resized(path, 256)
    pixels = (torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).double() - 127) / 128
    _, height, width = pixels.shape
    bottom, right = height - 224, width - 224
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]
    total, seen = np.zeros((height, width)), np.zeros((height, width))
    for top, left in corners if crops == "ten" else corners[-1:]:
        for flip in (False, True) if crops == "ten" else (False,):
            crop = pixels[:, top : top + 224, left : left + 224]
            x = (crop.flip(2) if flip else crop)[None].requires_grad_()
            (dx,) = torch.autograd.grad(twin(x)[0, target], x)
            grid = dx[0].abs().amax(0)
            total[top : top + 224, left : left + 224] += (grid.flip(1) if flip else grid).numpy()
            seen[top : top + 224, left : left + 224] += 1
    mean = np.divide(total, seen, out=np.zeros_like(total), where=seen > 0).astype(np.float32)
    back = Image.fromarray(mean).resize(picture.size, Image.Resampling.BILINEAR)
    cover = Image.fromarray((seen > 0).astype(np.float32)).resize(picture.size, Image.Resampling.BILINEAR)
    back, cover = np.asarray(back), np.asarray(cover)
    return np.where(cover >= 0.5, back / np.maximum(cover, 0.5), 0)


@pytest.fixture(scope="module")
def lite0():
    return minicnn.load("efficientnet-lite0")


@pytest.mark.parametrize("crops", ["one", "ten"])
def test_map_equals_an_independent_computation(crops):
    net = minicnn.load("efficientnet-lite0")
    net.load_state_dict({k: v.astype(np.float64) for k, v in net.state_dict().items()})
    twin = with_weights_of(Lite0().double(), net)
    found = saliency(net, IMAGES / "coffee.png", target="espresso", crops=crops)
    expected = torch_map(net, twin, IMAGES / "coffee.png", 967, crops)
    assert found.map.shape == (400, 600) and found.map.dtype == np.float32 and found.target == 967
    # in float64, since a rectifier at its kink may flip between two float32 nets; the map itself is float32
    np.testing.assert_allclose(found.map, expected, rtol=0, atol=1e-5 * expected.max())
    assert found.gradient.shape == ((10 if crops == "ten" else 1), 3, 224, 224)


def test_grey_image_is_the_absolute_gradient():
    net = minicnn.load("digits")
    picture = np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8)
    found = saliency(net, picture, target=3, crops="one")
    x = torch.from_numpy(net.preprocess(picture)).requires_grad_()
    (dx,) = torch.autograd.grad(with_weights_of(digits(), net)(x)[0, 3], x)
    np.testing.assert_allclose(found.map, dx[0, 0].abs().numpy(), rtol=0, atol=1e-5 * dx.abs().max().item())


def test_target_defaults_to_the_top_class_and_scores_are_means(lite0):
    found = saliency(lite0, IMAGES / "rocket.jpg")
    x, _ = lite0.preprocess.batch(IMAGES / "rocket.jpg", "ten")
    scores = lite0(x)
    assert found.target == scores.mean(axis=0).argmax() and found.label == lite0.labels[found.target]
    assert found.score == pytest.approx(scores[:, found.target].mean(), rel=1e-5)


def test_digits_are_never_mirrored():
    found = saliency(minicnn.load("digits"), IMAGES / "seven.png")
    assert found.label == "7" and found.probability > 0.99 and len(found.views) == 1


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
