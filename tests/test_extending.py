"""What CONTRIBUTING.md promises: a layer, a method, a format and a command need no more files than it lists.

Each is made here, outside of the package, in the files' stead; what would need another file would fail.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minicnn
from minicnn.cli import COMMANDS, build_parser, main
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.explain.methods import METHODS, Method, Reference, select_methods
from minicnn.io import catalogue
from minicnn.layers import Conv2d, Flatten, Keep, Layer, Linear
from minicnn.layers.base import Kind
from minicnn.rules import GRADIENT
from minicnn.verify import gradients

ROOT = Path(minicnn.__file__).parent.parent
GUIDE = ROOT / "CONTRIBUTING.md"
LIMITS = {"layer": 6, "method of explanation": 2, "file format": 2, "command": 1}


@pytest.mark.skipif(not GUIDE.exists(), reason="installed without its sources")
@pytest.mark.parametrize("what", LIMITS)
def test_the_guide_lists_few_files_and_they_exist(what):
    section = re.search(rf"^## Add a {what}$(.*?)(?=^## )", GUIDE.read_text(encoding="utf-8"), re.M | re.S)[1]
    files = re.findall(r"^\| `([^`]+)` \|", section, re.M)
    assert 1 <= len(files) <= LIMITS[what]
    for name in files:
        assert (ROOT / name.partition("<")[0]).exists(), name


@dataclass(frozen=True, eq=False, repr=False)
class Softsign(Layer):
    """y = x / (1 + |x|): smooth but for its second derivative."""

    @property
    def kind(self):
        return Kind.NONLINEAR

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return x / (1 + np.abs(x)), x if keep else None

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return dy / (1 + np.abs(saved)) ** 2, {}


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_a_layer_of_ones_own_runs_and_is_summed_up_on_every_device(device):
    if device == "cpu":
        pytest.importorskip("numba")
        pytest.importorskip("scipy")
    layers = [Conv2d(3, 4, 3), Softsign(), Flatten(), Linear(144, 5)]
    net = minicnn.Network(layers, (3, 8, 8)).to(device)
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    for _ in range(4):  # the second pass would be captured, later ones replayed
        scores, dx = net(x), net.input_gradient(x, 2)
    step = 1e-3 * dx / np.linalg.norm(dx)
    rise = (net((x + step).astype(np.float64)) - net((x - step).astype(np.float64)))[:, 2].sum() / 2
    # a central difference of second order: the step squared, 1e-6, and float32's rounding of dx
    assert rise == pytest.approx(float((dx * step).sum()), rel=1e-4)
    assert scores.shape == (2, 5) and "Softsign" in net.summary()
    assert "0.weight" in net.loss_gradient(x, np.array([0, 1]))[1]


def test_a_layer_of_ones_own_is_checked_without_a_word_to_the_package():
    report = gradients(Softsign(), np.random.default_rng(0).normal(size=(2, 3, 4, 4)))
    assert report.ok, report.text()


def gradient_norm(net, x, target, *, progress=iter):
    """sqrt(sum over the channels of w^2)."""
    gradient = net.input_gradient(x, target)
    norm = np.sqrt((gradient**2).sum(axis=1))
    return AttributionMaps(norm, norm, {})


@pytest.fixture
def toy_method(monkeypatch):
    entry = Method("gradient-norm", gradient_norm, Reference("A. Author", 2025, "Title"))
    monkeypatch.setitem(METHODS, entry.name, entry)
    return entry.name


def test_a_method_is_known_to_the_command_the_comparisons_and_the_sanity_check(toy_method, tmp_path, capsys):
    seven = str(catalogue.folder("images") / "seven.png")
    typed = ["saliency", seven, "--net", "digits", "--method", toy_method, "-o", str(tmp_path)]
    assert main(typed) == 0 and list(tmp_path.glob("*.png"))
    assert main(["inspect", str(next(tmp_path.glob("*.png"))), "--verify"]) == 0
    with pytest.raises(SystemExit):
        main(["saliency", "--help"])
    assert toy_method in capsys.readouterr().out
    net = minicnn.load("digits")
    assert toy_method in select_methods(net, net.input_shape, None, max_passes=1)
    assert toy_method in minicnn.evaluate.sanity_check(net, [seven], [toy_method]).text()


def test_a_command_is_one_module_and_its_line_in_the_list(monkeypatch, capsys):
    def run(arguments):
        print(f"hello {arguments.who}")
        return 0

    toy = SimpleNamespace(configure=lambda parser: parser.add_argument("who"), run=run)
    monkeypatch.setitem(sys.modules, "minicnn.cli.system.say_hello", toy)
    monkeypatch.setitem(COMMANDS["System"], "say-hello", "greet somebody")
    assert main(["say-hello", "there"]) == 0
    assert capsys.readouterr().out == "hello there\n"
    assert "greet somebody" in build_parser().format_help()
