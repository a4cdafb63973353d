"""A step is torch's: the same losses, parameters and running statistics from the same start and data."""

import numpy as np
import pytest
import torch
from torch import nn

from minicnn import Network
from minicnn.errors import MinicnnError
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from minicnn.training import Loss, Optimiser, Recipe
from minicnn.training.data.loader import Batch
from minicnn.training.loss import make_targets
from minicnn.training.step import Trainer

CLASSES = 5


def net_and_module():
    """The same network twice, in float64."""
    net = Network(
        [
            Conv2d(1, 4, 3, padding=1, bias=False),
            BatchNorm2d(4),
            ReLU(),
            MaxPool2d(2),
            Conv2d(4, 6, 3),
            BatchNorm2d(6, momentum=0.3),
            ReLU(),
            Flatten(),
            Linear(24, CLASSES),
        ],
        (1, 8, 8),
    )
    net.load_state_dict({name: array.astype(np.float64) for name, array in net.state_dict().items()})
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.BatchNorm2d(6, momentum=0.3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, CLASSES),
    ).double()
    module.load_state_dict({name: torch.tensor(a) for name, a in net.state_dict().items()}, strict=False)
    return net, module.train()


def batches(count, size=6):
    rng = np.random.default_rng(1)
    for _ in range(count):
        x, classes = rng.normal(size=(size, 1, 8, 8)), rng.integers(0, CLASSES, size)
        yield Batch(x, make_targets(classes, np.ones(CLASSES), 0.1), classes, np.arange(size))


def torchs(module, settings):
    matrices = [p for p in module.parameters() if p.ndim > 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}]
    groups += [{"params": [p for p in module.parameters() if p.ndim == 1], "weight_decay": 0.0}]
    if settings.name == "adamw":
        return torch.optim.AdamW(groups, settings.learning_rate)
    return torch.optim.SGD(groups, settings.learning_rate, settings.momentum, nesterov=settings.nesterov)


@pytest.mark.parametrize(
    "settings",
    [
        Optimiser("sgd", 0.05, weight_decay=0.01, decoupled=False),
        Optimiser("sgd", 0.05, nesterov=True),
        Optimiser("sgd", 0.05, momentum=0.0),
        Optimiser("adamw", 1e-3, weight_decay=0.1),
    ],
    ids=["sgd with decay", "nesterov", "plain sgd", "adamw"],
)
def test_losses_are_torchs(settings):
    net, module = net_and_module()
    trainer = Trainer(net, Recipe(optimiser=settings, loss=Loss(label_smoothing=0.1), clip_norm=1.0))
    optimiser, ours, theirs = torchs(module, settings), [], []
    for batch in batches(100):
        ours.append(trainer.step([batch], settings.learning_rate, [None]).loss)
        optimiser.zero_grad()
        classes = torch.tensor(batch.classes)
        loss = nn.functional.cross_entropy(module(torch.tensor(batch.x)), classes, label_smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        theirs.append(loss.item())
    # each step multiplies what rounding left by little more than one
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    state = module.state_dict()
    for name, array in trainer.net.state_dict().items():
        np.testing.assert_allclose(array, state[name].numpy(), rtol=1e-7, atol=1e-9, err_msg=name)


def test_decoupled_decay_shrinks_weights_alone():
    net, _ = net_and_module()
    trainer = Trainer(net, Recipe(optimiser=Optimiser("sgd", 0.1, momentum=0.0, weight_decay=0.5)))
    plain = Trainer(net, Recipe(optimiser=Optimiser("sgd", 0.1, momentum=0.0)))
    (batch,) = batches(1)
    for each in (trainer, plain):
        each.step([batch], 0.1, [None])
    before = net.state_dict()
    for name, array in trainer.parameters.items():
        shrunk = 0.1 * 0.5 * before[name] if array.ndim > 1 else 0
        np.testing.assert_allclose(array, plain.parameters[name] - shrunk, atol=1e-14, err_msg=name)


def test_accumulated_gradients_are_those_of_the_whole_batch():
    net = Network([Flatten(), Linear(64, CLASSES)], (1, 8, 8))
    (batch,) = batches(1, size=9)
    parts = [Batch(*(field[at] for field in batch)) for at in (slice(0, 6), slice(6, 9))]
    whole, split = (Trainer(net, Recipe()) for _ in range(2))
    results = whole.step([batch], 0.1, [None]), split.step(parts, 0.1, [None, None])
    assert results[0].loss == pytest.approx(results[1].loss)
    for name in net.state_dict():
        np.testing.assert_allclose(whole.parameters[name], split.parameters[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_a_step_lowers_the_loss_on_every_device(device):
    net, _ = net_and_module()
    net.load_state_dict({name: a.astype(np.float32) for name, a in net.state_dict().items()})
    trainer = Trainer(net.to(device), Recipe())
    (batch,) = batches(1)
    losses = [trainer.step([batch._replace(x=batch.x.astype(np.float32))], 0.05, [None]).loss for _ in range(5)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]


def test_what_is_frozen_stays_and_uses_its_own_statistics():
    net, _ = net_and_module()
    trainer = Trainer(net, Recipe(freeze=("0.", "1.")))
    (batch,) = batches(1)
    trainer.step([batch], 0.1, [None])
    before = net.state_dict()
    moved = {name for name, array in trainer.parameters.items() if (array != before[name]).any()}
    assert moved == {name for name in before if name[0] not in "01"}
    with pytest.raises(MinicnnError, match="no parameter begins with 'conv9'"):
        Trainer(net, Recipe(freeze=("conv9",)))


def test_the_average_follows_the_weights():
    net, _ = net_and_module()
    trainer = Trainer(net, Recipe(average=0.9))
    wanted = {name: array.copy() for name, array in trainer.parameters.items()}
    for step, batch in enumerate(batches(12), 1):
        trainer.step([batch], 0.1, [None])
        decay = min(0.9, (1 + step) / (10 + step))
        wanted = {name: decay * a + (1 - decay) * trainer.parameters[name] for name, a in wanted.items()}
    for name, array in trainer.net.state_dict().items():
        np.testing.assert_allclose(array, wanted[name], rtol=1e-12, atol=1e-15)


def test_a_loss_that_is_not_finite_names_the_step_and_the_layer():
    net, _ = net_and_module()
    trainer = Trainer(net, Recipe())
    (batch,) = batches(1)
    trainer.step([batch], 0.1, [None])
    kept = {name: array.copy() for name, array in trainer.parameters.items()}
    broken = batch._replace(x=np.where(np.arange(8) == 3, np.inf, batch.x))
    with np.errstate(all="ignore"), pytest.raises(MinicnnError, match="at step 2: the input holds"):
        trainer.step([broken], 0.1, [None])
    assert all((array == kept[name]).all() for name, array in trainer.parameters.items())
    trainer.parameters["8.weight"][:] = 1e308
    with np.errstate(all="ignore"), pytest.raises(MinicnnError, match="layer 8 is the first whose output holds"):
        trainer.step([batch], 0.1, [None])
    trainer.parameters["4.weight"][0] = np.nan
    with np.errstate(all="ignore"), pytest.raises(MinicnnError, match=r"parameter 4\.weight holds NaN"):
        trainer.step([batch], 0.1, [None])


def test_dropout_draws_from_the_step_s_own_generator():
    net = Network([Flatten(), Dropout(0.5), Linear(64, CLASSES)], (1, 8, 8))
    (batch,) = batches(1)
    losses = [Trainer(net, Recipe()).step([batch], 0.1, [np.random.default_rng(seed)]).loss for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
