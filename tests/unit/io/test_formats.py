"""A file format is one row of a table: load, save, inspect and their messages go by it."""

import json

import numpy as np
import pytest

import minicnn
from minicnn.errors import WeightsError
from minicnn.formats import table
from minicnn.formats.table import FORMATS, Format, find_format
from minicnn.io.inspect import inspect
from minicnn.io.load import read_state_dict
from minicnn.verify.conversion import all_agree, compare_files


def write_toy(path, net):
    arrays = {name: array.tolist() for name, array in net.state_dict().items()}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(arrays, file)


def read_toy(path):
    arrays = json.loads(path.read_text(encoding="utf-8"))
    return {name: np.array(values, np.float32) for name, values in arrays.items()}


@pytest.fixture
def toy(monkeypatch):
    row = Format("toy", (".toy",), read_arrays=read_toy, write=write_toy)
    monkeypatch.setattr(table, "FORMATS", (*FORMATS, row))
    return row


def test_a_new_format_is_a_row(toy, tmp_path):
    net, path = minicnn.load("digits"), tmp_path / "net.toy"
    minicnn.save(net, path)
    copy = minicnn.load(path, architecture="digits")
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(copy.state_dict()[name], array)
    assert inspect(path)["kind"] == "state dictionary"
    assert all_agree(compare_files(net, [path]))


def test_messages_list_the_suffixes_of_the_table(toy, tmp_path):
    (tmp_path / "net.unknown").write_text("my weights")
    with pytest.raises(
        WeightsError, match=r"text that begins 'my weights'; expected one of \.npz, .*\.prototxt, \.toy$"
    ):
        minicnn.load(tmp_path / "net.unknown")
    with pytest.raises(WeightsError, match=r"writes \.npz, \.onnx, \.safetensors, \.pth, \.pt and \.toy;"):
        minicnn.save(minicnn.load("digits"), tmp_path / "net.unknown")


def test_rows_are_of_different_suffixes_and_can_be_read():
    suffixes = [suffix for row in FORMATS for suffix in row.suffixes]
    assert len(set(suffixes)) == len(suffixes) and all(s.startswith(".") for s in suffixes)
    for row in FORMATS:
        assert row.read or row.read_arrays
        assert (row.sniff is not None) == (row.read is not None and row.read_arrays is not None)


@pytest.mark.parametrize("suffix", [".onnx", ".mat", ".prototxt", ".xyz"])
def test_a_missing_file_of_a_network_is_named_with_the_nearest_names(tmp_path, suffix):
    with pytest.raises(WeightsError, match=r"no such file, and no network of that name; known are"):
        minicnn.load(tmp_path / f"net{suffix}")


def test_files_that_belong_to_others_say_which(tmp_path):
    (tmp_path / "net.caffemodel").write_bytes(b"\n\x03net\x12\x00")
    (tmp_path / "net.prototxt").write_text("layer { name: 'conv1' }")
    minicnn.save(minicnn.load("digits"), tmp_path / "net.onnx")
    with pytest.raises(WeightsError, match=r"holds weights alone; name the \.prototxt beside it"):
        minicnn.load(tmp_path / "net.caffemodel")
    with pytest.raises(WeightsError, match=r"name them, weights='net\.caffemodel'"):
        minicnn.load(tmp_path / "net.prototxt")
    with pytest.raises(WeightsError, match=r"a second file was given, but 'net\.onnx' is of a kind that has none"):
        minicnn.load(tmp_path / "net.onnx", weights="net.caffemodel")
    with pytest.raises(WeightsError, match=r"a network \(ONNX\), and not a state dictionary"):
        read_state_dict(tmp_path / "net.onnx")


def test_formats_are_found_by_suffix():
    assert find_format("net.h5") is find_format("net.keras")
    assert find_format("net") is None and find_format("net.caffemodel") is None


def test_a_state_dictionary_in_a_file_that_could_hold_more_is_compared(tmp_path):
    net, path = minicnn.load("digits"), tmp_path / "arrays.npz"
    np.savez(path, **net.state_dict())
    assert all_agree(compare_files(net, [path], architecture="digits"))
