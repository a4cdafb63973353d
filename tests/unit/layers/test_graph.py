"""Networks whose paths part, cross and meet again, against torch's autograd and by hand."""

import numpy as np
import pytest
import torch

from minicnn import Network
from minicnn.errors import MinicnnError, ShapeError
from minicnn.kernels import reference
from minicnn.layers import (
    Add,
    Cat,
    Conv2d,
    Divide,
    Keep,
    LogSoftmax,
    Maximum,
    Minimum,
    Multiply,
    ReLU,
    Residual,
    Softmax,
    Subtract,
    Tanh,
    sequence,
)
from minicnn.layers.joins import Join

TORCH = {"Add": torch.add, "Subtract": torch.sub, "Multiply": torch.mul, "Divide": torch.div}
TORCH |= {"Maximum": torch.maximum, "Minimum": torch.minimum}


def random_graph(seed, length=14, channels=3):
    """Layers of 3 channels that read what stands before them at random; a few are read by nothing."""
    rng = np.random.default_rng(seed)
    layers, names = [], ["input"]
    for i in range(length):
        kind = rng.choice([Conv2d, ReLU, Tanh, Add, Multiply, Maximum, Minimum, Subtract, Cat, Residual])
        inputs = tuple(str(name) for name in rng.choice(names[-6:], 2))
        if kind is Cat:
            # back to three channels, so that all maps fit each other
            layers += [(f"cat{i}", Cat(), inputs), (f"{i}", Conv2d(2 * channels, channels, 1))]
        elif issubclass(kind, Conv2d):
            layers.append((f"{i}", Conv2d(channels, channels, 3, padding=1), inputs[0]))
        elif kind is Residual:
            body = [("a", Tanh()), ("b", ReLU(), "input"), ("c", Multiply(), ("a", "b"))]
            layers.append((f"{i}", Residual(body), inputs[0]))
        else:
            layers.append((f"{i}", kind(), inputs if issubclass(kind, Join) else inputs[:1]))
        names.append(f"{i}")
    return sequence.astype(sequence.initialise(sequence.name_layers(layers), rng), np.float64)


def run_in_torch(layers, values, weights, prefix=""):
    """Values of all layers by name, in torch's own operations."""
    before = "input"
    for name, layer in layers:
        x = [values[value] for value in layer.inputs or (before,)]
        kind = type(layer).__name__
        if kind == "Conv2d":
            weight, bias = (weights[f"{prefix}{name}.{key}"] for key in ("weight", "bias"))
            y = torch.nn.functional.conv2d(x[0], weight, bias, padding=layer.padding[0])
        elif kind == "Cat":
            y = torch.cat(x, 1)
        elif kind == "Residual":
            y = x[0] + run_in_torch(layer.body, {"input": x[0]}, weights, f"{prefix}{name}.")[layer.body[-1][0]]
        else:
            y = TORCH[kind](*x) if kind in TORCH else getattr(torch, kind.lower())(x[0])
        values[name], before = y, name
    return values


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_are_torchs(seed):
    layers = random_graph(seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 3, 5, 4))
    state = {name: torch.tensor(a, requires_grad=True) for name, a in sequence.state_dict(layers).items()}
    leaf = torch.tensor(x, requires_grad=True)
    values = run_in_torch(layers, {"input": leaf}, state)
    for end in (layers[-1][0], layers[len(layers) // 2][0]):
        part = sequence.truncate_at(layers, end)
        y, tape = sequence.forward(part, x, reference, Keep.INPUTS)
        dy = rng.standard_normal(y.shape)
        np.testing.assert_allclose(y, values[end].detach().numpy(), rtol=1e-12, atol=1e-12)
        dx, gradients = sequence.backward(part, dy, tape, reference, weights=True)
        leaves = {"input": leaf} | {name: state[name] for name in gradients}
        expected = torch.autograd.grad(values[end], [*leaves.values()], torch.tensor(dy), retain_graph=True)
        for name, wanted, actual in zip(leaves, expected, [dx, *gradients.values()], strict=True):
            scale = 1 + np.abs(wanted.numpy()).max()
            np.testing.assert_allclose(actual, wanted.numpy(), rtol=0, atol=1e-11 * scale, err_msg=name)
        alone = sequence.parameter_gradients(part, dy, tape, reference)
        assert {name: a.tobytes() for name, a in alone.items()} == {k: a.tobytes() for k, a in gradients.items()}


def test_joins_of_three_and_of_maps_with_numbers_are_torchs():
    rng = np.random.default_rng(1)
    arrays = [rng.uniform(0.5, 2, shape) for shape in ((2, 3, 4, 4), (2, 3, 1, 1), (2, 1, 4, 4))]
    for layer in (Add(), Multiply(), Maximum(), Minimum()):
        leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
        function = TORCH[type(layer).__name__]
        expected = function(function(*leaves[:2]), leaves[2])
        y, saved = layer.forward(tuple(arrays), reference, Keep.MASKS)
        dy = rng.standard_normal(y.shape)
        expected.backward(torch.tensor(dy))
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-14)
        for dx, leaf in zip(layer.backward(dy, saved, reference)[0], leaves, strict=True):
            np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=0, atol=1e-13)


def test_a_value_read_twice_by_one_layer():
    net = Network([("square", Multiply(), ("input", "input"))])
    assert net(np.array([[3.0]])).tolist() == [[9.0]]
    assert net.input_gradient(np.array([[3.0]]), 0).tolist() == [[6.0]]


def test_what_the_end_does_not_depend_on_is_not_run():
    layers = [("a", Tanh()), ("loose", ReLU()), ("b", ReLU(), "a"), ("c", Add(), ("a", "b"))]
    names = [name for name, _ in sequence.truncate_at(sequence.name_layers(layers), "c")]
    assert names == ["a", "b", "c"]
    assert [name for name, _ in sequence.truncate_at(sequence.name_layers(layers), "loose")] == ["a", "loose"]


def test_scores_are_what_the_softmax_reads():
    layers = sequence.name_layers([("a", Tanh()), ("b", ReLU()), ("p", Softmax(), "a")])
    assert [name for name, _ in sequence.before_softmax(layers)] == ["a"]
    assert sequence.before_softmax(sequence.name_layers([LogSoftmax()])) == []


def test_inside_of_a_block_that_reads_something_else():
    block = Residual([("a", Tanh()), ("b", ReLU(), "input"), ("c", Add(), ("a", "b"))])
    net = Network([("first", Tanh()), ("second", ReLU()), ("block", block, "first")])
    x = np.array([[-1.0, 2.0]])
    assert net.forward(x, upto="block.c").tolist() == (np.tanh(np.tanh(x)) + np.maximum(np.tanh(x), 0)).tolist()
    assert [name for name, _ in sequence.truncate_at(net.named_layers, "block.b")] == ["first", "block.b"]


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([("a", Tanh(), "b"), ("b", ReLU())], "layer 'a' reads 'b', which is not among those before it: input"),
        ([("a", Tanh(), ("input", "input"))], "'a': Tanh takes one input"),
        ([("a", Add())], "'a': Add takes two inputs or more"),
        ([("a", Divide(), ("input",) * 3)], "'a': Divide takes two inputs, got"),
        ([("input", Tanh()), ("b", Tanh(), "input")], "a layer is called 'input'"),
        ([("a", Tanh(), 3)], r"expected layers, \(name, layer\) pairs or"),
    ],
)
def test_inputs_that_can_not_be(layers, words):
    with pytest.raises(MinicnnError, match=words):
        Network(layers)


def test_shapes_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"layer 's': Add: the inputs are .* sizes must agree or be 1"):
        Network([("a", Conv2d(2, 3, 1)), ("s", Add(), ("a", "input"))], (2, 4, 4))
    with pytest.raises(ShapeError, match="layer 's': Cat: the inputs are"):
        Network([("a", Conv2d(2, 3, 3)), ("s", Cat(), ("a", "input"))], (2, 4, 4))
