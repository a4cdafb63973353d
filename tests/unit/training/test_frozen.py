"""Frozen layers: where a network is cut, and that features which are kept change nothing but the time."""

import os
import signal

import numpy as np
import pytest

from minicnn import Network
from minicnn.kernels import reference
from minicnn.layers import Add, BatchNorm2d, Conv2d, Dropout, Flatten, Keep, Linear, ReLU, sequence
from minicnn.training import Augment, Recipe, features, fit, freeze_below_head
from minicnn.training.data.loader import Loader, generator
from minicnn.training.frozen import cut_below_training
from minicnn.training.run import DROPOUT
from minicnn.training.schedule import learning_rate
from minicnn.training.step import Trainer
from tests.unit.training.test_fit import make_data, make_net, parameters

FROZEN = Recipe(epochs=3, batch_size=16, average=0.9, freeze=("0.", "1."))


def frozen_net():
    net = make_net()
    rng = np.random.default_rng(0)
    statistics = {"1.running_mean": rng.normal(size=4), "1.running_var": rng.uniform(0.5, 2, 4)}
    net.load_state_dict(net.state_dict() | {name: np.float32(a) for name, a in statistics.items()})
    return net


@pytest.mark.parametrize(
    ("layers", "freeze", "trunk"),
    [
        ([Conv2d(1, 2, 3, padding=1), ReLU(), Flatten(), Linear(128, 3)], ("0.",), ["0", "1", "2"]),
        ([Conv2d(1, 2, 3, padding=1), Dropout(), ReLU(), Flatten(), Linear(128, 3)], ("0.",), ["0"]),
        ([Conv2d(1, 2, 3, padding=1), BatchNorm2d(2), Flatten(), Linear(128, 3)], ("0.",), ["0"]),
        ([Flatten(), Linear(64, 3)], (), None),
        ([Conv2d(1, 2, 3, padding=1), Flatten(), Linear(128, 3)], ("2.",), None),
    ],
    ids=[
        "to the layer that trains",
        "to dropout",
        "to a norm that trains",
        "nothing frozen",
        "frozen above alone",
    ],
)
def test_where_a_network_is_cut(layers, freeze, trunk):
    cut = cut_below_training(Network(layers, (1, 8, 8)), Recipe(freeze=freeze))
    assert (cut and cut.trunk.names) == trunk


def test_a_skip_connection_is_not_cut():
    one, two = Conv2d(1, 2, 3, padding=1), Conv2d(2, 2, 3, padding=1)
    layers = [("a", one), ("b", two), ("c", two, "b"), ("sum", Add(), ("a", "c")), Flatten(), Linear(128, 3)]
    net = Network(layers, (1, 8, 8))
    cut = cut_below_training(net, Recipe(freeze=("a", "b")))
    assert cut.trunk.names == ["a"] and cut.recipe.freeze == ("b",)
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(cut.tail(cut.trunk(x)), net(x))


def test_kept_features_give_what_whole_passes_give():
    net, data = frozen_net(), make_data()
    trained = fit(net, data, FROZEN, workers=0)
    # by hand, with the whole network in each step
    trainer, loader = Trainer(net, FROZEN), Loader(data, net, FROZEN, 0, 0)
    for epoch in range(3):
        for i, batch in enumerate(loader.epoch(epoch)):
            rate = learning_rate(FROZEN.schedule, 0.1, epoch + i / loader.batches_per_epoch(), 3)
            trainer.step([batch], rate, [generator(0, epoch, DROPOUT + i)])
    for name, array in trainer.net.state_dict().items():
        np.testing.assert_allclose(trained.net.state_dict()[name], array, rtol=1e-4, atol=1e-6, err_msg=name)
        assert name[0] not in "01" or (array == net.state_dict()[name]).all()


def test_features_are_computed_once(tmp_path, monkeypatch):
    how = {"validation": make_data(48, 1), "workers": 0}
    first = fit(frozen_net(), make_data(), FROZEN, checkpoint=tmp_path, **how)
    assert sorted(path.suffix for path in tmp_path.glob("*.features.*")) == [".npy", ".npy"]
    assert parameters(first) == parameters(fit(frozen_net(), make_data(), FROZEN, **how))
    # other images: theirs are computed, and take the place of those that nobody needs
    fit(frozen_net(), make_data(50), FROZEN, checkpoint=tmp_path, resume=False, **how)
    assert len(list(tmp_path.glob("train.features.*"))) == 1
    monkeypatch.setattr(features, "_computed", None)
    again = FROZEN.with_settings({"optimiser.learning_rate": 0.2, "batch_size": 8})
    fit(frozen_net(), make_data(50), again, checkpoint=tmp_path, resume=False, **how)


@pytest.mark.parametrize("augment", [Augment(), Augment(mirror=True)], ids=["kept", "computed anew"])
def test_interrupted_runs_end_with_the_same_bits(tmp_path, augment):
    recipe = FROZEN.with_settings({f"augment.{name}": value for name, value in vars(augment).items()})
    how = {"validation": make_data(48, 1), "workers": 0}
    wanted = fit(frozen_net(), make_data(), recipe, **how)

    def interrupt(batch, result):
        if batch == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(frozen_net(), make_data(), recipe, checkpoint=tmp_path, on_step=interrupt, **how)
    assert parameters(fit(frozen_net(), make_data(), recipe, checkpoint=tmp_path, **how)) == parameters(wanted)
    # with augmentation only the held-out images, which nothing changes, have features to keep
    kept = {path.name.split(".")[0] for path in tmp_path.glob("*.features.*")}
    assert kept == ({"validation"} if augment.mirror else {"train", "validation"})


def test_features_too_large_to_keep_are_computed_each_time(tmp_path, monkeypatch):
    wanted = fit(frozen_net(), make_data(), FROZEN, workers=0)
    monkeypatch.setattr(features, "ON_DISK", 1000)
    got = fit(frozen_net(), make_data(), FROZEN, workers=0, checkpoint=tmp_path)
    assert not list(tmp_path.glob("*.features.*"))
    for name, array in wanted.net.state_dict().items():
        np.testing.assert_allclose(got.net.state_dict()[name], array, rtol=1e-4, atol=1e-6, err_msg=name)


def test_all_but_the_last_layer():
    net = Network([("fc", Conv2d(1, 2, 3)), ("flat", Flatten()), ("fc2", Linear(72, 3))], (1, 8, 8))
    assert freeze_below_head(net) == ("fc.",)


def test_frozen_layers_between_those_that_train_get_no_gradients():
    layers = [("a", Conv2d(1, 2, 3)), ReLU(), ("b", Conv2d(2, 2, 3)), Flatten(), ("c", Linear(32, 3))]
    layers, x = Network(layers).named_layers, np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    y, tape = sequence.forward(layers, x, reference, Keep.INPUTS)
    every, some = (
        sequence.parameter_gradients(layers, np.ones_like(y), tape, reference, frozen)
        for frozen in ((), {"b.weight", "b.bias"})
    )
    assert set(every) - set(some) == {"b.weight", "b.bias"}
    for name, gradient in some.items():
        np.testing.assert_array_equal(gradient, every[name])
