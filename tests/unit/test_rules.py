"""Backward rules of one's own are taken wherever a rule is."""

import numpy as np
import pytest

import minicnn
import minicnn.io.catalogue
from minicnn import Network, explain
from minicnn.errors import MinicnnError, ShapeError
from minicnn.layers import Conv2d, ReLU, Tanh
from minicnn.rules import DECONVNET, GRADIENT, Rule

IMAGE = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
EVERYTHING, SAME = Rule("everything", False, False), Rule("mine", True, False)


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_a_rule_of_ones_own_is_computed_on_every_device(device):
    if device == "cpu":
        pytest.importorskip("numba")
        pytest.importorskip("scipy")
    net = Network([Conv2d(1, 2, 3), ReLU()], device=device)
    x, dy = (np.random.default_rng(0).normal(size=s).astype(np.float32) for s in ((2, 1, 6, 6), (2, 2, 4, 4)))
    # with neither condition the rectifier is not there on the way back
    expected = Network([("0", net["0"])]).input_gradient(x, dy)
    np.testing.assert_allclose(net.input_gradient(x, dy, EVERYTHING), expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(net.input_gradient(x, dy, SAME), net.input_gradient(x, dy, GRADIENT))


def test_explanations_take_it_and_say_its_name():
    net = minicnn.load("digits")
    assert explain.saliency(net, IMAGE, rule=SAME).rule == "mine"
    x = net.preprocess(IMAGE)
    y, tape = net.trace(x)
    assert net.backward(tape, net.cotangent(y, 0), EVERYTHING).shape == x.shape
    reconstruction = explain.deconvnet(net, IMAGE, "conv_layers.2", 3, rule=Rule("mine", *DECONVNET[1:]))
    assert reconstruction.rule == "mine"
    assert explain.gradient_times_input(net, x, 0, rule=SAME).shape == x.shape
    seven = minicnn.io.catalogue.folder("images") / "seven.png"
    assert explain.localise(net, seven, 1, rule=SAME)


def test_where_only_the_gradient_is_defined_it_goes_by_the_exponents():
    net, x = Network([Tanh()]), np.ones((1, 2))
    assert np.array_equal(net.input_gradient(x, x, SAME), net.input_gradient(x, x))
    with pytest.raises(MinicnnError, match="the rule 'everything' is defined for rectifiers"):
        net.input_gradient(x, x, EVERYTHING)


@pytest.mark.parametrize("rule", ["smooth", Rule("mine", 2, None), 3, None])
def test_what_is_no_rule_is_refused(rule):
    with pytest.raises(MinicnnError, match=r"unknown rule .*, or one of your own, minicnn\.rules\.Rule"):
        Network([ReLU()]).input_gradient(np.ones((1, 2)), 0, rule)


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_a_function_of_the_scores_is_a_target(device):
    if device == "cpu":
        pytest.importorskip("numba")
        pytest.importorskip("scipy")
    net = minicnn.load("digits").to(device)
    x = np.random.default_rng(0).standard_normal((3, 1, 28, 28)).astype(np.float32)
    scores = net(x)
    assert np.array_equal(net.input_gradient(x, lambda y: 2 * y), net.input_gradient(x, 2 * scores))
    # the best class of each image, whichever it is; and by another layer's output
    best = net.input_gradient(x, lambda y: y.argmax(axis=1))
    assert np.array_equal(best, net.input_gradient(x, scores.argmax(axis=1)))
    assert net.input_gradient(x, np.sign, layer="conv_layers.0").shape == x.shape
    with pytest.raises(ShapeError, match=r"target: a cotangent must have the output's shape \(3, 10\), got \(\)"):
        net.input_gradient(x, lambda y: float(y.sum()))
