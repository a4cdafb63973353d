"""A file is what its bytes say: under any name it is read, or called what it is with what to do."""

import io
import json
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import cli
from minicnn.errors import WeightsError
from minicnn.formats import pytorch, safetensors
from minicnn.formats.foreign import describe_foreign
from minicnn.formats.sample import take_sample
from minicnn.io import catalogue
from minicnn.io.inspect import inspect
from minicnn.io.source import resolve

NET = minicnn.load("digits")
STATE = NET.state_dict()
X = np.random.default_rng(0).standard_normal((1, 1, 28, 28)).astype(np.float32)


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


def tarred(*names):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".npz", ".onnx", ".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["net", "NET.ONNX", "net.pth.tar", "net.ckpt", "net.bin", "net.th", "net.H5"])
def test_a_network_is_read_under_any_name(tmp_path, suffix, name):
    minicnn.save(NET, tmp_path / f"net{suffix}")
    path = (tmp_path / f"net{suffix}").rename(tmp_path / f"{name}")
    architecture = None if suffix in (".npz", ".onnx") else "digits"
    actual = minicnn.load(path, architecture=architecture)
    np.testing.assert_allclose(actual(X), NET(X), rtol=1e-5, atol=1e-5)
    assert inspect(path)["kind"] == ("network" if architecture is None else "state dictionary")


def test_pickles_and_arrays_under_other_names(tmp_path):
    (tmp_path / "net.weights").write_bytes(pickle.dumps(dict(STATE), 4))
    np.save(tmp_path / "net.npy", STATE, allow_pickle=True)
    (tmp_path / "net.npy").rename(tmp_path / "net.dat")
    for name in ("net.weights", "net.dat"):
        np.testing.assert_array_equal(minicnn.load(tmp_path / name, architecture="digits")(X), NET(X))


def test_a_prototxt_with_a_second_suffix_and_a_caffemodel_without(tmp_path):
    (tmp_path / "deploy.prototxt.txt").write_text('name: "a"\nlayer {\n name: "c" type: "ReLU" }')
    (tmp_path / "weights").write_bytes(b"\n\x03net\xa2\x06\x03\n\x01c")
    with pytest.raises(WeightsError, match=r"deploy\.prototxt\.txt: describes a network without its weights"):
        minicnn.load(tmp_path / "deploy.prototxt.txt")
    with pytest.raises(WeightsError, match=r"holds weights alone; name the \.prototxt beside it"):
        minicnn.load(tmp_path / "weights")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46830571\n"
FOREIGN = {
    "LFS": (POINTER, "a Git LFS pointer, not the file itself of 46,830,571 bytes; run git lfs pull"),
    "annex": (b"../.git/annex/objects/x/y/SHA256E-s3--ab.pth/SHA256E-s3--ab.pth", "run git annex get"),
    "HTML": (
        b"\n<!DOCTYPE html><html><head><title>Google Drive - Virus scan</title>",
        "'Google Drive - Virus scan'",
    ),
    "HTML, UTF-16": ("<!DOCTYPE html><title>Sign in</title>".encode("utf-16"), "a web page ('Sign in')"),
    "no title": (b"<html>", "a web page, saved in place of the file"),
    "S3": (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code>", "a server's message of an error"),
    "404": (b"404: Not Found", "a server's message of an error"),
    "429": (b"Too many requests, please try again later.", "a server's message of an error"),
    "Xet": (b"# xet version 0\nfilesize = 123\n", "a pointer to a file on Hugging Face"),
    "API": (b'{"message": "Not Found"}', "a server's message of an error"),
    "empty": (b"", "an empty file, of 0 bytes"),
    "zeros": (bytes(5000), "nothing but zeros"),
    "gzip": (b"\x1f\x8b\x08\0" + bytes(20), "packed by gzip; unpack it first"),
    "JPEG": (b"\xff\xd8\xff\xe0" + bytes(20), "a JPEG picture"),
    "tar": (tarred("model.pth", "notes.txt"), "a tar archive; unpack it"),
    "old torch": (tarred("sys_info", "pickle", "tensors", "storages"), "PyTorch wrote before 0.1.10"),
    "zip": (zipped("model.pth", "notes.txt"), "a zip archive of model.pth, notes.txt; unpack it"),
    "export": (zipped("m/archive_format", "m/models/model.json"), "a program of torch.export"),
    "TorchServe": (zipped("MAR-INF/MANIFEST.json", "m.pt"), "a TorchServe archive"),
    "cut zip": (zipped("archive/data.pkl")[:-30], "a zip archive that is cut short or damaged"),
    "GGUF": (b"GGUF\x03\0\0\0" + bytes(9), "a GGUF file"),
    "TFLite": (b"\x1c\0\0\0TFL3" + bytes(9), "a TensorFlow Lite network"),
    "TensorRT": (b"ptrt" + bytes(9), "a TensorRT engine"),
    "Core ML": (b"\x08\x04\x12\x02\n\0\xa2\x1f\0", "a Core ML network"),
    "SavedModel": (b"\x08\x01\x12\x02\n\0", "a TensorFlow SavedModel"),
    "GraphDef": (b"\n\x0c\n\x01x\x12\x07Placehb\x22\x02\x08\x1b", "a graph of TensorFlow"),
    "OpenVINO": (b'<?xml version="1.0"?>\n<net name="a" version="11">', "an OpenVINO network"),
    "MXNet": (b"\x12\x01\0\0\0\0\0\0" + bytes(16), "a file of MXNet's parameters"),
    "MXNet symbol": (b'{"nodes": [], "arg_nodes": [0]}', "the description of an MXNet network"),
    "TF.js": (b'{"format": "layers-model", "weightsManifest": []}', "a network of TensorFlow.js"),
    "config": (b'{"model_type": "resnet"}', "the settings of a network, without its weights"),
    "Darknet": (b"# yolo\n[net]\nbatch=1\n", "the description of a Darknet network"),
    "ncnn": (b"7767517\n75 83\n", "the description of an ncnn network"),
    "Torch7": (b"\x04\0\0\0\x01\0\0\0" + bytes(8), "a file of Torch7"),
}


@pytest.mark.parametrize("name", ["net.pth", "net.onnx", "net", "net.h5", "net.safetensors", "net.prototxt"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_called_what_they_are(tmp_path, capsys, kind, name):
    data, words = FOREIGN[kind]
    path = tmp_path / name
    path.write_bytes(data)
    assert cli.main(["inspect", str(path)]) == 1
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and len(said) < 400


def test_names_help_where_bytes_say_too_little(tmp_path):
    for name, words in {"yolo.weights": "Darknet", "a.ckpt-3.data-00000-of-00001": "TensorFlow"}.items():
        (tmp_path / name).write_bytes(b"\0\0\0\0\x02\0\0\0\x05\0\0\0" + bytes(range(99)))
        assert words in describe_foreign(take_sample(tmp_path / name))


def test_second_files_are_called_what_they_are(tmp_path):
    (tmp_path / "net.prototxt").write_text("layer { }")
    (tmp_path / "net.caffemodel").write_bytes(POINTER)
    with pytest.raises(WeightsError, match=r"net\.caffemodel: a Git LFS pointer"):
        minicnn.load(tmp_path / "net.prototxt", weights=tmp_path / "net.caffemodel")


# several files


def write_shards(folder, write, name, prefix):
    names = list(STATE)
    parts = {f"{name}-0000{i + 1}-of-00002": names[4 * i : 4 * i + 4 + 9 * i] for i in range(2)}
    suffix = ".safetensors" if write is safetensors.write else ".bin"
    for part, keys in parts.items():
        write(folder / f"{part}{suffix}", {f"{prefix}{key}": STATE[key] for key in keys})
    owners = {f"{prefix}{key}": f"{part}{suffix}" for part, keys in parts.items() for key in keys}
    index = folder / f"{name}{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": owners}))
    return index


@pytest.mark.parametrize("prefix", ["model.", "module.", ""])
@pytest.mark.parametrize(("write", "name"), [(safetensors.write, "model"), (pytorch.write, "pytorch_model")])
def test_weights_in_several_files(tmp_path, write, name, prefix):
    index = write_shards(tmp_path, write, name, prefix)
    for source in (index, tmp_path):
        np.testing.assert_array_equal(minicnn.load(source, architecture="digits")(X), NET(X))
    part = sorted(tmp_path.glob("*-00002-*"))[0]
    with pytest.raises(WeightsError, match=f"one part of several, name {index.name}"):
        minicnn.load(part, architecture="digits")
    part.unlink()
    with pytest.raises(WeightsError, match=f"of its 2 files these are missing: {part.name}"):
        minicnn.load(index, architecture="digits")


@pytest.mark.parametrize(
    "index",
    [
        {},
        [],
        {"w": 3},
        {"w": "../secret.safetensors"},
        {"w": "/etc/passwd"},
        {"w": ""},
        {"w": "..\\a"},
        {"w": "a" * 300},
    ],
)
def test_an_index_that_lies_is_refused(tmp_path, index):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": index}))
    with pytest.raises(WeightsError, match=r"expected an index|describes no network"):
        minicnn.load(path, architecture="digits")


def test_an_index_of_an_array_that_is_not_there(tmp_path):
    safetensors.write(tmp_path / "a.safetensors", {"w": np.ones(2)})
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"w": "a.safetensors", "v": "a.safetensors"}}))
    with pytest.raises(
        WeightsError, match=r"a\.safetensors: has no 'v', which model\.safetensors\.index\.json says"
    ):
        minicnn.load(path, architecture="digits")


def test_a_description_of_keras_and_the_weights_beside_it(tmp_path):
    keras_files = pytest.importorskip("tests.helpers.keras_files")
    weight, bias = np.arange(8, dtype=np.float32).reshape(4, 2), np.ones(2, np.float32)
    model = keras_files.sequential(keras_files.layer("Dense", "d", weight, bias, units=2), shape=(4,))
    (tmp_path / "model.json").write_text(json.dumps(keras_files.describe(model, 2)))
    keras_files.h5(tmp_path / "weights.h5", model, weights_only=True)
    x = np.ones((1, 4), np.float32)
    for source in (tmp_path / "model.json", tmp_path):
        np.testing.assert_allclose(minicnn.load(source)(x), x @ weight + bias)
    (tmp_path / "weights.h5").rename(tmp_path / "other")
    np.testing.assert_allclose(
        minicnn.load(tmp_path / "model.json", weights=tmp_path / "other")(x), x @ weight + 1
    )
    with pytest.raises(WeightsError, match="describes a network without its weights; name them"):
        minicnn.load(tmp_path / "model.json")


def test_a_folder_without_weights_does_not_hide_a_name_of_the_catalogue(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits" / "0").mkdir(parents=True)
    (tmp_path / "digits" / "notes.txt").write_text("pictures of digits")
    assert resolve("digits") == catalogue.find_weights("digits")
    shutil.copy(catalogue.find_weights("lenet5-digits"), tmp_path / "digits" / "mine.npz")
    assert resolve("digits") == Path("digits/mine.npz")


def test_folders(tmp_path):
    with pytest.raises(WeightsError, match="a folder that holds no weights"):
        minicnn.load(tmp_path)
    minicnn.save(NET, tmp_path / "weights.npz")
    (tmp_path / "notes.txt").write_text("read me")
    np.testing.assert_array_equal(minicnn.load(tmp_path)(X), NET(X))
    minicnn.save(NET, tmp_path / "weights.onnx")
    with pytest.raises(WeightsError, match=r"a folder that holds weights\.npz, weights\.onnx; name one"):
        minicnn.load(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(WeightsError, match="a TensorFlow SavedModel"):
        minicnn.load(tmp_path)


@pytest.mark.parametrize("settings", [{"architecture": "resnet18"}, {"architectures": ["resnet18"]}])
def test_a_config_beside_the_weights_is_a_hint(tmp_path, settings):
    safetensors.write(tmp_path / "model.safetensors", STATE)
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(WeightsError, match=r"config\.json beside it says .*resnet18"):
        minicnn.load(tmp_path / "model.safetensors")
