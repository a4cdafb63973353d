"""Smooth and Efficient MPRT against SciPy's entropy and rank correlation; nets randomised from the input up."""

import numpy as np
import pytest
import scipy.stats

import minicnn
from minicnn import Network
from minicnn.evaluate.mprt import histogram_entropy, measure_mprt, noisy_copies, randomised_networks
from minicnn.evaluate.randomise import redraw_parameters, stages
from minicnn.io import catalogue
from minicnn.layers import BatchNorm2d, Conv2d, PReLU

SEVEN = catalogue.folder("images") / "seven.png"


def test_entropy_is_scipys():
    map = np.random.default_rng(0).standard_normal((30, 20))
    counts = np.histogram(map, 100)[0]
    assert histogram_entropy(map) == pytest.approx(scipy.stats.entropy(counts / counts.sum()))
    assert histogram_entropy(3 * map - 7) == pytest.approx(histogram_entropy(map), rel=1e-2)  # its own range


def test_measures_are_those_of_the_publication():
    net = minicnn.load("digits")
    networks, copies = randomised_networks(net, 2, seed=3), noisy_copies(net.preprocess(SEVEN), 3, seed=1)

    def explain(net, x):
        return net.input_gradient(x, 7)[0, 0]

    smooth, entropies = [], []
    for n in networks:
        smooth.append(sum(n.input_gradient(c[None], 7)[0, 0].astype(float) for c in copies) / 3)
        clean = np.histogram(n.input_gradient(net.preprocess(SEVEN), 7), 100)[0]
        entropies.append(scipy.stats.entropy(clean / clean.sum()))
    mprt = measure_mprt(explain, networks, copies)
    rhos = [scipy.stats.spearmanr(smooth[0], m, axis=None).statistic for m in smooth[1:]]
    assert mprt.smooth == pytest.approx(np.mean(rhos), abs=1e-6)
    assert mprt.efficient == pytest.approx((entropies[-1] - entropies[0]) / entropies[0])


def test_a_map_that_vanishes_counts_as_another():
    nets = randomised_networks(minicnn.load("digits"), 1)
    copies = np.ones((1, 1, 28, 28), np.float32)
    flat = measure_mprt(lambda net, x: np.full((2, 2), 1.0 if net is nets[0] else 0.0), nets, copies)
    assert flat == (0.0, 0.0)


def test_the_last_copy_has_no_noise_and_the_others_a_tenth_of_the_range():
    x = np.linspace(-3, 7, 40000, dtype=np.float32).reshape(1, 1, 200, 200)
    copies = noisy_copies(x, 3, seed=0)
    np.testing.assert_array_equal(copies[2], x[0])
    assert (copies[:2] - x).std() == pytest.approx(1.0, rel=0.02) and (copies[0] != copies[1]).any()
    np.testing.assert_array_equal(copies, noisy_copies(x, 3, seed=0))


def test_layers_are_drawn_from_the_input_up():
    net = minicnn.load("digits")
    networks, names = randomised_networks(net, 5), [stage.parameters for stage in stages(net)[::-1]]
    for step, random in enumerate(networks):
        state = random.state_dict()
        changed = {name for name, array in net.state_dict().items() if (state[name] != array).any()}
        assert changed == {name for own in names[:step] for name in own}


def test_parameters_are_drawn_as_torchs():
    torch = pytest.importorskip("torch")
    layers = [("conv", Conv2d(4, 64, 3)), ("norm", BatchNorm2d(64)), ("slope", PReLU(64))]
    drawn = redraw_parameters(Network(layers), seed=1)
    theirs = torch.nn.Conv2d(4, 64, 3)
    for name, parameter in theirs.named_parameters():
        own, other = drawn[f"conv.{name}"], parameter.detach().numpy()
        assert own.std() == pytest.approx(other.std(), rel=0.3) and abs(own).max() <= 1 / 6
    for name, value in torch.nn.BatchNorm2d(64).state_dict().items():
        if name != "num_batches_tracked":
            np.testing.assert_array_equal(drawn[f"norm.{name}"], value)
    assert (drawn["slope.weight"] == 0.25).all()
