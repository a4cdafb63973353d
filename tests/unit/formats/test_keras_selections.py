"""Channels in another order, as Keras 3 writes ``preprocess_input`` and x[..., 1:]."""

import json
import zipfile

import numpy as np
import pytest

import minicnn
from minicnn.errors import WeightsError
from tests.helpers.keras_files import INPUT, floats, functional, h5, keras, layer

RNG = np.random.default_rng(0)
ALL, REST = {"class_name": "__slice__", "config": dict.fromkeys(("start", "stop", "step"))}, "__ellipsis__"
SHAPE = (4, 5, 3)


def part(start=None, stop=None, step=None):
    return {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}}


def tensor(name):
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}


def write(path, model, calls):
    """A file whose layers are called with ``calls``: {name: args}."""
    keras(path, model)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    config = json.loads(members["config.json"])
    for entry in config["config"]["layers"]:
        if entry["config"].get("name") in calls:
            entry["inbound_nodes"] = [{"args": calls[entry["config"]["name"]], "kwargs": {}}]
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def stacked(axis, items):
    """The layers and calls of a model that picks along an axis and stacks again."""
    picks = {f"pick{i}": item for i, item in enumerate(items)}
    layers = [layer("GetItem", name, reads=[INPUT]) for name in picks]
    layers += [layer("Stack", "stack", reads=list(picks), axis=axis), layer("Activation", "end", reads=["stack"])]
    calls = {name: [tensor(INPUT), item] for name, item in picks.items()}
    return functional(*layers, shape=SHAPE), calls | {"stack": [[tensor(name) for name in picks]]}


def pick(number):
    return [{"class_name": REST, "config": {}}, number]


def test_channels_picked_and_stacked_are_one_choice(tmp_path):
    net = minicnn.load(write(tmp_path / "bgr.keras", *stacked(-1, [pick(n) for n in (2, 1, 0)])))
    x = floats(RNG, 2, 3, 4, 5)
    assert net.names == ["stack"] and np.array_equal(net(x), x[:, ::-1])


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ([{"class_name": REST, "config": {}}, part(1)], lambda x: x[:, 1:]),
        ([{"class_name": REST, "config": {}}, part(None, None, -1)], lambda x: x[:, ::-1]),
        ([ALL, part(1, 3), ALL], lambda x: x[:, :, 1:3]),
    ],
    ids=["channels", "reversed", "rows"],
)
def test_a_range_along_an_axis(tmp_path, item, expected):
    layers = layer("GetItem", "part", reads=[INPUT]), layer("Activation", "end", reads=["part"])
    path = write(tmp_path / "part.keras", functional(*layers, shape=SHAPE), {"part": [tensor(INPUT), item]})
    x = floats(RNG, 2, 3, 4, 5)
    assert np.array_equal(minicnn.load(path)(x), expected(x))


@pytest.mark.parametrize(
    ("axis", "items"),
    [
        (1, [pick(n) for n in (2, 1, 0)]),
        (-1, [pick(0), [ALL, 1, ALL]]),
        (-1, [pick(0), [ALL, part(1), part(2)]]),
        (-1, [[0, 1, 2]]),
    ],
    ids=["another axis", "two axes", "two ranges", "no axis"],
)
def test_what_is_selected_otherwise_is_refused(tmp_path, axis, items):
    with pytest.raises(WeightsError, match=r"GetItem|Stack"):
        minicnn.load(write(tmp_path / "odd.keras", *stacked(axis, items)))


def test_channels_of_a_file_of_keras_2(tmp_path):
    """``preprocess_input`` of a net on BGR images, as TensorFlow's operations."""
    reverse = [{"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}]
    layers = [
        layer("SlicingOpLambda", "tf.getitem", function="__operators__.getitem"),
        layer("TFOpLambda", "tf.nn.bias_add", function="nn.bias_add"),
        layer("TFOpLambda", "tf.math.truediv", function="math.truediv"),
    ]
    nodes = [
        [INPUT, 0, 0, {"slice_spec": reverse}],
        ["tf.getitem", 0, 0, {"bias": [-103.0, -116.0, -123.0], "data_format": "channels_last"}],
        ["tf.nn.bias_add", 0, 0, {"y": 2.0, "name": None}],
    ]
    entries = [entry | {"node": node} for entry, node in zip(layers, nodes, strict=True)]
    net = minicnn.load(h5(tmp_path / "net.h5", functional(*entries, shape=SHAPE)))
    x = floats(RNG, 2, 3, 4, 5)
    mean = np.float32([103, 116, 123])[:, None, None]
    np.testing.assert_allclose(net(x), (x[:, ::-1] - mean) / 2, rtol=1e-6)
