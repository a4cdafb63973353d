"""Comparison with other programs: what agrees passes, what differs is found where it arises."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import minicnn
from minicnn import Network, zoo
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.formats.containers.npz import read as read_npz
from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    Divide,
    Flatten,
    Hardtanh,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Scale,
    Sigmoid,
    Softmax,
    Sum,
)
from minicnn.verify import compare
from minicnn.verify.comparison.distance import largest_ulps, ulps_histogram
from minicnn.verify.comparison.matching import align
from minicnn.verify.comparison.peers import dump
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.comparison.peers.registry import as_peer
from minicnn.verify.probe import Value
from tests.helpers.torch_lite0 import Lite0, digits, load_weights
from tests.helpers.torch_zoo import MODULES
from tests.unit.formats.test_onnx_writer import LAYERS, SHAPE


@pytest.fixture(scope="module")
def net():
    return minicnn.load("digits")


def small(seed=0):
    chain = [Conv2d(2, 6, 3, stride=2), ReLU(), LocalResponseNorm(3, 0.5), MaxPool2d(2), Conv2d(6, 5, 2)]
    return Network([*chain, ReLU(), Flatten(), Linear(20, 4)], (2, 15, 15), seed=seed)


def changed(net, name, **fields):
    layers = [(n, replace(part, **fields) if n == name else part) for n, part in net.named_layers]
    return Network(layers, net.input_shape)


@pytest.mark.parametrize("peer", ["torch", "onnxruntime", "reference"])
def test_a_network_agrees_with_its_translations(net, peer):
    comparison = compare(net, peer)
    assert comparison.ok, comparison.text()
    assert len(comparison.values) == len(net.names)
    assert not comparison.unmatched
    assert len(comparison.gradients) == (0 if peer == "onnxruntime" else len(net.names) + 1)


@pytest.mark.parametrize("peer", ["torch", "onnxruntime"])
@pytest.mark.parametrize("chain", LAYERS.values(), ids=LAYERS)
def test_every_layer_agrees(chain, peer):
    if not chain or (peer == "torch" and chain == LAYERS["up"]):
        pytest.skip("torch's transposed convolution pads both sides alike")
    comparison = compare(Network(chain, SHAPE), peer)
    assert comparison.ok, comparison.text()


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "squeezenet1_1"])
def test_modules_written_by_others_agree(name):
    """Functional ReLUs, in-place sums and merged names in between."""
    torch.manual_seed(0)
    module, plan = MODULES[name](), zoo.architecture(name)
    state = {k: v.numpy() for k, v in module.state_dict().items()}
    comparison = compare(Network.from_state_dict(plan.layers, state, plan.input_shape), module)
    assert comparison.ok, comparison.text()
    assert len(comparison.values) > 0.9 * (len(comparison.values) + len(comparison.unmatched))


def test_lite0_agrees():
    net = minicnn.load("efficientnet-lite0")
    comparison = compare(net, load_weights(Lite0(), net))
    assert comparison.ok, comparison.text()


class InPlace(nn.Module):
    """Every way in which a rectifier escapes hooks."""

    def __init__(self, net):
        super().__init__()
        self.conv, self.other = nn.Conv2d(2, 6, 3, 2), nn.Conv2d(6, 5, 2)
        self.rectifier, self.last = nn.ReLU(inplace=True), nn.Linear(20, 4)
        for part, name in ((self.conv, "0"), (self.other, "4"), (self.last, "7")):
            part.weight.data, part.bias.data = (torch.from_numpy(a.copy()) for a in net[name].state().values())

    def forward(self, x):
        x = F.local_response_norm(self.rectifier(self.conv(x)), 3, 0.5)
        x = self.other(F.max_pool2d(x, 2))
        x.relu_()
        return self.last(torch.flatten(x, 1))


def test_in_place_and_functional_rectifiers_are_seen():
    net = small()
    comparison = compare(net, InPlace(net))
    assert comparison.ok, comparison.text()
    assert not comparison.unmatched
    assert len(comparison.gradients) > 3
    signed = next(step for step in comparison.values if step.name == "4")
    assert signed.peer == "other"  # not overwritten by what came after it


@pytest.mark.parametrize(("layer", "fields"), [("2", {"alpha": 1.5}), ("2", {"k": 2.0}), ("2", {"size": 5})])
def test_the_first_difference_is_found_where_it_arises(layer, fields):
    net = small()
    wrong = changed(net, layer, **fields)
    comparison = compare(wrong, as_peer("torch", net))
    assert comparison.first.name == layer
    assert [step.name for step in comparison.causes] == [layer]
    assert not comparison.ok
    assert f"first at {layer}" in comparison.verdict()


def test_two_differences_are_told_apart():
    net = minicnn.load("digits")
    wrong = changed(net, "conv_layers.3", weight=net["conv_layers.3"].weight.swapaxes(2, 3))
    wrong = changed(wrong, "fc_layers.0", bias=-net["fc_layers.0"].bias)
    comparison = compare(wrong, "torch")
    assert comparison.ok
    comparison = compare(wrong, as_peer("torch", net))
    assert [step.name for step in comparison.causes] == ["conv_layers.3", "fc_layers.0"]


def test_a_small_difference_is_seen():
    """Epsilon of a batch normalisation: 5e-4 in the values, which a tolerance of 1e-2 would never see."""
    norm = BatchNorm2d(4, eps=1e-3, running_mean=np.zeros(4, np.float32), running_var=np.ones(4, np.float32))
    net = Network([Conv2d(3, 4, 3), norm, ReLU()], (3, 8, 8))
    comparison = compare(changed(net, "1", eps=1e-5), as_peer("torch", net))
    assert comparison.first.name == "1"
    assert 1e-4 < comparison.first.error < 1e-3


def test_a_wrong_gradient_is_found():
    net = small()
    right = as_peer("torch", net)

    def gradient(x, target):
        return {"input": 1.001 * right.gradient(x, target)["input"]}

    comparison = compare(net, Peer("wrong", right.values, gradient, float64=True))
    assert all(step.ok for step in comparison.values)
    assert comparison.first.name == "input"
    assert "forward agrees" in comparison.verdict()


@pytest.mark.parametrize("which", ["torch", "onnxruntime"])
def test_dumpers_need_their_framework_alone(which, tmp_path, net):
    """The printed lines, run in a process of their own, write what compare reads."""
    minicnn.save(net, tmp_path / "net.onnx")
    minicnn.save(net, tmp_path / "net.pth")
    first = "import numpy\nx = numpy.random.default_rng(3).standard_normal((2, 1, 28, 28)).astype('f4')\n"
    if which == "torch":
        first += f"import sys; sys.path.insert(0, {str(minicnn.__file__.rsplit('/', 2)[0])!r})\n"
        first += (
            "import torch; from tests.helpers.torch_lite0 import digits; net, x = digits(), torch.from_numpy(x)\n"
        )
        first += "net.load_state_dict(torch.load('net.pth'))\n"
    (tmp_path / "run.py").write_text(first + dump.DUMPERS[which])
    subprocess.run([sys.executable, "run.py"], cwd=tmp_path, check=True)
    comparison = compare(net, str(tmp_path / "dump.npz"))
    assert comparison.ok, comparison.text()
    assert len(comparison.values) == len(net.names)
    assert bool(comparison.gradients) == (which == "torch")


def test_a_dump_keeps_what_a_peer_gave(tmp_path, net):
    x = np.random.default_rng(1).standard_normal((1, 1, 28, 28)).astype(np.float32)
    dump.write(tmp_path / "d.npz", x, as_peer("torch", net).values(x))
    comparison = compare(net, tmp_path / "d.npz", x)
    assert comparison.ok
    assert comparison.values[0].name == "input"
    other = compare(net, tmp_path / "d.npz", x + 1)
    assert other.first.name == "input"


def test_scores_alone_are_compared(net):
    x = np.ones((1, 1, 28, 28), np.float32)
    assert compare(net, {"input": x, "scores": net(x)}).ok
    assert not compare(net, {"input": x, "scores": net(x)[:, ::-1].copy()}).ok
    assert compare(net, lambda x: net(x)).ok


def test_jax_and_its_gradient():
    jax = pytest.importorskip("jax")
    net = small()
    state = {name: jax.numpy.asarray(a) for name, a in net.state_dict().items()}

    def f(x):
        y = jax.lax.conv(x, state["0.weight"], (2, 2), "VALID") + state["0.bias"][:, None, None]
        y = jax.nn.relu(y)
        padded = jax.numpy.pad(y**2, ((0, 0), (1, 1), (0, 0), (0, 0)))
        total = sum(padded[:, i : i + 6] for i in range(3))
        y = y / (1 + 0.5 / 3 * total) ** 0.75
        y = jax.lax.reduce_window(y, -jax.numpy.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        y = jax.nn.relu(jax.lax.conv(y, state["4.weight"], (1, 1), "VALID") + state["4.bias"][:, None, None])
        return y.reshape(len(y), -1) @ state["7.weight"].T + state["7.bias"]

    comparison = compare(net, f)
    assert comparison.ok, comparison.text()
    assert len(comparison.gradients) == 1


# parts


def test_alignment_by_name_order_and_value():
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal((1, 4, 5, 5)) for _ in range(3))
    ours = [Value("conv", "Conv2d", a), Value("norm", "BatchNorm2d", b), Value("relu", "ReLU", c)]
    assert align(ours, [Value("", "Conv", a), Value("", "Relu", c)]) == [(0, 0), (2, 1)]
    merged = [Value("x", "Conv", b), Value("y", "Relu", c)]  # another program folds the normalisation
    assert align(ours, merged) == [(1, 0), (2, 1)]
    wrong = [Value("", "", a + 1), Value("", "", b + 1), Value("", "", c + 1)]
    assert align(ours, wrong) == [(0, 0), (1, 1), (2, 2)]


def test_units_in_the_last_place():
    one = np.float32([1.0])
    assert largest_ulps(one, np.nextafter(one, np.float32(2))) == 1
    assert largest_ulps(one, one) == 0
    assert largest_ulps(one, np.float32([np.nan])) == np.inf
    assert sum(ulps_histogram(one, one * 1.5)) == 1
    assert ulps_histogram(np.float32([1, 1]), np.float32([1, 2]))[0] == 1


# the command


def test_command(net, tmp_path, capsys):
    assert main(["compare", "digits", "--with", "torch", "--save", str(tmp_path / "d.npz"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["ok"]
    assert len(record["gradients"]) == len(net.names) + 1
    assert main(["compare", "digits", "--with", str(tmp_path / "d.npz")]) == 0
    assert "agree" in capsys.readouterr().out
    minicnn.save(changed(net, "fc_layers.2", bias=-net["fc_layers.2"].bias), tmp_path / "wrong.npz")
    assert main(["compare", str(tmp_path / "wrong.npz"), "--with", str(tmp_path / "d.npz")]) == 1
    assert "first at fc_layers.2" in capsys.readouterr().out


def test_a_function_by_its_name(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine_to_compare.py").write_text("import numpy\ndef f(x):\n    return numpy.ones((len(x), 10))\n")
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "digits", "--with", "mine_to_compare:f"]) == 1
    assert "DIVERGE" in capsys.readouterr().out
    assert main(["compare", "digits", "--with", "mine_to_compare:g"]) == 1
    assert "can't be imported" in capsys.readouterr().err


def test_a_program_whose_framework_is_missing_names_the_extra(tmp_path, monkeypatch, capsys):
    (tmp_path / "theirs.py").write_text("import jax\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "jax", None)  # as if it were not installed
    assert main(["compare", "digits", "--with", "theirs:scores"]) == 1
    said = capsys.readouterr().err
    assert "minicnn-engine[verify]" in said and said.count("\n") == 1


def test_dumper_is_printed(capsys):
    with pytest.raises(SystemExit) as end:
        main(["compare", "--print-dumper", "torch"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    compile(printed, "dumper", "exec")
    assert "minicnn" not in printed


@pytest.mark.parametrize("package", ["torch", "onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(net, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MinicnnError, match=rf"{package}.*minicnn-engine\[verify\]"):
        compare(net, "torch" if package == "torch" else "onnxruntime")


@pytest.mark.parametrize("peer", ["nonsense", "none.onnx", "none.npz", 3, {"input": np.ones((1, 1, 28, 28))}])
def test_a_strange_peer_is_refused(net, peer):
    with pytest.raises(MinicnnError):
        compare(net, peer)


def test_digits_of_torch(net):
    assert compare(net, load_weights(digits(), net)).ok


def test_saved_values_keep_their_order(tmp_path, net):
    x = np.zeros((1, 1, 28, 28), np.float32)
    dump.write(tmp_path / "d.npz", x, as_peer("onnxruntime", net).values(x))
    assert list(read_npz(tmp_path / "d.npz")[0])[:2] == ["input", "conv_layers.0@Conv"]


class _Ended(nn.Module):
    def __init__(self, end):
        super().__init__()
        self.linear, self.end = nn.Linear(6, 4), end

    def forward(self, x):
        return self.end(self.linear(x))


@pytest.mark.parametrize(
    ("end", "layers"),
    [
        (nn.Sigmoid(), [Sigmoid()]),
        (torch.sigmoid, [Sigmoid()]),
        (lambda z: (z / 2).softmax(1), [Scale((1,), weight=np.float32([0.5]), bias=False), Softmax()]),
        (lambda z: z.softmax(1)[..., None, None], [Softmax()]),
        (lambda z: z.softmax(1).clamp(1e-7, 1 - 1e-7), [Softmax(), Hardtanh(1e-7, 1 - 1e-7)]),
        (
            lambda z: z.sigmoid() / z.sigmoid().sum(1, keepdim=True),
            [("p", Sigmoid()), Sum(1, keepdim=True), ("end", Divide(), ("p", "2"))],
        ),
    ],
    ids=["module", "function", "temperature", "maps of one pixel", "clipped", "shares"],
)
def test_gradients_begin_where_ours_do(end, layers):
    module = _Ended(end).eval()
    weight, bias = (p.detach().numpy().copy() for p in module.linear.parameters())
    named = [item if isinstance(item, tuple) else (str(i), item) for i, item in enumerate(layers, start=1)]
    net = Network([("linear", Linear(6, 4, weight=weight, bias=bias)), *named], (6,))
    x = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
    comparison = compare(net, module, x)
    assert comparison.ok and comparison.gradients, comparison.text()
    torch.nn.init.ones_(module.linear.bias)
    assert not compare(net, module, x).ok
