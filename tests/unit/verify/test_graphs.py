"""What verifies, explains and rewrites networks, on networks whose paths cross."""

import numpy as np
import pytest

from minicnn import Network, load, save
from minicnn.errors import MinicnnError
from minicnn.evaluate.randomise import stages
from minicnn.explain.grad_cam import grad_cam, last_convolution, layers_after
from minicnn.explain.gradient_input import linear_model
from minicnn.explain.integrated_gradients import integrated_gradients
from minicnn.explain.receptive_field import Box, receptive_field
from minicnn.kernels import reference
from minicnn.layers import (
    Add,
    BatchNorm2d,
    Cat,
    Conv2d,
    Divide,
    Flatten,
    GlobalAvgPool2d,
    Keep,
    Linear,
    Maximum,
    MaxPool2d,
    Minimum,
    Multiply,
    ReLU,
    Softmax,
    Subtract,
    Upsample,
    sequence,
)
from minicnn.layers.transforms.fold_batch_norm import fold_batch_norm
from minicnn.layers.transforms.fuse import fuse
from minicnn.rules import as_rule
from minicnn.verify import gradients
from minicnn.verify.probe import run

SHAPE = (2, 8, 8)


def crossing(*joins):
    """A net with a skip over two scales, a path inside of another, and the joins that are asked for."""
    layers = [
        ("conv1", Conv2d(2, 4, 3, padding=1)),
        ("relu1", ReLU()),
        ("pool", MaxPool2d(2)),
        ("conv2", Conv2d(4, 4, 3, padding=1)),
        ("bn2", BatchNorm2d(4)),
        ("relu2", ReLU()),
        ("up", Upsample(scale_factor=2, mode="nearest")),
        ("cat", Cat(), ("up", "relu1")),
        ("conv3", Conv2d(8, 4, 3, padding=1)),
        ("relu3", ReLU(), "conv3"),
        ("sum", Add(), ("relu3", "conv3", "relu1")),
    ]
    for join in joins:
        layers.append((type(join).__name__, join, (layers[-1][0], "relu3")))
    layers += [("gap", GlobalAvgPool2d()), ("flat", Flatten()), ("full", Linear(4, 3)), ("prob", Softmax())]
    return Network(layers, SHAPE, seed=3)


def image(seed=0):
    return np.random.default_rng(seed).standard_normal((1, *SHAPE))


NETS = {
    "linear": (Subtract(), Add()),
    "piecewise": (Maximum(), Minimum()),
    "smooth": (Multiply(),),
}


@pytest.mark.parametrize("name", NETS)
def test_gradients_are_checked(name):
    report = gradients(crossing(*NETS[name]), image(), directions=2, entries=8)
    assert report.ok, report.text()
    assert {"Add", "Cat"} <= {row.kind for row in report.rows}


def test_a_wrong_join_is_found():
    class Wrong(Multiply):
        def backward(self, dy, saved, kernels, rule=None, weights=False):
            (dx, dother), _ = super().backward(dy, saved, kernels)
            return (dx, 1.001 * dother), {}

    report = gradients(crossing(Wrong()), image(), directions=2, entries=8)
    assert not report.ok


def test_a_quotient_is_checked():
    net = Network([("pool", GlobalAvgPool2d()), ("ratio", Divide(), ("input", "pool"))])
    assert gradients(net, 2 + np.random.default_rng(0).random((2, 3, 2, 2)), directions=2).ok


@pytest.mark.parametrize("rule", ["gradient", "deconvnet", "guided"])
def test_merged_steps_give_the_same(rule):
    """What a rectifier or a normalisation is merged with may be read by nothing else."""
    net = crossing(*NETS["piecewise"], *NETS["smooth"])
    net, x = net.with_layers(sequence.astype(net.named_layers, np.float64)), image()
    for layers in (fuse(net.named_layers), fold_batch_norm(net.named_layers), fuse(net.named_layers, True)):
        assert len(layers) < len(net.layers)
        layers = sequence.before_softmax(layers)
        y, tape = sequence.forward(layers, x, reference, Keep.MASKS)
        np.testing.assert_allclose(y, net(x), rtol=1e-12)
        dx, _ = sequence.backward(layers, np.eye(3)[[1]], tape, reference, as_rule(rule))
        np.testing.assert_allclose(dx, net.input_gradient(x, 1, rule=rule), atol=1e-12)
    assert "relu3" in net.names and "conv3" in dict(fuse(net.named_layers)), "conv3 is read by the sum too"


@pytest.mark.parametrize("name", NETS)
def test_the_cpu_gives_the_same_also_when_replayed(name):
    pytest.importorskip("numba")
    pytest.importorskip("scipy")
    net = crossing(*NETS[name])
    cpu = net.to("cpu")
    for seed in range(4):  # the third pass on is a replay
        x = image(seed).astype(np.float32)
        np.testing.assert_allclose(cpu(x), net(x), rtol=1e-4, atol=1e-6)
        expected = net.input_gradient(x, 1)
        np.testing.assert_allclose(cpu.input_gradient(x, 1), expected, atol=1e-5 * np.abs(expected).max())
        loss, wanted = net.loss_gradient(x, np.array([1]))
        actual_loss, actual = cpu.loss_gradient(x, np.array([1]))
        assert abs(loss - actual_loss) < 1e-5 and actual.keys() == wanted.keys()
        for key in wanted:
            np.testing.assert_allclose(actual[key], wanted[key], atol=2e-5)


@pytest.mark.parametrize("name", NETS)
def test_torch_gives_the_same(name):
    pytest.importorskip("torch")
    from minicnn.verify import compare
    from minicnn.verify.comparison.peers.to_torch import to_torch

    net = crossing(*NETS[name])
    report = compare(net, to_torch(net), image().astype(np.float32))
    assert report.ok, report.text()


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("suffix", [".npz", ".onnx"])
def test_files_give_the_same(name, suffix, tmp_path):
    net, x = crossing(*NETS[name]), image().astype(np.float32)
    save(net, tmp_path / f"net{suffix}")
    other = load(tmp_path / f"net{suffix}")
    np.testing.assert_array_equal(other(x), net(x))
    if suffix == ".npz":
        assert [repr(layer) for layer in other.layers] == [repr(layer) for layer in net.layers]


def test_layers_in_the_middle_of_parallel_paths():
    net, x = crossing(), image()
    for name in net.names:
        assert (
            net.forward(x, upto=name).shape[1:]
            == dict((n, out) for n, _, _, out in sequence.shapes(net.named_layers, SHAPE))[name]
        )
    values = run(net, x, dtype=np.float64, target=1).values
    assert [*values] == net.names
    np.testing.assert_array_equal(values["relu2"].array, net.forward(x, upto="relu2"))


def test_where_grad_cam_cuts():
    net, x = crossing(), image()
    assert last_convolution(net, SHAPE) == "sum"
    assert grad_cam(net, x, 1).shape == (1, 8, 8)
    with pytest.raises(MinicnnError, match="other paths pass 'relu2' by"):
        layers_after(net.named_layers, "relu2")


def test_receptive_fields_follow_all_paths():
    net = crossing()
    for layer, row, column in (("relu2", 1, 1), ("cat", 4, 4), ("sum", 0, 7)):
        box = receptive_field(net, layer, row, column)
        y = net.forward(np.zeros((1, *SHAPE)), upto=layer)
        dy = np.zeros_like(y)
        dy[0, :, row, column] = 1
        linear = net.with_layers(
            sequence.map_layers(
                net.named_layers, lambda _, layer: Identity() if isinstance(layer, ReLU) else layer
            )
        )
        reached = sum(np.abs(linear.input_gradient(image(s), dy, layer=layer)) for s in range(6)).sum(axis=(0, 1))
        rows, columns = np.nonzero(reached)
        assert box == Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), layer


def open_rectifier(name, layer):
    return Identity() if isinstance(layer, ReLU) else layer


class Identity(ReLU):
    """So that no path is shut."""

    def forward(self, x, kernels, keep=None, rng=None):
        return x, None

    def backward(self, dy, saved, kernels, rule=None, weights=False):
        return dy, {}


def test_sums_of_contributions_are_the_score():
    net, x = crossing(Subtract(), Maximum(), Minimum()), image()
    model = linear_model(net, x, 1)
    assert abs(model.error).max() < 1e-12
    assert integrated_gradients(net, x, 1) is not None


def test_a_normalisation_goes_with_the_convolution_it_reads():
    assert [stage.parameters for stage in stages(crossing())][2] == (
        "conv2.weight",
        "conv2.bias",
        *(f"bn2.{key}" for key in ("weight", "bias", "running_mean", "running_var")),
    )


def test_a_u_net_is_torchs():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    net = Network(
        [
            *[("conv1", Conv2d(3, 4, 3, padding=1)), ("down1", ReLU()), ("pool1", MaxPool2d(2))],
            *[("conv2", Conv2d(4, 6, 3, padding=1)), ("down2", ReLU()), ("pool2", MaxPool2d(2))],
            *[("conv3", Conv2d(6, 8, 3, padding=1)), ("bottom", ReLU()), ("up2", Upsample(scale_factor=2))],
            *[("skip2", Cat(), ("up2", "down2")), ("conv4", Conv2d(14, 6, 3, padding=1)), ("relu4", ReLU())],
            *[("up1", Upsample(scale_factor=2)), ("skip1", Cat(), ("up1", "down1")), ("out", Conv2d(10, 2, 1))],
        ]
    )
    net = net.with_layers(sequence.astype(net.named_layers, np.float64))
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 12))
    dy = np.random.default_rng(1).standard_normal((2, 2, 8, 12))
    w = {name: torch.tensor(a) for name, a in net.state_dict().items()}
    leaf = torch.tensor(x, requires_grad=True)

    def conv(x, name, padding=1):
        return functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=padding)

    down1 = conv(leaf, "conv1").relu()
    down2 = conv(functional.max_pool2d(down1, 2), "conv2").relu()
    bottom = conv(functional.max_pool2d(down2, 2), "conv3").relu()
    up = conv(torch.cat([functional.interpolate(bottom, scale_factor=2), down2], 1), "conv4").relu()
    y = conv(torch.cat([functional.interpolate(up, scale_factor=2), down1], 1), "out", padding=0)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(net(x), y.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(net.input_gradient(x, dy), leaf.grad.numpy(), rtol=0, atol=1e-12)
    assert "Cat(up1, down1)" in net.summary((3, 8, 12))


def test_backward_is_the_adjoint_of_a_linear_graph():
    """<A v, dy> = <v, A' dy>, without any other program."""
    net = Network(
        [
            ("a", Conv2d(2, 3, 3, padding=1, bias=False)),
            ("b", Conv2d(2, 3, 1, bias=False), "input"),
            ("c", Subtract(), ("a", "b")),
            ("d", Cat(), ("c", "a", "input")),
            ("e", GlobalAvgPool2d()),
            ("f", Add(), ("d", "e")),
            ("g", Cat(2), ("f", "d")),
        ]
    )
    net = net.with_layers(sequence.astype(net.named_layers, np.float64))
    v, dy = image(), np.random.default_rng(5).standard_normal((1, 8, 16, 8))
    assert abs(np.vdot(net(v), dy) - np.vdot(v, net.input_gradient(v, dy))) < 1e-12 * np.abs(dy).sum()
