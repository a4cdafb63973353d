"""What another program answers is compared: nothing that it does makes ``compare`` say "agree" falsely.

Each of these tests notices faults of the comparison itself, see ``tests/mutation/comparisons.py``.
"""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

import minicnn
from minicnn import Network
from minicnn.errors import MinicnnError
from minicnn.layers import Conv2d, Flatten, Linear, ReLU, Softmax
from minicnn.verify import compare, diagnose, probe
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.comparison.peers.to_torch import to_torch
from minicnn.verify.conversion import all_agree, compare_files
from minicnn.verify.probe import Value

LAYERS = [Conv2d(2, 3, 3), ReLU(), Flatten(), Linear(48, 4)]


def small():
    return Network(LAYERS, (2, 6, 6), seed=0)


def draw(n=1, seed=1):
    return np.random.default_rng(seed).standard_normal((n, 2, 6, 6)).astype(np.float32)


def with_end(net, end, **fields):
    """A peer that has the layers' values, and answers what ``end`` makes of the scores."""

    def values(x):
        own = list(probe.run(net, x).values.values())
        return [*own, Value("", "", end(own[-1].array))]

    return Peer("with an end", values, **fields)


def name_of_first(comparison):
    return None if comparison.first is None else comparison.first.name


# arrays


def test_a_module_that_detaches_its_input_has_no_gradient_to_compare():
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = to_torch(small())

        def forward(self, x):
            return self.inner(x.detach())

    comparison = compare(small(), Detached().eval(), draw())
    assert comparison.ok and "input" not in {value.name for value in comparison.gradients}


def test_an_input_changed_in_place():
    net, x = small(), draw()

    def shifted(x):
        x -= 0.3
        return net(x)

    before = x.copy()
    assert compare(net, shifted, x).first is not None
    np.testing.assert_array_equal(x, before)


def test_a_buffer_that_is_written_again():
    """The second call writes into what the first returned."""
    net, buffer, calls = small(), np.zeros((1, 4), np.float32), []

    def reused(x):
        buffer[...] = net(x) * (1 + len(calls))
        calls.append(x)
        return buffer

    comparison = compare(net, reused)
    assert not comparison.ok and "not deterministic" in comparison.verdict()


def test_answers_that_drift():
    net, rng = small(), np.random.default_rng(0)
    comparison = compare(net, lambda x: net(x) + 1e-7 * rng.standard_normal((1, 4), np.float32))
    assert comparison.ok
    calls = []

    def drift(x):
        calls.append(x)
        return net(x) if len(calls) == 1 else net(x) * 1.01

    assert not compare(net, drift).ok


def test_weights_written_by_the_peer():
    net = small()

    def writing(x):
        net["3"].bias[...] += 1
        return net(x)

    with pytest.raises(MinicnnError, match=r"writes into network's own 3\.bias"):
        compare(net, writing)


# what it answers

ENDS = {
    "2 times the scores": lambda y: 2 * y,
    "the scores plus 1": lambda y: y + 1,
    "the softmax of the scores": lambda y: np.exp(y) / np.exp(y).sum(1, keepdims=True),
    "the logarithm of the softmax of the scores": lambda y: y - np.log(np.exp(y).sum(1, keepdims=True)),
    "the sigmoid of the scores": lambda y: 1 / (1 + np.exp(-y)),
    "the scores with classes 1 and 2 exchanged": lambda y: y[:, [0, 2, 1, 3]],
    "the scores with classes in reverse order": lambda y: y[:, ::-1],
    "the scores, of classes 1 to 2 of 4 alone": lambda y: y[:, 1:3],
    "the scores behind 1 and before 0 other classes": lambda y: np.pad(y, ((0, 0), (1, 0))),
    "the number of the best class": lambda y: y.argmax(1),
    "the numbers of the best 2 classes": lambda y: np.argsort(-y, 1)[:, :2],
    "1 for the best class and 0 for all others": lambda y: np.eye(4)[y.argmax(1)],
    "divided by 3 (a temperature)": lambda y: np.exp(y / 3) / np.exp(y / 3).sum(1, keepdims=True),
    "0.5 throughout": lambda y: np.full_like(y, 0.5),
    "not a finite number everywhere": lambda y: np.where(y == y.max(), np.nan, y),
    "what layer 1 gives": lambda y: np.maximum(small().forward(draw(), upto="0"), 0),
}


@pytest.mark.parametrize("words", ENDS)
def test_an_end_that_is_not_ours(words):
    net = small()
    comparison = compare(net, with_end(net, ENDS[words]), draw())
    assert not comparison.ok and comparison.first.name == "answer"
    assert "all 4 layers agree, but the peer's answer is" in comparison.verdict() and words in comparison.verdict()


def test_an_end_is_compared():
    net = small()
    assert compare(net, with_end(net, lambda y: y)).ok
    assert not compare(net, with_end(net, lambda y: 2 * y)).ok


def test_an_end_is_named():
    net = small()
    assert "2 times the scores" in compare(net, with_end(net, lambda y: 2 * y)).verdict()
    diagnosis = diagnose(net, with_end(net, lambda y: 2 * y))
    assert not diagnosis.sound and not diagnosis.healed and "2 times the scores" in diagnosis.verdict()


def test_a_softmax_of_our_own():
    net = Network([*LAYERS, Softmax()], (2, 6, 6), seed=0)
    scores = compare(net, lambda x: net(x))
    assert scores.ok and "answers with the scores" in scores.verdict()
    end = compare(net, lambda x: net.forward(x, upto="4"))
    assert end.ok and "the answers are probabilities" in end.verdict()
    assert not compare(net, lambda x: 2 * net(x)).ok


def test_values_without_an_answer():
    net, x = small(), draw()
    dump = {"input": x, "0": net.forward(x, upto="0")}
    assert not compare(net, dump).ok and "what it answers is not among them" in compare(net, dump).verdict()
    assert not diagnose(net, dump).sound


def test_an_input_of_another_program():
    net = small()
    comparison = compare(net, lambda x: net(x[:, ::-1].copy()))
    assert "the input with its channels in reverse order" in comparison.verdict()
    x, other = draw(), draw(seed=2)
    assert name_of_first(compare(net, {"input": other, "scores": net(x)}, x)) == "input"


# numbers


def peer_of_scores(net, change):
    def scores(x):
        y = net(x)
        change(y)
        return y

    return scores


def test_every_image_of_a_batch():
    net = small()

    def wrong(y):
        y[1] += 1e-3

    assert not compare(net, peer_of_scores(net, wrong), draw(2)).ok


@pytest.mark.parametrize("index", [0, 3])
def test_every_class(index):
    net = small()

    def wrong(y):
        y[:, index] += 1e-3

    assert not compare(net, peer_of_scores(net, wrong)).ok


def test_the_last_class():
    test_every_class(3)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_small_difference(sign):
    net = small()
    assert not compare(net, lambda x: net(x) * np.float32(1 + sign * 1e-4)).ok
    assert not compare(net, lambda x: net(x) + np.float32(sign * 1e-4)).ok


def test_small_differences():
    test_a_small_difference(1)
    test_a_small_difference(-1)


def test_one_wrong_entry_of_many():
    net, x = small(), draw()
    values = {n: net.forward(x, upto=n).copy() for n in net.names}
    values["0"].flat[7] += 2e-5 * np.abs(values["0"]).max()
    comparison = compare(net, {"input": x, "0": values["0"], "scores": values["3"]})
    assert name_of_first(comparison) == "0"


def test_nan_is_no_agreement():
    net = small()

    def wrong(y):
        y[0, 2] = np.nan

    assert not compare(net, peer_of_scores(net, wrong)).ok
    row = {"difference": np.nan, "scale": 1.0, "tolerance": 1e-4, "skipped": None}
    assert not all_agree([row]) and not all_agree([]) and not all_agree([row | {"difference": None}])


def test_shapes_that_broadcast():
    net, x = small(), np.repeat(draw(), 2, axis=0)
    assert not compare(net, lambda x: net(x)[:1], x).ok
    assert not compare(net, lambda x: net(x)[0]).ok
    assert not compare(net, lambda x: net(x).T, x).ok
    assert not compare(net, lambda x: net(x)[None], x).ok


def test_another_layout_is_read_and_said():
    net, x = small(), draw()
    comparison = compare(net, lambda x: net(x)[:, :, None, None])
    assert comparison.ok and "is read as (1, 4)" in comparison.verdict()
    maps = Network(LAYERS[:2], (2, 6, 6), seed=0)
    comparison = compare(maps, lambda x: np.moveaxis(maps(x), 1, -1), x)
    assert comparison.ok and "(1, 4, 4, 3) is read as (1, 3, 4, 4)" in comparison.verdict()
    assert not compare(maps, lambda x: maps(x).swapaxes(2, 3), x).ok


STRANGE = {
    "a tuple": (lambda y: (y, y), "has the shape (2, 1, 4), and ours (1, 4)"),
    "a dictionary of words": (lambda y: {"scores": "cat"}, "returns str; expected scores"),
    "an empty dictionary": (lambda y: {}, "found none"),
    "nothing": (lambda y: None, "returns NoneType; expected scores"),
    "a word": (lambda y: "cat", "returns str; expected scores"),
    "complex numbers": (lambda y: 1j * y, "expected scores"),
    "one number": (lambda y: 3.0, "has the shape (1,), and ours (1, 4)"),
    "no number": (lambda y: y[:, :0], "is empty"),
    "an exception": (lambda y: y[9], "IndexError"),
}


@pytest.mark.parametrize(("end", "sentence"), STRANGE.values(), ids=STRANGE)
def test_a_strange_answer(end, sentence):
    net = small()
    try:
        said = compare(net, lambda x: end(net(x))).verdict()
    except MinicnnError as error:
        said = str(error)
    assert sentence in said and "agree" not in said


def test_a_network_without_layers():
    with pytest.raises(MinicnnError, match="no layers"):
        compare(Network([]), lambda x: x, draw())


def test_tensors_are_answers():
    net = small()
    assert compare(net, lambda x: torch.from_numpy(net(x)).requires_grad_()).ok


# caveats


def test_nothing_but_constants():
    zeros = {"weight": np.zeros((3, 8), np.float32), "bias": np.ones(3, np.float32)}
    said = compare(Network([Flatten(), Linear(8, 3, **zeros)], (2, 2, 2)), "torch").verdict()
    assert "gives another input the same answer" in said and "gradient at the input is zero" in said


def test_a_tolerance_that_everything_passes():
    net = small()
    peer = Peer("generous", lambda x: [Value("scores", "", 0.9 * net(x))], rounding=1e9)
    assert not compare(net, peer).ok and "too much would agree" in compare(net, peer).verdict()


def test_a_wrong_gradient():
    net = small()

    def scores(x):
        return net(x)

    scores.gradient = lambda x, target: 1.001 * net.input_gradient(x, target)
    comparison = compare(net, scores)
    assert not comparison.ok and comparison.first.name == "input"


def test_names_out_of_order():
    net, x = small(), draw()
    values = {name: net.forward(x, upto=name) for name in ("3", "1", "2", "0")}
    comparison = compare(net, {"input": x, **values})
    assert comparison.ok and not comparison.unmatched, comparison.text()


def test_the_first_difference_is_a_layer():
    net = small()
    changed = Conv2d(2, 3, 3, weight=-net["0"].weight, bias=net["0"].bias)
    wrong = Network([("0", changed), *net.named_layers[1:]], net.input_shape)
    assert name_of_first(compare(wrong, to_torch(net))) == "0"
    unnamed = Peer("unnamed", lambda x: [v._replace(name="") for v in probe.run(net, x).values.values()])
    assert name_of_first(compare(wrong, unnamed)) == "0"


# precision


def test_an_input_in_half_precision():
    """Both sides get what the peer's dtype can hold."""
    net = small()

    def values(x):
        return [Value("scores", "", net(x.astype(np.float16).astype(np.float32)))]

    assert compare(net, Peer("half", values, dtype="float16"), draw()).ok


def test_an_answer_in_half_precision():
    net = small()
    comparison = compare(net, lambda x: net(x).astype(np.float16))
    assert comparison.ok and comparison.dtype == "float16" and "of float16 (" in comparison.verdict()
    assert not compare(net, lambda x: (1.02 * net(x)).astype(np.float16)).ok


def test_whole_numbers():
    net = small()
    peer = Peer("bytes", lambda x: [Value("scores", "", net(x))], dtype="uint8")
    assert compare(net, peer).ok
    with pytest.raises(MinicnnError, match="takes whole numbers"):
        compare(net, peer, draw())


# torch


class Module(nn.Module):
    """Our net's translation, and something after it."""

    def __init__(self, net, end):
        super().__init__()
        self.net, self.end = to_torch(net), end

    def forward(self, x):
        return self.end(self.net(x))


@pytest.mark.parametrize("end", [lambda y: 2 * y, lambda y: y.argmax(1), lambda y: y.softmax(1), torch.sigmoid])
def test_a_module_that_works_on_its_answer(end):
    net = small()
    assert not compare(net, Module(net, end).eval()).ok
    assert not compare(net, Module(net, lambda y: (end(y), y)).eval()).ok


def test_modules_say_what_they_are():
    net = small()
    assert "training mode" in compare(net, Module(net, lambda y: y)).verdict()
    assert "of the 2 tensors" in compare(net, Module(net, lambda y: (y, 2 * y)).eval()).verdict()
    assert not compare(net, Module(net, nn.functional.dropout).eval()).ok
    assert compare(net, Module(net, lambda y: y).double().eval()).ok
    assert "of bfloat16" in compare(net, Module(net, lambda y: y).bfloat16().eval()).verdict()


# files


@pytest.fixture
def folder(tmp_path):
    minicnn.save(small(), tmp_path / "net.onnx")
    return tmp_path


def change_file(folder, batch=None, dtype=None, channels_last=False, end=()):
    """The file with another input, and steps after its end."""
    model = onnx.load(folder / "net.onnx")
    graph, shape = model.graph, [batch or "n", 2, 6, 6]
    (port,), kind = graph.input, dtype or onnx.TensorProto.FLOAT
    first = []
    if channels_last:
        shape = [shape[0], 6, 6, 2]
        first.append(helper.make_node("Transpose", ["given"], ["cast" if dtype else port.name], perm=[0, 3, 1, 2]))
    if dtype:
        source = "cast" if channels_last else "given"
        first.append(helper.make_node("Cast", [source], [port.name], to=onnx.TensorProto.FLOAT))
    for node in reversed(first):
        graph.node.insert(0, node)
    name = "given" if first else port.name
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(name, kind, shape))
    for operator, constant in end:
        last, new = graph.output[0].name, f"{operator}_end"
        if constant is not None:
            graph.initializer.append(numpy_helper.from_array(np.float32(constant), f"{new}_by"))
        graph.node.append(helper.make_node(operator, [last] + [f"{new}_by"] * (constant is not None), [new]))
        graph.output[0].name = new
    del graph.output[0].type.tensor_type.shape.dim[:]
    path = folder / "changed.onnx"
    onnx.save(model, path)
    return path


FEEDS = [
    {"batch": 1},
    {"batch": 8},
    {"channels_last": True},
    {"dtype": onnx.TensorProto.FLOAT16},
    {"dtype": onnx.TensorProto.UINT8, "channels_last": True},
    {"dtype": onnx.TensorProto.DOUBLE, "batch": 2},
]


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: " ".join(feed))
def test_a_file_is_fed_as_it_asks(folder, feed):
    path = change_file(folder, **feed)
    comparison = compare(small(), path)
    assert comparison.ok, comparison.text()
    assert all_agree(compare_files(small(), [folder / "net.onnx"]))
    path = change_file(folder, **feed, end=[("Mul", 2)])
    assert "2 times the scores" in compare(small(), path).verdict()


def test_a_batch_that_is_not_full(folder):
    comparison = compare(small(), change_file(folder, batch=2), draw(3))
    assert comparison.ok, comparison.text()


@pytest.mark.parametrize("end", [("Softmax", None), ("Mul", 2), ("Sigmoid", None)])
def test_a_file_with_another_end(folder, end):
    path = change_file(folder, end=[end])
    assert compare(small(), path).first.name == "answer"
    assert not diagnose(small(), path).sound
    assert compare(small(), change_file(folder, end=[("Identity", None)])).ok
