"""safetensors files against the safetensors package, and against damage and lies."""

import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from minicnn.errors import WeightsError
from minicnn.formats import safetensors
from tests.helpers.weight_faults import (
    EDITS,
    assert_nothing_left_behind,
    assert_one_sentence_for_what_is_no_such_file,
    assert_refused,
    assert_truncation_is_refused,
    attempt,
    edited,
    same,
)

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"}
TYPES |= {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}


def varied():
    rng = np.random.default_rng(0)
    arrays = {f"a.{t}": (100 * rng.standard_normal((3, n + 1))).astype(t) for n, t in enumerate(TYPES.values())}
    arrays |= {"turned": arrays["a.<f8"].T, "scalar": np.array(2.5, np.float32), "none": np.zeros((0, 3), np.int8)}
    return arrays | {"größe": np.ones(3, np.uint8)}


def packed(header, data=b""):
    words = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(words)) + words + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


# round trips


def test_the_package_reads_what_is_written(tmp_path):
    peer = pytest.importorskip("safetensors.numpy")
    safetensors.write(tmp_path / "a.safetensors", varied(), {"format": "pt", "größe": "中"})
    actual = peer.load_file(tmp_path / "a.safetensors")
    assert sorted(actual) == sorted(varied())
    assert all(np.array_equal(actual[name], array) for name, array in varied().items())
    with pytest.importorskip("safetensors").safe_open(tmp_path / "a.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt", "größe": "中"}


def test_what_the_package_writes_is_read(tmp_path):
    peer = pytest.importorskip("safetensors.numpy")
    arrays = {name: np.ascontiguousarray(array) for name, array in varied().items()}
    peer.save_file(arrays, tmp_path / "a.safetensors", {"k": "v"})
    actual = safetensors.read(tmp_path / "a.safetensors")
    assert same({name: actual[name] for name in arrays}, arrays)
    assert safetensors.read_metadata(tmp_path / "a.safetensors") == {"k": "v"}


def test_bfloat16_of_torch_becomes_float32(tmp_path):
    torch = pytest.importorskip("torch")
    values = torch.tensor([[0.0, -0.0, 1.5], [-3e38, 1e-40, float("inf")]]).bfloat16()
    pytest.importorskip("safetensors.torch").save_file({"w": values}, tmp_path / "a.safetensors")
    assert same(safetensors.read(tmp_path / "a.safetensors"), {"w": values.float().numpy()})


def test_what_is_written_is_read_in_order_and_mapped_aligned(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.write(path, varied())
    actual = safetensors.read(path)
    assert same(actual, varied()) and safetensors.read_metadata(path) == {}
    assert all(a.ctypes.data % a.itemsize == 0 for a in actual.values())
    safetensors.write(tmp_path / "b.safetensors", actual)
    assert path.read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("dtype", TYPES)
def test_element_types_at_odd_addresses(tmp_path, dtype):
    array = np.array([0, 1, 100, 127]).astype(TYPES[dtype])
    header = {"one": entry("U8", [1], [0, 1]), "w": entry(dtype, [2, 2], [1, 1 + array.nbytes])}
    (tmp_path / "a.safetensors").write_bytes(packed(header, b"\x07" + array.tobytes()))
    actual = safetensors.read(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(actual["w"], array.reshape(2, 2), strict=True)
    assert actual["one"] == 7


def test_no_tensors(tmp_path):
    safetensors.write(tmp_path / "a.safetensors", {})
    assert safetensors.read(tmp_path / "a.safetensors") == {}


def test_writing_is_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.safetensors"
    for bad in (
        {"a": np.ones(1, complex)},
        {"a": np.array(["x"])},
        {"__metadata__": np.ones(1)},
        {"": np.ones(1)},
    ):
        with pytest.raises(WeightsError):
            safetensors.write(path, bad)
    for metadata in ({"k": 3}, {3: "v"}, {"k": "\ud800"}):
        with pytest.raises(WeightsError, match="metadata"):
            safetensors.write(path, varied(), metadata)
    assert_nothing_left_behind(lambda path: safetensors.write(path, varied()), tmp_path, "a.safetensors")


# lies


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ({"w": entry()}, ""),
        ({"w": entry(offsets=(0, 9))}, "takes 8 bytes"),
        ({"w": entry(offsets=(8, 0))}, "takes 8 bytes"),
        ({"w": entry(offsets=(1, 9))}, "leaves 1 bytes unused"),
        ({"w": entry(offsets=(0, 8, 8))}, "no lists"),
        ({"w": entry(offsets=(-8, 0))}, "no lists"),
        ({"w": entry(shape=(1,), offsets=(0, 4))}, "end at byte 4"),
        ({"w": entry(shape=(4,), offsets=(0, 16))}, "end at byte 16"),
        ({"v": entry(), "w": entry()}, "overlaps"),
        ({"v": entry(shape=(1,), offsets=(0, 4)), "w": entry("U8", (3,), (5, 8))}, "leaves 1 bytes unused"),
        ({"w": entry(shape=(1 << 60,))}, "takes"),
        ({"w": entry(shape=(1 << 60, 1 << 60), offsets=(0, 1 << 62))}, "takes"),
        ({"w": entry(shape=(10**19,))}, "no size"),
        ({"v": entry(shape=(0, 10**18, 10**18), offsets=(0, 0)), "w": entry()}, "no array can have"),
        ({"w": entry(shape=(-2,))}, "no lists"),
        ({"w": entry(shape=(True, 2))}, "no lists"),
        ({"w": entry(shape=(2.0,))}, "no lists"),
        ({"w": entry(shape=(1,) * 33 + (2,))}, "no lists"),
        ({"w": {**entry(), "shape": 2}}, "no lists"),
        ({"w": entry(dtype="F8_E4M3")}, "expected one of F16"),
        ({"w": entry(dtype=["F32"])}, "expected one of F16"),
        ({"w": {**entry(), "more": 1}}, "expected dtype, shape and data_offsets"),
        ({"w": [1, 2]}, "expected dtype, shape and data_offsets"),
        ({"w": entry(), "__metadata__": {"a": 1}}, "__metadata__"),
        ({"w": entry(), "__metadata__": []}, "__metadata__"),
        (b'{"w":{},"w":{}}', "twice"),
        (b'{"w":{"dtype":"F32","dtype":"F16"}}', "twice"),
        (b'{"w":NaN}', "no size"),
        (b'{"w":' + b"1" * 5000 + b"}", "no size"),
        (b'{"\\ud800":1}', "damaged"),
        (b"{" + b"\xff}", "damaged"),
        (b"{", "damaged"),
        (b'{"a":' * 100_000, "damaged"),
        (b'{"w":{"shape":[],"data_offsets":[],"dtype":' + b"[" * 900 + b"]" * 900 + b"}}", "expected one of F16"),
        (b'{"w":1.' + b"1" * 4_000_000 + b"}", "expected dtype"),
        (b"[1]", "a JSON header"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, header, word):
    path = tmp_path / "a.safetensors"
    if not word:
        path.write_bytes(packed(header, bytes(8)))
        assert same(safetensors.read(path), {"w": np.zeros(2, np.float32)})
    else:
        assert_refused(safetensors.read, path, packed(header, bytes(8)), word)


@pytest.mark.parametrize("length", [1 << 63, 2**64 - 1, 5 << 20, 100])
def test_vast_headers_are_refused(tmp_path, length):
    data = struct.pack("<Q", length) + b"{}" + b" " * min(length - 3, 5 << 20)
    assert_refused(safetensors.read, tmp_path / "a.safetensors", data, f"claims a header of {length} bytes")


def test_what_is_no_safetensors_file(tmp_path):
    assert_one_sentence_for_what_is_no_such_file(safetensors.read, tmp_path, "a.safetensors", "a safetensors file")
    assert_refused(safetensors.read, tmp_path / "a.safetensors", b"PK\x03\x04" + bytes(99), "found a zip archive")


# damage: the format has no checksums, so damage to the numbers can't be seen


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.write(path, {"w": np.arange(6.0).reshape(2, 3), "on": np.array([True, False])}, {"k": "v"})
    return path.read_bytes()


def test_truncation(tmp_path, small):
    assert_truncation_is_refused(safetensors.read, tmp_path / "a.safetensors", small, 1)


def test_bit_flips_are_refused_or_read(tmp_path, small):
    for bit in range(0, 8 * len(small), 3):
        flipped = bytearray(small)
        flipped[bit // 8] ^= 1 << bit % 8
        attempt(safetensors.read, tmp_path / "a.safetensors", bytes(flipped))


@given(edits=EDITS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_edited_files(tmp_path, small, edits):
    attempt(safetensors.read, tmp_path / "a.safetensors", edited(small, edits))
