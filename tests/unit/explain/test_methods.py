"""The table of methods: an entry is all that the comparisons, the sanity checks and the command need to know."""

import argparse

import numpy as np
import pytest

import minicnn
from minicnn.errors import MinicnnError
from minicnn.evaluate import evaluate_pointing, sanity_check
from minicnn.evaluate.dataset import Example
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.explain.methods import (
    METHODS,
    Method,
    Reference,
    Setting,
    command_methods,
    command_options,
    get_method,
    quick_methods,
)
from minicnn.io import catalogue

SEVEN = catalogue.folder("images") / "seven.png"


def gradient_power(net, x, target, *, power=2, progress=iter):
    """|gradient| ^ power: a method of which nothing but its entry knows."""
    gradient = np.concatenate([net.input_gradient(view[None], target) for view in progress(x)])
    return AttributionMaps.from_gradient(np.abs(gradient) ** power)


@pytest.fixture
def toy(monkeypatch):
    setting = Setting(2, int, "of the gradient", minimum=1, metavar="P")
    method = Method("toy", gradient_power, Reference("Nobody", 2020, "A toy"), {"power": setting})
    monkeypatch.setitem(METHODS, "toy", method)
    return method


def test_an_entry_is_all_that_a_method_needs(toy):
    net = minicnn.load("digits")
    explained = minicnn.explain.attribution(net, SEVEN, method="toy", power=1)
    assert explained.settings == {"power": 1}
    expected = minicnn.explain.attribution(net, SEVEN, method="gradient").map
    np.testing.assert_array_equal(explained.map, expected)
    examples = [Example(SEVEN, (7,), ((0, 0, 280, 280),))]
    assert evaluate_pointing(net, examples).settings["methods"]["toy"] == {"power": 2}
    assert "toy" in sanity_check(net, [SEVEN]).methods
    with pytest.raises(MinicnnError, match="toy: has no parameter 'noise'; it takes power"):
        minicnn.explain.attribution(net, SEVEN, method="toy", noise=1)
    assert command_methods()[-1] == "toy"
    assert command_options()["power"] == (toy.settings["power"], "of toy (default: 2)")


def test_an_option_of_two_methods_names_both(monkeypatch):
    setting = Setting(4, int, "", metavar="N")
    monkeypatch.setitem(METHODS, "toy", Method("toy", gradient_power, Reference("", 0, ""), {"samples": setting}))
    assert command_options()["samples"][1] == "of smoothgrad (default: 16); of toy (default: 4)"
    assert command_options()["samples"][0] is METHODS["smoothgrad"].settings["samples"]


def test_defaults_of_the_table_are_those_of_the_functions():
    assert METHODS["smoothgrad"].defaults == {
        "samples": 16,
        "noise": 0.15,
        "seed": 0,
        "rule": "gradient",
        "squared": False,
    }
    defaults = {
        "smoothgrad": minicnn.explain.smooth_gradient,
        "gradient-x-input": minicnn.explain.gradient_times_input,
        "grad-cam": minicnn.explain.grad_cam,
        "occlusion": minicnn.explain.occlusion,
    }
    for name, function in defaults.items():
        own = {key: function.__kwdefaults__[key] for key in METHODS[name].settings}
        assert METHODS[name].defaults == own


def test_what_each_method_is():
    assert [m.name for m in METHODS.values() if m.from_paper] == ["gradient"]
    quick = ("gradient", "deconvnet", "guided", "gradient-x-input", "smoothgrad", "grad-cam")
    assert tuple(name for name in quick_methods(16) if name in quick) == quick
    assert not {"integrated-gradients", "occlusion"} & set(quick_methods(16))
    assert all(1980 < m.reference.year < 2100 and m.reference.title for m in METHODS.values())
    with pytest.raises(MinicnnError, match="expected one of gradient, deconvnet, guided"):
        get_method("lime")


def test_settings_say_how_they_are_typed():
    parser = argparse.ArgumentParser()
    for name, (setting, line) in command_options().items():
        parser.add_argument(f"--{name}", metavar=setting.metavar, help=line)
    lines = " ".join(parser.format_help().split())
    assert "of integrated-gradients (default: black)" in lines
    assert "of smoothgrad, in parts of the range (default: 0.15)" in lines
    assert "of occlusion, pixels (default: a seventh)" in lines
    assert "squared" not in lines and "fill" not in lines
