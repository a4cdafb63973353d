"""One right file of each format as a tree of named fields, and how a tree becomes a network: for tests of fields.

A tree is made of dictionaries (messages, layers, settings), lists and values; a field that is given several times
is a list.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import scipy.io
from onnx import helper, numpy_helper

import minicnn
from minicnn.formats.containers import npz
from minicnn.formats.native import MEMBER, describe
from minicnn.layers import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU
from tests.helpers import caffe_files, keras_files
from tests.helpers.keras_files import layer

__all__ = ["FILES", "FieldFile", "signature"]


class FieldFile(NamedTuple):
    """A format, the tree of a right file, and what writes a tree into a folder and loads it."""

    name: str
    tree: dict[str, Any]
    load: Callable[[dict[str, Any], Path], minicnn.Network]


def signature(net: minicnn.Network) -> str:
    """Everything that a network computes with, as text: its description, without its name, and its weights."""
    said = describe(net) | {"name": ""}
    return json.dumps(said) + "".join(f"{k}{v.shape}{v.tobytes().hex()}" for k, v in net.state_dict().items())


def normal(*shape):
    return np.random.default_rng(sum(shape)).uniform(0.5, 1.5, shape).astype(np.float32)


# ONNX: a graph of nodes with attributes

ARRAYS = {
    "w": normal(4, 3, 3, 3),
    **{name: normal(4) for name in ("b", "gamma", "beta", "mean", "var")},
    "fc": normal(5, 4),
    "fb": normal(5),
}


def onnx_tree():
    nodes = [
        ("Conv", "x w b", {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [1, 1, 0, 1], "group": 1}),
        ("BatchNormalization", "y0 gamma beta mean var", {"epsilon": 0.25, "momentum": 0.5}),
        ("Relu", "y1", {}),
        ("MaxPool", "y2", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "storage_order": 0}),
        ("AveragePool", "y3", {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0], "count_include_pad": 1}),
        ("LRN", "y4", {"size": 3, "alpha": 0.5, "beta": 0.5, "bias": 2.0}),
        ("GlobalAveragePool", "y5", {}),
        ("Flatten", "y6", {"axis": 1}),
        ("Gemm", "y7 fc fb", {"alpha": 0.5, "beta": 2.0, "transB": 1}),
        ("Softmax", "y8", {"axis": 1}),
    ]
    return {"nodes": [{"op": op, "inputs": inputs, "attributes": named} for op, inputs, named in nodes]}


def load_onnx(tree, folder):
    nodes = [
        helper.make_node(node["op"], node["inputs"].split(), [f"y{i}"], f"n{i}")
        for i, node in enumerate(tree["nodes"])
    ]
    for node, made in zip(tree["nodes"], nodes, strict=True):
        made.attribute.extend(helper.make_attribute(name, value) for name, value in node["attributes"].items())
    ends = [
        helper.make_tensor_value_info(name, 1, shape)
        for name, shape in (("x", [1, 3, 8, 7]), (f"y{len(nodes) - 1}", None))
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in ARRAYS.items()]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "net.onnx")
    return minicnn.load(folder / "net.onnx")


# Caffe: a description and weights


def caffe_tree():
    kinds = [
        ("conv", "Convolution", {"num_output": 4, "kernel_size": 3, "stride": 2, "pad": 1, "engine": "CUDNN"}),
        ("bn", "BatchNorm", {"eps": 0.25, "use_global_stats": "true"}),
        ("scale", "Scale", {"bias_term": "true"}),
        ("relu", "ReLU", {"negative_slope": 0.25}),
        ("pool", "Pooling", {"pool": "MAX", "kernel_size": 2, "stride": 2, "ceil_mode": "false"}),
        ("norm", "LRN", {"local_size": 3, "alpha": 0.5, "beta": 0.5, "k": 2.0}),
        ("mean", "Pooling", {"pool": "AVE", "global_pooling": "true"}),
        ("drop", "Dropout", {"dropout_ratio": 0.25}),
        ("fc", "InnerProduct", {"num_output": 5, "weight_filler": {"type": '"xavier"'}}),
        ("prob", "Softmax", {"axis": 1}),
    ]
    params = {"InnerProduct": "inner_product", "BatchNorm": "batch_norm", "ReLU": "relu", "LRN": "lrn"}
    shape = {"dim": [1, 3, 9, 7]}
    layers = [{"name": '"data"', "type": '"Input"', "top": '"data"', "input_param": {"shape": shape}}]
    for name, kind, fields in kinds:
        bottom = layers[-1]["top"]
        param = params.get(kind, kind.lower()) + "_param"
        layers.append(
            {"name": f'"{name}"', "type": f'"{kind}"', "bottom": bottom, "top": f'"{name}"', param: fields}
        )
    layers[1]["param"] = [{"lr_mult": 1}, {"lr_mult": 2}]
    return {"name": '"net"', "layer": layers}


def print_message(message):
    lines = []
    for name, value in message.items():
        for item in value if isinstance(value, list) else [value]:
            lines.append(f"{name} {{ {print_message(item)} }}" if isinstance(item, dict) else f"{name}: {item}")
    return "\n".join(lines)


CAFFE_ARRAYS = {
    "conv": [normal(4, 3, 3, 3), normal(4)],
    "bn": [normal(4), normal(4), np.ones(1)],
    "scale": [normal(4), normal(4)],
    "fc": [normal(5, 4), normal(5)],
}


def load_caffe(tree, folder):
    path, weights = caffe_files.write(folder, print_message(tree), CAFFE_ARRAYS)
    return minicnn.load(path, weights=weights)


# Keras: the description in a .keras file


def keras_model():
    kernel = normal(3, 3, 3, 4)
    return keras_files.functional(
        layer("Conv2D", "c", kernel, normal(4), reads=["input"], padding="same", strides=[2, 2], filters=4),
        layer("BatchNormalization", "b", *[normal(4)] * 4, reads=["c"], epsilon=0.25, momentum=0.5, axis=-1),
        layer("ReLU", "r", reads=["b"], max_value=6.0),
        layer("MaxPooling2D", "m", reads=["r"], pool_size=[2, 2], padding="valid", data_format="channels_last"),
        layer("DepthwiseConv2D", "d", normal(3, 3, 4, 1), reads=["m"], use_bias=False, activation="relu"),
        layer("Add", "a", reads=["d", "d"]),
        layer("GlobalAveragePooling2D", "g", reads=["a"], keepdims=False),
        layer("Dropout", "o", reads=["g"], rate=0.25, noise_shape=None, seed=3),
        layer("Dense", "f", normal(4, 5), normal(5), reads=["o"], units=5, activation="softmax"),
        shape=(13, 13, 3),
    )


def keras_tree():
    return keras_files.describe(keras_model(), 3)


def load_keras(tree, folder):
    keras_files.keras(folder / "net.keras", keras_model(), config=json.dumps(tree))
    return minicnn.load(folder / "net.keras")


# MatConvNet: structures and cells


def matconvnet_tree():
    def weights(*arrays):
        return CellRow(np.asfortranarray(a) for a in arrays)

    layers = [
        {"type": "conv", "weights": weights(normal(3, 3, 3, 4), normal(4)[None]), "pad": 1.0, "stride": 2.0},
        {"type": "relu", "name": "r", "leak": 0.25, "precious": 0.0},
        {"type": "pool", "name": "p", "method": "avg", "pool": np.array([[2.0, 2.0]]), "stride": 2.0, "pad": 0.0},
        {"type": "normalize", "name": "n", "param": np.array([[3.0, 2.0, 0.5, 0.5]])},
        {"type": "dropout", "name": "o", "rate": 0.25},
        {"type": "conv", "name": "f", "weights": weights(normal(2, 2, 4, 5), normal(5)[None]), "opts": "cuDNN"},
        {"type": "softmax", "name": "s"},
    ]
    normalisation = {"imageSize": np.array([[8.0, 8.0, 3.0]]), "border": np.array([[2.0, 2.0]]), "keepAspect": 1.0}
    return {"layers": layers, "meta": {"normalization": normalisation | {"interpolation": "bilinear"}}}


class CellRow(tuple):
    """A row of a cell array, no list of messages."""


def to_matlab(value):
    if isinstance(value, dict):
        return {name: to_matlab(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        row = np.empty((1, len(value)), object)
        for i, item in enumerate(value):
            row[0, i] = to_matlab(item)
        return row
    return float(value) if isinstance(value, bool | int) else value


def load_matconvnet(tree, folder):
    scipy.io.savemat(folder / "net.mat", to_matlab(tree))
    return minicnn.load(folder / "net.mat")


# our own


def native_net():
    layers = [
        ("conv", Conv2d(3, 4, 3, padding=1, stride=2, weight=normal(4, 3, 3, 3), bias=normal(4))),
        ("bn", BatchNorm2d(4, **dict.fromkeys(("weight", "bias", "running_mean", "running_var"), normal(4)))),
        ("relu", ReLU()),
        ("pool", MaxPool2d(2, ceil_mode=True)),
        ("flat", Flatten()),
        ("fc", Linear(16, 5, weight=normal(5, 16), bias=normal(5))),
    ]
    return minicnn.Network(layers, (3, 8, 8), minicnn.Preprocess((8, 8)), list("abcde"))


def load_native(tree, folder):
    npz.write(folder / "net.npz", native_net().state_dict(), {MEMBER: json.dumps(tree)})
    return minicnn.load(folder / "net.npz")


FILES = [
    FieldFile("onnx", onnx_tree(), load_onnx),
    FieldFile("caffe", caffe_tree(), load_caffe),
    FieldFile("keras", keras_tree(), load_keras),
    FieldFile("matconvnet", matconvnet_tree(), load_matconvnet),
    FieldFile("native", describe(native_net()), load_native),
]
