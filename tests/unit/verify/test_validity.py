"""The radius of the linear model: exact within it, wrong beyond, b carried forward on its own."""

import json

import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.io.catalogue import folder
from minicnn.layers import (
    Conv2d,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
)
from minicnn.verify import validity

PREPROCESS = minicnn.Preprocess(size=(9, 8), channels="RGB", scale=1 / 50, mean=(1, 2, 3), std=(0.5, 1.0, 2.0))
LAYERS = [
    Conv2d(3, 6, 3, padding=1),
    ReLU6(),
    Residual([Conv2d(6, 6, 3, padding=1), ReLU()]),
    MaxPool2d(2),
    Flatten(),
    Linear(96, 5),
]


# every unit reaches the score, so that every kink bends it
ALL_REACH = [*LAYERS[:3], Flatten(), Linear(432, 5)]


def network(layers=LAYERS):
    return minicnn.Network(layers, input_shape=(3, 9, 8), preprocess=PREPROCESS, name="small")


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (9, 8, 3), np.uint8)


def direction(net, x, target):
    """Pixel step of one grey level along the gradient, in the network's units."""
    per_level = np.array([1 / 25, 1 / 50, 1 / 100])[:, None, None]
    v = net.input_gradient(x, target) * per_level
    return v / np.abs(v).max() * per_level


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("sign", "radius"), [(1, "uphill"), (-1, "downhill")])
def test_linear_within_the_radius_and_bent_beyond(seed, sign, radius):
    net, image = network(ALL_REACH), noise(seed)
    valid = validity(net, image)
    x = PREPROCESS(image).astype(np.float64)
    u, t = sign * direction(net, x, valid.target), getattr(valid, radius)

    def slope(t, h):
        """Of the score, between t - h and t + h."""
        return np.diff([net(x + s * u)[0, valid.target] for s in (t - h, t + h)])[0] / (2 * h)

    assert 0 < t < 100
    # a score of about 1 is off by some 1e-15, its slope by that over the step
    np.testing.assert_allclose(slope(t / 2, 0.49 * t), sign * abs(slope(t / 4, 0.2 * t)), rtol=0, atol=2e-14 / t)
    assert abs(slope(1.01 * t, 0.005 * t) - slope(0.5 * t, 0.4 * t)) > 1e-9


def test_bias_closes_the_equation():
    net, image = network(), noise()
    valid = validity(net, image, 3)
    x = PREPROCESS(image).astype(np.float64)
    assert valid.target == 3 and valid.score == net(x)[0, 3]
    assert abs((net.input_gradient(x, 3) * x).sum() + valid.bias - valid.score) < 1e-12
    assert abs(valid.closure) < 1e-12
    assert valid.kinks == 2 * 6 * 9 * 8 + 6 * 4 * 4


def test_a_wrong_gradient_does_not_close(monkeypatch):
    from minicnn.kernels import reference

    right = reference.linear_input_grad
    monkeypatch.setattr(reference, "linear_input_grad", lambda dy, weight: right(dy, weight) * 1.001)
    assert abs(validity(network(), noise()).closure) > 1e-6


def test_flat_pictures_lie_on_kinks():
    valid = validity(network([*LAYERS[:3], MaxPool2d(2), *LAYERS[4:]]), np.full((9, 8, 3), 128, np.uint8), 0)
    assert valid.uphill == 0 and valid.ties > 0 and valid.beyond_ties > 0


def test_a_linear_network_has_no_kink():
    valid = validity(network([Flatten(), Linear(216, 4)]), noise())
    assert valid.uphill == valid.downhill == float("inf")
    assert valid.layer is None and valid.kinks == 0
    for _, score, model in valid.along:
        np.testing.assert_allclose(score, model, rtol=1e-12)


def test_smooth_layers_are_refused():
    with pytest.raises(MinicnnError, match="layer '1' of small is smooth"):
        validity(network([Conv2d(3, 6, 3), LocalResponseNorm(3), Flatten(), Linear(252, 2)]), noise())


def test_the_command_prints_radius_and_closure(capsys):
    image = str(folder("images") / "seven.png")
    assert main(["validity", image, "--net", "digits"]) == 0
    assert "grey levels along the gradient" in capsys.readouterr().out
    assert main(["validity", image, "--net", "digits", "--target", "3", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["target"] == 3 and abs(record["closure"]) < 1e-10
