"""A file of any format whose weights hold NaN or infinity is refused by the weight's name, or loaded on demand."""

import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.errors import WeightsError
from minicnn.io.inspect import inspect
from minicnn.layers import BatchNorm2d, Conv2d, InstanceNorm2d, Pow
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


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (InstanceNorm2d(3, eps=-5.0), r"layer 1 \(InstanceNorm2d\): its eps is -5"),
        (Pow(float("nan")), r"layer 1 \(Pow\): its \w+ is nan"),
    ],
)
def test_numbers_that_make_nan_of_any_input(tmp_path, layer, words):
    net = minicnn.Network([Conv2d(3, 3, 1), layer], (3, 4, 4), seed=0)
    minicnn.save(net, tmp_path / "net.npz")
    with pytest.raises(WeightsError, match=f"net.npz: {words}"):
        minicnn.load(tmp_path / "net.npz")
    minicnn.load(tmp_path / "net.npz", allow_nonfinite=True)


def test_a_variance_that_rounding_took_below_0_is_read(tmp_path):
    net = minicnn.Network([BatchNorm2d(2, running_var=np.float32([1, -1e-8]))], (2, 4, 4))
    minicnn.save(net, tmp_path / "net.npz")
    assert np.isfinite(minicnn.load(tmp_path / "net.npz")(np.ones((1, 2, 4, 4)))).all()


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            BatchNorm2d(3, running_var=np.float32([1, 2, -0.5])),
            r"running_var is -0\.5 at \[2\], and a variance is 0 or",
        ),
        (BatchNorm2d(3, eps=0.0, running_var=np.float32([1, 0, 1])), r"running_var is 0 at \[1\]"),
    ],
)
def test_variances_that_have_no_root_are_named(tmp_path, layer, words):
    minicnn.save(minicnn.Network([Conv2d(3, 3, 1), layer], (3, 4, 4), seed=0), tmp_path / "net.npz")
    with pytest.warns(UserWarning, match=rf"net.npz: weight 1\.{words}"):
        minicnn.load(tmp_path / "net.npz")
