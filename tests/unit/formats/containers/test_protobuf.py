"""The wire format against the protobuf package, and against bytes written by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import onnx_ml_pb2 as pb

from minicnn.errors import WeightsError
from minicnn.formats.containers import protobuf
from minicnn.formats.containers.protobuf import (
    count_bytes,
    encode_float,
    encode_integer,
    encode_message,
    encode_packed,
    encode_text,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=20)


def open_bytes(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("wire") / "file"
    path.write_bytes(data)
    return protobuf.open_message(path, "a message")


@given(st.lists(INT64, max_size=30), TEXT, INT64, st.lists(TEXT, max_size=4), st.floats(width=32))
def test_reads_what_protobuf_writes(tmp_path_factory, numbers, name, version, words, real):
    tensor = pb.TensorProto(dims=numbers, name=name, int64_data=numbers, double_data=[1.5, real])
    inner = pb.AttributeProto(name=name, i=version, f=real, ints=numbers, strings=[w.encode() for w in words])
    node = pb.NodeProto(input=words, attribute=[inner, pb.AttributeProto(t=tensor)])
    data = node.SerializeToString()
    if not data:
        return
    proto = open_bytes(tmp_path_factory, data)
    assert proto.texts(1) == words and proto.text(4) == "" and proto.integer(9, 7) == 7
    first, second = proto.messages(5)
    assert (first.text(1), first.integer(3), first.integers(8).tolist()) == (name, version, numbers)
    np.testing.assert_array_equal(first.real(2), np.float32(real))
    back = second.message(5)
    assert back.integers(1).tolist() == back.integers(7).tolist() == numbers and back.text(8) == name
    np.testing.assert_array_equal(back.reals(10, "f8"), [1.5, real])
    assert back.raw_bytes(9) is None and back.message(9) is None and 9 not in back and set(back) <= {1, 7, 8, 10}


@given(st.lists(INT64, max_size=30), TEXT, INT64, st.binary(max_size=9), st.floats(width=32, allow_nan=False))
def test_writes_what_protobuf_reads(numbers, name, version, raw, real):
    tensor = [
        *encode_packed(7, numbers),
        *encode_text(8, name),
        *encode_message(9, [memoryview(raw)]),
    ]
    chunks = [
        *encode_text(1, name),
        *encode_integer(3, version),
        *encode_float(2, real),
        *encode_message(5, tensor),
    ]
    proto = pb.AttributeProto.FromString(b"".join(chunks))
    assert (proto.name, proto.i, proto.f) == (name, version, real)
    assert (list(proto.t.int64_data), proto.t.name, proto.t.raw_data) == (numbers, name, raw)
    assert count_bytes(chunks) == len(b"".join(chunks))


def test_by_hand(tmp_path_factory):
    # field 1: varint 300; field 2: "hi"; field 3: fixed32 1.0; field 1 again: varint -1; field 4: packed 1, 300
    data = bytes([0x08, 0xAC, 0x02, 0x12, 0x02]) + b"hi" + bytes([0x1D, 0, 0, 0x80, 0x3F])
    data += bytes([0x08, *[0xFF] * 9, 0x01, 0x22, 0x03, 0x01, 0xAC, 0x02])
    proto = open_bytes(tmp_path_factory, data)
    assert proto.integers(1).tolist() == [300, -1] and proto.integer(1) == -1
    assert (proto.text(2), proto.real(3), proto.integers(4).tolist()) == ("hi", 1.0, [1, 300])


@pytest.mark.parametrize(
    "data, message",
    [
        (b"\x08", "byte 1: a number that is cut off"),
        (b"\x08" + b"\xff" * 11, "byte 1: a number that is cut off, or of more than ten bytes"),
        (b"\x12\x05hi", "byte 0: field 2 ends 3 bytes after its message"),
        (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "bytes after its message"),
        (b"\x0b\x0c", "byte 0: a field of wire type 3"),
        (b"\x00\x01", "field 0"),
        (b"\x1d\x00", "field 3 ends 3 bytes after"),
    ],
)
def test_damage_is_named_by_its_byte(data, message, tmp_path_factory):
    with pytest.raises(WeightsError, match=message):
        open_bytes(tmp_path_factory, data)


def test_values_of_another_kind(tmp_path_factory):
    proto = open_bytes(tmp_path_factory, b"\x12\x02\xff\xff\x08\x01\x1a\x01\xff\x22\x03\x01\x02\x03")
    for ask, message in (
        (lambda: proto.integer(2), "byte 2: field 2 holds a length and bytes instead of a varint"),
        (lambda: proto.text(1), "byte 5: field 1 holds a varint instead of a length and bytes"),
        (lambda: proto.text(2), "byte 2: a string that is no UTF-8"),
        (lambda: proto.integers(3), "byte 8: packed numbers are cut off"),
        (lambda: proto.reals(4), "byte 11: field 4 ends in the middle of a number"),
    ):
        with pytest.raises(WeightsError, match=message):
            ask()


def test_too_many_fields(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 10)
    open_bytes(tmp_path_factory, b"\x08\x01" * 10)
    with pytest.raises(WeightsError, match="more than 10 fields"):
        open_bytes(tmp_path_factory, b"\x08\x01" * 11)
    monkeypatch.setattr(protobuf, "MAX_MESSAGES", 3)
    with pytest.raises(WeightsError, match="4 messages in field 2"):
        open_bytes(tmp_path_factory, b"\x12\x00" * 4).messages(2)
    monkeypatch.setattr(protobuf, "MAX_VARINT_BYTES", 3)
    with pytest.raises(WeightsError, match="no way to keep weights"):
        open_bytes(tmp_path_factory, b"\x0a\x04\x01\x01\x01\x01").integers(1)
