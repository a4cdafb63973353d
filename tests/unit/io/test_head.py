"""New heads of several layers: what lies between their weights is said by the caller and held to the file."""

import json

import numpy as np
import pytest

import minicnn
from minicnn import zoo
from minicnn.cli import main
from minicnn.errors import WeightsError

torch = pytest.importorskip("torch")
nn = torch.nn

NET = zoo.build("digits", seed=3)
X = np.random.default_rng(0).standard_normal((2, 1, 28, 28)).astype(np.float32)
PLAIN = {"batchnorm1d": lambda: nn.BatchNorm1d(9), "leakyrelu": nn.LeakyReLU, "gelu": nn.GELU, "tanh": nn.Tanh}
PLAIN |= {"relu": nn.ReLU, "dropout": nn.Dropout, "sigmoid": nn.Sigmoid, "softmax": lambda: nn.Softmax(1)}


def build(names):
    """Return a head of these modules behind the 256 values before the digits' last layer."""
    sizes, modules = iter([(256, 9), (9, 9), (9, 4)]), []
    linear = names.count("linear")
    for name in names:
        if name == "linear":
            linear -= 1
            inputs, outputs = next(sizes)
            modules.append(nn.Linear(inputs, outputs if linear else 4, bias=bool(linear)))
        else:
            modules.append(PLAIN[name]())
    torch.manual_seed(0)
    for module in modules:
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return nn.Sequential(*modules).eval()


def write(path, head, name="fc_layers.2", prefix="model."):
    state = {k: torch.from_numpy(np.array(a)) for k, a in NET.state_dict().items() if "fc_layers.2" not in k}
    torch.save({prefix + k: t for k, t in {**state, **head.state_dict(prefix=f"{name}.")}.items()}, path)
    return path


@pytest.mark.parametrize("name", ["fc_layers.2", "head", "classifier.fc"])
@pytest.mark.parametrize(
    "modules",
    [
        "linear,relu,dropout,linear",
        "dropout,linear,batchnorm1d,gelu,linear",
        "linear,leakyrelu,linear,tanh,linear",
        "linear,linear",
        "linear,relu,linear,softmax",
    ],
)
def test_a_head_whose_modules_are_named_is_torchs(tmp_path, modules, name):
    head = build(modules.split(","))
    path = write(tmp_path / "net.pth", head, name)
    actual = minicnn.load(path, architecture="digits", head=modules.split(","))
    features = torch.from_numpy(np.array(NET.forward(X, upto=NET.names[-2])))
    expected = head(features).detach().numpy()
    np.testing.assert_allclose(actual.forward(X, upto=actual.names[-1]), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        (None, r"found fc_layers\.2\.0\.weight, fc_layers\.2\.3\.weight; .*--head linear,relu,dropout,linear"),
        ("linear,relu,linear", r"fc_layers\.2\.3 is module 3, and linear is named as module 2; name all modules"),
        ("linear", r"expected 1 layers with weights in its place, found fc_layers\.2\.0, fc_layers\.2\.3"),
        ("linear,relu,dropout,batchnorm1d", r"fc_layers\.2\.3 does not hold the weights of a batchnorm1d module"),
        ("linear,rellu,dropout,linear", r"did you mean 'relu'"),
        ("relu", r"a linear one is needed"),
    ],
)
def test_a_head_that_is_not_the_files_is_refused(tmp_path, modules, words):
    path = write(tmp_path / "net.pth", build(["linear", "relu", "dropout", "linear"]))
    with pytest.raises(WeightsError, match=words):
        minicnn.load(path, architecture="digits", head=modules and modules.split(","))


def test_layers_whose_sizes_do_not_follow_are_named(tmp_path):
    path = write(tmp_path / "net.pth", nn.Sequential(nn.Linear(256, 9), nn.ReLU(), nn.Linear(8, 4)))
    with pytest.raises(WeightsError, match=r"does not fit its weights: layer 'fc_layers\.2\.2': .* 8 features"):
        minicnn.load(path, architecture="digits", head=["linear", "relu", "linear"])


def test_a_head_behind_the_whole_architecture_is_refused(tmp_path):
    state = {k: torch.from_numpy(np.array(a)) for k, a in NET.state_dict().items()}
    torch.save({**state, "more.weight": torch.ones(4, 10)}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="more beside the whole architecture"):
        minicnn.load(tmp_path / "net.pth", architecture="digits", head=["linear"])


def test_a_file_with_its_own_architecture_takes_no_head():
    with pytest.raises(WeightsError, match=r"leave head= \(--head\) out"):
        minicnn.load("digits", head=["linear"])


def test_a_head_is_typed_and_kept_by_conversion(tmp_path, capsys):
    modules = "linear,batchnorm1d,relu,dropout,linear"
    path = write(tmp_path / "net.pth", build(modules.split(",")))
    typed = ("--architecture", "digits", "--head", modules)
    for name in ("net.npz", "out.pth"):
        assert main(["convert", str(path), str(tmp_path / name), *typed, "--check", "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert not any(row["skipped"] for row in record["checks"] if row["peer"] == "minicnn")
    direct = minicnn.load(path, architecture="digits", head=modules.split(","))
    np.testing.assert_array_equal(minicnn.load(tmp_path / "net.npz")(X), direct(X))
