"""Operations of Keras 3 among the layers of a model, against torch."""

import io
import zipfile

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import minicnn
from minicnn.errors import WeightsError
from tests.helpers.keras_files import functional, h5, keras, layer

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


CONV = {"class_name": "Conv2D", "config": {"name": "c", "filters": 4, "kernel_size": [3, 3], "activation": "relu"}}


def normalised(**changed):
    """A spectral normalisation around a convolution, whose kernel is divided already, with its vector."""
    rng = np.random.default_rng(0)
    arrays = rng.standard_normal((3, 3, 3, 4)), rng.standard_normal(4), rng.standard_normal((1, 4))
    settings = {"layer": CONV | changed, "power_iterations": 1}
    return layer(
        "SpectralNormalization", "y", *(a.astype(np.float32) for a in arrays), reads=["input"], **settings
    )


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_spectral_normalisation_does_what_its_layer_does(tmp_path, suffix):
    item = normalised()
    kernel, bias, vector = item["arrays"]
    path = tmp_path / f"net{suffix}"
    if suffix == ".h5":
        h5(path, functional(item, shape=(4, 5, 3)))
        with h5py.File(path, "r+") as file:
            group = file["model_weights/y"]
            names = [b"y/c/kernel", b"y/c/bias", b"y/vector_u"]
            for name, array in zip(names, item["arrays"], strict=True):
                group[name.decode()] = array
            group.attrs["weight_names"] = names
    else:
        keras(path, functional(item, shape=(4, 5, 3)))
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        file = io.BytesIO()
        with h5py.File(file, "w") as root:
            outer = root.create_group("layers/spectral_normalization")
            for name, array in {
                "layer/vars/0": kernel,
                "layer/vars/1": bias,
                "vars/0": kernel,
                "vars/1": vector,
            }.items():
                outer[name] = array
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (members | {"model.weights.h5": file.getvalue()}).items():
                archive.writestr(name, data)
    net = minicnn.load(path)
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 5)).astype(np.float32)
    filters = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    expected = F.relu(F.conv2d(torch.from_numpy(x), filters, torch.from_numpy(bias)))
    np.testing.assert_allclose(net.forward(x, upto=net.names[-1]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"module": "mine.layers"}, "its layer is a class of its own"),
        ({"class_name": "LSTM"}, "no such layer"),
        ({"config": None}, "no such layer"),
    ],
)
def test_a_spectral_normalisation_of_something_else_is_refused(tmp_path, changed, message):
    with pytest.raises(WeightsError, match=f"layer 'y'.*{message}"):
        minicnn.load(keras(tmp_path / "net.keras", functional(normalised(**changed), shape=(4, 5, 3))))
