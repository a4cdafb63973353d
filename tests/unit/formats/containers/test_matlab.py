"""MATLAB files of version 5 to 7: the values that SciPy reads, and WeightsErrors from damaged ones."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.errors import WeightsError
from minicnn.formats.containers import matlab
from tests.helpers.weight_faults import EDITS, edited

RNG = np.random.default_rng(0)
CELLS = np.empty((2, 2), object)
CELLS[:] = [["one", np.arange(3.0)], [np.float32(2), {"inner": "x"}]]
VALUES = {
    "weights": RNG.standard_normal((3, 4, 2, 5)).astype(np.float32),
    "double": RNG.standard_normal((2, 3)),
    "whole": np.array([[1.0, 2.0], [3.0, 250.0]]),
    "ints": np.array([[-3, 70000]], np.int32),
    "bytes": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "logical": np.array([[True, False]]),
    "nothing": np.zeros((0, 3)),
    "text": "conv1",
    "accents": "tête-à-tête",
    "rows": np.array(["abc", "de"]),
    "cells": CELLS,
    "struct": {"pad": np.array([[0.0, 1.0, 0.0, 1.0]]), "deep": {"deeper": 7}},
    "structs": np.array([(1.0, "a"), (2.0, "b")], dtype=[("x", object), ("y", object)]),
}


def plain(value):
    """SciPy's value in our terms."""
    if isinstance(value, np.ndarray) and value.dtype.names:
        items = [{name: plain(item[name]) for name in value.dtype.names} for item in value.ravel(order="F")]
        return items[0] if len(items) == 1 else items
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [plain(item) for item in value.ravel(order="F")]
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        return [str(row).rstrip() for row in value] if value.size > 1 else str(value[0])
    return value


def assert_equal(ours, theirs):
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key, value in theirs.items():
            assert_equal(ours[key], value)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_equal(one, other)
    elif isinstance(theirs, str):
        assert ours == theirs
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("compressed", [False, True])
def test_reads_what_scipy_reads(tmp_path, compressed):
    path = tmp_path / "values.mat"
    scipy.io.savemat(path, VALUES, do_compression=compressed)
    expected = {k: plain(v) for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
    assert_equal(matlab.read(path), expected)


# files byte by byte, for what SciPy does not write


def element(kind, data, order="<"):
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(kind, shape, body, name=b"", order="<", flags=0):
    head = element(6, struct.pack(f"{order}II", kind | flags, 0), order)
    head += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, head + element(1, name, order) + body, order)


def file(*variables, order="<"):
    mark = struct.pack(f"{order}HH", 0x0100, 0x4D49)
    return b"MATLAB 5.0 MAT-file".ljust(124) + mark + b"".join(variables)


def packed(variable):
    data = zlib.compress(variable)
    return struct.pack("<II", 15, len(data)) + data


def nested(levels, innermost):
    """A cell in a cell in a cell, made from the inside out in linear time."""
    parts, size = [innermost], len(innermost)
    head = matrix(1, (1, 1), b"")[8:]
    for _ in range(levels):
        parts.append(struct.pack("<II", 14, len(head) + size) + head)
        size += len(head) + 8
    return b"".join(reversed(parts))


def read(tmp_path, data):
    path = tmp_path / "file.mat"
    path.write_bytes(data)
    return matlab.read(path)


def doubles(*values, order="<"):
    return element(9, struct.pack(f"{order}{len(values)}d", *values), order)


def test_big_endian(tmp_path):
    values = read(tmp_path, file(matrix(6, (1, 2), doubles(1.5, -2.0, order=">"), b"a", ">"), order=">"))
    np.testing.assert_array_equal(values["a"], [[1.5, -2.0]])


def test_column_major_and_small_elements_and_narrow_storage(tmp_path):
    body = struct.pack("<HH", 2, 4) + bytes([1, 2, 3, 4])  # unsigned bytes in the tag itself
    np.testing.assert_array_equal(read(tmp_path, file(matrix(6, (2, 2), body, b"a")))["a"], [[1, 3], [2, 4]])


def test_functions_objects_and_complex_numbers_are_left_out(tmp_path):
    variables = [matrix(kind, (1, 1), doubles(1.0), name) for kind, name in [(16, b"f"), (17, b"o"), (5, b"s")]]
    variables.append(matrix(6, (1, 1), doubles(1.0) * 2, b"z", flags=0x800))
    assert read(tmp_path, file(*variables)) == {"f": None, "o": None, "s": None, "z": None}


def test_structure_without_fields(tmp_path):
    body = element(5, struct.pack("<i", 32)) + element(1, b"")
    assert read(tmp_path, file(matrix(2, (1, 1), body, b"a"))) == {"a": {}}


REFUSED = {
    "deep nesting": (file(nested(100_000, matrix(6, (1, 1), doubles(1.0)))), "nests more values"),
    "deep nesting, packed": (file(packed(nested(10_000, b""))), "nests more values"),
    "too many numbers": (file(matrix(6, (1 << 20, 1 << 20), doubles(1.0))), "1 numbers can't have the shape"),
    "2^60 numbers": (file(matrix(6, (1 << 30, 1 << 30), doubles(1.0))), "1 numbers can't have the shape"),
    "negative size": (file(matrix(6, (-1, -1), doubles(1.0))), "are no dimensions"),
    "2^40 cells": (file(matrix(1, (1 << 20, 1 << 20), doubles(1.0))), "can't be in"),
    "2^40 structures": (
        file(matrix(2, (1 << 20, 1 << 20), element(5, struct.pack("<i", 1)) + element(1, b"ab"))),
        "can't be in",
    ),
    "length beyond the end": (file(struct.pack("<II", 14, 1 << 31)), "too late"),
    "unpacks to more": (file(packed(struct.pack("<II", 14, 1 << 31))), "claims to unpack to 2147483656 bytes"),
    "unpacks to less": (file(packed(struct.pack("<II", 14, 1 << 20))), "unpacks to 8 of"),
    "no zlib": (file(element(15, b"not packed")), "does not unpack"),
    "no field name": (file(matrix(2, (1, 1), element(5, bytes(4)) + element(1, b"ab"))), "names of 0 letters"),
    "version 7.3": (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", "version 7.3.*'-v7'"),
    "another file": (b"PK\x03\x04" + bytes(600), "found a zip archive"),
    "text": (b"hello", "found text that begins 'hello'"),
    "nothing": (b"", "found 0 bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_in_one_sentence(tmp_path, case):
    data, message = REFUSED[case]
    with pytest.raises(WeightsError, match=message) as caught:
        read(tmp_path, data)
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)


def test_a_zip_bomb_takes_no_memory(tmp_path):
    variable = matrix(6, (25_000_000, 1), element(9, bytes(200_000_000)))  # 200 MB in 200 kB
    data = file(packed(variable))
    tracemalloc.start()
    with pytest.raises(WeightsError, match="claims to unpack"):
        read(tmp_path, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data) < 1 << 20 and peak < 8 << 20


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        matlab.read(tmp_path / "none.mat")
    with pytest.raises(WeightsError, match="found a folder"):
        matlab.read(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mat")
    files = []
    for compressed in (False, True):
        scipy.io.savemat(folder / "a.mat", VALUES, do_compression=compressed)
        files.append((folder / "a.mat").read_bytes())
    return folder / "edited.mat", files


@settings(max_examples=400, derandomize=True, deadline=None)
@given(edits=EDITS, compressed=st.booleans())
def test_any_edit_gives_values_or_a_weights_error(whole, edits, compressed):
    path, files = whole
    path.write_bytes(edited(files[compressed], edits))
    try:
        matlab.read(path)
    except WeightsError as error:
        assert str(error).replace(str(path), "").isprintable()


def test_every_truncation_is_refused_or_a_variable_less(whole):
    path, (data, _) = whole
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        try:
            assert len(matlab.read(path)) < len(VALUES)
        except WeightsError:
            pass
