"""Keras files written by hand with h5py, from settings and arrays: .h5 of Keras 1 and 2, .keras, .weights.h5."""

import io
import json
import zipfile

import h5py
import numpy as np

INPUT = "input"


def layer(kind, name, *arrays, reads=None, **config):
    """One layer: class, name, arrays as Keras has them, settings; ``reads`` names its inputs in a graph."""
    return {"kind": kind, "name": name, "arrays": arrays, "config": config, "reads": reads}


def nested(name, model, reads=None):
    return {"kind": model["kind"], "name": name, "arrays": (), "config": None, "reads": reads, "model": model}


def sequential(*layers, shape=None):
    return {"kind": "Sequential", "layers": list(layers), "shape": shape}


def functional(*layers, shape, output=None):
    first = layer("InputLayer", INPUT, reads=[])
    return {
        "kind": "Functional",
        "layers": [first, *layers],
        "shape": shape,
        "output": output or layers[-1]["name"],
    }


# descriptions


def describe(model, version, name="model"):
    """What Keras of a major version puts into model_config or config.json."""
    entries = [_entry(item, model, version, i) for i, item in enumerate(model["layers"])]
    if model["kind"] == "Sequential":
        config = {"name": name, "layers": entries} if version > 1 else entries
    else:
        names = model["output"] if isinstance(model["output"], list) else [model["output"]]
        outputs = [[name, 0, 0] for name in names]
        ends = ([INPUT, 0, 0], outputs if names[1:] else outputs[0])
        ends = ends if version > 2 else ([[INPUT, 0, 0]], outputs)
        config = {"name": name, "layers": entries, "input_layers": ends[0], "output_layers": ends[1]}
    return {
        "class_name": "Model" if version == 1 and model["kind"] == "Functional" else model["kind"],
        "config": config,
    }


def _entry(item, model, version, i):
    if "model" in item:
        entry = describe(item["model"], version, item["name"]) | {"name": item["name"]}
    else:
        config = {"name": item["name"], **item["config"]}
        if model["shape"] and (item["kind"] == "InputLayer" or (model["kind"] == "Sequential" and i == 0)):
            config["batch_shape" if version > 2 else "batch_input_shape"] = [None, *model["shape"]]
        entry = {"class_name": item["kind"], "config": config, "name": item["name"]}
    if model["kind"] == "Functional":
        node = _node(item["reads"], version) if item["reads"] else None
        # a call that is spelt out
        node = item.get("node", node)
        entry["inbound_nodes"] = [] if node is None else [node]
    return entry


def _node(reads, version):
    if version < 3:
        return [[name, 0, 0, {}] for name in reads]
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}} for name in reads]
    return {"args": [tensors if len(tensors) > 1 else tensors[0]], "kwargs": {}}


# weights


def _roles(count):
    return {0: (), 1: ("kernel",), 2: ("kernel", "bias"), 3: ("depthwise", "pointwise", "bias")}.get(
        count, ("gamma", "beta", "moving_mean", "moving_variance")
    )


def _list_weights(item):
    """(weight's name, array) of a layer, or of all layers in a nested model."""
    if "model" in item:
        return [pair for inner in item["model"]["layers"] for pair in _list_weights(inner)]
    roles = _roles(len(item["arrays"]))
    return [(f"{item['name']}/{role}:0", array) for role, array in zip(roles, item["arrays"], strict=False)]


def h5(path, model, version=2, weights_only=False, split=False, **attributes):
    """Write the .h5 of Keras 1 or 2; ``split`` spreads the layers' names over two attributes."""
    with h5py.File(path, "w") as root:
        if not weights_only:
            root.attrs["model_config"] = json.dumps(describe(model, version))
        root.attrs.update({"keras_version": f"{version}.2.0", "backend": "tensorflow"} | attributes)
        group = root if weights_only else root.create_group("model_weights")
        names = [item["name"].encode() for item in model["layers"]]
        parts = {"layer_names0": names[:1], "layer_names1": names[1:]} if split else {"layer_names": names}
        group.attrs.update(parts)
        for item in model["layers"]:
            inner = group.create_group(item["name"])
            pairs = _list_weights(item)
            inner.attrs["weight_names"] = [name.encode() for name, _ in pairs]
            for name, array in pairs:
                inner[name] = array
    return path


def snake(kind):
    names = {"Conv2D": "conv2d", "DepthwiseConv2D": "depthwise_conv2d", "SeparableConv2D": "separable_conv2d"}
    names |= {"ReLU": "re_lu", "PReLU": "p_re_lu", "LeakyReLU": "leaky_re_lu", "MaxPooling2D": "max_pooling2d"}
    names |= {"BatchNormalization": "batch_normalization", "AveragePooling2D": "average_pooling2d"}
    return names.get(kind, kind.lower())


def _numbered(group, model, with_names, name):
    if with_names:
        group.create_group("vars").attrs["name"] = name
    counts = {}
    for item in model["layers"]:
        stem = snake(item["kind"])
        count = counts[stem] = counts.get(stem, -1) + 1
        inner = group.create_group(f"layers/{stem}_{count}" if count else f"layers/{stem}")
        if "model" in item:
            _numbered(inner, item["model"], with_names, item["name"])
            continue
        variables = inner.require_group("vars")
        variables.attrs.update({"name": item["name"]} if with_names else {})
        for i, array in enumerate(item["arrays"]):
            variables[str(i)] = array


def weights_h5(path, model, with_names=True):
    """Write the .weights.h5 of Keras 3."""
    with h5py.File(path, "w") as root:
        _numbered(root, model, with_names, "model")
    return path


def keras(path, model, version=3, with_names=True, compression=zipfile.ZIP_STORED, without=(), config=None):
    """Write a .keras file, with another text for its ``config.json`` where one is given."""
    file = io.BytesIO()
    weights_h5(file, model, with_names)
    members = {
        "metadata.json": json.dumps({"keras_version": "3.0.0"}),
        "config.json": config or json.dumps(describe(model, version)),
        "model.weights.h5": file.getvalue(),
    }
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            if name not in without:
                archive.writestr(name, data)
    return path


def floats(rng, *shape, scale=0.3):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def norm(rng, n):
    """Four arrays of a batch normalisation: gamma, beta, mean, variance."""
    return (
        rng.uniform(0.5, 1.5, n).astype(np.float32),
        *(floats(rng, n) for _ in range(2)),
        rng.uniform(0.5, 1.5, n).astype(np.float32),
    )
