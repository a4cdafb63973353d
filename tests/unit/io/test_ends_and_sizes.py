"""Files with several inputs and outputs, and inputs whose size is open."""

import numpy as np
import pytest

import minicnn
from minicnn import Network, Preprocess
from minicnn.cli import main
from minicnn.errors import MinicnnError, WeightsError
from minicnn.io.input_size import with_input_size, with_usual_size
from minicnn.io.inspect import inspect
from minicnn.io.load import load, save
from minicnn.layers import Conv2d, Flatten, GlobalAvgPool2d, Linear, ReLU

onnx = pytest.importorskip("onnx")
PICTURE = "notebooks/images/seven.png"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A file of open size with outputs "scores" and "aux", of which "aux" is multiplied by the input "keep"."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    rng, weights = np.random.default_rng(0), []

    def conv(read, name, shape):
        weights.append(onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), f"{name}.w"))
        return helper.make_node("Conv", [read, f"{name}.w"], [name], name=name)

    nodes = [conv("x", "first", (4, 3, 3, 3)), helper.make_node("Relu", ["first"], ["r"], name="r")]
    nodes += [conv("r", "second", (5, 4, 1, 1)), helper.make_node("GlobalAveragePool", ["second"], ["p"])]
    nodes += [helper.make_node("Flatten", ["p"], ["scores"]), helper.make_node("Mul", ["r", "keep"], ["k"])]
    nodes += [helper.make_node("GlobalAveragePool", ["k"], ["q"]), helper.make_node("Flatten", ["q"], ["aux"])]
    value = helper.make_tensor_value_info
    inputs = [value("x", kind, ["n", 3, "h", "w"]), value("keep", kind, [])]
    outputs = [value("scores", kind, ["n", 5]), value("aux", kind, ["n", 4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    path = tmp_path_factory.mktemp("two") / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ({}, r"2 outputs \(scores, aux\); choose one, output=NAME or --output NAME"),
        ({"output": "logits"}, "no output 'logits'; there are scores, aux"),
        ({"output": "aux"}, r"2 inputs \(x, keep\); choose one"),
        ({"output": "aux", "input": "x"}, "reads 'keep' beside 'x'; give it the value"),
        ({"output": "aux", "input": "image"}, "no input 'image'; there are x, keep"),
        ({"output": "scores", "input": {"keep": 1.0}}, "no input 'keep'; there is x"),
        ({"output": "aux", "input": {"x": None, "keep": None}}, "expected one that is the image, got x, keep"),
    ],
)
def test_the_choice_is_named_where_there_is_one(two, ends, message):
    with pytest.raises(WeightsError, match=message):
        load(two, **ends)


def test_each_output_is_read_and_an_input_that_is_the_same_for_each_image_is_a_constant(two):
    runtime = pytest.importorskip("onnxruntime").InferenceSession(str(two), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((1, 3, 9, 7)).astype(np.float32)
    scores, aux = runtime.run(None, {"x": x, "keep": np.array(0.5, np.float32)})
    np.testing.assert_allclose(load(two, output="scores")(x), scores, rtol=1e-5, atol=1e-6)
    kept = load(two, output="aux", input={"x": None, "keep": 0.5}, input_size=(9, 7))
    assert kept.input_shape == (3, 9, 7)
    np.testing.assert_allclose(kept(x), aux, rtol=1e-5, atol=1e-6)


def test_a_value_before_an_end_that_no_layer_has_is_read_by_its_name(two, tmp_path):
    model = onnx.load(two)
    end = onnx.helper.make_node("ArgMax", ["scores"], ["class"], name="end", axis=1)
    model.graph.node.append(end)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("class", onnx.TensorProto.INT64, ["n", 1]))
    path = tmp_path / "class.onnx"
    onnx.save(model, path)
    with pytest.raises(
        WeightsError, match=r"'end' \(ArgMax\): no layer does this; .* output='scores' or --output"
    ):
        load(path)
    x = np.random.default_rng(1).standard_normal((1, 3, 9, 7)).astype(np.float32)
    np.testing.assert_array_equal(load(path, output="scores")(x), load(two, output="scores")(x))
    assert main(["compare", str(path), "--output", "scores", "--with", str(path), "--input-size", "9,7"]) == 0
    assert inspect(two, output="scores", input_size=(9, 7))["input_shape"] == [3, 9, 7]


def test_files_of_one_output_take_no_choice(tmp_path):
    save(minicnn.load("digits"), tmp_path / "a.npz")
    with pytest.raises(WeightsError, match="is not known to have several outputs"):
        load(tmp_path / "a.npz", output="scores")


CONVOLUTIONS = [Conv2d(3, 4, 3), ReLU(), GlobalAvgPool2d(), Flatten(), Linear(4, 2)]


@pytest.mark.parametrize(
    ("layers", "shape", "size", "expected"),
    [
        (CONVOLUTIONS, None, (20, 30), (3, 20, 30)),
        (CONVOLUTIONS, (3, 16, 16), (20, 30), (3, 20, 30)),
        ([Flatten(), Linear(2 * 6 * 5, 2)], None, (6, 5), (2, 6, 5)),
        ([Linear(784, 2)], (784,), (28, 28), (1, 28, 28)),
        ([Linear(13 * 4, 2)], None, (2, 2), (13, 2, 2)),
    ],
)
def test_an_input_size_is_set_where_the_layers_take_it(layers, shape, size, expected):
    if layers[0].__class__ is Linear and shape is None:
        layers = [Flatten(), *layers]
    net = with_input_size(Network(layers, shape), size)
    assert net.input_shape == expected and net(np.zeros((1, *expected), np.float32)).shape == (1, 2)


def test_a_size_that_the_layers_do_not_take_is_refused():
    with pytest.raises(MinicnnError, match="takes no input of 40 x 40; it takes 1 x 28 x 28"):
        with_input_size(minicnn.load("digits"), (40, 40))


def test_the_usual_size_is_the_least_that_the_layers_take():
    layers = [Conv2d(1, 2, 250), GlobalAvgPool2d()]
    assert with_usual_size(Network(layers)).input_shape == (1, 250, 250)
    with pytest.raises(MinicnnError, match="takes no input of 512 x 512"):
        with_usual_size(Network([Conv2d(1, 2, 600)]))


def test_the_preprocessing_follows_the_size():
    net = Network(CONVOLUTIONS, (3, 16, 16), Preprocess((16, 16), resize=20))
    assert with_input_size(net, (32, 32)).preprocess == Preprocess((32, 32), resize=40)


def test_the_commands_take_both(two, tmp_path, capsys):
    words = ["--net", str(two), "--scale", "1/255"]
    assert main(["predict", PICTURE, *words, "--output", "scores"]) == 0
    assert "224 x 224 is taken; --input-size H,W" in capsys.readouterr().err
    assert main(["saliency", PICTURE, *words, "--output", "scores", "-o", str(tmp_path / "usual")]) == 0
    assert main(["inspect", "--verify", str(tmp_path / "usual" / "seven.saliency.png")]) == 0
    words += ["--output", "aux", "--input", "x", "--input", "keep=0.5", "--input-size", "16,20"]
    assert main(["predict", PICTURE, *words]) == 0
    # a figure's record says all that it takes to compute it again
    assert main(["saliency", PICTURE, *words, "-o", str(tmp_path)]) == 0
    assert main(["inspect", "--verify", str(tmp_path / "seven.saliency.png")]) == 0
