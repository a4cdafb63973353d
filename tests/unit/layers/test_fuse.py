"""Merged steps compute what the layers compute one by one."""

import numpy as np
import pytest

from minicnn import Network
from minicnn.kernels import reference
from minicnn.layers import (
    BatchNorm2d,
    Concat,
    Conv2d,
    Flatten,
    Keep,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
    Tanh,
    sequence,
)
from minicnn.layers.transforms.fuse import ConvReLU2d, fuse
from minicnn.rules import DECONVNET, GRADIENT, GUIDED


def _net(dtype=np.float64):
    rng = np.random.default_rng(0)
    norm = {name: rng.normal(size=6) for name in ("weight", "bias", "running_mean")}
    norm["running_var"] = rng.uniform(0.5, 2, 6)
    layers = [
        ("c1", Conv2d(3, 6, 3, stride=2, padding="same")),
        ("n1", BatchNorm2d(6, **norm)),
        ("r1", ReLU6()),
        ("b", Residual([Conv2d(6, 6, 3, padding=1, groups=3), ReLU(), Conv2d(6, 6, 1), BatchNorm2d(6, **norm)])),
        ("r2", ReLU()),
        ("i", Concat([Conv2d(6, 4, 1, bias=False), ReLU()], [MaxPool2d(3, 1, 1), Conv2d(6, 2, 1), ReLU()])),
        ("c3", Conv2d(6, 5, 3)),
        ("n3", BatchNorm2d(5)),
        ("t", Tanh()),
    ]
    net = Network(layers, (3, 13, 12))
    net.load_state_dict({name: a.astype(dtype) for name, a in net.state_dict().items()})
    return net.named_layers


def test_what_is_merged():
    layers = _net()
    merged = fuse(layers)
    assert [name for name, _ in merged] == ["r1", "b", "r2", "i", "c3", "n3", "t"]
    assert isinstance(merged[0][1], ConvReLU2d) and merged[0][1].norm is not None
    assert [type(layer).__name__ for _, layer in merged[1][1].body] == ["ConvReLU2d", "Conv2d", "BatchNorm2d"]
    assert len(merged[3][1].parts[0]) == 1 and len(merged[3][1].parts[1]) == 2
    assert len(layers) == 9  # the list given is not touched


@pytest.mark.parametrize("rule", [GRADIENT, DECONVNET, GUIDED], ids=lambda rule: rule.name)
def test_same_output_and_same_gradient(rule):
    """The scale and shift of a normalisation are rounded once more than in the layer: roundings of float64."""
    layers = _net()[:-1]  # Tanh has no other rule than the gradient
    x = np.random.default_rng(1).normal(size=(2, 3, 13, 12))
    y, tape = sequence.forward(layers, x, reference, Keep.MASKS)
    fused_y, saved = sequence.forward(fuse(layers), x, reference, Keep.MASKS)
    np.testing.assert_allclose(fused_y, y, rtol=0, atol=1e-12 * np.abs(y).max())
    dy = np.random.default_rng(2).normal(size=y.shape)
    dx, _ = sequence.backward(layers, dy, tape, reference, rule)
    fused_dx, _ = sequence.backward(fuse(layers), dy, saved, reference, rule)
    np.testing.assert_allclose(fused_dx, dx, rtol=0, atol=1e-12 * np.abs(dx).max())


def test_same_gradients_of_parameters():
    """In training, where a normalisation stays a step of its own and the first step merges nothing."""
    layers = _net()
    x, steps = np.random.default_rng(1).normal(size=(2, 3, 13, 12)), fuse(layers, training=True)
    assert [name for name, _ in steps] == ["c1", "n1", "r1", "b", "r2", "i", "c3", "n3", "t"]
    y, tape = sequence.forward(layers, x, reference, Keep.INPUTS)
    dy = np.random.default_rng(2).normal(size=y.shape)
    for start in (0, 3):  # with the block of merged steps as the first layer too
        expected = sequence.parameter_gradients(layers[start:], dy, tape[start:], reference)
        fused_y, saved = sequence.forward(steps, x, reference, Keep.INPUTS)
        gradients = sequence.parameter_gradients(steps[start:], dy, saved[start:], reference)
        np.testing.assert_array_equal(fused_y, y)
        assert gradients.keys() == expected.keys()
        for name, gradient in expected.items():
            np.testing.assert_allclose(
                gradients[name], gradient, rtol=0, atol=1e-12 * np.abs(gradient).max(), err_msg=name
            )


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_a_merged_first_layer_has_its_parameters_gradients(device):
    if device == "cpu":
        pytest.importorskip("numba")
    layers = [
        Conv2d(3, 4, 3),
        ReLU(),
        Residual([Conv2d(4, 4, 1), ReLU6()]),
        MaxPool2d(3),
        Flatten(),
        Linear(36, 3),
    ]
    net, x = Network(layers, (3, 11, 11)), np.random.default_rng(1).standard_normal((2, 3, 11, 11), dtype="f4")
    loss, expected = net.loss_gradient(x, np.array([0, 2]))
    fused_loss, gradients = net.to(device).loss_gradient(x, np.array([0, 2]))
    assert fused_loss == pytest.approx(loss, rel=1e-5) and list(gradients) == list(net.state_dict()) == list(
        expected
    )
    for name, gradient in expected.items():
        np.testing.assert_allclose(
            gradients[name], gradient, rtol=0, atol=1e-5 * np.abs(gradient).max(), err_msg=name
        )


def test_shapes_and_work_stay():
    layers = _net()
    assert sequence.output_shape(fuse(layers), (3, 13, 12)) == sequence.output_shape(layers, (3, 13, 12))
    work = [
        sum(layer.multiply_adds(s) for _, layer, s, _ in sequence.shapes(c, (3, 13, 12)))
        for c in (layers, fuse(layers))
    ]
    assert work[0] == work[1] > 0


def test_a_network_on_a_fast_device_runs_merged_and_stops_where_asked():
    pytest.importorskip("numba")
    net = Network(_net(np.float32), (3, 13, 12))
    x = np.random.default_rng(3).normal(size=(1, 3, 13, 12)).astype(np.float32)
    for name in net.names:
        expected, y = net.forward(x, name), net.to("cpu").forward(x, name)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()), err_msg=name)


@pytest.mark.parametrize(
    ("weight", "groups"), [((20, 20, 3, 3), 1), ((20, 20, 1, 1), 1), ((20, 1, 5, 5), 20), ((4, 5, 2, 3), 4)]
)
def test_without_a_mask_the_output_is_the_same(weight, groups):
    """By each algorithm of the compiled device, and by the specification."""
    pytest.importorskip("numba")
    pytest.importorskip("scipy")
    from minicnn.kernels import cpu

    rng = np.random.default_rng(0)
    x, weight = (rng.standard_normal(shape, dtype="f4") for shape in ((2, 20, 9, 10), weight))
    for kernels in (reference, cpu):
        y, mask = kernels.conv2d_relu(x, weight, None, None, clip_max=6, groups=groups)
        same, none = kernels.conv2d_relu(x, weight, None, None, clip_max=6, groups=groups, keep_mask=False)
        assert none is None and np.array_equal(same, y) and np.array_equal(mask, (y > 0) & (y < 6))
