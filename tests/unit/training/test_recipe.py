"""Recipes: files that people write, and what they decide."""

import numpy as np
import pytest

from minicnn.errors import MinicnnError
from minicnn.kernels import reference
from minicnn.training import Augment, Loss, Optimiser, Recipe, Schedule, read_recipe
from minicnn.training.loss import class_weights, cross_entropy, make_targets
from minicnn.training.schedule import learning_rate


def test_what_is_written_is_read(tmp_path):
    recipe = Recipe(
        epochs=7,
        freeze=("conv1.", "conv2."),
        optimiser=Optimiser("adamw", 1e-5, betas=(0.8, 0.99)),
        schedule=Schedule("step", milestones=(3, 5.5)),
        augment=Augment(mirror=True, rotate=10.0),
        loss=Loss(class_weights={"a cat": 2.0, 'the "owl"': 1.5}),
    )
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    assert read_recipe(tmp_path / "recipe.toml") == read_recipe(str(tmp_path / "recipe.toml")) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "unknown setting 'epoch'; did you mean 'epochs'"),
        ("[optimizer]\nname = 'sgd'", "unknown setting 'optimizer'; did you mean 'optimiser'"),
        (
            "[optimiser]\nlearning_rte = 1",
            r"\[optimiser\]: unknown setting 'learning_rte'; did you mean 'learning_rate'",
        ),
        ("[optimiser]\nname = 'adam'", "optimiser.name: expected one of sgd, adamw, got 'adam'"),
        ("[optimiser]\nlearning_rate = '0.1'", "optimiser.learning_rate: expected a number"),
        ("epochs = 0", "epochs: expected a whole number >= 1, got 0"),
        ("epochs = 2\n[schedule]\nwarm_up = 2", "expected fewer epochs than the 2"),
        ("[loss]\nclass_weights = 'heavy'", "loss.class_weights: expected one of none, balanced"),
        ("[loss]\nclass_weights = [1, -1]", "loss.class_weights: expected a number from 0 to 1e"),
        ("[loss]\nclass_weights = { cat = 'x' }", "loss.class_weights: expected a number from 0 to 1e"),
        ("augment = 3", r"expected a section \[augment\], got 3"),
        ("epochs: 3", "is no TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, message):
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(MinicnnError, match=message):
        read_recipe(tmp_path / "recipe.toml")


def test_settings_of_the_command_line():
    recipe = Recipe().with_settings({"epochs": 3, "optimiser.momentum": 0.5, "freeze": ("a",)})
    assert (recipe.epochs, recipe.optimiser.momentum, recipe.freeze) == (3, 0.5, ("a",))
    with pytest.raises(MinicnnError, match="no setting 'momentum'"):
        Recipe().with_settings({"momentum": 0.5})


@pytest.mark.parametrize("name", ["constant", "step", "cosine", "one_cycle"])
def test_learning_rates_rise_to_the_peak_and_stay_below(name):
    schedule = Schedule(name, warm_up=2, milestones=(5, 8), final=0.01)
    rates = [learning_rate(schedule, 0.5, epoch, 10) for epoch in np.linspace(0, 10, 101)]
    assert max(rates) == pytest.approx(0.5) and rates[20] == pytest.approx(0.5)
    assert rates[:21] == sorted(rates[:21]) and rates[20:] == sorted(rates[20:], reverse=True)
    last = {"constant": 0.5, "step": 0.005, "cosine": 0.005, "one_cycle": 0.005}[name]
    assert rates[-1] == pytest.approx(last)


def test_class_weights_are_divided_out():
    targets = make_targets(np.array([0, 1, 1]), np.array([2.0, 1.0]))
    # as torch's weighted mean: each image's weight over their sum
    np.testing.assert_allclose(targets.sum(axis=1) / 3, [0.5, 0.25, 0.25])


@pytest.mark.parametrize("kind", ["none", "balanced", (0.5, 3.0, 1.0), {"owl": 4.0, "ape": 0.0}])
def test_weighted_losses_are_torchs(kind):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    classes, scores = np.array([0, 1, 1, 2, 2, 2, 2]), rng.standard_normal((7, 3))
    weights = class_weights(kind, classes, ["ape", "owl", "emu"], 3)
    loss, dy = cross_entropy(scores, make_targets(classes, weights), reference)
    given = torch.tensor(scores, requires_grad=True)
    wanted = torch.nn.CrossEntropyLoss(torch.tensor(weights))(given, torch.tensor(classes))
    wanted.backward()
    assert loss == pytest.approx(wanted.item(), rel=1e-12)
    np.testing.assert_allclose(dy, given.grad.numpy(), rtol=1e-11, atol=1e-15)


def test_class_weights_that_fit_no_class_are_refused():
    classes, labels = np.array([0, 1]), ["ape", "owl"]
    for kind, message in (
        ({"owll": 2.0}, "no class 'owll'; did you mean 'owl'"),
        ((1.0, 2.0, 3.0), "a number for each of 2 classes, got 3"),
        ({"ape": 0.0, "owl": 0.0}, "all images count 0"),
    ):
        with pytest.raises(MinicnnError, match=message):
            class_weights(kind, classes, labels, 2)
