"""Every number that a cell shows is the library's, and its terms add up to it."""

from math import fsum

import numpy as np
import pytest

import minicnn
from minicnn.errors import MinicnnError
from minicnn.explorer.cells import explain_backwards, explain_forwards
from minicnn.explorer.passes import RULE_NAMES, Pass
from minicnn.explorer.starts import Start, parse_start

EPS = float(np.finfo(np.float32).eps)


@pytest.fixture(params=["digits", "lenet5-digits", "fashion", "odd"])
def run(request, odd_net):
    net = odd_net if request.param == "odd" else minicnn.load(request.param)
    rng = np.random.default_rng(0)
    return Pass(net, rng.normal(size=(1, *net.input_shape)).astype(np.float32))


def random_cells(run, count=200):
    rng = np.random.default_rng(1)
    names = list(run.graph.nodes)
    for _ in range(count):
        name = names[rng.integers(len(names))]
        yield name, int(rng.integers(run.value(name).size))


def test_outputs_and_gradients_are_the_library_s_to_the_last_bit(run):
    net, x, start = run.net, run.x, run.default_start()
    for name in run.graph.nodes:
        np.testing.assert_array_equal(run.value(name), net.forward(x, upto=name)[0])
    for rule in RULE_NAMES:
        gradient = run.back(start, rule)
        if gradient.refusal:
            with pytest.raises(MinicnnError):
                net.input_gradient(x, start.classes[0], rule)
        else:
            np.testing.assert_array_equal(
                gradient.by_name["input"], net.input_gradient(x, start.classes[0], rule)[0]
            )


def test_terms_of_random_cells_add_up_forwards(run):
    for name, cell in random_cells(run):
        told = explain_forwards(run, name, cell)
        assert told["value"] == run.value(name).reshape(-1)[cell]
        terms = told["terms"]
        for source, index, x in zip(terms["source"], terms["index"], terms["x"], strict=True):
            value = 0.0 if index < 0 else run.value(told["sources"][source]).reshape(-1)[index]
            assert x == value
        if told["form"] == "sum":
            size = sum(map(abs, terms["product"])) + abs(told["bias"] or 0.0)
            assert abs(told["sum"] - told["value"]) <= (len(terms["product"]) + 2) * EPS * size, (name, cell)
        elif told["form"] == "maximum":
            inside = [x for x, index in zip(terms["x"], terms["index"], strict=True) if index >= 0]
            assert max(inside) == told["value"] == terms["x"][told["facts"]["switch"]]
        elif told["form"] == "normalisation":
            assert told["value"] == pytest.approx(told["facts"]["x"] / told["facts"]["divisor"], rel=1e-5)


def test_terms_of_random_cells_add_up_backwards_by_every_rule(run):
    start, whole = run.default_start(), 0
    for name, cell in random_cells(run):
        told = explain_backwards(run, name, cell, start)
        for rule, dy in told["dy"].items():
            assert dy == run.back(start, rule).by_name[name].reshape(-1)[cell]
        for rule, total in told["sum"].items():
            size = fsum(abs(p) for each in told["arrives"] for p in each["product"][rule])
            count = sum(len(each["product"][rule]) for each in told["arrives"])
            assert abs(total - told["dy"][rule]) <= (count + 2) * 2 * EPS * size, (name, cell, rule)
            whole += 1
    assert whole > 100  # nearly all are taken to pieces


def test_what_a_cell_sends_is_in_what_its_inputs_get(odd_net):
    x = np.random.default_rng(2).normal(size=(1, 1, 28, 28)).astype(np.float32)
    run = Pass(odd_net, x)
    start = run.default_start()
    got = np.zeros(run.value("pool").size)
    for cell in range(run.value("norm").size):
        sends = explain_backwards(run, "norm", cell, start)["sends"]
        np.add.at(got, sends["index"], sends["product"]["gradient"])
    np.testing.assert_allclose(got, run.back(start, "gradient").by_name["pool"].reshape(-1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("text", ["score:2", "probability:2", "difference:2-0", "unit:grouped@17"])
def test_any_scalar_may_be_the_start(odd_net, text):
    x = np.random.default_rng(0).normal(size=(1, 1, 28, 28)).astype(np.float32)
    run, start = Pass(odd_net, x), parse_start(text)
    dx = run.back(start, "gradient").by_name["input"]
    if text == "difference:2-0":
        expected = odd_net.input_gradient(x, np.array([[-1.0, 0, 1, 0, 0]], np.float32))
    elif start.kind == "unit":
        one = np.zeros_like(odd_net.forward(x, upto="grouped"))
        one.reshape(-1)[17] = 1
        expected = odd_net.input_gradient(x, one, layer="grouped")
        assert "full" not in run.back(start, "gradient").by_name
        assert explain_backwards(run, "full", 0, start)["dy"] == {}
    else:
        expected = odd_net.input_gradient(x, 2, of=start.kind)
    np.testing.assert_array_equal(dx, expected[0])


@pytest.mark.parametrize(
    "text", ["", "score:", "score:x", "score:1-2", "difference:1", "unit:conv", "unit:@1", "x:1"]
)
def test_starts_that_are_none(text):
    with pytest.raises(MinicnnError, match="start: expected"):
        parse_start(text)


def test_cells_and_layers_that_are_none(odd_net):
    run = Pass(odd_net, np.ones((1, 1, 28, 28), np.float32))
    with pytest.raises(MinicnnError, match="out of range"):
        explain_forwards(run, "full", 5)
    with pytest.raises(MinicnnError, match="no layer 'nothing'"):
        explain_forwards(run, "nothing", 0)
    with pytest.raises(MinicnnError, match="out of range"):
        run.back(Start("unit", layer="full", cell=5), "gradient")
