"""Class images in the natural style: adjoints, the photographs' prior, what the ascent promises."""

import json
from dataclasses import replace

import numpy as np
import pytest

import minicnn
from minicnn import Network, Preprocess
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.explain import Ascent, NaturalAscent, class_model, maximise
from minicnn.explain.natural import prior
from minicnn.explain.natural.prior import Canvas
from minicnn.explain.natural.warp import Warp
from minicnn.figures import verification
from minicnn.images.contrast import stretch_contrast
from minicnn.images.input_range import input_unit
from minicnn.layers import Conv2d, Flatten, GlobalAvgPool2d, Linear, ReLU


@pytest.fixture(scope="module")
def digits():
    return minicnn.load("digits")


def colour_net(seed=0, height=20, width=27, **preprocess):
    """Three classes of a small net with random weights, fed with colour pictures."""
    layers = [Conv2d(3, 8, 5, padding=2), ReLU(), Conv2d(8, 3, 3, padding=1), GlobalAvgPool2d(), Flatten()]
    settings = {"scale": 1 / 255, "mean": (0.5, 0.45, 0.4), "std": (0.25, 0.25, 0.25)} | preprocess
    return Network(layers, (3, height, width), Preprocess((height, width), **settings), seed=seed)


@pytest.mark.parametrize("warp", [(0, 1, (0, 0)), (20, 1, (0, 0)), (-13, 0.5, (3, -2.5)), (33, 2.1, (-0.3, 6))])
@pytest.mark.parametrize("size", [(9, 14), (15, 8), (1, 5)])
def test_the_adjoint_of_a_warp_is_its_transpose(warp, size):
    """All of its matrix, made of the images of the unit vectors, against that of the adjoint."""
    warp, count = Warp(size, *warp), size[0] * size[1]
    units = np.eye(count).reshape(count, 1, *size)
    matrix = np.array([warp.apply(unit).ravel() for unit in units])
    np.testing.assert_allclose(np.array([warp.adjoint(unit).ravel() for unit in units]), matrix.T, atol=1e-12)


def test_a_warp_turns_magnifies_and_shifts():
    rows, columns = np.mgrid[:41, :41] - 20.0
    blob = np.exp(-((rows - 3) ** 2 + (columns - 8) ** 2) / 8)[None]

    def centre(warp):
        y = Warp((41, 41), *warp).apply(blob)[0]
        return (y * rows).sum() / y.sum(), (y * columns).sum() / y.sum(), y.sum()

    np.testing.assert_allclose(centre((0, 1, (0, 0)))[:2], (3, 8), atol=0.01)
    np.testing.assert_allclose(centre((0, 1, (2, -1.5)))[:2], (1, 9.5), atol=0.01)
    vertical, horizontal, mass = centre((0, 1.5, (0, 0)))
    np.testing.assert_allclose((vertical, horizontal), (4.5, 12), atol=0.05)
    assert mass == pytest.approx(1.5**2 * blob.sum(), rel=0.01)
    angle = np.deg2rad(20)
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = [turned @ (3, 8), turned.T @ (3, 8)]
    here = np.array(centre((20, 1, (0, 0)))[:2])
    assert min(np.abs(here - e).max() for e in expected) < 0.1
    np.testing.assert_allclose(Warp((41, 41), 0, 0.5, (0, 0)).apply(np.ones((1, 41, 41)))[0, 15:26, 15:26], 1)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (12, 5)])
def test_the_plane_s_adjoint_is_the_gradient(size):
    canvas, rng = Canvas(colour_net(height=size[0], width=size[1])), np.random.default_rng(1)
    noise, step = (np.fft.rfft2(rng.standard_normal((3, *size))) for _ in range(2))
    direction = rng.standard_normal((3, *size)).astype(np.float32)
    # the real inner product of whole transforms, of which rfft2 keeps the first columns
    product = (np.real(np.conj(canvas.to_plane_adjoint(direction)) * step) * canvas._count).sum()
    moved = (direction * (canvas.to_plane(noise + step) - canvas.to_plane(noise))).sum()
    assert product / np.prod(size) == pytest.approx(float(moved), rel=1e-4)


def test_white_noise_has_the_colours_and_the_spectrum_of_photographs():
    canvas, rng = Canvas(colour_net(height=64, width=64)), np.random.default_rng(0)
    planes = [canvas.to_plane(np.fft.rfft2(rng.standard_normal((3, 64, 64))) / 64) for _ in range(200)]
    values = np.array(planes).transpose(1, 0, 2, 3)
    covariance = np.cov(values.reshape(3, -1))
    # the mean of each picture is drawn too, so that a picture's own covariance is less
    np.testing.assert_allclose(covariance, prior.COLOUR_COVARIANCE, rtol=0.15)
    power = (np.abs(np.fft.rfft2(values[0])) ** 2).mean(0)[0, 2:30]
    slope = np.polyfit(np.log(np.arange(2, 30)), np.log(power), 1)[0]
    assert slope == pytest.approx(-2 * prior.EXPONENT, abs=0.15)


def test_channels_in_another_order_have_their_colours_in_it():
    noise = np.fft.rfft2(np.random.default_rng(0).standard_normal((3, 20, 27)))
    rgb, bgr = (Canvas(colour_net(channels=channels)).to_plane(noise) for channels in ("RGB", "BGR"))
    np.testing.assert_array_equal(rgb[::-1], bgr)


def test_octaves_are_held_to_their_radius():
    canvas, rng = Canvas(colour_net()), np.random.default_rng(0)
    loud = 3 * np.fft.rfft2(rng.standard_normal(canvas.shape)) / np.sqrt(20 * 27)
    held = canvas.limit(loud, np.array([1.0, 2.0, 0.5]))
    assert [canvas.norm(np.where(np.arange(3)[:, None, None] == i, held, 0)) for i in range(3)] == pytest.approx(
        [1 / np.sqrt(3), 2 / np.sqrt(3), 0.5 / np.sqrt(3)], rel=1e-3
    )
    np.testing.assert_array_equal(canvas.limit(held, np.array([1.1, 2.1, 0.6])), held)


@pytest.mark.parametrize("scale", [1 / 255, 1.0])
def test_the_network_s_units_change_nothing(scale):
    """A net fed with 0..255 minus a mean, and one fed with values of deviation 1, draw the same picture."""
    unit = 255 * scale / 4
    one = colour_net()
    mean = tuple(255 * scale * m for m in (0.5, 0.45, 0.4))
    other = colour_net(scale=scale, mean=mean, std=(1.0, 1.0, 1.0))
    state = {name: np.array(a) for name, a in one.state_dict().items()}
    state["0.weight"] = state["0.weight"] / np.float32(unit)
    other.load_state_dict(state)
    assert input_unit(other.preprocess) == pytest.approx(unit * input_unit(one.preprocess), rel=1e-5)
    for how in ({"settings": Ascent(steps=20)}, {"style": "natural", "settings": NaturalAscent(steps=20)}):
        first, second = (class_model(net, 1, **how) for net in (one, other))
        assert np.abs(first.image.astype(int) - second.image).max() <= 2
    ball = [maximise(net, None, 1, "l2_ball", settings=Ascent(steps=10)).image for net in (one, other)]
    assert np.abs(ball[0].astype(int) - ball[1]).max() <= 2


@pytest.mark.parametrize("target", range(10))
def test_digits_are_seen_as_their_class(digits, target):
    model = class_model(digits, target, style="natural")
    assert model.probability > 0.99 and model.label == str(target)
    # the picture is the input: read as a picture again it is the same
    np.testing.assert_allclose(replace(digits.preprocess, invert=False)(model.image)[0], model.x, atol=1e-5)
    assert model.shown is None and model.style == "natural" and model.image.std() > 20


def test_pictures_are_drawn_anew_by_their_seed():
    net, settings = colour_net(), NaturalAscent(steps=6)
    images = [class_model(net, 0, style="natural", settings=settings, seed=seed).image for seed in (0, 0, 1)]
    np.testing.assert_array_equal(images[0], images[1])
    assert np.abs(images[0].astype(int) - images[2]).max() > 20


def test_units_of_layers_are_maximised():
    net = colour_net()
    model = maximise(net, "1", 3, style="natural", settings=NaturalAscent(steps=25))
    assert model.scores[-1] > 1.2 * model.scores[0] and model.probability is None
    value = float(net.forward(model.x[None], upto="1")[0, 3].sum())
    assert model.scores[-1] == pytest.approx(value, rel=1e-5)


def test_contrast_is_stretched_and_said_to_be(digits):
    model = class_model(digits, 3, settings=Ascent(steps=20))
    assert model.image.min() == 0 and model.image.max() == 255
    black, white = model.shown
    values = 255 * (model.x[0] * 0.3081 + 0.1307)
    expected = np.clip(np.rint(255 * (values - black) / (white - black)), 0, 255)
    assert np.abs(model.image[..., 0] - expected).max() <= 1 and black < 0 < 110 < white
    flat, shown = stretch_contrast(digits.preprocess, np.zeros((1, 28, 28), np.float32))
    assert shown == (0, 255) and len(np.unique(flat)) == 1
    # without preprocessing the picture is of the input's own values
    model = class_model(Network(digits.layers, (1, 28, 28)), 3, settings=Ascent(steps=2))
    black, white = model.shown
    expected = np.clip(np.rint(255 * (model.x[0] - black) / (white - black)), 0, 255)
    assert model.in_input_units and np.abs(model.image[..., 0] - expected).max() <= 1


def dead_net():
    net = Network(
        [Conv2d(1, 2, 1), ReLU(), Flatten(), Linear(32, 3)],
        (1, 4, 4),
        Preprocess((4, 4), channels="L", mean=(0,), std=(1,)),
    )
    state = {name: np.array(a) for name, a in net.state_dict().items()}
    net.load_state_dict(
        state | {"0.weight": np.zeros((2, 1, 1, 1), np.float32), "0.bias": -np.ones(2, np.float32)}
    )
    return net


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: class_model(net, 1, style="pretty"), "'paper' or 'natural', got 'pretty'"),
        (lambda net: class_model(net, 1, style="natural", settings=Ascent()), "NaturalAscent, got Ascent"),
        (lambda net: class_model(net, 1, settings=NaturalAscent()), "Ascent, got NaturalAscent"),
        (lambda net: class_model(Network(net.layers, (1, 28, 28)), 1, style="natural"), "preprocess"),
        (lambda net: class_model(dead_net(), 1, style="natural"), "vanishes at every step"),
        (lambda net: maximise(net, None, 1, "l2_ball", style="natural"), "belongs to style 'paper'"),
        (lambda net: NaturalAscent(steps=0), "steps: expected a whole number"),
        (lambda net: NaturalAscent(temperature=0.0), "temperature: expected a number > 0"),
        (lambda net: NaturalAscent(angle=90.0), "0 to 45"),
        (lambda net: NaturalAscent(farthest=2.0), "farthest <= nearest"),
        (lambda net: NaturalAscent(shift=0.7), "0 to 0.5"),
    ],
)
def test_wrong_words_are_named(digits, call, message):
    with pytest.raises(MinicnnError, match=message):
        call(digits)


def test_the_command_draws_in_the_natural_style(digits, tmp_path, capsys):
    words = ["class-model", "3", "--net", "digits", "--style", "natural", "--steps", "5", "-o", str(tmp_path)]
    assert main([*words, "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    expected = class_model(digits, 3, style="natural", settings=NaturalAscent(steps=5))
    assert record["scores"] == expected.scores and record["shown"] is None
    assert record["settings"]["style"] == "natural" and record["figure"].endswith("class-3.natural.png")
    assert verification.verify_figure(record["figure"]).match
    assert main([*words, "--jitter", "2"]) == 2
    assert "--jitter: belongs to --style paper" in capsys.readouterr().err


def test_the_command_draws_units_in_the_natural_style(tmp_path, capsys):
    words = [
        "class-model",
        "5",
        "--layer",
        "conv_layers.3",
        "--net",
        "digits",
        "--style",
        "natural",
        "--steps",
        "3",
    ]
    assert main([*words, "-o", str(tmp_path), "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert verification.verify_figure(record["figure"]).match
