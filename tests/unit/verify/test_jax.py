"""A network written in JAX beside ours: scores and JAX's own gradient.  Skipped where JAX is missing."""

import json

import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.verify import compare
from minicnn.verify.comparison.peers.dump import DUMPERS

jax = pytest.importorskip("jax")
from tests.helpers import jax_digits  # noqa: E402


@pytest.fixture(scope="module")
def net():
    return minicnn.load("digits")


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_command(device, capsys):
    assert (
        main(["compare", "digits", "--with", "tests.helpers.jax_digits:scores", "--device", device, "--json"]) == 0
    )
    record = json.loads(capsys.readouterr().out)
    assert [step["name"] for step in record["steps"]] == ["fc_layers.2"]
    assert [step["name"] for step in record["gradients"]] == ["input"]


def test_every_class(net):
    x = np.random.default_rng(1).standard_normal((3, 1, 28, 28)).astype(np.float32)
    for target in range(10):
        comparison = compare(net, jax_digits.scores, x, target)
        assert comparison.ok and len(comparison.gradients) == 1, comparison.text()


def test_another_function_diverges(net):
    comparison = compare(net, lambda x: jax_digits.scores(x.swapaxes(2, 3)))
    assert comparison.first.name == "fc_layers.2"


def test_a_wrong_gradient_diverges(net):
    """The same scores, a gradient that is a thousandth too large."""

    @jax.custom_vjp
    def wrong(x):
        return jax_digits.scores(x)

    def forward(x):
        return jax.vjp(jax_digits.scores, x)

    wrong.defvjp(forward, lambda back, dy: (1.001 * back(dy)[0],))
    comparison = compare(net, wrong)
    assert comparison.first in comparison.gradients and "forward agrees" in comparison.verdict()


def test_dump(net, tmp_path, monkeypatch):
    """The printed lines write what compare reads: input, scores, gradient and its class."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(2).standard_normal((2, 1, 28, 28)).astype(np.float32)
    exec(DUMPERS["jax"], {"f": jax_digits.scores, "x": x})
    comparison = compare(net, "dump.npz")
    assert comparison.ok and len(comparison.gradients) == 1, comparison.text()
