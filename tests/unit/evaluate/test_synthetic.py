"""Tetrominoes: what their pictures must be like; the training against torch's Adam; precision by drawing ties."""

import numpy as np
import pytest

from minicnn.errors import MinicnnError
from minicnn.evaluate.synthetic import classifier
from minicnn.evaluate.synthetic.classifier import small_net, train
from minicnn.evaluate.synthetic.known_truth import known_truth_precisions, precision, trained_network
from minicnn.evaluate.synthetic.tetrominoes import BACKGROUNDS, SCENARIOS, draw_pictures
from minicnn.explain.methods import METHODS, complete_settings

T = np.array([[1, 0], [1, 1], [1, 0]])
L = np.array([[1, 0], [1, 0], [1, 1]])


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_pictures_are_drawn_alike_for_one_seed(scenario, background):
    first, second, other = (draw_pictures(scenario, background, 40, seed) for seed in (1, 1, 2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first.x != other.x).any() and first.x.std() == pytest.approx(1, rel=1e-4)
    assert first.labels.sum() == 20 and first.truth.shape == (40, 8, 8)


def test_the_mean_difference_of_linear_classes_is_their_patterns():
    x, labels, truth = draw_pictures("linear", "white", 40000, 0)
    difference = (x[labels == 0].mean(axis=0) - x[labels == 1].mean(axis=0))[0]
    expected = np.zeros((8, 8))
    expected[1:4, 1:3] += T
    expected[4:7, 5:7] -= L
    np.testing.assert_array_equal(truth[0], expected != 0)
    assert np.corrcoef(difference.ravel(), expected.ravel())[0, 1] > 0.99


def test_multiplied_pictures_differ_in_variance_alone():
    x, labels, truth = draw_pictures("multiplicative", "white", 40000, 0)
    first, second = x[labels == 0, 0], x[labels == 1, 0]
    assert abs(first.mean(axis=0) - second.mean(axis=0)).max() < 0.05
    ratio = first.std(axis=0) / second.std(axis=0)
    np.testing.assert_array_equal(abs(ratio - 1) > 0.5, truth[0])


def test_neither_pattern_alone_tells_an_xor_class():
    x, labels, truth = draw_pictures("xor", "white", 40000, 0)
    signs = 2 * labels - 1
    t, other = x[:, 0, 1:4, 1:3][:, T > 0].mean(axis=1), x[:, 0, 4:7, 5:7][:, L > 0].mean(axis=1)
    assert abs(np.corrcoef(t, signs)[0, 1]) < 0.02 and abs(np.corrcoef(other, signs)[0, 1]) < 0.02
    assert np.corrcoef(t * other, signs)[0, 1] < -0.3 and truth[0].sum() == 8


def test_moving_patterns_are_turned_tetrominoes():
    _, labels, truth = draw_pictures("translations and rotations", "white", 200, 0)
    for label, picture in zip(labels, truth, strict=True):
        rows, columns = np.nonzero(picture)
        piece = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        turned = [np.rot90((T, L)[label], k) > 0 for k in range(4)]
        assert any(piece.shape == t.shape and (piece == t).all() for t in turned)
    assert truth.any(axis=0).all()  # every pixel is part of some pattern


def test_unknown_scenarios_are_named():
    with pytest.raises(MinicnnError, match="expected one of linear, multiplicative"):
        draw_pictures("cubic", "white", 2, 0)


def test_training_is_torchs_adam(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(classifier, "BATCH", 4)
    # in float64: where a gradient is next to nothing Adam's step has the sign of its rounding
    net = small_net(8, seed=1)
    net.load_state_dict({name: array.astype(np.float64) for name, array in net.state_dict().items()})
    x, labels, _ = draw_pictures("linear", "white", 8, 0)
    # the order of the pictures is drawn from the seed; in batches of all of them it would not matter
    rng = np.random.default_rng(5)
    orders = [rng.permutation(8) for _ in range(3)]
    parts = [
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(16, 32, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(512, 2),
    ]
    x, theirs = x.astype(np.float64), torch.nn.Sequential(*parts).double()
    state = zip(theirs.state_dict(), net.state_dict().values(), strict=True)
    theirs.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in state})
    adam = torch.optim.Adam(theirs.parameters(), lr=classifier.RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 - step / 6)
    for order in orders:
        for batch in (order[:4], order[4:]):
            adam.zero_grad()
            loss = torch.nn.functional.cross_entropy(
                theirs(torch.from_numpy(x[batch])), torch.from_numpy(labels[batch])
            )
            loss.backward()
            adam.step()
            schedule.step()
    trained = train(net, x, labels, epochs=3, seed=5)
    for own, other in zip(trained.state_dict().values(), theirs.state_dict().values(), strict=True):
        np.testing.assert_allclose(own, other.numpy(), rtol=1e-6, atol=1e-9)
    assert (net.state_dict()["full.weight"] == small_net(8, seed=1).state_dict()["full.weight"]).all()


def test_precision_is_the_mean_over_ways_to_break_ties():
    rng = np.random.default_rng(0)
    for _ in range(20):
        map, truth = rng.integers(0, 4, (3, 4)).astype(float), rng.random((3, 4)) < 0.4
        truth[0, 0] = True
        k = int(truth.sum())
        shares = []
        for _ in range(3000):
            chosen = np.argsort(-(map + 1e-3 * rng.random(map.shape)), axis=None)[:k]
            shares.append(truth.ravel()[chosen].mean())
        assert precision(map, truth) == pytest.approx(np.mean(shares), abs=0.03)


def test_nets_learn_their_scenario_and_maps_of_the_truth_are_precise():
    trained = trained_network("linear", "correlated")
    assert trained.accuracy > 0.9

    def truth(net, x, target):
        (n,) = np.flatnonzero((trained.test.x == x).all(axis=(1, 2, 3)))
        return trained.test.truth[n].astype(float)

    assert known_truth_precisions(truth, trained, 5) == [1.0] * 5
    assert known_truth_precisions(lambda net, x, target: np.zeros((8, 8)), trained, 2) == [8 / 64] * 2


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_applied_to_the_small_net(name):
    net, x = small_net(8), draw_pictures("linear", "white", 2, 0).x[:1]
    maps = METHODS[name].function(net, x, 1, **complete_settings(net, name, (1, 8, 8), {}))
    assert maps.map.shape == (1, 8, 8) and np.isfinite(maps.map).all()
