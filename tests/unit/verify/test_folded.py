"""Comparison and diagnosis where one side has folded its batch normalisation, or shows the scores alone."""

import numpy as np
import pytest

from minicnn import Network
from minicnn.errors import MinicnnError
from minicnn.layers import Add, BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, MaxPool2d, ReLU, sequence
from minicnn.layers.transforms.fold_batch_norm import fold_batch_norm
from minicnn.verify import compare, diagnose, probe

SHAPE = (2, 9, 9)


def make_net(eps=1e-5):
    """A net with small variances, in which epsilon tells, and a skip around its last normalisation."""
    layers = [
        ("conv1", Conv2d(2, 4, 3, bias=False)),
        ("bn1", BatchNorm2d(4, eps=eps)),
        ("relu1", ReLU()),
        ("pool", MaxPool2d(2)),
        ("conv2", Conv2d(4, 4, 3, padding=1)),
        ("bn2", BatchNorm2d(4, eps=eps)),
        ("sum", Add(), ("bn2", "pool")),
        ("relu2", ReLU()),
        ("gap", GlobalAvgPool2d()),
        ("flat", Flatten()),
        ("fc", Linear(4, 3)),
    ]
    layers = sequence.initialise(sequence.name_layers(layers), np.random.default_rng(0))
    rng = np.random.default_rng(1)

    def spread(name, layer):
        if not isinstance(layer, BatchNorm2d):
            return layer
        drawn = {key: rng.uniform(0.2, 0.7, a.shape).astype(np.float32) for key, a in layer.state().items()}
        return layer.with_state(drawn | {"running_var": drawn["running_var"] / 20})

    return Network(sequence.map_layers(layers, spread), SHAPE, name="net")


def fold(net):
    return Network(fold_batch_norm(net.named_layers), SHAPE, name="folded")


def dump(net, names=str):
    """The values of a net as a file of another program holds them, under other names."""
    x = np.random.default_rng(2).normal(size=(2, *SHAPE)).astype(np.float32)
    return {"input": x, **{f"{names(v.name)}@{v.kind}": v.array for v in probe.run(net, x).values.values()}}


NAMINGS = {"the same names": str, "other names": lambda name: f"their/{name}"}
SIDES = {"ours folded": (fold, lambda net: net), "theirs folded": (lambda net: net, fold)}


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("side", SIDES)
def test_a_folded_normalisation_is_no_difference(side, naming):
    ours, theirs = SIDES[side]
    comparison = compare(ours(make_net()), dump(theirs(make_net()), NAMINGS[naming]))
    assert comparison.ok, comparison.text()
    assert len(comparison.merged) == 2


@pytest.mark.parametrize("naming", ["the same names", "other names"])
@pytest.mark.parametrize("side", SIDES)
def test_another_epsilon_accuses_the_folds_alone(side, naming):
    ours, theirs = SIDES[side]
    comparison = compare(ours(make_net()), dump(theirs(make_net(1e-3)), NAMINGS[naming]))
    expected = ["conv1", "conv2"] if side == "ours folded" else ["bn1", "bn2"]
    assert [value.name for value in comparison.causes] == expected, comparison.text()
    assert all(expected[0] in words for words in (comparison.verdict(), comparison.first.where))
    assert not any(value.arises_here for value in comparison.values) or side == "ours folded"


def test_a_wrong_kernel_is_found_where_only_the_unnormalised_values_are_given():
    net = make_net()
    values = dump(net)
    kept = {key: a for key, a in values.items() if "BatchNorm" not in key}

    def flip(name, layer):
        return layer.with_state({"weight": layer.weight[..., ::-1].copy()}) if name == "conv1" else layer

    wrong = net.with_layers(sequence.map_layers(net.named_layers, flip))
    assert compare(wrong, kept).first.name == "conv1"
    assert [change.convention for change in diagnose(wrong, kept).changes] == ["kernel flip"]


def test_diagnose_finds_the_epsilon_of_a_folded_reference():
    for eps in (1e-3, 0.0123):  # one that programs have, and one that only the values show
        diagnosis = diagnose(make_net(), dump(fold(make_net(eps))))
        assert diagnosis.healed
        assert [str(change) for change in diagnosis.changes] == [f"batch-norm epsilon: epsilon {eps:g} (bn1, bn2)"]


def test_diagnose_finds_the_epsilon_folded_into_ours():
    torch = pytest.importorskip("torch")
    from minicnn.verify.comparison.peers.to_torch import to_torch

    module = to_torch(make_net(1e-3))
    diagnosis = diagnose(fold(make_net()), module)
    assert diagnosis.healed and "epsilon 0.001, and not the 1e-05" in str(diagnosis.changes[0])
    assert compare(diagnosis.net, module).ok and isinstance(module, torch.nn.Module)


def test_scores_alone_accuse_no_layer():
    net = make_net()
    other = net.with_layers([(n, Flatten() if n == "flat" else layer) for n, layer in make_net(1e-1).named_layers])
    comparison = compare(net, lambda x: other(x))
    assert "somewhere up to fc" in comparison.verdict()
    assert "ARISES HERE" not in comparison.text() and not comparison.values[0].arises_here
    assert "first at" not in diagnose(net, lambda x: -(other(x) ** 3)).text()


def test_a_function_may_return_its_intermediate_values():
    net = make_net()
    values = {key: a for key, a in dump(net).items() if key != "input"}
    comparison = compare(net, lambda x: {v.name: v.array for v in probe.run(net, x).values.values()})
    assert comparison.ok and len(comparison.values) == len(values)


def test_a_peers_exception_shows_where_it_arose():
    def scores(x):
        return np.reshape(x, (3, 7))

    with pytest.raises(MinicnnError, match=r"ValueError: .*test_folded.py, line \d+, in scores"):
        compare(make_net(), scores)


def test_the_table_fits_a_terminal_and_is_whole_if_asked_for():
    comparison = compare(make_net(), dump(fold(make_net(1e-3)), lambda name: f"a/long/name/of/{name}/output_0"))
    verdict, _, *table = comparison.text().split("\n")
    assert verdict == comparison.verdict() and max(map(len, table)) <= 100
    assert "a/long/name/of/conv1/output_0" in comparison.text(wide=True)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_convolution_that_holds_its_rectifier_is_compared_behind_it(flipped):
    layers = [("conv1", Conv2d(2, 4, 3)), ("relu1", ReLU()), ("conv2", Conv2d(4, 4, 3)), ("relu2", ReLU())]
    net = Network([*layers, ("gap", GlobalAvgPool2d()), ("flat", Flatten()), ("fc", Linear(4, 3))], SHAPE, seed=0)
    values = {v.name: v.array for v in probe.run(net, dump(net)["input"]).values.values()}
    # as Keras's Conv2D(activation="relu") shows it: the rectified values under the convolution's name
    theirs = {"input": dump(net)["input"], "conv1@Conv2D": values["relu1"], "conv2@Conv2D": values["relu2"]}

    def flip(layer):
        return layer.with_state(layer.state() | {"weight": layer.weight[..., ::-1].copy()})

    layers = [(name, flip(layer) if name == "conv2" else layer) for name, layer in net.named_layers]
    comparison = compare(net.with_layers(layers) if flipped else net, theirs | {"fc@Dense": values["fc"]})
    assert comparison.ok != flipped, comparison.text()
    assert [value.name for value in comparison.values] == ["relu1", "relu2", "fc"]
    assert not flipped or "first from conv2 to relu2" in comparison.verdict()
