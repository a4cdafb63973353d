"""Diagnosis: injected faults are found and named, and nothing is reported where nothing is wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest

import minicnn
from minicnn import Network
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.io import catalogue
from minicnn.layers import AvgPool2d, BatchNorm2d, Conv2d, LeakyReLU, MaxPool2d, ReLU
from minicnn.verify import diagnose
from minicnn.verify.comparison.peers import dump
from minicnn.verify.comparison.peers.registry import as_peer
from minicnn.verify.diagnosis import from_image
from minicnn.verify.diagnosis.alternatives import reorder
from minicnn.verify.diagnosis.changes import (
    apply_changes,
    layer_changes,
    locate_layers,
    order_changes,
    preprocessing_changes,
)
from tests.fault_injection import inject, run
from tests.fault_injection.faults import PAIRS, SINGLES, single_fault
from tests.fault_injection.run import SCORES, VALUES

IMAGES = catalogue.folder("images")
CAT, SEVEN = IMAGES / "chelsea.png", IMAGES / "seven.png"


@pytest.fixture(scope="module")
def right():
    networks = {}

    def get(name):
        if name not in networks:
            net = inject.RIGHT[name]()
            networks[name] = net, run.reference(net, CAT)
        return networks[name]

    return get


QUICK = [fault for fault in SINGLES if fault.net == "CNN-F"]
QUICK += [fault for fault in SINGLES if fault.convention in ("batch-norm epsilon", "groups")]


@pytest.mark.filterwarnings("ignore:Preprocess")  # pictures of another range are among the faults
@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.what)
def test_single_faults(fault, right):
    """A reduced form of tests/fault_injection/run.py."""
    net, values = right(fault.net)
    result = run.inject_and_diagnose(net, (fault,), VALUES, values, CAT)
    assert run.word(result) == "found", result.verdict


@pytest.mark.parametrize("faults", [p for p in PAIRS if p[0].net != "Lite0"], ids=lambda p: p[0].what)
def test_pairs_of_faults(faults, right):
    net, values = right(faults[0].net)
    result = run.inject_and_diagnose(net, faults, VALUES, values, CAT)
    assert run.word(result) == "found", result.verdict


@pytest.mark.parametrize("name", ["AlexNet", "CNN-F"])
def test_no_fault_is_said_to_be_none(name, right):
    net, values = right(name)
    diagnosis = diagnose(net, values, CAT)
    assert diagnosis.sound
    assert diagnosis.changes == []
    assert "no fault" in diagnosis.text()


def test_scores_alone_are_enough(right):
    net, values = right("CNN-F")
    scores = {"input": values["input"], "scores": values["fc8@Linear"]}
    fault = single_fault("CNN-F", "LRN's alpha not divided")
    result = run.inject_and_diagnose(net, (fault,), SCORES, scores, CAT)
    assert run.word(result) == "found", result.verdict


@pytest.mark.filterwarnings("ignore:Preprocess")
def test_a_photograph_and_its_class():
    """Weak evidence, and said to be; the picture's channels are exchanged, and no picture was ever so blue."""
    net = minicnn.load("efficientnet-lite0").to("cpu")
    coffee = IMAGES / "coffee.png"
    assert diagnose(net, x=coffee, target="espresso").sound
    net.preprocess = replace(net.preprocess, scale=1 / 255)
    diagnosis = diagnose(net, x=coffee, target="espresso")
    assert diagnosis.healed
    assert [change.convention for change in diagnosis.changes] in (["scale"], ["scale and mean"])
    assert "Weak evidence" in diagnosis.text()
    assert diagnosis.after < diagnosis.before - 3


def test_the_healed_network_answers(right):
    net, values = right("AlexNet")
    wrong = single_fault("AlexNet", "conv3 stored as HWIO").inject(net)
    healed = diagnose(wrong, values, CAT).net
    x = net.preprocess(CAT)
    np.testing.assert_array_equal(healed(x), net(x))


def test_what_is_unknown_is_not_invented(right):
    """Noise in the weights is no convention."""
    net, values = right("CNN-F")
    noise = np.random.default_rng(0).standard_normal(net["conv2"].weight.shape).astype("f4")
    wrong = inject.weights(lambda w: w + 0.1 * noise, "conv2")(net)
    diagnosis = diagnose(wrong, values, CAT)
    assert not diagnosis.healed
    assert diagnosis.changes == []
    assert diagnosis.first == "conv2"
    assert "NOT FOUND" in diagnosis.verdict()


SMALL = [
    (LeakyReLU(0.01), LeakyReLU(0.2), "rectifier"),
    (AvgPool2d(3, 2, 1), AvgPool2d(3, 2, 1, count_include_pad=False), "pool mean"),
    (MaxPool2d(3, 2, padding=1), MaxPool2d(3, 2, padding=((0, 1), (0, 1))), "padding"),
]


@pytest.mark.parametrize(("right", "wrong", "convention"), SMALL, ids=lambda v: v if isinstance(v, str) else "")
def test_small_layers(right, wrong, convention):
    net = Network([Conv2d(2, 4, 3), right, BatchNorm2d(4), ReLU()], (2, 12, 12))
    layers = [(n, wrong if n == "1" else layer) for n, layer in net.named_layers]
    diagnosis = diagnose(Network(layers, net.input_shape), as_peer("torch", net))
    assert [change.convention for change in diagnosis.changes] == [convention], diagnosis.text()


def test_orders_of_a_buffer():
    """What was written in one order and read in ours is what it was."""
    weight = np.random.default_rng(0).standard_normal((4, 3, 2, 5))
    for axes in ((2, 3, 1, 0), (1, 0, 3, 2), (3, 2, 1, 0)):
        read = np.ascontiguousarray(weight.transpose(axes)).reshape(weight.shape)
        np.testing.assert_array_equal(reorder(read, axes), weight)


def test_every_change_gives_a_network_or_says_why_not():
    net = minicnn.load("digits")
    made = 0
    for change in [*layer_changes(net), *order_changes(net), *preprocessing_changes(net)]:
        try:
            other = change.apply(net)
        except MinicnnError:
            continue
        assert other.names == net.names or change.convention in ("layer order", "flattening")
        made += 1
    assert made > 100
    assert [located.name for located in locate_layers(net)] == net.names


def test_command(tmp_path, capsys):
    net = minicnn.load("digits")
    x = net.preprocess(SEVEN)
    dump.write(tmp_path / "right.npz", x, as_peer("torch", net).values(x))
    wrong = inject.rows(lambda n: np.arange(n)[::-1], "fc_layers.2")(net)
    minicnn.save(wrong, tmp_path / "wrong.npz")
    command = ["diagnose", str(tmp_path / "wrong.npz"), "--reference", str(tmp_path / "right.npz")]
    assert main([*command, "--save", str(tmp_path / "healed.npz"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["changes"][0]["convention"] == "class order"
    np.testing.assert_array_equal(minicnn.load(tmp_path / "healed.npz")(x), net(x))
    assert main(["diagnose", "digits", "--reference", str(tmp_path / "right.npz")]) == 0
    assert "no fault" in capsys.readouterr().out


# the digits net, by the scores alone


def with_parameters(change):
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
def test_one_injected_fault_is_found_from_the_scores_alone(change, layer):
    right, wrong = minicnn.load("digits"), with_parameters(change)
    diagnosis = diagnose(wrong, lambda x: right(x))
    assert diagnosis.healed and not diagnosis.sound and "FOUND" in diagnosis.verdict()
    assert len(diagnosis.changes) == 1 and layer in diagnosis.text()
    x = np.random.default_rng(0).standard_normal((1, 1, 28, 28))
    np.testing.assert_allclose(diagnosis.net(x), right(x), rtol=0, atol=1e-9 * np.abs(right(x)).max())


def test_no_fault_is_said():
    net = minicnn.load("digits")
    diagnosis = diagnose(net, lambda x: net(x))
    assert diagnosis.sound and not diagnosis.changes and "no fault" in diagnosis.text()


def test_it_needs_something_to_go_by():
    with pytest.raises(MinicnnError, match="needs a peer"):
        diagnose(minicnn.load("digits"))


def test_the_command_reads_onnx(tmp_path, capsys):
    minicnn.save(minicnn.load("digits"), tmp_path / "right.onnx")
    wrong = with_parameters(flipped)
    minicnn.save(wrong, tmp_path / "wrong.npz")
    words = ["diagnose", str(tmp_path / "wrong.npz"), str(SEVEN), "--reference", str(tmp_path / "right.onnx")]
    assert main(words) == 0
    assert "flip" in capsys.readouterr().out
    assert main(["diagnose", "digits", "--reference", str(tmp_path / "right.onnx")]) == 0
    assert "no fault" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["digits", "squeezenet1_1"])
def test_what_comes_before_a_change_is_not_run_again(name, monkeypatch):
    net, image = minicnn.load(name), catalogue.folder("images") / "seven.png"
    changes = [c for c in layer_changes(net) if len(c.layers) == 1][:: 7 if name == "digits" else 60]
    passes = from_image._Passes(net, image, 1, count=1)
    whole = from_image._scores
    expected = [from_image._negative_log_likelihood(whole(apply_changes(net, (c,)), image), 1) for c in changes]
    full = []
    monkeypatch.setattr(from_image, "_scores", lambda *given: full.append(1) or whole(*given))
    np.testing.assert_allclose([passes.loss(net, (change,)) for change in changes], expected, rtol=1e-4)
    assert len(full) < len(changes) / 2
