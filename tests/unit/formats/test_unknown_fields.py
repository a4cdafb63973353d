"""No field of a file is passed over in silence: it is honoured, known to be harmless, or refused by its name."""

import copy
import random

import numpy as np
import onnx
import pytest

import minicnn
from minicnn.errors import WeightsError
from minicnn.formats import safetensors
from tests.helpers import caffe_files, field_files
from tests.helpers.field_files import FILES
from tests.helpers.field_mutations import (
    NAMES,
    VALUES,
    add_field,
    find_silence,
    is_field_message,
    messages,
    reorder,
    try_file,
)

BY_NAME = {file.name: file for file in FILES}


@pytest.fixture(params=FILES, ids=lambda file: file.name)
def file(request):
    return request.param


def test_an_unknown_field_of_any_message_is_refused_by_its_name(file, tmp_path):
    for at, message in enumerate(messages(file.tree)):
        if is_field_message(file, message):
            outcome = try_file(file, add_field(file.tree, at, "unheard_of", 1), tmp_path)
            assert "unheard_of" in outcome.error, (at, message)


def test_names_that_mean_something_elsewhere(file, tmp_path):
    rng = random.Random(0)
    sites = [at for at, message in enumerate(messages(file.tree)) if is_field_message(file, message)]
    for _ in range(40):
        silence = find_silence(file, rng.choice(sites), rng.choice(NAMES), rng.choice(VALUES), tmp_path)
        assert silence is None, silence


def test_fields_in_another_order(file, tmp_path):
    expected = try_file(file, file.tree, tmp_path)
    assert expected.signature
    for seed in range(4):
        assert try_file(file, reorder(file.tree, random.Random(seed)), tmp_path) == expected


# fields that change the answer, and what becomes of it


def load(tmp_path, text, arrays):
    path, weights = caffe_files.write(
        tmp_path, 'input: "data" input_shape { dim: 1 dim: 3 dim: 6 dim: 6 }' + text, arrays
    )
    return minicnn.load(path, weights=weights)


def pool(fields):
    param = f"pooling_param {{ kernel_size: 3 stride: 2 {fields} }}"
    return f'layer {{ name: "p" type: "Pooling" bottom: "data" top: "p" {param} }}'


@pytest.mark.parametrize(
    ("fields", "size"),
    [("", 3), ("ceil_mode: true", 3), ("ceil_mode: false", 2), ("round_mode: FLOOR", 2), ("round_mode: 1", 2)],
)
def test_how_pools_of_caffe_round(tmp_path, fields, size):
    x = np.zeros((1, 3, 6, 6), np.float32)
    assert load(tmp_path, pool(fields), {"unused": [np.zeros(1)]})(x).shape == (1, 3, size, size)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (pool("ceil_mode: false round_mode: CEIL"), "contradict"),
        (pool("pad: 1 pad_h: 2"), "pad and pad_h or pad_w"),
        (pool("stride: 1"), "stride or pad is given twice"),
        (pool("global_pooling: true"), "global_pooling with a kernel_size"),
        (pool("") + " state { phase: TRAIN }", "state: expected the phase TEST"),
        (pool("") + " input_dim: 1", "input_shape and input_dim"),
        (pool("") + " debug_level: 1", "'debug_level'"),
        (pool("").replace("top:", "pool_param { stride: 1 } top:"), "'pool_param.stride'"),
    ],
)
def test_caffe_says_what_it_refuses(tmp_path, text, said):
    with pytest.raises(WeightsError, match=said):
        load(tmp_path, text, {"unused": [np.zeros(1)]})


def shared(values):
    one = 'convolution_param { num_output: 3 kernel_size: 1 bias_term: false } param { name: "w" lr_mult: 0 }'
    text = "".join(
        f'layer {{ name: "{n}" type: "Convolution" bottom: "{b}" top: "{n}" {one} }}'
        for n, b in (("a", "data"), ("b", "a"))
    )
    return text, {name: [np.full((3, 3, 1, 1), value)] for name, value in zip("ab", values, strict=True)}


def test_layers_of_caffe_that_share_a_parameter(tmp_path):
    assert load(tmp_path, *shared((2, 2))).names == ["a", "b"]
    with pytest.raises(WeightsError, match=r"layer 'b' .*shares 'w' with layer 'a'; the weights hold two of it"):
        load(tmp_path, *shared((2, 3)))


@pytest.mark.parametrize("name", ["model", "graph", "node", "attribute", "tensor"])
def test_unknown_numbers_in_onnx_messages(tmp_path, name):
    field_files.load_onnx(BY_NAME["onnx"].tree, tmp_path)
    model = onnx.load(tmp_path / "net.onnx")
    node = model.graph.node[0]
    messages = {"model": model, "graph": model.graph, "node": node, "attribute": node.attribute[0]}
    messages["tensor"] = model.graph.initializer[0]
    messages[name].MergeFromString(b"\xc8\x03\x01")  # field 57, a varint
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(WeightsError, match="field 57 is not known"):
        minicnn.load(tmp_path / "net.onnx")


def change_onnx(tmp_path, change):
    field_files.load_onnx(BY_NAME["onnx"].tree, tmp_path)
    model = onnx.load(tmp_path / "net.onnx")
    change(model)
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def add_function(model):
    function = onnx.helper.make_function("", "Relu", ["x"], ["y"], [], [onnx.helper.make_opsetid("", 17)])
    model.functions.append(function)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (add_function, "a function in place of ONNX's operator Relu"),
        (lambda m: m.opset_import.append(onnx.helper.make_opsetid("ai.onnx", 9)), "operators of version 0"),
        (lambda m: m.graph.node[0].attribute.append(m.graph.node[0].attribute[0]), "given twice"),
        (
            lambda m: m.graph.node[0].attribute.append(onnx.helper.make_attribute("auto_pad", "VALID")),
            "pads and auto",
        ),
        (lambda m: m.graph.initializer[0].float_data.append(1), "holds its values twice"),
        (lambda m: setattr(m.graph.node[2], "domain", "com.microsoft"), "com.microsoft.Relu"),
        (lambda m: setattr(m.graph.node[0].attribute[0], "ref_attr_name", "k"), "field 21"),
    ],
)
def test_onnx_says_what_it_refuses(tmp_path, change, said):
    with pytest.raises(WeightsError, match=said):
        minicnn.load(change_onnx(tmp_path, change))


def keras_with(change):
    tree = field_files.keras_tree()
    change({entry["config"]["name"]: entry for entry in tree["config"]["layers"]})
    return tree


def call(entry, value):
    entry["inbound_nodes"][0]["args"].append(value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda layers: layers["b"]["inbound_nodes"][0]["kwargs"].update(training=True),
            "called with training=True",
        ),
        (lambda layers: call(layers["a"], 2.0), "reads 2 values, expected one"),
        (lambda layers: layers["c"]["config"].update(filters=5), "filters: expected 4, found 5"),
        (lambda layers: layers["c"]["config"].update(groups=3), "groups: expected 1, found 3"),
        (
            lambda layers: layers["c"].update(registered_name="My>Conv2D"),
            "'My>Conv2D', whose code is not in the file",
        ),
        (lambda layers: layers["c"].update(module="__main__"), "'__main__', whose code is not in the file"),
        (lambda layers: layers["f"]["config"].update(dtype="int8_from_float32"), "'dtype'"),
        (
            lambda layers: layers["d"]["config"].update(
                activation={"class_name": "function", "config": "relu", "registered_name": "My>relu"}
            ),
            "its activation is a class of its own, 'My>relu'",
        ),
    ],
)
def test_keras_says_what_it_refuses(tmp_path, change, said):
    with pytest.raises(WeightsError, match=said):
        field_files.load_keras(keras_with(change), tmp_path)


@pytest.mark.parametrize("value", [False, None])
def test_a_keras_layer_called_for_inference(tmp_path, value):
    tree = keras_with(lambda layers: layers["b"]["inbound_nodes"][0]["kwargs"].update(training=value, mask=None))
    assert field_files.load_keras(tree, tmp_path).names[0] == "c"


def test_matconvnet_pictures_that_are_warped(tmp_path):
    tree = field_files.matconvnet_tree()
    assert field_files.load_matconvnet(tree, tmp_path).preprocess.resize == 10
    tree["meta"]["normalization"]["keepAspect"] = 0.0
    assert field_files.load_matconvnet(tree, tmp_path).preprocess.resize == (10, 10)
    tree["meta"]["normalization"]["interpolation"] = "box"
    with pytest.raises(WeightsError, match="interpolation 'box' is not known"):
        field_files.load_matconvnet(tree, tmp_path)


def test_safetensors_of_another_framework(tmp_path):
    safetensors.write(tmp_path / "a.safetensors", {"w": np.zeros(2)}, {"format": "mlx"})
    with pytest.raises(WeightsError, match="format 'mlx', whose arrays may have other axes"):
        safetensors.read(tmp_path / "a.safetensors")


ATTRIBUTES = [(i, name) for i, node in enumerate(BY_NAME["onnx"].tree["nodes"]) for name in node["attributes"]]


@pytest.mark.parametrize(("at", "name"), ATTRIBUTES)
def test_an_attribute_that_is_left_out_means_what_it_means_to_onnxruntime(tmp_path, at, name):
    runtime = pytest.importorskip("onnxruntime")
    tree = copy.deepcopy(BY_NAME["onnx"].tree)
    del tree["nodes"][at]["attributes"][name]
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 7)).astype(np.float32)
    try:
        net = field_files.load_onnx(tree, tmp_path)
    except WeightsError:
        with pytest.raises(Exception, match=r"Fail|INVALID|required|attr"):
            runtime.InferenceSession(tmp_path / "net.onnx").run(None, {"x": x})
        return
    (expected,) = runtime.InferenceSession(tmp_path / "net.onnx").run(None, {"x": x})
    np.testing.assert_allclose(net.forward(x, upto=net.names[-1]), expected, rtol=0, atol=1e-5)
