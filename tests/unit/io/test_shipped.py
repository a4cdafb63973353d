"""The shipped networks on the shipped images, beside torch running the same weights."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

import minicnn
from minicnn.explain import predict
from minicnn.io import catalogue
from minicnn.layers import sequence
from minicnn.network import Tape
from tests.helpers.torch_lite0 import Lite0, digits, load_weights

IMAGES = catalogue.folder("images")
PHOTOGRAPHS = ["chelsea.png", "coffee.png", "rocket.jpg"]
# what `minicnn predict` answered when the weights were converted; see weights/README.md
EXPECTED = {
    "chelsea.png": [("tiger cat", 0.3944), ("Egyptian cat", 0.3556), ("tabby", 0.1695)],
    "coffee.png": [("espresso", 0.9511), ("cup", 0.0150), ("consomme", 0.0077)],
    "rocket.jpg": [("missile", 0.2723), ("projectile", 0.1886), ("drilling platform", 0.1044)],
}


@pytest.fixture(scope="module")
def lite0():
    return minicnn.load("efficientnet-lite0")


@pytest.fixture(scope="module")
def torch_lite0(lite0):
    return load_weights(Lite0(), lite0)


def torch_input(path):
    """The input made by Pillow and torch alone: (v - 127) / 128, short side 256, centre 224."""
    picture = Image.open(path).convert("RGB")
    width, height = picture.size
    short = min(width, height)
    size = (256 if width == short else 256 * width // short, 256 if height == short else 256 * height // short)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    pixels = torch.from_numpy(np.asarray(picture.crop((left, top, left + 224, top + 224))).copy())
    return ((pixels.permute(2, 0, 1)[None].double() - 127) / 128).float()


@pytest.mark.parametrize("name", ["digits", "efficientnet-lite0"])
def test_catalogue_s_checksums(name):
    data = catalogue.find_weights(name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == catalogue.read_entries()[name]["sha256"]


@pytest.mark.parametrize("file", PHOTOGRAPHS)
def test_scores_and_input_gradients_equal_torch(lite0, torch_lite0, file):
    x = lite0.preprocess(IMAGES / file)
    y = torch_input(IMAGES / file).requires_grad_()
    np.testing.assert_allclose(x, y.detach().numpy(), rtol=0, atol=1e-6)
    scores = torch_lite0(y)
    ours, expected = lite0(x), scores.detach().numpy()
    # float32 through fifty convolutions: measured 2e-6 of the largest score
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    target = int(scores.argmax())
    (dx,) = torch.autograd.grad(scores[0, target], y)
    error = np.abs(lite0.input_gradient(x, target) - dx.numpy()).max() / dx.abs().max().item()
    assert error < (1e-3 if rectifiers_that_flip(lite0, x) == 0 else 5e-2)


def rectifiers_that_flip(net, x):
    """How many rectifiers are on in float32 and off in float64, or the other way round."""
    _, single = net.trace(x)
    _, double = net.trace(x.astype(np.float64))
    return sum((a != b).sum() for a, b in zip(masks(single.saved), masks(double.saved), strict=True))


def masks(saved):
    for kept in saved:
        if isinstance(kept, list | tuple):
            yield from masks(kept)
        elif isinstance(kept, np.ndarray) and kept.dtype == bool:
            yield kept


@pytest.mark.parametrize("file", PHOTOGRAPHS)
def test_float32_gradients_err_by_rounding_and_flipped_rectifiers_only(lite0, file):
    """With the masks of the float32 pass, a backward pass in float64 gives the float32 gradient to rounding."""
    x = lite0.preprocess(IMAGES / file)
    scores, tape = lite0.trace(x)
    dy = lite0.cotangent(scores, int(scores.argmax()))
    in_double = Tape(sequence.astype(tape.layers, np.float64), tape.saved)
    expected = lite0.backward(in_double, dy.astype(np.float64))
    np.testing.assert_allclose(lite0.backward(tape, dy), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_float64_equals_torch_to_rounding(lite0, torch_lite0):
    x = lite0.preprocess(IMAGES / "coffee.png").astype(np.float64)
    y = torch.from_numpy(x).requires_grad_()
    module = load_weights(Lite0().double(), lite0)
    scores = module(y)
    np.testing.assert_allclose(lite0(x), scores.detach().numpy(), rtol=0, atol=1e-10)
    (dx,) = torch.autograd.grad(scores[0, 967], y)
    np.testing.assert_allclose(lite0.input_gradient(x, 967), dx.numpy(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("file", PHOTOGRAPHS)
def test_predictions_are_the_published_ones(lite0, file):
    predictions = predict(lite0, IMAGES / file, top=3)
    assert [p.label for p in predictions] == [label for label, _ in EXPECTED[file]]
    # BLAS and Pillow builds differ in the last bits of float32 only
    np.testing.assert_allclose([p.probability for p in predictions], [p for _, p in EXPECTED[file]], atol=1e-3)


def test_another_preprocessing_lowers_the_confidence(lite0):
    """Which is all that a wrong one does: nothing fails, so that the right one has to be pinned."""
    x = lite0.preprocess(IMAGES / "coffee.png")
    values = x * 128 + 127

    def confidence(y):
        scores = lite0(y.astype(np.float32))[0].astype(np.float64)
        return (np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum())[967]

    assert confidence(x) > 0.95
    assert confidence(values / 255) < 0.9
    assert confidence(x[:, ::-1]) < 0.9


def test_digits_equal_torch():
    net = minicnn.load("digits")
    module = load_weights(digits(), net)
    x = np.random.default_rng(0).standard_normal((5, 1, 28, 28)).astype(np.float32)
    y = torch.from_numpy(x).requires_grad_()
    scores = module(y)
    np.testing.assert_allclose(net(x), scores.detach().numpy(), rtol=0, atol=2e-5)
    (dx,) = torch.autograd.grad(scores[:, 7].sum(), y)
    np.testing.assert_allclose(net.input_gradient(x, 7), dx.numpy(), rtol=0, atol=1e-5 * dx.abs().max().item())


def test_digit_light_or_dark(tmp_path):
    net = minicnn.load("digits")
    best = predict(net, IMAGES / "seven.png", top=1)[0]
    assert best.label == "7" and best.probability > 0.99
    inverted = 255 - np.asarray(Image.open(IMAGES / "seven.png"))
    assert predict(net, inverted, top=1)[0].probability == pytest.approx(best.probability, abs=1e-3)
