"""What kind of function a layer says it is, held against the layer itself."""

import numpy as np
import pytest

from minicnn import layers
from minicnn.kernels import reference
from minicnn.layers import Concat, Conv2d, Kind, Layer, Linear, ReLU, Residual, Sequential, Softmax, Tanh
from minicnn.layers.transforms.fuse import fuse

KINDS = [
    (Conv2d(2, 3, 3, bias=False), Kind.LINEAR),
    (Conv2d(2, 3, 3), Kind.AFFINE),
    (layers.ConvTranspose2d(2, 3, 3, bias=False), Kind.LINEAR),
    (layers.ConvTranspose2d(2, 3, 3), Kind.AFFINE),
    (Linear(7, 3, bias=False), Kind.LINEAR),
    (Linear(7, 3), Kind.AFFINE),
    (layers.BatchNorm2d(2), Kind.AFFINE),
    (layers.AvgPool2d(2), Kind.LINEAR),
    (layers.GlobalAvgPool2d(), Kind.LINEAR),
    (layers.ZeroPad2d(1), Kind.LINEAR),
    (layers.Flatten(), Kind.LINEAR),
    (layers.Permute((1, 0, 2)), Kind.LINEAR),
    (layers.Reshape((6, 14)), Kind.LINEAR),
    (layers.Dropout(), Kind.LINEAR),
    (ReLU(), Kind.PIECEWISE_LINEAR),
    (layers.ReLU6(), Kind.PIECEWISE_LINEAR),
    (layers.LeakyReLU(), Kind.PIECEWISE_LINEAR),
    (layers.PReLU(), Kind.PIECEWISE_LINEAR),
    (layers.MaxPool2d(2), Kind.PIECEWISE_LINEAR),
    (Tanh(), Kind.SMOOTH),
    (Softmax(), Kind.SMOOTH),
    (layers.LogSoftmax(), Kind.SMOOTH),
    (layers.LocalResponseNorm(3), Kind.SMOOTH),
    (Sequential([Conv2d(2, 2, 1, bias=False), layers.AvgPool2d(2)]), Kind.LINEAR),
    (Residual([Conv2d(2, 2, 1)]), Kind.AFFINE),
    (Residual([Conv2d(2, 2, 1), ReLU()]), Kind.PIECEWISE_LINEAR),
    (Concat([Conv2d(2, 2, 1), Tanh()], []), Kind.SMOOTH),
    (Concat([ReLU()], [Tanh()]), Kind.NONLINEAR),
    (Sequential([]), Kind.LINEAR),
]


def test_every_layer_is_here():
    classes = {getattr(layers, name) for name in layers.__all__ if name not in ("Keep", "Kind", "Layer")}
    assert {type(layer) for layer, _ in KINDS} == classes


@pytest.mark.parametrize("layer, kind", KINDS, ids=lambda value: repr(value) if isinstance(value, Layer) else "")
def test_layers_are_what_they_say(layer, kind):
    """Additivity and homogeneity for LINEAR; the same of differences for AFFINE; on a small step for the rest."""
    assert layer.kind is kind
    rng = np.random.default_rng(0)
    shape = (7,) if isinstance(layer, Linear) else (2, 6, 7)
    layer = layer.initialise(rng).astype(np.float64)
    x, v = rng.normal(size=(2, 1, *shape))

    def f(x):
        return layer.forward(x, reference)[0]

    zero = f(np.zeros_like(x))
    if kind is Kind.LINEAR:
        assert not zero.any()
    if kind <= Kind.AFFINE:
        np.testing.assert_allclose(f(x + 3 * v) - f(x), 3 * (f(v) - zero), atol=1e-12)
    else:
        assert not np.allclose(f(x + 3 * v) - f(x), 3 * (f(v) - zero)), "it is linear after all"
    bend = np.abs(f(x + 1e-4 * v) - 2 * f(x) + f(x - 1e-4 * v)).max()
    if kind <= Kind.PIECEWISE_LINEAR:
        assert bend < 1e-13, "curved between kinks"
    else:
        assert bend > 1e-12, "not curved"


def test_nothing_is_assumed_of_layers_from_elsewhere():
    class Own(Layer):
        pass

    assert Own().kind is Kind.NONLINEAR
    assert Sequential([Conv2d(3, 3, 1), Own()]).kind is Kind.NONLINEAR


def test_a_merged_rectifier_is_one_too():
    ((_, merged),) = fuse([("conv", Conv2d(2, 2, 1)), ("relu", ReLU())])
    assert merged.kind is Kind.PIECEWISE_LINEAR


@pytest.mark.parametrize(
    "parts, whole",
    [
        ([], Kind.LINEAR),
        ([Kind.LINEAR, Kind.AFFINE], Kind.AFFINE),
        ([Kind.AFFINE, Kind.SMOOTH, Kind.LINEAR], Kind.SMOOTH),
        ([Kind.SMOOTH, Kind.PIECEWISE_LINEAR], Kind.NONLINEAR),
        ([Kind.PIECEWISE_LINEAR, Kind.NONLINEAR], Kind.NONLINEAR),
    ],
)
def test_composed(parts, whole):
    assert Kind.compose(iter(parts)) is whole
