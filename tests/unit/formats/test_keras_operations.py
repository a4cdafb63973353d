"""Operations of Keras 3 among the layers of a model, against torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import minicnn
from minicnn.errors import WeightsError
from tests.helpers.keras_files import functional, keras, layer

LAST = (0, 2, 3, 1)
OPERATIONS = {
    "Relu": ({}, F.relu),
    "Relu6": ({}, F.relu6),
    "Sigmoid": ({}, torch.sigmoid),
    "Silu": ({}, F.silu),
    "Tanh": ({}, torch.tanh),
    "HardSigmoid": ({}, F.hardsigmoid),
    "HardSilu": ({}, F.hardswish),
    "Softplus": ({}, F.softplus),
    "Softsign": ({}, F.softsign),
    "Mish": ({}, F.mish),
    "Selu": ({}, F.selu),
    "LogSigmoid": ({}, F.logsigmoid),
    "Absolute": ({}, torch.abs),
    "Exp": ({}, torch.exp),
    "Square": ({}, torch.square),
    "Gelu": ({"approximate": True}, lambda x: F.gelu(x, approximate="tanh")),
    "Elu": ({"alpha": 0.7}, lambda x: F.elu(x, 0.7)),
    "LeakyRelu": ({"negative_slope": 0.2}, lambda x: F.leaky_relu(x, 0.2)),
    "LogSoftmax": ({"axis": -1}, lambda x: F.log_softmax(x, 1)),
    "Clip": ({"x_min": 0, "x_max": 1}, lambda x: x.clamp(0, 1)),
    "Mean": ({"axis": [1, 2], "keepdims": False}, lambda x: x.mean((2, 3))),
    "Sum": ({"axis": [1, 2], "keepdims": True}, lambda x: x.sum((2, 3), keepdim=True)),
    "Max": ({"axis": -1, "keepdims": True, "initial": None}, lambda x: x.amax(1, keepdim=True)),
    "Reshape": ({"newshape": [-1, 60]}, lambda x: x.permute(LAST).flatten(1)),
}


def write(folder, kind, settings):
    model = functional(layer(kind, "y", reads=["input"], **settings), shape=(4, 5, 3))
    return keras(folder / "net.keras", model)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_operations(tmp_path, kind):
    settings, expected = OPERATIONS[kind]
    net = minicnn.load(write(tmp_path, kind, settings))
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(
        net.forward(x, upto=net.names[-1]), expected(torch.from_numpy(x)), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("Mean", {"axis": 1}, "expected those of their pixels, or the channels'"),
        ("Mean", {"axis": None}, "axis: expected one behind the batch's"),
        ("Max", {"axis": [1, 2], "initial": 3.0}, "initial"),
        ("Reshape", {"newshape": [2, 30]}, "can't be done"),
    ],
)
def test_operations_that_are_refused(tmp_path, kind, settings, message):
    with pytest.raises(WeightsError, match=rf"layer 'y' \({kind}\): .*{message}"):
        minicnn.load(write(tmp_path, kind, settings))
