"""Networks with layers of one's own are saved and loaded, pickled and copied, or refused at once."""

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

import minicnn
from minicnn import Network
from minicnn.cli import main
from minicnn.errors import WeightsError
from minicnn.io.digest import digest_network
from minicnn.layers import Conv2d, Layer, Residual, Sequential
from minicnn.layers import ReLU as RightReLU
from minicnn.rules import GRADIENT

X = np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)


class Own(Layer):
    """Backward is not what is tried here."""

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return dy, {}


class ReLU(Own):
    """One that has the name of another."""

    def forward(self, x, kernels, keep=None, rng=None):
        return np.maximum(x, 0.5 * x), x


@dataclass(frozen=True, eq=False, repr=False)
class Slope(Own):
    """A dataclass, as those of the package are."""

    slope: float = 0.1
    name: str = "any word"

    def forward(self, x, kernels, keep=None, rng=None):
        return np.maximum(x, self.slope * x), x


class Scale(Own):
    """A constructor and a weight of its own."""

    def __init__(self, channels, power=1):
        self.channels, self.power, self.factors = channels, power, np.arange(1.0, channels + 1, dtype=np.float32)

    def parameter_shapes(self):
        return {"factors": (self.channels,)}

    def forward(self, x, kernels, keep=None, rng=None):
        return x * self.factors[:, None, None] ** self.power, x


class Forgetful(Own):
    """A constructor whose argument is lost: what is made again would be another layer."""

    def __init__(self, slope=0.1):
        self.a = slope

    def forward(self, x, kernels, keep=None, rng=None):
        return np.maximum(x, self.a * x), x


class Elsewhere(Own):
    """An argument that no file can hold."""

    def __init__(self, function):
        self.function = function

    def forward(self, x, kernels, keep=None, rng=None):
        return self.function(x), x


def build(*layers, **more):
    return Network([("conv", Conv2d(3, 4, 3, padding=1)), *layers], (3, 4, 4), name="own", **more)


def test_what_is_saved_is_loaded_with_the_classes(tmp_path):
    path = tmp_path / "net.npz"
    scale = Scale(4, power=2).with_state({"factors": np.array([3.0, 1.0, 2.0, 5.0], np.float32)})
    net = build(
        ReLU(), Slope(0.3), ("scale", scale), Residual([ReLU(), RightReLU()]), ("last", Slope(0.2), "scale")
    )
    minicnn.save(net, path)
    with pytest.raises(WeightsError, match=r"layer '1' is of its author's own class ReLU; .*layers=\[ReLU\]"):
        minicnn.load(path)
    loaded = minicnn.load(str(path), layers=[ReLU, Slope, Scale])
    assert np.array_equal(loaded(X), net(X)) and repr(loaded["2"]) == "Slope(slope=0.3, name='any word')"
    assert repr(loaded["scale"]) == "Scale(channels=4, power=2)" and type(loaded["1"]) is ReLU
    assert digest_network(loaded)["sha256"] == digest_network(net)["sha256"]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Forgetful(0.3), "it keeps no slope"),
        (Elsewhere(np.tanh), "TypeError: .* not JSON serializable"),
        (Sequential([Elsewhere(np.tanh)]), "TypeError: .* not JSON serializable"),
    ],
)
def test_what_could_not_be_made_again_is_refused_at_once(tmp_path, layer, reason):
    path = tmp_path / "net.npz"
    with pytest.raises(WeightsError, match=rf"can't be saved, since .*{reason}.*write config\(\)"):
        minicnn.save(build(("own", layer)), path)
    assert not path.exists()
    assert digest_network(build(("own", layer)))["sha256"]


def test_classes_are_for_our_own_files_alone(tmp_path):
    path = tmp_path / "net.onnx"
    minicnn.save(build(RightReLU()), path)
    with pytest.raises(WeightsError, match=r"only minicnn's own \.npz holds layers of your own"):
        minicnn.load(path, layers=[ReLU])
    with pytest.raises(WeightsError, match="no ONNX operator is known for Slope"):
        minicnn.save(build(Slope()), path)


@pytest.mark.parametrize("device", ["reference", "cpu"])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_networks_are_pickled_and_copied(device, copied):
    if device == "cpu":
        pytest.importorskip("numba")
        pytest.importorskip("scipy")
    net = build(Slope(0.3), ("scale", Scale(4)), device=device)
    net(X)
    other = copied(net)
    assert np.array_equal(other(X), net(X)) and (other.device, other.name) == (device, "own")
    other.load_state_dict({name: 0 * array for name, array in net.state_dict().items()})
    assert not other(X).any() and net(X).any()


def test_a_catalogued_network_is_pickled_whole():
    net = minicnn.load("digits")
    other = pickle.loads(pickle.dumps(net))
    assert other.labels == net.labels and other.preprocess.to_dict() == net.preprocess.to_dict()


def test_the_command_line_is_told_where_the_classes_are(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_own_layers.py").write_text(
        "import numpy as np\n"
        "from minicnn.layers import Layer\n"
        "class Bent(Layer):\n"
        "    def forward(self, x, kernels, keep=None, rng=None):\n"
        "        return np.abs(x), x\n"
        "    def backward(self, dy, x, kernels, rule=None, weights=False):\n"
        "        return dy * np.sign(x), {}\n"
        "NUMBER = 3\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    minicnn.save(build(("bent", __import__("my_own_layers").Bent())), "net.npz")
    assert main(["check", "net.npz"]) == 1
    assert "its author's own class Bent; load it with that class" in capsys.readouterr().err
    assert main(["check", "net.npz", "--layers", "my_own_layers:Bent", "--directions", "1"]) == 0
    assert "passed" in capsys.readouterr().out
    assert main(["inspect", "net.npz", "--layers", "my_own_layers:Bent"]) == 0
    for wrong, sentence in (
        ("my_own_layers:NUMBER", "no class 'NUMBER' made of minicnn.layers.Layer"),
        ("nowhere:Bent", "nowhere can't be imported: ModuleNotFoundError"),
        ("Bent", "expected MODULE:CLASS"),
    ):
        with pytest.raises(SystemExit):
            main(["check", "net.npz", "--layers", wrong])
        assert sentence in capsys.readouterr().err
