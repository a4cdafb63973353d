"""The network: forward, the three rules, targets, parameters, errors; torch is the oracle."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from minicnn import Network
from minicnn.errors import MinicnnError, ShapeError, WeightsError
from minicnn.kernels import reference
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    PReLU,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
    Softmax,
    ZeroPad2d,
)


def small_net(**kwargs):
    layers = [
        ("conv1", Conv2d(2, 6, 3, padding=1)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, stride=2)),
        ("conv2", Conv2d(6, 8, 3)),
        ("relu2", ReLU6()),
        ("flatten", Flatten()),
        ("full", Linear(8 * 3 * 3, 5)),
    ]
    return Network(layers, input_shape=(2, 11, 11), **kwargs)


def to_torch(net):
    peer = nn.Sequential()
    modules = {
        "conv1": nn.Conv2d(2, 6, 3, padding=1),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(3, stride=2),
        "conv2": nn.Conv2d(6, 8, 3),
        "relu2": nn.ReLU6(),
        "flatten": nn.Flatten(),
        "full": nn.Linear(72, 5),
    }
    for name, module in modules.items():
        peer.add_module(name, module)
    peer.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in net.state_dict().items()})
    return peer.double()


def inputs(n=3, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 2, 11, 11)).astype(dtype)


class RuledReLU(torch.autograd.Function):
    """A rectifier whose backward is written out for each rule from its paper, not derived from our code."""

    @staticmethod
    def forward(ctx, x, rule, top):
        ctx.save_for_backward(x)
        ctx.rule, ctx.top = rule, top
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        on = ((x > 0) & (x < ctx.top)).to(dy)
        dx = {"gradient": on * dy, "deconvnet": dy.clamp(min=0), "guided": on * dy.clamp(min=0)}[ctx.rule]
        return dx, None, None


def ruled_gradient(net, x, target, rule):
    peer, y = to_torch(net), torch.from_numpy(x).requires_grad_()
    h = y
    for name, module in peer.named_children():
        if name.startswith("relu"):
            h = RuledReLU.apply(h, rule, 6.0 if name == "relu2" else float("inf"))
        else:
            h = module(h)
    (dx,) = torch.autograd.grad(h[torch.arange(len(x)), target].sum(), y)
    return dx.numpy()


@pytest.mark.parametrize("rule", ["gradient", "deconvnet", "guided"])
def test_rules_equal_their_own_formulation_in_torch(rule):
    net, x, target = small_net(), inputs(), np.array([0, 4, 2])
    expected = ruled_gradient(net, x, torch.from_numpy(target), rule)
    # float64 through seven layers: a few hundred roundings of 1e-16
    np.testing.assert_allclose(net.input_gradient(x, target, rule=rule), expected, rtol=0, atol=1e-13)
    assert np.abs(expected).max() > 1e-3


def test_rules_differ_from_one_another():
    net, x = small_net(), inputs()
    maps = {rule: net.input_gradient(x, 1, rule=rule) for rule in ("gradient", "deconvnet", "guided")}
    for a, b in (("gradient", "deconvnet"), ("gradient", "guided"), ("deconvnet", "guided")):
        assert np.abs(maps[a] - maps[b]).max() > 1e-3


def test_deconvnet_is_the_gradient_on_a_net_without_relu():
    layers = [Conv2d(2, 4, 3), LocalResponseNorm(3), MaxPool2d(2), Flatten(), Linear(64, 5)]
    net, x = Network(layers, input_shape=(2, 11, 11)), inputs()
    for rule in ("deconvnet", "guided"):
        np.testing.assert_array_equal(net.input_gradient(x, 2, rule=rule), net.input_gradient(x, 2))


def test_guided_is_the_gradient_masked_by_both():
    net = Network([ReLU(), Flatten(), Linear(242, 5)], input_shape=(2, 11, 11))
    x = inputs()
    into_relu = np.broadcast_to(net["2"].weight[3].reshape(2, 11, 11), x.shape).astype(np.float64)
    expected = np.where((x > 0) & (into_relu > 0), into_relu, 0)
    np.testing.assert_array_equal(net.input_gradient(x, 3, rule="guided"), expected)


@pytest.mark.parametrize("layer", [LeakyReLU(), PReLU()])
@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_rectifiers_without_the_rule_raise(layer, rule):
    net = Network([layer, Flatten(), Linear(242, 5)], input_shape=(2, 11, 11))
    assert net.input_gradient(inputs(), 0).shape == (3, 2, 11, 11)
    with pytest.raises(MinicnnError, match=f"{type(layer).__name__}.*{rule}.*ReLU"):
        net.input_gradient(inputs(), 0, rule=rule)


def test_scores_and_loss_gradient_equal_torch():
    net, x, labels = small_net(), inputs(4), np.array([1, 0, 4, 4])
    peer = to_torch(net)
    scores = peer(torch.from_numpy(x))
    np.testing.assert_allclose(net(x), scores.detach().numpy(), rtol=0, atol=1e-13)
    loss = nn.functional.cross_entropy(scores, torch.from_numpy(labels))
    loss.backward()
    ours, gradients = net.loss_gradient(x, labels)
    assert ours == pytest.approx(loss.item(), abs=1e-13)
    assert list(gradients) == list(net.state_dict())
    for name, parameter in peer.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), rtol=0, atol=1e-13, err_msg=name)


def test_every_layer_s_parameter_gradient_equals_torch():
    layers = [
        ("pad", ZeroPad2d((1, 0, 2, 1))),
        ("up", ConvTranspose2d(2, 4, 3, stride=2, output_padding=1, groups=2)),
        ("norm", BatchNorm2d(4)),
        ("prelu", PReLU(4)),
        ("conv", Conv2d(4, 4, (3, 2), stride=(2, 1), dilation=2, groups=4)),
        ("leaky", LeakyReLU(0.1)),
        ("avg", AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)),
        ("global", GlobalAvgPool2d()),
        ("flatten", Flatten()),
        ("full", Linear(4, 3, bias=False)),
    ]
    net, x, labels = Network(layers, input_shape=(2, 11, 11)), inputs(), np.array([0, 2, 1])
    rng = np.random.default_rng(1)
    state = {k: rng.uniform(0.5, 1.5, v.shape) for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    peer = nn.Sequential(
        nn.ZeroPad2d((1, 0, 2, 1)),
        nn.ConvTranspose2d(2, 4, 3, stride=2, output_padding=1, groups=2),
        nn.BatchNorm2d(4),
        nn.PReLU(4),
        nn.Conv2d(4, 4, (3, 2), stride=(2, 1), dilation=2, groups=4),
        nn.LeakyReLU(0.1),
        nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3, bias=False),
    ).double()
    places = {name: str(i) for i, (name, _) in enumerate(layers)}
    renamed = {
        f"{places[k.partition('.')[0]]}.{k.partition('.')[2]}": torch.from_numpy(v) for k, v in state.items()
    }
    peer.load_state_dict(renamed, strict=False)
    peer.eval()
    y = torch.from_numpy(x).requires_grad_()
    nn.functional.cross_entropy(peer(y), torch.from_numpy(labels)).backward()
    _, gradients = net.loss_gradient(x, labels)
    ours = {f"{places[k.partition('.')[0]]}.{k.partition('.')[2]}": v for k, v in gradients.items()}
    expected = {k: p.grad.numpy() for k, p in peer.named_parameters()}
    assert ours.keys() == expected.keys()
    for name, gradient in expected.items():
        np.testing.assert_allclose(ours[name], gradient, rtol=1e-10, atol=1e-12, err_msg=name)


def test_loss_gradient_stops_at_the_first_parameters(monkeypatch):
    """Nobody sees the gradient with respect to the input there, so it is not computed."""
    layers = [ZeroPad2d(1), Conv2d(2, 4, 3), ReLU(), Conv2d(4, 4, 3), Flatten()]
    net, labels, calls = Network(layers, (2, 11, 11)), np.array([0, 2, 1]), []
    conv2d_input_grad = reference.conv2d_input_grad
    monkeypatch.setattr(
        reference,
        "conv2d_input_grad",
        lambda *args, **geometry: calls.append(1) or conv2d_input_grad(*args, **geometry),
    )
    monkeypatch.delattr(reference, "constant_pad2d_input_grad")
    _, gradients = net.loss_gradient(inputs(), labels)
    assert list(gradients) == list(net.state_dict()) and len(calls) == 1
    assert Network([Flatten()], (2, 11, 11)).loss_gradient(inputs(), labels)[1] == {}


def test_upto_layer_and_cotangent():
    net, x = small_net(), inputs()
    maps = net.forward(x, upto="conv2")
    peer = to_torch(net)
    y = torch.from_numpy(x).requires_grad_()
    expected = peer[:4](y)
    np.testing.assert_allclose(maps, expected.detach().numpy(), rtol=0, atol=1e-13)
    dy = np.random.default_rng(3).standard_normal(maps.shape)
    (dx,) = torch.autograd.grad(expected, y, torch.from_numpy(dy))
    np.testing.assert_allclose(net.input_gradient(x, dy, layer="conv2"), dx.numpy(), rtol=0, atol=1e-13)


def test_probability_gradient_equals_torch():
    net, x = small_net(), inputs()
    y = torch.from_numpy(x).requires_grad_()
    (dx,) = torch.autograd.grad(to_torch(net)(y).softmax(1)[:, 3].sum(), y)
    np.testing.assert_allclose(net.input_gradient(x, 3, of="probability"), dx.numpy(), rtol=0, atol=1e-14)


def test_softmax_stays_outside_of_the_scores():
    layers = [Flatten(), Linear(242, 5)]
    bare = Network(layers, input_shape=(2, 11, 11))
    net = Network([*bare.layers, Softmax()], input_shape=(2, 11, 11))
    x = inputs()
    np.testing.assert_array_equal(net(x), bare(x))
    np.testing.assert_allclose(net.forward(x, upto="2").sum(axis=1), 1, atol=1e-12)


def test_blocks_are_reached_by_dotted_names_and_names_with_dots_work():
    body = [("conv", Conv2d(4, 4, 3, padding=1)), ("norm.a", BatchNorm2d(4)), ("relu", ReLU())]
    layers = [("stem", Conv2d(2, 4, 1)), ("block.0", Residual(body, [("conv_s", Conv2d(4, 4, 1))])), ("p", ReLU())]
    net, x = Network(layers, input_shape=(2, 11, 11)), inputs()
    assert "block.0.norm.a.running_var" in net.state_dict() and "block.0.conv_s.weight" in net.state_dict()
    stem, conv, shortcut = net["stem"], net["block.0.conv"], net["block.0.conv_s"]
    by_hand = Network([stem, conv], input_shape=(2, 11, 11)).forward(x)
    np.testing.assert_array_equal(net.forward(x, upto="block.0.conv"), by_hand)
    both = Network([stem, Sequential([conv, net["block.0.norm.a"], ReLU()])], (2, 11, 11))(x)
    both += Network([stem, shortcut], (2, 11, 11))(x)
    np.testing.assert_allclose(net.forward(x, upto="block.0"), both, atol=1e-12)
    with pytest.raises(MinicnnError, match=r"no layer 'block\.1'.*stem"):
        net.forward(x, upto="block.1")


def test_folded_batch_norm_computes_the_same():
    rng = np.random.default_rng(0)
    body = [("conv", Conv2d(4, 4, 3, padding=1, bias=False)), ("norm", BatchNorm2d(4, eps=1e-3))]
    net = Network([("a", Conv2d(2, 4, 1)), ("n", BatchNorm2d(4)), ("r", Residual(body))], (2, 11, 11))
    net.load_state_dict({k: rng.uniform(0.2, 2, v.shape) for k, v in net.state_dict().items()})
    folded = net.fold_batch_norm()
    assert not [k for k in folded.state_dict() if "running" in k]
    np.testing.assert_allclose(folded(inputs()), net(inputs()), rtol=1e-12)


def test_dtypes():
    net = small_net()
    assert net(inputs(dtype=np.float32)).dtype == np.float32
    assert net(inputs()).dtype == np.float64
    assert net.input_gradient(inputs(), 0).dtype == np.float64
    net.load_state_dict({k: v.astype(np.float64) for k, v in net.state_dict().items()})
    assert {v.dtype for v in net.state_dict().values()} == {np.dtype(np.float64)}
    net.load_state_dict({k: v.astype(np.float16) for k, v in net.state_dict().items()})
    assert {v.dtype for v in net.state_dict().values()} == {np.dtype(np.float32)}


def test_load_state_dict_copies_and_round_trips():
    net, other = small_net(seed=1), small_net(seed=2)
    state = {k: v.copy() for k, v in net.state_dict().items()}
    other.load_state_dict(state)
    expected = net(inputs())
    np.testing.assert_array_equal(other(inputs()), expected)
    state["conv1.weight"][...] = 0
    np.testing.assert_array_equal(other(inputs()), expected)


def test_load_state_dict_names_every_fault():
    net = small_net()
    state = dict(net.state_dict())
    state["conv9.weight"] = state.pop("conv1.weight")
    state["full.bias"] = np.zeros(7, np.float32)
    state["conv1.num_batches_tracked"] = np.array(3)
    with pytest.raises(WeightsError) as error:
        net.load_state_dict(state)
    for part in (
        "missing conv1.weight (6, 2, 3, 3)",
        "left over conv9.weight",
        "full.bias has shape (7,), expected (5,)",
    ):
        assert part in str(error.value)
    assert "num_batches" not in str(error.value)


@pytest.mark.parametrize(
    ("x", "parts"),
    [
        (np.zeros((1, 3, 11, 11), np.float32), ["(N, 2, 11, 11)", "(1, 3, 11, 11)"]),
        (np.zeros((2, 11, 11), np.float32), ["(2, 11, 11)", "x[None]"]),
        (np.zeros((1, 2, 11, 11), np.uint8), ["float32", "uint8"]),
        (np.zeros((1, 2, 11, 11), np.float16), ["float32", "float16"]),
        (np.full((1, 2, 11, 11), np.nan, np.float32), ["nan", "(0, 0, 0, 0)", "allow_nonfinite"]),
        (np.full((1, 2, 11, 11), np.inf, np.float32), ["inf", "allow_nonfinite"]),
        ([[1.0]], ["NumPy array", "list"]),
    ],
)
def test_wrong_inputs_are_named(x, parts):
    for call in (lambda: small_net()(x), lambda: small_net().input_gradient(x, 0)):
        with pytest.raises(ShapeError) as error:
            call()
        assert all(part in str(error.value) for part in parts), str(error.value)


def test_nan_passes_where_it_is_asked_for():
    x = inputs(1)
    x[0, 0, 5, 5] = np.nan
    assert np.isnan(small_net().forward(x, allow_nonfinite=True)).all()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (5, "class 5 is out of range; .* 0 to 4"),
        (-1, "class -1 is out of range; .* 0 to 4"),
        (np.array([0, 1]), "3 ints"),
        (np.zeros((3, 4)), r"\(3, 5\), got \(3, 4\)"),
        (np.array([0, 1, 9]), "class 9 is out of range"),
    ],
)
def test_wrong_targets_are_named(target, message):
    with pytest.raises(MinicnnError, match=message):
        small_net().input_gradient(inputs(), target)


def test_wrong_words_are_named():
    net, x = small_net(), inputs()
    with pytest.raises(MinicnnError, match="'gradient', 'deconvnet', 'guided', or one of your own"):
        net.input_gradient(x, 0, rule="smooth")
    with pytest.raises(MinicnnError, match="'score' or 'probability'"):
        net.input_gradient(x, 0, of="loss")
    with pytest.raises(ShapeError, match=r"gives \(3, 6, 11, 11\)"):
        net.input_gradient(x, 0, layer="conv1")
    with pytest.raises(ShapeError, match=r"layer 'full'.*288 features.*got \(72,\)"):
        Network([*net.layers[:-1], ("full", Linear(288, 5))], input_shape=(2, 11, 11))
    with pytest.raises(MinicnnError, match="found twice: a"):
        Network([("a", ReLU()), ("a", ReLU())])
    with pytest.raises(MinicnnError, match="3 labels"):
        small_net(labels=["a", "b", "c"])


def test_seed_and_defaults():
    assert not np.array_equal(small_net(seed=1)["conv1"].weight, small_net(seed=2)["conv1"].weight)
    np.testing.assert_array_equal(small_net()["conv1"].weight, small_net()["conv1"].weight)
    torch.manual_seed(0)
    bound = torch.nn.Conv2d(2, 64, 3).weight.abs().max().item()
    ours = np.abs(Network([Conv2d(2, 64, 3)])["0"].weight).max()
    assert ours == pytest.approx(bound, rel=0.02)


def test_dropout_only_with_a_generator():
    net = Network([Flatten(), Dropout(0.5), Linear(242, 5)], input_shape=(2, 11, 11))
    x, labels = inputs(), np.array([0, 1, 2])
    loss, _ = net.loss_gradient(x, labels)
    dropped, _ = net.loss_gradient(x, labels, rng=np.random.default_rng(0))
    assert loss == net.loss_gradient(x, labels)[0] != dropped


def test_summary_counts():
    net = small_net()
    rows = {row["name"]: row for row in net.summary_rows()}
    assert rows["conv1"]["parameters"] == 6 * 2 * 9 + 6
    assert rows["conv1"]["multiply_adds"] == 11 * 11 * 6 * 2 * 9
    assert rows["pool1"]["output_shape"] == [6, 5, 5] and rows["pool1"]["bytes"] == 600
    text = net.summary()
    assert str(sum(p.numel() for p in to_torch(net).parameters())) in text and "5 x 5" in text


def test_one_network_serves_many_threads():
    net, results = small_net(), [None] * 8

    def work(i):
        for _ in range(5):
            results[i] = net.input_gradient(inputs(seed=i), i % 5)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, result in enumerate(results):
        np.testing.assert_array_equal(result, net.input_gradient(inputs(seed=i), i % 5))


def test_trace_goes_back_more_than_once():
    net, x = small_net(), inputs()
    scores, tape = net.trace(x)
    np.testing.assert_array_equal(scores, net(x))
    for target in (0, 3, 0):
        np.testing.assert_array_equal(
            net.backward(tape, net.cotangent(scores, target)), net.input_gradient(x, target)
        )


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_loaded_weights_are_those_of_the_next_run(device):
    """What a network keeps between runs, its merged layers, goes when its parameters are replaced."""
    if device == "cpu":
        pytest.importorskip("numba")
        pytest.importorskip("scipy")
    net = Network([Conv2d(1, 2, 3), ReLU(), Flatten(), Linear(32, 3)], (1, 6, 6), device=device)
    x = np.random.default_rng(0).standard_normal((2, 1, 6, 6), dtype="f4")
    before, dx = net(x), net.input_gradient(x, 1)
    net.load_state_dict({name: 2 * array for name, array in net.state_dict().items()})
    assert not np.allclose(net(x), before) and not np.allclose(net.input_gradient(x, 1), dx)
    for array in net.state_dict().values():
        array /= 2  # in place
    np.testing.assert_array_equal(net(x), before)
    np.testing.assert_array_equal(net.input_gradient(x, 1), dx)
