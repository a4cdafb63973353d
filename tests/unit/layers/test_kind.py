"""What kind of function a layer says it is, held against the layer itself."""

import numpy as np
import pytest

from minicnn import layers
from minicnn.kernels import reference
from minicnn.layers import Concat, Conv2d, Kind, Layer, Linear, ReLU, Residual, Sequential, Tanh
from minicnn.layers.transforms.fuse import fuse
from tests.helpers.verify_cases import LAYERS, MAPS, normal

COMPOSED = {
    "Linear without bias": (Linear(7, 5, bias=False), (3, 7)),
    "ConvTranspose2d without bias": (layers.ConvTranspose2d(4, 2, 3, bias=False), MAPS),
    "linear block": (Sequential([Conv2d(4, 2, 1, bias=False), layers.AvgPool2d(2)]), MAPS),
    "affine block": (Residual([Conv2d(4, 4, 1)]), MAPS),
    "smooth block": (Concat([Conv2d(4, 2, 1), Tanh()], []), MAPS),
    "mixed block": (Concat([ReLU()], [Tanh()]), MAPS),
    "empty block": (Sequential([]), MAPS),
}


def measured_kind(layer, x, v):
    """Kind of function as its values show it: f(x + 3 v) - f(x) against 3 (f(v) - f(0)), and the bend at x."""

    def f(x):
        return layer.forward(x, reference)[0]

    zero = f(np.zeros_like(x))
    if np.allclose(f(x + 3 * v) - f(x), 3 * (f(v) - zero), rtol=0, atol=1e-12):
        return Kind.AFFINE if zero.any() else Kind.LINEAR
    bend = np.abs(f(x + 1e-4 * v) - 2 * f(x) + f(x - 1e-4 * v)).max()
    return Kind.PIECEWISE_LINEAR if bend < 1e-13 else Kind.SMOOTH


@pytest.mark.parametrize("name", [*LAYERS, *COMPOSED])
def test_layers_are_what_they_say(name):
    layer, shape = {**LAYERS, **COMPOSED}[name]
    layer = layer.initialise(np.random.default_rng(0)).astype(np.float64)
    if isinstance(layer, layers.BatchNorm2d | layers.Scale) and "bias" in layer.state():
        layer = layer.with_state({"bias": np.ones_like(layer.bias)})  # drawn as 0
    x, v = normal(shape, 1), normal(shape, 2)
    kind = measured_kind(layer, x, v)
    # with kinks or without, what is curved looks the same at one point; a jump is no kink
    assert layer.kind is kind or (kind is Kind.SMOOTH and layer.kind is Kind.NONLINEAR) or name == "Threshold"


def test_layers_without_kinks_say_so():
    """At one point, a layer that is curved between kinks looks as these do."""
    smooth = {name for name, (layer, _) in LAYERS.items() if layer.kind is Kind.SMOOTH}
    activations = {"CELU", "ELU", "GELU", "GELU tanh", "LogSigmoid", "Mish", "SiLU", "Sigmoid", "Softplus", "Tanh"}
    elementary = {"Erf", "Exp", "Pow", "Softsign"}
    norms = {"LayerNorm", "LayerNorm of all", "LayerNorm2d", "GroupNorm", "InstanceNorm2d", "RMSNorm"}
    assert smooth == activations | elementary | norms | {"LocalResponseNorm", "Softmax", "LogSoftmax"}


def test_nothing_is_assumed_of_layers_from_elsewhere():
    class Own(Layer):
        pass

    assert Own().kind is Kind.NONLINEAR
    assert Sequential([Conv2d(3, 3, 1), Own()]).kind is Kind.NONLINEAR


def test_convolutions_without_a_bias_are_linear():
    assert [Conv2d(3, 3, 1, bias=bias).kind for bias in (False, True)] == [Kind.LINEAR, Kind.AFFINE]


def test_a_merged_rectifier_is_one_too():
    ((_, merged),) = fuse([("conv", Conv2d(2, 2, 1)), ("relu", ReLU())])
    assert merged.kind is Kind.PIECEWISE_LINEAR


@pytest.mark.parametrize(
    ("kinds", "composed"),
    [
        ([], Kind.LINEAR),
        ([Kind.LINEAR, Kind.AFFINE], Kind.AFFINE),
        ([Kind.AFFINE, Kind.SMOOTH, Kind.LINEAR], Kind.SMOOTH),
        ([Kind.SMOOTH, Kind.PIECEWISE_LINEAR], Kind.NONLINEAR),
        ([Kind.PIECEWISE_LINEAR, Kind.NONLINEAR], Kind.NONLINEAR),
    ],
)
def test_kinds_compose(kinds, composed):
    assert Kind.compose(iter(kinds)) is composed
