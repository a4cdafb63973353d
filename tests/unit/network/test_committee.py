"""A committee is a network whose posterior is the mean of its members'."""

import numpy as np
import pytest

import minicnn
from minicnn import Network, Preprocess, zoo
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.layers import Flatten, Linear, ReLU, Residual, Sigmoid, Softmax

LABELS = [str(n) for n in range(10)]
X = np.random.default_rng(0).normal(size=(3, 1, 28, 28))


def members(count=3):
    """The digits' architecture, drawn with several seeds, in float64; the first ends in a softmax."""
    nets = []
    for seed in range(count):
        net = zoo.build("digits", seed=seed)
        layers = [(name, layer.astype(np.float64)) for name, layer in net.named_layers]
        layers += [("softmax", Softmax())] if seed == 0 else []
        nets.append(Network(layers, net.input_shape, net.preprocess, LABELS))
    return nets


def posterior(net, x):
    scores = net(x)
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("count", [1, 3])
def test_the_posterior_is_the_mean(count):
    nets = members(count)
    both = minicnn.committee(nets)
    mean = np.mean([posterior(net, X) for net in nets], axis=0)
    np.testing.assert_allclose(np.exp(both(X)), mean, rtol=1e-12)
    np.testing.assert_allclose(both.forward(X, upto="posterior"), mean, rtol=1e-12)


def test_the_gradient_is_that_of_its_scores():
    both = minicnn.committee(members())
    assert minicnn.verify.gradients(both, X[:1]).ok
    direction, step = np.random.default_rng(1).normal(size=X.shape), 1e-6
    difference = (both(X + step * direction) - both(X - step * direction))[:, 4] / (2 * step)
    slope = (both.input_gradient(X, 4) * direction).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(slope, difference, rtol=1e-6)


def test_it_explains_saves_and_loads_as_any_other(tmp_path):
    both = minicnn.committee(members(2))
    minicnn.save(both, tmp_path / "both.npz")
    loaded = minicnn.load(tmp_path / "both.npz")
    assert (loaded(X) == both(X)).all() and loaded.labels == LABELS
    image = "notebooks/images/seven.png"
    assert minicnn.explain.saliency(both, image).map.shape == (280, 280)


def test_who_does_not_fit_is_refused():
    net, other = members(2)
    with pytest.raises(MinicnnError, match="differ in labels"):
        minicnn.committee([net, Network(other.named_layers, other.input_shape, other.preprocess)])
    with pytest.raises(MinicnnError, match="differ in preprocess"):
        grey = Preprocess((28, 28), channels="L", mean=(0.0,), std=(1.0,))
        minicnn.committee([net, Network(other.named_layers, other.input_shape, grey, LABELS)])
    with pytest.raises(MinicnnError, match="expected networks"):
        minicnn.committee([])
    with pytest.raises(MinicnnError, match=r"scores of shape \(1,\)"):
        minicnn.committee([Network([Flatten(), Linear(784, 1), Sigmoid()], (1, 28, 28))])


def test_posterior_and_gradient_are_torchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(3, 4, 6))
    nets = [Network([Flatten(), Linear(6, 4, bias=False, weight=w)], (1, 2, 3)) for w in weights]
    both, x = minicnn.committee(nets), rng.normal(size=(2, 1, 2, 3))
    theirs = torch.tensor(x, requires_grad=True)
    scores = torch.einsum("mkf,nf->mnk", torch.tensor(weights), theirs.flatten(1))
    mean = scores.softmax(dim=2).mean(dim=0)
    mean[:, 1].log().sum().backward()
    np.testing.assert_allclose(both.forward(x, upto="posterior"), mean.detach(), rtol=1e-12)
    np.testing.assert_allclose(both.input_gradient(x, 1), theirs.grad, rtol=1e-9)


def test_a_class_that_all_members_rule_out_has_a_finite_score():
    weight = np.array([[400.0], [0.0]], np.float32)
    both = minicnn.committee([Network([Linear(1, 2, bias=False, weight=weight)], (1,)) for _ in range(2)])
    x = np.ones((1, 1), np.float32)
    np.testing.assert_allclose(both(x), [[0.0, np.log(np.finfo(np.float32).tiny)]], atol=1e-4)
    assert np.isfinite(both.input_gradient(x, 1)).all()


@pytest.mark.parametrize("suffix", ["npz", "onnx"])
def test_the_command_makes_one(tmp_path, capsys, suffix):
    nets = [zoo.build("digits", seed=seed) for seed in (0, 1)]
    paths = [str(tmp_path / f"{n}.npz") for n in range(2)]
    for net, path in zip(nets, paths, strict=True):
        minicnn.save(net, path)
    assert main(["convert", *paths, str(tmp_path / f"both.{suffix}"), "--committee"]) == 0
    x = X.astype(np.float32)
    mean = np.mean([posterior(net, x) for net in nets], axis=0)
    loaded = minicnn.load(tmp_path / f"both.{suffix}")
    np.testing.assert_allclose(posterior(loaded, x), mean, rtol=1e-4, atol=1e-7)
    assert loaded.preprocess == nets[0].preprocess
    assert main(["convert", *paths, str(tmp_path / "no.npz")]) == 2
    assert "--committee makes one" in capsys.readouterr().err and not (tmp_path / "no.npz").exists()


def test_blocks_stay_blocks():
    layers = [Flatten(), Residual([Linear(784, 784), ReLU()]), Linear(784, 10)]
    nets = [Network(layers, (1, 28, 28), seed=seed) for seed in (0, 1)]
    mean = np.mean([posterior(net, X) for net in nets], axis=0)
    np.testing.assert_allclose(np.exp(minicnn.committee(nets)(X)), mean, rtol=1e-5)


def test_a_first_member_without_parameters_is_one_too():
    plain = Network([Flatten()], (1, 1, 2))
    other = Network([Flatten(), Linear(2, 2)], (1, 1, 2))
    x = np.ones((1, 1, 1, 2), np.float32)
    posteriors = [np.exp(net(x)) / np.exp(net(x)).sum() for net in (plain, other)]
    np.testing.assert_allclose(
        np.exp(minicnn.committee([plain, other])(x)), np.mean(posteriors, axis=0), rtol=1e-5
    )
    assert minicnn.committee([plain, plain])(x).shape == (1, 2)
