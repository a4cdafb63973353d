"""What the commands of ``verify`` say to wrong use: one sentence and exit 1, and JSON that any reader takes."""

import json

import numpy as np
import pytest

import minicnn
from minicnn import Network
from minicnn.cli import main
from minicnn.io import catalogue
from minicnn.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, ReLU
from minicnn.verify import compare, diagnose

SEVEN = str(catalogue.folder("images") / "seven.png")
X, SCORES = np.zeros((1, 1, 28, 28), np.float32), np.zeros((1, 10), np.float32)
PROGRAMS = """
import numpy
def factory():
    raise RuntimeError("no weights here")
def inside(x):
    raise KeyError("no such layer")
def nan(x):
    return numpy.full((len(x), 10), numpy.nan)
def infinite(x):
    return numpy.full((len(x), 10), numpy.inf)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "strange_programs.py").write_text(PROGRAMS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_sentence(capsys, *words, status=1):
    """What the command prints on stderr, which is one line, and all."""
    assert main(list(words)) == status
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("minicnn: ") and printed.err.count("\n") == 1
    return printed.err


def strictly(capsys):
    """What was printed, read by a reader that knows no Infinity and no NaN."""

    def refuse(word):
        raise AssertionError(word)

    return json.loads(capsys.readouterr().out, parse_constant=refuse)


@pytest.mark.parametrize("word", ["²", "--5", "99", "-1", "seventy", ""])
@pytest.mark.parametrize(
    "command",
    [
        ("compare", "digits", "--with", "reference", "--target={}"),
        ("diagnose", "digits", SEVEN, "--label={}"),
        ("validity", SEVEN, "--net", "digits", "--target={}"),
    ],
    ids=lambda command: command[0],
)
def test_a_class_that_there_is_not(command, word, capsys):
    assert "target: " in one_sentence(capsys, *(part.format(word) for part in command), status=2)


DUMPS = {
    "no scores": ({"input": X}, "found none"),
    "another shape": ({"input": X.repeat(3, axis=1), "scores": SCORES}, "takes images of (1, 28, 28)"),
    "text for an input": ({"input": np.array("seven"), "scores": SCORES}, "'input' should be numbers"),
    "one number for an input": ({"input": np.float32(3), "scores": SCORES}, "'input' should be numbers"),
    "text for a target": ({"input": X, "scores": SCORES, "gradient": X, "target": "seven"}, "'target' should be"),
    "two targets": ({"input": X, "scores": SCORES, "gradient": X, "target": [1, 2]}, "'target' should be"),
    "a gradient without target": ({"input": X, "scores": SCORES, "gradient": X}, "'gradient' needs 'input'"),
    "a gradient of another shape": (
        {"input": X, "scores": SCORES, "gradient": X[0], "target": 1},
        "'gradient' needs 'input'",
    ),
}


@pytest.mark.parametrize("command", [("compare", "digits", "--with"), ("diagnose", "digits", "--reference")])
@pytest.mark.parametrize(("arrays", "sentence"), DUMPS.values(), ids=DUMPS)
def test_a_strange_dump(command, arrays, sentence, folder, capsys):
    np.savez("dump.npz", **arrays)
    assert sentence in one_sentence(capsys, *command, "dump.npz")


def test_a_target_beyond_the_classes(folder, capsys):
    np.savez("dump.npz", input=X, scores=SCORES, gradient=X, target=99)
    assert "out of range" in one_sentence(capsys, "compare", "digits", "--with", "dump.npz")


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("factory", "RuntimeError: no weights here"),
        ("inside", "KeyError: 'no such layer'"),
        ("missing", "AttributeError"),
        ("", "AttributeError"),
    ],
)
@pytest.mark.parametrize("command", [("compare", "digits", "--with"), ("diagnose", "digits", "--reference")])
def test_a_program_that_raises(command, function, sentence, folder, capsys):
    assert sentence in one_sentence(capsys, *command, f"strange_programs:{function}")


@pytest.mark.parametrize(
    "command",
    [
        ("check",),
        ("compare", "--with", "torch"),
        ("compare", "--with", "onnxruntime"),
        ("compare", "--with", "dump.npz"),
        ("diagnose", "--reference", "dump.npz"),
    ],
    ids=" ".join,
)
def test_a_network_of_any_size(command, folder, capsys):
    """It is run at a size that its layers accept."""
    net = Network([Conv2d(1, 2, 3), GlobalAvgPool2d(), Flatten(), Linear(2, 3)])
    minicnn.save(net, "net.npz")
    np.savez("dump.npz", input=X, scores=net(X))
    assert main([command[0], "net.npz", *command[1:]]) == 0
    assert "DIVERGE" not in capsys.readouterr().out
    assert "an image" in one_sentence(capsys, "diagnose", "net.npz", "--label=1")


@pytest.mark.parametrize("function", ["nan", "infinite"])
def test_scores_that_are_no_numbers(function, folder, capsys):
    """They differ from everything, in JSON too."""
    assert main(["compare", "digits", "--with", f"strange_programs:{function}", "--json"]) == 1
    record = strictly(capsys)
    assert not record["ok"] and "DIVERGE" in record["verdict"] and record["steps"][-1]["error"] is None
    said = one_sentence(capsys, "diagnose", "digits", "--reference", f"strange_programs:{function}")
    assert "NaN or infinity" in said


def test_an_input_that_is_no_number(folder, capsys):
    np.savez("dump.npz", input=np.full_like(X, np.nan), scores=SCORES)
    assert main(["compare", "digits", "--with", "dump.npz"]) == 1
    assert "DIVERGE" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")
@pytest.mark.parametrize("sign", [1, -1])
def test_mean_and_variance_exchanged(sign):
    """With a mean below zero, the square root of a negative variance: our own scores are NaN."""
    rng = np.random.default_rng(0)
    mean, var = (rng.random((2, 4)) + 0.5).astype(np.float32)
    mean[0] *= sign

    def net(mean, var):
        layers = [Conv2d(2, 4, 3), BatchNorm2d(4, running_mean=mean, running_var=var), ReLU(), Flatten()]
        return Network([*layers, Linear(144, 5)], (2, 8, 8), seed=0)

    right, wrong = net(mean, var), net(var, mean)
    x = rng.standard_normal((1, 2, 8, 8)).astype(np.float32)
    dump = {"input": x, "scores": right(x)}
    assert compare(right, dump).ok and diagnose(right, dump).sound
    assert not compare(wrong, dump).ok
    diagnosis = diagnose(wrong, dump)
    assert not diagnosis.sound and diagnosis.healed and diagnosis.changes[0].what == "mean and variance exchanged"
    dump = {"input": x, "1@BatchNorm2d": right.forward(x, upto="1"), "scores": right(x)}
    assert compare(wrong, dump).first.name == "1"


@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")
def test_scores_of_ours_that_are_no_numbers_are_a_fault():
    norm = BatchNorm2d(2, running_mean=np.ones(2, np.float32), running_var=np.float32([1, -1]))
    net = Network([norm, Flatten(), Linear(8, 3)], (2, 2, 2), seed=0)
    diagnosis = diagnose(net, {"input": np.ones((1, 2, 2, 2), np.float32), "scores": np.zeros((1, 3), np.float32)})
    assert not diagnosis.sound and "no fault" not in diagnosis.text()


def test_json_of_a_network_without_kinks(folder, capsys):
    """Its radius is infinite, which JSON has not."""
    x = minicnn.Preprocess(size=(28, 28), channels="L", scale=1 / 255, mean=(0,), std=(1,))
    net = Network([Flatten(), Linear(784, 10)], (1, 28, 28), preprocess=x, seed=0)
    minicnn.save(net, "linear.npz")
    assert main(["validity", SEVEN, "--net", "linear.npz", "--json"]) == 0
    assert strictly(capsys)[0]["uphill"] is None
    assert main(["validity", SEVEN, "--net", "linear.npz"]) == 0
    assert "inf grey levels" in capsys.readouterr().out
    assert main(["check", "linear.npz", "--json"]) == 0
    assert strictly(capsys)["ok"]


@pytest.mark.parametrize(
    "words",
    [("compare", "digits", "--with", "reference"), ("check", "digits", "--directions", "1")],
    ids=lambda words: words[0],
)
def test_json_of_the_shipped_network(words, capsys):
    assert main([*words, "--json"]) == 0
    assert strictly(capsys)["ok"]


def test_nothing_is_saved_where_nothing_was_healed(folder, capsys):
    net = Network([Flatten(), Linear(16, 5)], (1, 4, 4), seed=0)
    minicnn.save(net, "net.npz")
    x = np.random.default_rng(0).standard_normal((1, 1, 4, 4)).astype(np.float32)
    np.savez("right.npz", input=x, scores=net(x))
    np.savez("strange.npz", input=x, scores=net(x) + np.random.default_rng(1).standard_normal((1, 5)))
    for dump, code in (("right.npz", 0), ("strange.npz", 1)):
        assert main(["diagnose", "net.npz", "--reference", dump, "--save", "healed.npz"]) == code
        assert "not written" in capsys.readouterr().err
        assert not (folder / "healed.npz").exists()


def test_gradients_that_nothing_can_be_said_of_do_not_hide_that_the_values_agree(monkeypatch):
    from minicnn.verify.comparison import caveats

    net = Network([Conv2d(1, 2, 3), ReLU(), Flatten(), Linear(8, 3)], input_shape=(1, 4, 4))
    monkeypatch.setattr(caveats, "LOOSE_GRADIENT", 0.0)
    verdict = compare(net, "reference", np.ones((1, 1, 4, 4), np.float32)).verdict()
    assert verdict.startswith("GRADIENTS UNDECIDED: 4 values agree within rounding, but the gradients' tolerance")
