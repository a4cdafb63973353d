"""Layers and functions of one's own: right ones pass, wrong ones fail, whatever they are."""

import inspect
import re

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import Network
from minicnn._utils.derivative import differentiate
from minicnn.errors import MinicnnError, ShapeError
from minicnn.layers import Conv2d, Flatten, Keep, Kind, Layer, Linear, MaxPool2d, Multiply, ReLU
from minicnn.rules import GRADIENT
from minicnn.verify import compare, diagnose, gradients, validity
from tests.helpers.own_layers import RIGHT, WRONG, Formula

X = np.random.default_rng(0).standard_normal((2, 3, 4, 5))


@pytest.mark.parametrize("name", RIGHT)
def test_right_layers_pass(name):
    layer, x = RIGHT[name]
    report = gradients(layer, x)
    assert report.ok, report.text()
    assert all(row.sees < 1e-6 for row in report.rows), report.text()


@pytest.mark.parametrize("name", WRONG)
def test_wrong_layers_fail(name):
    layer, x = WRONG[name]
    assert not gradients(layer, x).ok


def test_points_on_kinks_are_left_out_and_checked_beside():
    layer = Formula("Abs", np.abs, lambda dy, x: dy * np.sign(x))
    report = gradients(layer, np.round(X))
    assert report.ok and {row.how for row in report.rows} == {"Richardson", "Richardson, beside x"}
    assert gradients(layer, np.zeros((2, 3))).ok
    assert not gradients(Formula("Abs", np.abs, lambda dy, x: dy * np.sign(x - 0.01)), np.zeros((2, 3))).ok


def test_functions_are_checked_in_pairs():
    assert gradients((np.sin, lambda dy, x: dy * np.cos(x)), X).ok
    # what forward saves is handed on; and of several arrays each has its gradient
    saves = (lambda x: (np.exp(x), np.exp(x))), (lambda dy, y: dy * y)
    assert gradients(saves, X).ok
    product = (lambda a, b: a * b), (lambda dy, a, b: (dy * b, dy * a))
    assert [row.what for row in gradients(product, (X, 2 * X)).rows] == ["input 0", "input 1"]
    assert not gradients((np.sin, lambda dy, x: dy * np.sin(x)), X).ok


def test_joins_are_checked_by_themselves():
    assert gradients(Multiply(), (X, X + 1)).ok
    with pytest.raises(ShapeError, match="Multiply has several inputs; give x as a tuple of arrays"):
        gradients(Multiply(), X)


class Counting(Layer):
    """A layer that writes into itself: how often it was called, and what it saw."""

    def __init__(self):
        self.calls = 0

    def forward(self, x, kernels, keep=None, rng=None):
        self.calls, self.seen = self.calls + 1, x
        return np.tanh(x), None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return dy / np.cosh(self.seen) ** 2, {}


class Scale(Layer):
    """A layer with a constructor and a weight of its own, in single precision."""

    def __init__(self, channels):
        self.weight = np.linspace(0.5, 2, channels, dtype=np.float32)

    def parameter_shapes(self):
        return {"weight": self.weight.shape}

    def forward(self, x, kernels, keep=None, rng=None):
        return x * self.weight[:, None, None], x

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return dy * self.weight[:, None, None], {"weight": (dy * saved).sum(axis=(0, 2, 3))}


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_networks_with_layers_of_ones_own_pass(device):
    if device == "cpu":
        pytest.importorskip("numba")
    absolute = Formula("Abs", np.abs, lambda dy, x: dy * np.sign(x))
    net = Network(
        [Conv2d(3, 4, 2), Counting(), ("scale", Scale(4)), absolute, MaxPool2d(2), Flatten(), Linear(8, 3)]
    )
    report = gradients(net, X, device=device)
    assert report.ok, report.text()
    assert {"(whole net)", "scale"} <= {row.layer for row in report.rows}
    wrong = net.with_layers(
        [*net.named_layers[:3], ("3", Formula("Abs", np.abs, lambda dy, x: dy)), *net.named_layers[4:]]
    )
    failed = {row.layer for row in gradients(wrong, X, device=device).failures}
    assert {"3", "(whole net)"} <= failed <= {"3", "(whole net)"}


class Rude(Layer):
    """What a layer must not do, by a word."""

    def __init__(self, how):
        self.how, self.sum = how, 0.0

    def forward(self, x, kernels, keep=None, rng=None):
        self.sum = self.sum + 1.0
        if self.how == "writes into its input":
            x *= 2
        if self.how == "another output the second time":
            return x * self.sum, 1.0
        if self.how == r"forward gives ndarray, expected \(y, what backward needs\)":
            return x * 1.0
        kept = keep == Keep.INPUTS or self.how != "another dx where weights is False"
        return x.sum(axis=-1) if self.how == "output_shape says" else x * 1.0, kept

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        if self.how == "writes into dy":
            dy *= 2
        if self.how == "another gradient the second time":
            self.sum = self.sum + dy
            return self.sum, {}
        if self.how == r"raised IndexError: .*\(.*test_own_layers.py, line \d+, in backward\)":
            return dy[..., 99], {}
        if self.how == r"something else than \(dx":
            return dy
        return dy * saved if self.how != "gradient is" else dy[:1], {}


@pytest.mark.parametrize(
    "how",
    [
        "writes into its input",
        "another output the second time",
        "output_shape says",
        "writes into dy",
        "another gradient the second time",
        r"raised IndexError: .*\(.*test_own_layers.py, line \d+, in backward\)",
        "gradient is",
        "another dx where weights is False",
        r"something else than \(dx",
    ],
)
def test_bad_manners_are_said(how):
    report = gradients(Rude(how), X)
    assert not report.ok
    assert re.search(how, report.verdict()), report.verdict()


def test_what_forward_raises_is_said_with_its_place():
    with pytest.raises(
        MinicnnError, match=r"layer 'layer' \(Formula\): forward raised ValueError: .*, line \d+, in "
    ):
        gradients(Formula("Broken", lambda x: x.reshape(7, 7), None), X)
    with pytest.raises(MinicnnError, match=r"forward gives ndarray, expected \(y, what backward needs\)"):
        gradients(Rude(r"forward gives ndarray, expected \(y, what backward needs\)"), X)
    with pytest.raises(MinicnnError, match="expected a Network, a layer or a pair of functions"):
        gradients((np.sin, 3), X)


class Clipped(Layer):
    """A rectifier of one's own that says where it bends."""

    kind, kinks = Kind.PIECEWISE_LINEAR, (0.0,)

    def forward(self, x, kernels, keep=None, rng=None):
        return np.maximum(x, 0.2 * x), x

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return np.where(saved > 0, dy, 0.2 * dy), {}


class NotReLU(ReLU):
    """One that inherits what it no longer does."""

    forward, backward = Clipped.forward, Clipped.backward


def test_validity_goes_by_what_a_layer_says_of_its_kinks():
    digits = minicnn.load("digits")
    image = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)

    def bent(layer):
        pairs = digits.named_layers
        return digits.with_layers([(name, layer if isinstance(old, ReLU) else old) for name, old in pairs])

    right = validity(bent(Clipped()), image)
    assert abs(right.closure) < 1e-8 and 0 < right.uphill < 10
    with pytest.raises(MinicnnError, match=r"where a NotReLU bends is not known; .* give its class kinks"):
        validity(bent(NotReLU()), image)


def test_all_of_verify_takes_an_array_or_an_image_behind_the_network_and_the_peer(tmp_path):
    net, pixels = minicnn.load("digits"), np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    x = net.preprocess(pixels)
    for given in (x, pixels, path, str(path), Image.open(path)):
        assert compare(net, lambda x: net(x), given, target="3").ok
        assert diagnose(net, lambda x: net(x), given).sound
        if given is not x:
            assert validity(net, given, "3").target == 3
    assert gradients(net, str(path), directions=1, entries=0).ok
    orders = {f.__name__: list(inspect.signature(f).parameters) for f in (compare, diagnose, gradients, validity)}
    assert orders["compare"][:4] == orders["diagnose"][:4] == ["net", "peer", "x", "target"]
    assert orders["validity"] == ["net", "image", "target"] and orders["gradients"][:2] == ["net_or_layer", "x"]
    with pytest.raises(MinicnnError, match="gradients: network does not say how an image becomes its input"):
        gradients(Network([ReLU()]), pixels)


@pytest.mark.parametrize("seed", range(20))
def test_a_loss_near_zero_is_as_coarse_as_the_scores_that_it_comes_from(seed):
    """Steps that move it by a few units of 1 + exp(-a) agree with each other, and not with the derivative."""
    a, b = np.random.default_rng(seed).uniform([15, -5], [30, 5])
    slope = differentiate(lambda t: np.array([np.log(1 + np.exp(-a - b * t))]), 1.0, 4e-16)
    assert abs(slope.value[0] + b / (1 + np.exp(a))) <= slope.error[0]
