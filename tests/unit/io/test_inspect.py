"""``inspect`` describes files of every kind, says what they do not say, and leaves the weights where they are."""

import tracemalloc

import numpy as np
import pytest
import scipy.io

import minicnn
from minicnn.cli import main
from minicnn.io.inspect import format_description, inspect
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d
from tests.helpers import caffe_files, keras_files

INPUTS, OUTPUTS = 8 * 16 * 16, 1024  # 8 MiB


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    shapes = {"conv": (8, 3, 3, 3), "full": (OUTPUTS, INPUTS)}
    return {k: (rng.standard_normal(s, np.float32), np.zeros(s[0], np.float32)) for k, s in shapes.items()}


def ours(folder, suffix, arrays):
    net = minicnn.Network(
        [
            ("conv", Conv2d(3, 8, 3, padding=1, weight=arrays["conv"][0], bias=arrays["conv"][1])),
            ("pool", MaxPool2d(2)),
            ("flatten", Flatten()),
            ("full", Linear(INPUTS, OUTPUTS, weight=arrays["full"][0], bias=arrays["full"][1])),
        ],
        input_shape=(3, 32, 32),
    )
    minicnn.save(net, folder / f"net{suffix}")
    return folder / f"net{suffix}", None


def keras(folder, suffix, arrays):
    (kernel, shift), (weight, bias) = arrays["conv"], arrays["full"]
    columns = weight.reshape(OUTPUTS, 8, 16, 16).transpose(2, 3, 1, 0)  # Keras flattens H, W, C
    model = keras_files.sequential(
        keras_files.layer("Conv2D", "conv", kernel.transpose(2, 3, 1, 0), shift, padding="same"),
        keras_files.layer("MaxPooling2D", "pool"),
        keras_files.layer("Flatten", "flatten"),
        keras_files.layer("Dense", "full", columns.reshape(INPUTS, OUTPUTS), bias),
        shape=(32, 32, 3),
    )
    write = {".h5": keras_files.h5, ".keras": keras_files.keras, ".weights.h5": keras_files.weights_h5}[suffix]
    write(folder / f"net{suffix}", model)
    return folder / f"net{suffix}", None


def caffe(folder, suffix, arrays):
    layers = """
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
                convolution_param { num_output: 8 kernel_size: 3 pad: 1 } }
        layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
                pooling_param { kernel_size: 2 stride: 2 } }
        layer { name: "full" type: "InnerProduct" bottom: "pool" top: "full"
                inner_product_param { num_output: 1024 } }"""
    start = 'name: "net" input: "data" input_dim: 1 input_dim: 3 input_dim: 32 input_dim: 32'
    return caffe_files.write(folder, start + layers, arrays)


def matconvnet(folder, suffix, arrays):
    (kernel, shift), (weight, bias) = arrays["conv"], arrays["full"]
    columns = weight.reshape(OUTPUTS, 8, 16, 16).transpose(2, 3, 1, 0)
    cells = np.empty((1, 3), object)
    for i, (name, filters, offset) in enumerate(
        [("conv", kernel.transpose(2, 3, 1, 0), shift), ("", None, None), ("full", columns, bias)]
    ):
        if name:
            pair = np.empty((1, 2), object)
            pair[0, 0], pair[0, 1] = np.asfortranarray(filters), offset[None]
            cells[0, i] = {"type": "conv", "name": name, "weights": pair, "pad": float(i == 0), "stride": 1.0}
    cells[0, 1] = {"type": "pool", "name": "pool", "method": "max", "pool": np.full((1, 2), 2.0), "stride": 2.0}
    size = {"normalization": {"imageSize": np.array([[32.0, 32.0, 3.0]])}}
    scipy.io.savemat(folder / "net.mat", {"layers": cells, "meta": size})
    return folder / "net.mat", None


KINDS = {
    **dict.fromkeys((".npz", ".onnx", ".safetensors", ".pth"), ours),
    **dict.fromkeys((".h5", ".keras", ".weights.h5"), keras),
    ".mat": matconvnet,
    ".prototxt": caffe,
}


@pytest.mark.parametrize("suffix", KINDS)
def test_weights_stay_in_the_file(tmp_path, arrays, suffix):
    """Descriptions of 8 MiB of weights take less than 2 MiB, and the networks that are loaded all agree."""
    path, weights = KINDS[suffix](tmp_path, suffix, arrays)
    inspect(path, weights=weights)  # imports what it needs
    tracemalloc.start()
    description = inspect(path, weights=weights)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20
    if description["kind"] == "state dictionary":
        assert {a["name"]: a["shape"] for a in description["arrays"]}["full.weight"] == [OUTPUTS, INPUTS]
        return
    assert description["parameters"] == sum(a.size for pair in arrays.values() for a in pair)
    expected = minicnn.load(ours(tmp_path, ".npz", arrays)[0])
    x = np.random.default_rng(1).standard_normal((2, 3, 32, 32), np.float32)
    net = minicnn.load(path, weights=weights)
    assert all(a.flags.c_contiguous for a in net.state_dict().values())
    np.testing.assert_allclose(net(x), expected(x), rtol=0, atol=1e-4 * np.abs(expected(x)).max())


def test_what_a_state_dictionary_does_not_say(tmp_path, arrays):
    path, _ = ours(tmp_path, ".pth", arrays)
    description = inspect(path)
    assert description["labels"] is None and description["preprocess"] is None
    lines = format_description(description).splitlines()
    for key in ("architecture", "labels", "preprocess"):
        assert any(line.startswith(f"{key}:") and "unknown" in line for line in lines)
    assert any(line.split() == ["full.weight", "float32", "1024", "x", "2048"] for line in lines)


@pytest.mark.parametrize("kind", [".binaryproto", ".npy"])
def test_a_mean_image_on_the_command_line(tmp_path, arrays, kind, capsys):
    """It is as large as the pictures of the training; its centre belongs to a centre crop."""
    path, weights = caffe(tmp_path, None, arrays)
    mean = np.random.default_rng(3).uniform(90, 130, (3, 40, 36)).astype(np.float32)
    file = tmp_path / f"mean{kind}"
    if kind == ".npy":
        np.save(file, mean)
    else:
        file.write_bytes(caffe_files.blob(mean[None], old=True).SerializeToString())
    typed = ["convert", str(path), str(tmp_path / "out.npz"), "--weights", str(weights), "--mean", str(file)]
    assert main([*typed, "--channels", "BGR", "--resize", "40", "--scale", "1"]) == 0
    preprocess = minicnn.load(tmp_path / "out.npz").preprocess
    np.testing.assert_array_equal(preprocess.mean, mean[:, 4:36, 2:34])
    assert (preprocess.channels, preprocess.resize, preprocess.scale) == ("BGR", 40, 1.0)
    assert main(["inspect", str(tmp_path / "out.npz")]) == 0
    assert "channels=BGR" in capsys.readouterr().out
    np.save(tmp_path / "small.npy", mean[:, :20])
    assert main([*typed[:-1], str(tmp_path / "small.npy")]) == 1
    assert "at least (32, 32) pixels" in capsys.readouterr().err


def test_the_second_file_of_caffe_is_asked_for(tmp_path, arrays, capsys):
    path, weights = caffe(tmp_path, None, arrays)
    assert main(["inspect", str(path)]) == 1
    assert "--weights net.caffemodel" in capsys.readouterr().err
    assert main(["inspect", str(weights)]) == 1
    assert ".prototxt" in capsys.readouterr().err
