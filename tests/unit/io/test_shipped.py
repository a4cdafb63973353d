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
from tests.helpers.torch_zoo import SqueezeNet

IMAGES = catalogue.folder("images")
PHOTOGRAPHS = ["chelsea.png", "coffee.png", "rocket.jpg"]
# what `minicnn predict` answered when the weights were converted; see weights/README.md
LITE0, SQUEEZENET = "efficientnet-lite0", "squeezenet1_1"
EXPECTED = {
    (LITE0, "chelsea.png"): [("tiger cat", 0.3944), ("Egyptian cat", 0.3556), ("tabby", 0.1695)],
    (LITE0, "coffee.png"): [("espresso", 0.9511), ("cup", 0.0150), ("consomme", 0.0077)],
    (LITE0, "rocket.jpg"): [("missile", 0.2723), ("projectile", 0.1886), ("drilling platform", 0.1044)],
    (SQUEEZENET, "chelsea.png"): [("tiger cat", 0.5375), ("Egyptian cat", 0.2668), ("tabby", 0.1865)],
    (SQUEEZENET, "coffee.png"): [("espresso", 0.9979), ("consomme", 0.0009), ("soup bowl", 0.0002)],
    (SQUEEZENET, "rocket.jpg"): [("pole", 0.2521), ("flagpole", 0.2286), ("dock", 0.0454)],
}


@pytest.fixture(scope="module")
def nets():
    return {name: minicnn.load(name) for name in (LITE0, SQUEEZENET)}


@pytest.fixture(scope="module")
def lite0(nets):
    return nets[LITE0]


@pytest.fixture(scope="module")
def modules(nets):
    """The same networks in torch and in float64, so that no decision of torch's is turned by rounding."""
    kinds = {LITE0: Lite0(), SQUEEZENET: SqueezeNet("1.1")}
    return {name: load_weights(module.double(), nets[name]) for name, module in kinds.items()}


def torch_input(name, path):
    """The input made by Pillow and torch alone."""
    picture = Image.open(path).convert("RGB")
    if name == SQUEEZENET:
        # B, G, R minus the mean, warped to 256 x 256, centre 227
        picture = picture.resize((256, 256), Image.Resampling.BILINEAR).crop((14, 14, 241, 241))
        planes = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float().flip(1)
        return planes - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
    # (v - 127) / 128, short side 256, centre 224
    width, height = picture.size
    short = min(width, height)
    size = (256 if width == short else 256 * width // short, 256 if height == short else 256 * height // short)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    pixels = torch.from_numpy(np.asarray(picture.crop((left, top, left + 224, top + 224))).copy())
    return ((pixels.permute(2, 0, 1)[None].double() - 127) / 128).float()


@pytest.mark.parametrize("name", catalogue.read_entries())
def test_catalogue_s_checksums(name):
    data = catalogue.find_weights(name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == catalogue.read_entries()[name]["sha256"]


def test_every_network_has_its_licence_beside_it():
    folder = catalogue.folder("weights")
    assert sorted(f"LICENSE-{name}" for name in catalogue.read_entries()) == sorted(
        path.name for path in folder.glob("LICENSE-*") if path.name != "LICENSE-class-names"
    )


def test_squeezenet_s_numbers_are_the_original_s(nets):
    """All of them, as they are in the file that the package ships, in whatever order."""
    state = nets[SQUEEZENET].state_dict()
    assert sum(a.size for a in state.values()) == 1_235_496
    numbers = np.sort(np.concatenate([a.ravel() for a in state.values()]))
    digest = "f3d9b382b8768ea2494c80ebf3e034a7c4ee5bbde77fb793f050ca23f4ac8c2a"
    assert hashlib.sha256(numbers.astype("<f4").tobytes()).hexdigest() == digest


@pytest.mark.parametrize(("name", "file"), EXPECTED)
def test_scores_and_input_gradients_equal_torch(nets, modules, name, file):
    net, module = nets[name], modules[name]
    x = net.preprocess(IMAGES / file)
    y = torch_input(name, IMAGES / file).double().requires_grad_()
    np.testing.assert_allclose(x, y.detach().numpy(), rtol=0, atol=1e-6)
    scores = module(y)
    ours, expected = net(x), scores.detach().numpy()
    # float32 through fifty convolutions: measured 2e-6 of the largest score
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    target = int(scores.argmax())
    (dx,) = torch.autograd.grad(scores[0, target], y)
    error = np.abs(net.input_gradient(x, target) - dx.numpy()).max() / dx.abs().max().item()
    assert error < (1e-3 if decisions_that_flip(net, x) == 0 else 5e-2)


def decisions_that_flip(net, x):
    """How many rectifiers and pools decide otherwise in float32 than in float64."""
    _, single = net.trace(x)
    _, double = net.trace(x.astype(np.float64))
    return sum((a != b).sum() for a, b in zip(masks(single.saved), masks(double.saved), strict=True))


def masks(saved):
    for kept in saved:
        if isinstance(kept, list | tuple):
            yield from masks(kept)
        elif isinstance(kept, np.ndarray) and kept.dtype.kind in "biu":
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


@pytest.mark.parametrize("name", [LITE0, SQUEEZENET])
def test_float64_equals_torch_to_rounding(nets, modules, name):
    x = nets[name].preprocess(IMAGES / "coffee.png").astype(np.float64)
    y = torch.from_numpy(x).requires_grad_()
    scores = modules[name](y)
    np.testing.assert_allclose(nets[name](x), scores.detach().numpy(), rtol=0, atol=1e-10)
    (dx,) = torch.autograd.grad(scores[0, 967], y)
    np.testing.assert_allclose(nets[name].input_gradient(x, 967), dx.numpy(), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("name", "file"), EXPECTED)
def test_predictions_are_the_published_ones(nets, name, file):
    predictions = predict(nets[name], IMAGES / file, top=3)
    expected = EXPECTED[name, file]
    assert [p.label for p in predictions] == [label for label, _ in expected]
    # BLAS and Pillow builds differ in the last bits of float32 only
    np.testing.assert_allclose([p.probability for p in predictions], [p for _, p in expected], atol=1e-3)


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


def test_clothes_light_or_dark():
    net = minicnn.load("fashion")
    boot = np.asarray(Image.open(IMAGES / "ankle-boot.png"))
    for picture in (boot, 255 - boot):
        best = predict(net, picture, top=1)[0]
        assert best.label == "Ankle boot" and best.probability == pytest.approx(0.896, abs=1e-3)


def test_digit_light_or_dark(tmp_path):
    net = minicnn.load("digits")
    best = predict(net, IMAGES / "seven.png", top=1)[0]
    assert best.label == "7" and best.probability > 0.99
    inverted = 255 - np.asarray(Image.open(IMAGES / "seven.png"))
    assert predict(net, inverted, top=1)[0].probability == pytest.approx(best.probability, abs=1e-3)


def test_squeezenet_s_conventions(nets):
    """The authors' own, which benchmarks/conventions.py finds best; see weights/README.md."""
    preprocess = nets[SQUEEZENET].preprocess
    assert (preprocess.size, preprocess.resize, preprocess.interpolation) == ((227, 227), (256, 256), "bilinear")
    assert (preprocess.channels, preprocess.scale, preprocess.std) == ("BGR", 1.0, (1.0, 1.0, 1.0))
    assert preprocess.mean == (104.0, 117.0, 123.0)
    assert nets[SQUEEZENET].input_shape == (3, 227, 227)
