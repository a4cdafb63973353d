"""A file of any format whose weights hold NaN or infinity is refused by the weight's name, or loaded on demand."""

import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.errors import WeightsError
from minicnn.io.inspect import inspect
from tests.unit.io.test_inspect import INPUTS, KINDS, OUTPUTS

FILES = {suffix: make for suffix, make in KINDS.items() if suffix in (".npz", ".onnx", ".h5", ".keras", ".mat")}


@pytest.fixture(scope="module")
def arrays():
    full, conv = np.zeros((OUTPUTS, INPUTS), np.float32), np.zeros((8, 3, 3, 3), np.float32)
    conv[5, 2, 0, 1] = conv[7, 0, 0, 0] = np.nan
    return {"conv": (conv, np.zeros(8, np.float32)), "full": (full, np.zeros(OUTPUTS, np.float32))}


@pytest.mark.parametrize("suffix", [*FILES, ".prototxt"])
def test_files_of_every_format(tmp_path, arrays, suffix, capsys):
    path, weights = KINDS[suffix](tmp_path, suffix, arrays)
    expected = r"conv\.weight holds NaN at \[5, 2, 0, 1\] \(2 values\)"
    with pytest.raises(WeightsError, match=expected):
        minicnn.load(path, weights=weights)
    assert "conv.weight holds NaN" in inspect(path, weights=weights)["nonfinite"]
    net = minicnn.load(path, weights=weights, allow_nonfinite=True)
    assert np.isnan(net.state_dict()["conv.weight"]).sum() == 2
    arguments = ["check", str(path), *(["--weights", str(weights)] if weights else [])]
    assert main(arguments) == 1
    assert "weight conv.weight holds NaN" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_state_dictionaries(tmp_path, suffix):
    net = minicnn.zoo.build("squeezenet1_1")
    name = list(net.state_dict())[3]
    net.state_dict()[name].flat[-1] = np.inf
    minicnn.save(net, tmp_path / f"net{suffix}")
    with pytest.raises(WeightsError, match=rf"net{suffix}: weight {name} holds infinity"):
        minicnn.load(tmp_path / f"net{suffix}", architecture="squeezenet1_1")
