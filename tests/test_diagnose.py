"""The convention solver finds what was planted, and says so where nothing was."""

import numpy as np
import pytest

import minicnn
from minicnn import catalogue
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.verify import diagnose

SEVEN = catalogue.folder("images") / "seven.png"


def planted(change):
    """The digits net with its parameters changed by hand."""
    net = minicnn.load("digits")
    state = {name: np.array(a) for name, a in net.state_dict().items()}
    change(state)
    net.load_state_dict(state)
    return net


def flipped(state):
    state["conv_layers.3.weight"] = state["conv_layers.3.weight"][:, :, ::-1, ::-1]


def turned(state):
    state["conv_layers.6.weight"] = state["conv_layers.6.weight"].transpose(0, 1, 3, 2)


def flattened_otherwise(state):
    weight = state["fc_layers.0.weight"].reshape(256, 128, 3, 3)
    state["fc_layers.0.weight"] = weight.transpose(0, 2, 3, 1).reshape(256, 1152)


@pytest.mark.parametrize(
    ("change", "layer"),
    [(flipped, "conv_layers.3"), (turned, "conv_layers.6"), (flattened_otherwise, "fc_layers.0")],
)
def test_one_planted_fault_is_found_from_the_scores_alone(change, layer):
    right, wrong = minicnn.load("digits"), planted(change)
    found = diagnose(wrong, lambda x: right(x))
    assert found.healed and not found.sound and "FOUND" in found.verdict()
    assert len(found.changes) == 1 and layer in found.text()
    x = np.random.default_rng(0).standard_normal((1, 1, 28, 28))
    np.testing.assert_allclose(found.net(x), right(x), rtol=0, atol=1e-9 * np.abs(right(x)).max())


def test_no_fault_is_said():
    net = minicnn.load("digits")
    found = diagnose(net, lambda x: net(x))
    assert found.sound and not found.changes and "no fault" in found.text()


def test_it_needs_something_to_go_by():
    with pytest.raises(MinicnnError, match="needs a reference"):
        diagnose(minicnn.load("digits"))


def test_the_command(tmp_path, capsys):
    minicnn.save(minicnn.load("digits"), tmp_path / "right.onnx")
    wrong = planted(flipped)
    minicnn.save(wrong, tmp_path / "wrong.npz")
    words = ["diagnose", str(tmp_path / "wrong.npz"), str(SEVEN), "--reference", str(tmp_path / "right.onnx")]
    assert main(words) == 0
    assert "flip" in capsys.readouterr().out
    assert main(["diagnose", "digits", "--reference", str(tmp_path / "right.onnx")]) == 0
    assert "no fault" in capsys.readouterr().out
