"""The check of gradients: right layers pass, a wrong entry is found, tolerances are those of rounding."""

import json

import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.errors import MinicnnError, ShapeError
from minicnn.io.catalogue import folder
from minicnn.kernels import reference
from minicnn.layers import Conv2d, MaxPool2d, ReLU, Sequential, Tanh
from minicnn.verify import gradients
from tests.helpers.verify_cases import JOINS, LAYERS, MAPS, NETWORKS, normal, random_case


def test_every_layer_class_is_here():
    kinds = {name for name in minicnn.layers.__all__ if name not in ("Keep", "Kind", "Layer")}
    assert kinds == {name.split()[0] for name in LAYERS} | {*JOINS}


@pytest.mark.parametrize("name", LAYERS)
def test_right_layers_pass(name):
    layer, shape = LAYERS[name]
    report = gradients(layer, 3 * normal(shape))
    assert report.ok, report.text()
    assert all(row.sees < 1e-6 for row in report.rows), report.text()


@pytest.mark.parametrize("name", NETWORKS)
def test_right_networks_pass(name):
    report = gradients(minicnn.Network(NETWORKS[name], name="small"), normal(MAPS))
    assert report.ok, report.text()
    whole = {row.what for row in report.rows if row.layer == "(whole net)"}
    assert whole == {"input", "loss"}
    assert "small" in report.text() and "passed" in report.verdict()


@pytest.mark.parametrize(
    "name", ["Conv2d", "ConvTranspose2d", "MaxPool2d", "PReLU", "LocalResponseNorm", "Residual"]
)
def test_single_precision_of_the_fast_device_passes(name):
    pytest.importorskip("numba")
    layer, shape = LAYERS[name]
    report = gradients(layer, 3 * normal(shape), device="cpu")
    assert report.ok, report.text()
    assert report.dtype == "float32" and all(row.sees < 1e-3 for row in report.rows)


def test_single_precision_of_a_network_passes():
    pytest.importorskip("numba")
    report = gradients(minicnn.Network(NETWORKS["piecewise linear"]), normal(MAPS), device="cpu")
    assert report.ok, report.text()
    assert {"ConvReLU2d", "Network"} <= {row.kind for row in report.rows}


def test_single_precision_of_a_convolution_merged_with_its_rectifier_passes():
    """Its parameters are checked where it is not merged: on the reference."""
    pytest.importorskip("numba")
    report = gradients(minicnn.Network([Conv2d(4, 3, 3), ReLU()]), normal(MAPS), device="cpu")
    assert report.ok, report.text()
    assert {row.what for row in report.rows} == {"input"}


def test_points_on_kinks_are_left():
    """All zeros, and a hyperbolic tangent so saturated that a pool sees nothing but ties."""
    saturated = Sequential([Conv2d(1, 1, 3, padding=1), Tanh(), MaxPool2d(2)])
    for layer, x in ((LAYERS["Sequential"][0], np.zeros(MAPS)), (saturated, 1e3 * normal((1, 1, 6, 6)))):
        report = gradients(layer, x)
        assert report.ok, report.text()


def test_random_configurations_pass():
    rng = np.random.default_rng(0)
    for _ in range(200):
        layer, x = random_case(rng)
        report = gradients(layer, x, directions=1, entries=20)
        assert report.ok, report.text()


def wrong(monkeypatch, name, change):
    """Put ``change`` of its result behind a kernel."""
    right = getattr(reference, name)
    monkeypatch.setattr(reference, name, lambda *args, **kwargs: change(right(*args, **kwargs)))


def one_entry_off(dx, by=1e-7):
    dx = dx.copy()
    dx.flat[dx.size // 2] += by * np.abs(dx).max()
    return dx


@pytest.mark.parametrize(
    ("kernel", "name", "what"),
    [
        ("conv2d_input_grad", "Conv2d", "input"),
        ("conv2d_weight_grad", "Conv2d", "weight"),
        ("conv2d_bias_grad", "Conv2d", "bias"),
        ("max_pool2d_input_grad", "MaxPool2d", "input"),
        ("local_response_norm_input_grad", "LocalResponseNorm", "input"),
        ("prelu_weight_grad", "PReLU", "weight"),
        ("softmax_input_grad", "Softmax", "input"),
    ],
)
@pytest.mark.parametrize("entries", [0, 10**6], ids=["random directions", "every entry"])
def test_one_entry_off_by_a_ten_millionth_is_found(monkeypatch, kernel, name, what, entries):
    layer, shape = LAYERS[name]
    wrong(monkeypatch, kernel, one_entry_off)
    report = gradients(layer, normal(shape), entries=entries)
    assert not report.ok
    assert {row.what for row in report.failures} <= {what, "convention"}
    if entries:
        entry = tuple(map(int, np.unravel_index(normal(shape).size // 2, shape)))
        assert what != "input" or str(entry) in {row.where for row in report.failures}


@pytest.mark.parametrize(
    "kernel", ["conv2d_weight_grad", "linear_bias_grad", "cross_entropy_input_grad", "batch_norm2d_bias_grad"]
)
def test_a_wrong_loss_gradient_is_found(monkeypatch, kernel):
    wrong(monkeypatch, kernel, lambda gradient: gradient * (1 + 1e-5))
    failures = gradients(minicnn.Network(NETWORKS["piecewise linear"]), normal(MAPS)).failures
    assert "loss" in {row.what for row in failures}


def test_nan_and_a_missing_gradient_fail(monkeypatch):
    wrong(monkeypatch, "linear_input_grad", lambda dx: dx * np.nan)
    assert not gradients(*(lambda pair: (pair[0], normal(pair[1])))(LAYERS["Linear"])).ok
    monkeypatch.undo()
    wrong(monkeypatch, "linear_bias_grad", lambda db: db.sum())
    assert "expected (5,)" in gradients(LAYERS["Linear"][0], normal((3, 7))).failures[0].where


def test_the_same_seed_gives_the_same_numbers():
    layer, shape = LAYERS["Conv2d"]
    first, second, other = (gradients(layer, normal(shape), seed=seed) for seed in (3, 3, 4))
    assert first.rows == second.rows != other.rows


def test_a_report_is_plain_values():
    record = gradients(LAYERS["ReLU"][0], normal(MAPS)).record()
    assert record["ok"] is True and record["seed"] == 0 and record["missed_at_1000_tolerances"] < 1e-8
    assert {type(v) for row in record["rows"] for v in row.values()} <= {str, int, float, bool, type(None)}


def test_wrong_use():
    with pytest.raises(MinicnnError, match="expected a Network, a layer or a pair of functions"):
        gradients("conv", normal(MAPS))
    with pytest.raises(ShapeError, match="dtype float32 or float64"):
        gradients(ReLU(), np.ones(MAPS, int))
    with pytest.raises(ShapeError, match="layer 'layer': Conv2d: expected 4 channels, got 3"):
        gradients(LAYERS["Conv2d"][0], normal((1, 3, 6, 7)))
    with pytest.raises(MinicnnError, match="at least 1"):
        gradients(ReLU(), normal(MAPS), directions=0)


def test_the_command_passes_the_digits_net_and_writes_a_page(tmp_path, capsys):
    page = tmp_path / "check.html"
    image = str(folder("images") / "seven.png")
    assert main(["check", "digits", image, "--html", str(page), "--directions", "1"]) == 0
    printed = capsys.readouterr().out
    assert "passed: 43 gradients" in printed and "(whole net)" in printed
    assert "passed: 43 gradients" in page.read_text(encoding="utf-8")


def test_the_command_fails_where_a_gradient_is_wrong(monkeypatch, capsys):
    wrong(monkeypatch, "linear_weight_grad", one_entry_off)
    assert main(["check", "digits", "--json", "--directions", "1"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["ok"] is False
    assert {"fc_layers.0", "fc_layers.2"} <= {row["layer"] for row in record["rows"] if not row["ok"]}
