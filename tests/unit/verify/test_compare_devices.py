"""A device is no measure of itself: each kernel of the compiled one, made wrong, is found."""

import inspect

import numpy as np
import pytest

from minicnn import Network, load
from minicnn.kernels import cpu
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
    SiLU,
)
from minicnn.verify import compare

LAYERS = [
    ("conv", Conv2d(2, 6, 3, padding=1)),
    ("lrn", LocalResponseNorm(3, 0.5)),
    ("merged", Conv2d(6, 6, 3, padding=1, groups=2)),
    ("rectified", ReLU()),  # one step with the convolution on this device
    ("pool", MaxPool2d(2)),
    ("up", ConvTranspose2d(6, 4, 2, stride=2)),
    ("norm", BatchNorm2d(4)),
    ("mean", AvgPool2d(2)),
    ("flat", Flatten()),
    ("full", Linear(144, 8)),
    ("relu", ReLU()),
    ("wide", Linear(8, 8)),
    ("relu6", ReLU6()),
    ("gate", SiLU()),
    ("sum", Residual([("inner", Linear(8, 8))])),
    ("last", Linear(8, 4)),
]
FORWARD = {
    "conv2d": "conv",
    "local_response_norm": "lrn",
    "conv2d_relu": "rectified",
    "max_pool2d": "pool",
    "conv_transpose2d": "up",
    "batch_norm2d": "norm",
    "avg_pool2d": "mean",
    "linear": "full",
    "relu": "relu",
    "hardtanh": "relu6",
    "pointwise": "gate",
    "add": "sum",
}
# kernel: where the gradient is wrong first, and the layer that it comes back from
BACK = {
    "conv2d_input_grad": ("input", "conv"),
    "local_response_norm_input_grad": ("conv", "lrn"),
    "conv2d_relu_input_grad": ("lrn", "rectified"),
    "max_pool2d_input_grad": ("rectified", "pool"),
    "conv_transpose2d_input_grad": ("pool", "up"),
    "batch_norm2d_input_grad": ("up", "norm"),
    "avg_pool2d_input_grad": ("norm", "mean"),
    "linear_input_grad": ("sum", "last"),
    "pointwise_input_grad": ("relu6", "gate"),
    "relu_input_grad": ("wide", "relu6"),
}
SMALL = np.float32(1.0001)  # the tolerances are 1e-5
WRONG = {"scaled": lambda y: y * SMALL, "shifted": lambda y: np.roll(y, 1, axis=-1)}


@pytest.fixture(scope="module")
def net():
    return Network(LAYERS, (2, 12, 12), seed=3).to("cpu")


def replace_kernel(monkeypatch, name, wrong):
    right = getattr(cpu, name)

    def kernel(*arguments, **options):
        y = right(*arguments, **options)
        return (wrong(y[0]), *y[1:]) if isinstance(y, tuple) else wrong(y)

    monkeypatch.setattr(cpu, name, kernel)


def test_every_kernel_of_the_device_is_here():
    own = {n for n in cpu.__all__ if inspect.getmodule(getattr(cpu, n)).__name__.startswith("minicnn.kernels.cpu")}
    elsewhere = (
        "_weight_grad",
        "_bias_grad",
        "_training",
        "_training_input_grad",
    )  # no pass that is compared has them
    assert {name for name in own if not name.endswith(elsewhere)} == {*FORWARD, *BACK}


@pytest.mark.parametrize("peer", ["reference", "torch"])
def test_right_kernels_agree(net, peer):
    comparison = compare(net, peer)
    assert comparison.ok, comparison.text()
    assert comparison.device == "cpu" and not comparison.kinks


@pytest.mark.parametrize("peer", ["reference", "torch"])
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", FORWARD)
def test_a_wrong_kernel_is_found(net, name, wrong, peer, monkeypatch):
    replace_kernel(monkeypatch, name, WRONG[wrong])
    comparison = compare(net, peer)
    assert comparison.first in comparison.values and comparison.first.name == FORWARD[name], comparison.verdict()


@pytest.mark.parametrize("peer", ["reference", "torch"])
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", BACK)
def test_a_wrong_gradient_is_found(net, name, wrong, peer, monkeypatch):
    replace_kernel(monkeypatch, name, WRONG[wrong])
    comparison, (at, through) = compare(net, peer), BACK[name]
    assert all(step.ok for step in comparison.values)
    assert comparison.first.name == at and f"gradient at {at}, come back from {through}," in comparison.verdict()


@pytest.mark.parametrize("peer", ["cpu", "torch"])
def test_maxima_that_tie_in_flat_parts_of_a_picture_accuse_nobody(peer):
    """Rounding decides which of four equal taps is the largest: gradients are compared beside the picture."""
    digits = load("digits")
    flat = np.full((28, 28), 40, np.uint8)
    flat[6:22, 8:20] = 200
    comparison = compare(digits, peer, digits.preprocess(flat))
    assert comparison.ok
    # in float64, as torch is asked for them, rounding is too small
    assert ("pools tie to rounding" in " ".join(comparison.text().split())) == (peer == "cpu")
    assert max(value.tolerance for value in comparison.gradients) < 0.05
