"""Maps add up to what they promise: exact integrated gradients, and gradient x input with its constant.

The exact integral is compared with a sum over the line's linear pieces, each visited once, whose ends come from
forward mode (``minicnn.verify.linearise``) and whose gradients come from the network's own backward.
"""

import json

import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.explain import attribution, integrated_gradients, linear_model
from minicnn.figures.verification import verify_figure
from minicnn.io import catalogue
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Keep,
    Kind,
    Layer,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    PReLU,
    ReLU,
    ReLU6,
    Residual,
    Tanh,
)
from minicnn.layers.transforms.average_slopes import share_below, shares_of_largest
from minicnn.network.linear_piece import scores_chain
from minicnn.verify.linearise import linearise

SEVEN = catalogue.folder("images") / "seven.png"
# closure in float64, as a share of what is added up: some twenty layers of sums of up to 1,300 terms
CLOSURE = 1e-11
SLOPES = np.array([0.3, -0.2, 1.5, 0.0])

NETS = {
    # convolution, max-pool, ReLU for MNIST: a net of which a well-known library's sums are off by 0.9
    "mnist": [
        Conv2d(1, 8, 5),
        MaxPool2d(2),
        ReLU(),
        Conv2d(8, 8, 5),
        MaxPool2d(2),
        ReLU(),
        Flatten(),
        Linear(8, 5),
    ],
    "overlapping pools": [Conv2d(1, 4, 3), ReLU(), MaxPool2d(3, 2, 1, ceil_mode=True), Flatten(), Linear(196, 3)],
    "no rectifier": [Conv2d(1, 4, 3), MaxPool2d(3, 1), MaxPool2d(2), Flatten(), Linear(100, 3)],
    "ReLU6": [Conv2d(1, 6, 3, stride=2), ReLU6(), Conv2d(6, 4, 3), ReLU6(), Flatten(), Linear(64, 3)],
    "leaky": [Conv2d(1, 4, 3, stride=2), LeakyReLU(0.2), PReLU(4, weight=SLOPES), Flatten(), Linear(144, 3)],
    "concatenation": [
        Conv2d(1, 4, 3, stride=2),
        Concat([Conv2d(4, 3, 1), ReLU()], [MaxPool2d(3, 1, 1)], [AvgPool2d(3, 1, 1)]),
        Conv2d(11, 4, 3),
        ReLU(),
        GlobalAvgPool2d(),
        Flatten(),
        Linear(4, 3),
    ],
    "residual and batch normalisation": [
        Conv2d(1, 4, 3, stride=2, bias=False),
        BatchNorm2d(4, running_mean=np.full(4, 0.1), running_var=np.full(4, 0.5), bias=np.arange(4.0)),
        ReLU(),
        Residual([Conv2d(4, 4, 3, padding=1), BatchNorm2d(4), ReLU()]),
        AvgPool2d(2),
        Flatten(),
        Linear(36, 3),
    ],
}


def make(name):
    """Return the net in float64, a baseline and an input (1, 1, S, S), S = 14, or 16 for two kernels of 5 x 5."""
    size = 16 if name == "mnist" else 14
    net = minicnn.Network(NETS[name], input_shape=(1, size, size), seed=2, name=name)
    net.load_state_dict({k: v.astype(np.float64) for k, v in net.state_dict().items()})
    rng = np.random.default_rng(5)
    # far enough for the ceiling of ReLU6 to be reached
    scale = 20.0 if name == "ReLU6" else 2.0
    return net, scale * rng.standard_normal((1, 1, size, size)), scale * rng.standard_normal((1, 1, size, size))


def sum_over_pieces(net, start, end, target):
    """Integrated gradients, one gradient for each linear piece of the line, and how many pieces there are.

    A point inside a gap between the pieces known so far lies on a new one, which reaches to its nearest kinks.
    """
    layers, way = scores_chain(net), end - start
    total, pieces, gaps = np.zeros_like(start), 0, [(0.0, 1.0)]
    while gaps:
        a, b = gaps.pop()
        t = (a + b) / 2
        back, ahead = (linearise(layers, start + t * way, sign * way, ahead=True).nearest() for sign in (-1, 1))
        low, high = max(a, t - back), min(b, t + ahead)
        total += (high - low) * net.input_gradient(start + t * way, target)
        pieces += 1
        # what is shorter is rounding of the kinks' places
        gaps += [gap for gap in ((high, b), (a, low)) if gap[1] - gap[0] > 1e-12]
    return way * total, pieces


@pytest.mark.parametrize("name", NETS)
def test_exact_integrated_gradients_equal_the_sum_over_all_pieces(name):
    net, start, end = make(name)
    expected, pieces = sum_over_pieces(net, start, end, 1)
    assert pieces > 20
    exact = integrated_gradients(net, end, 1, steps="exact", baseline=start, tolerance=0.0)
    # kinks are placed to some 1e-13 of the line, by both
    np.testing.assert_allclose(exact.attribution, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    # every piece is visited; of kinks at the ends of segments rounding may hide a few
    assert exact.segments[0] >= pieces and exact.uncertainty[0] == 0 and exact.kinks[0] > 0.8 * pieces
    assert abs(exact.error[0]) < CLOSURE * np.abs(exact.attribution).sum()


@pytest.mark.parametrize("name", NETS)
def test_sums_are_exact_and_maps_within_the_tolerance_however_few_the_segments(name):
    net, start, end = make(name)
    expected, _ = sum_over_pieces(net, start, end, 2)
    segments = []
    for tolerance in (10.0, 0.1, 0.01):
        exact = integrated_gradients(net, end, 2, steps="exact", baseline=start, tolerance=tolerance)
        change = net(end)[0, 2] - net(start)[0, 2]
        assert abs(exact.attribution.sum() - change) < CLOSURE * np.abs(exact.attribution).sum()
        assert exact.uncertainty[0] <= 1.5 * tolerance  # a share of the final map, allowed as one of the first
        # the last cut moved the map by more than what is left
        assert np.abs(exact.attribution - expected).sum() <= tolerance * np.abs(expected).sum()
        segments.append(exact.segments[0])
    assert segments == sorted(segments) and segments[0] <= 16


def test_progress_is_that_of_the_line():
    net, start, end = make("mnist")
    bars = []

    def progress(items):
        bars.append([])
        return (bars[-1].append(item) or item for item in items)

    for tolerance in (0.01, 0.0):
        integrated_gradients(net, end, 1, steps="exact", baseline=start, tolerance=tolerance, progress=progress)
        assert bars.pop() == list(range(100)) and not bars


def test_the_usual_sum_does_not_add_up():
    net, start, end = make("mnist")
    usual = integrated_gradients(net, end, 1, steps=50, baseline=start)
    exact = integrated_gradients(net, end, 1, steps="exact", baseline=start)
    assert usual.closure_error[0] > 1e-5 > 1e-10 > exact.closure_error[0]
    assert usual.segments.tolist() == [50] and usual.kinks is None


def picture(name):
    """Return a shipped net, its input of a picture in float64, and a class."""
    net = minicnn.load(name)
    image, target = (SEVEN, 7) if name == "digits" else (catalogue.folder("images") / "coffee.png", 967)
    return net, net.preprocess(image).astype(np.float64), target


@pytest.mark.parametrize("name", ["digits", "efficientnet-lite0"])
def test_shipped_nets_add_up(name):
    net, x, target = picture(name)
    exact = integrated_gradients(net, x, target, steps="exact", tolerance=10.0)
    # the aim of 1e-5 of the score's change, with room
    assert exact.closure_error[0] < 1e-10
    model = linear_model(net, x, target)
    assert abs(model.error[0]) < CLOSURE * max(abs(model.score[0]), abs(model.constant[0]))
    np.testing.assert_allclose(model.score[0], net(x)[0, target], rtol=1e-12)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_gradient_times_input_and_its_constant_add_up(name, device):
    if device == "cpu":
        pytest.importorskip("numba")
    net, _, x = make(name)
    model = linear_model(net.to(device), x, 1)
    total = (x * net.input_gradient(x, 1)).sum() + model.constant[0]
    assert abs(total - net(x)[0, 1]) < CLOSURE * max(abs(model.score[0]), abs(model.constant[0]), 1)
    # the constant is what the biases contribute, term by term: sum of dS/db b over the layers
    _, gradients = net.loss_gradient(x, np.array([1]))
    assert model.constant.shape == (1,) and gradients  # biases are there, so that the constant is not zero
    assert model.constant[0] != 0


def test_in_float32_the_error_is_float32s():
    net = minicnn.load("digits")
    model = linear_model(net, net.preprocess(SEVEN), 7)
    assert model.contributions.dtype == model.constant.dtype == np.float32
    assert 0 < abs(model.error[0]) < 1e-4 * abs(model.score[0])


@pytest.mark.parametrize("layer", [LocalResponseNorm(3, alpha=1.0), Tanh()])
def test_curved_nets_are_refused_where_nothing_adds_up(layer):
    net = minicnn.Network(
        [Conv2d(1, 4, 3), layer, Flatten(), Linear(144, 3)], input_shape=(1, 8, 8), name="curved"
    )
    x = np.ones((1, 1, 8, 8), np.float32)
    with pytest.raises(MinicnnError, match="layer '1' of curved is smooth"):
        integrated_gradients(net, x, 1, steps="exact")
    with pytest.raises(MinicnnError, match="nowhere linear"):
        linear_model(net, x, 1)
    # a number of steps is still taken, and a map without a constant made
    assert np.isfinite(integrated_gradients(net, x, 1, steps=3).error).all()
    net.preprocess = minicnn.Preprocess(size=(8, 8), mean=(0.0,), std=(1.0,), channels="L")
    assert attribution(net, SEVEN, method="gradient-x-input").facts == {}


class Absolute(Layer):
    """y = |x|: linear between kinks, and not registered."""

    kind = Kind.PIECEWISE_LINEAR

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return np.abs(x), np.sign(x)

    def backward(self, dy, saved, kernels, rule=None, weights=False):
        return dy * saved, {}


def test_a_layer_that_is_not_registered_is_named():
    net = minicnn.Network([Conv2d(1, 4, 3), Absolute(), Flatten(), Linear(144, 3)], input_shape=(1, 8, 8))
    with pytest.raises(
        MinicnnError, match=r"layer '1': where a Absolute bends is not known; .* give its class kinks"
    ):
        integrated_gradients(net, np.ones((1, 1, 8, 8)), 1, steps="exact")


@pytest.mark.parametrize(("kink", "ties"), [(0.0, False), (6.0, False), (0.0, True)])
def test_shares_of_a_segment_equal_many_samples(kink, ties):
    rng, t = np.random.default_rng(1), (np.arange(4000) + 0.5) / 4000
    a, b = (rng.integers(-2, 3, (9, 40)).astype(float) if ties else 8 * rng.standard_normal((9, 40)) for _ in "ab")
    points = a + t[:, None, None] * (b - a)
    share, kinks = share_below(kink, a, b)
    np.testing.assert_allclose(share, (points <= kink).mean(axis=0), atol=1e-3)
    assert ((share > 0) & (share < 1)).sum() == ((kinks.position > 0) & (kinks.position < 1)).sum()
    at = np.array([a[n] + t * (b[n] - a[n]) for n, t in zip(*kinks, strict=True)])
    assert (np.abs(at - kink).min(axis=1) < 1e-12).all()
    shares, kinks = shares_of_largest(a, b)
    # of equal first values another than the first may lead
    assert (len(kinks.segment) == ((shares > 0).sum(axis=0) - 1).sum()) or ties
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-12)
    largest = points.argmax(axis=1)
    counts = np.stack([(largest == i).mean(axis=0) for i in range(9)])
    np.testing.assert_allclose(shares, counts, atol=2e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"steps": "precise"}, "or 'exact', got 'precise'"), ({"steps": "exact", "tolerance": -1.0}, "tolerance")],
)
def test_what_exact_does_not_take_is_refused(settings, message):
    with pytest.raises(MinicnnError, match=message):
        attribution(minicnn.load("digits"), SEVEN, method="integrated-gradients", **settings)


def test_the_command_prints_what_maps_add_up_to(tmp_path, capsys):
    typed = ["saliency", str(SEVEN), "--net", "digits", "-o", str(tmp_path), "--method"]
    assert main([*typed, "integrated-gradients", "--steps", "exact"]) == 0
    printed = capsys.readouterr().out
    assert "(50 steps miss it by" in printed and "segments cross" in printed
    assert main([*typed, "integrated-gradients", "--steps", "exact", "--json", "--overwrite"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["steps"] == "exact" and record["completeness error"] < 1e-10 * record["score change"]
    assert record["completeness error of 50 steps"] > 1e-5 and record["kinks"] > record["segments"] > 10
    assert verify_figure(record["figure"]).match
    assert main([*typed, "gradient-x-input"]) == 0
    assert "attributions and the constant" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*typed, "integrated-gradients", "--steps", "precise"])
    assert "a whole number >= 1 or 'exact'" in capsys.readouterr().err
