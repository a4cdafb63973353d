"""The wire format of protocol buffers, which ONNX and Caffe files are made of, read without a schema compiler.

A message is a sequence of fields.  Each begins with a varint, 8 x field number + wire type; then, by wire type, a
varint (0), 8 bytes (1), a length and that many bytes (2: text, bytes, an inner message, packed numbers), or 4
bytes (5).  A varint is a whole number in groups of seven bits, the lowest first, bit 7 set on all but the last.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import TypeAlias

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers import files

__all__ = [
    "Chunks",
    "Message",
    "count_bytes",
    "encode_float",
    "encode_integer",
    "encode_message",
    "encode_packed",
    "encode_text",
    "open_message",
]

MAX_FIELDS, MAX_MESSAGES = 200_000, 20_000  # in one file; in one field of a message
MAX_TEXT_BYTES = 1 << 16
MAX_VARINT_BYTES = 16 << 20  # bytes of packed varints that one field may hold

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_SIZES = {_EIGHT: 8, _FOUR: 4}
_WIRE_TYPE_NAMES = {_VARINT: "a varint", _EIGHT: "8 bytes", _BYTES: "a length and bytes", _FOUR: "4 bytes"}


def open_message(path: PathLike, expected: str) -> Message:
    """Map a file and return it as a message.

    Raises
    ------
    WeightsError
        If the file can't be read, or holds no message.

    """
    data = memoryview(files.map_file(path, expected))
    return Message(data, 0, _Reader(path, expected))


class _Reader:
    """What all messages of one file share: its name for errors, and how many fields may still be read."""

    def __init__(self, path: PathLike, expected: str):
        self.path, self.expected, self.left = path, expected, MAX_FIELDS

    def error(self, offset: int, what: str) -> WeightsError:
        return WeightsError(f"{self.path}: byte {offset}: {what}; expected {self.expected}")


class Message:
    """One message: its fields by number, whose values are looked at only when they are asked for.

    Nothing is copied: bytes come as views into the mapped file.

    Parameters
    ----------
    data : memoryview
    start : int
        Where in the file it begins, for errors.

    """

    __slots__ = ("_fields", "_reader", "data", "start")

    def __init__(self, data: memoryview, start: int, reader: _Reader):
        self.data, self.start, self._reader = data, start, reader
        self._fields: dict[int, list[tuple[int, int, int]]] = {}  # {number: [(wire type, begin, end)]}
        at = 0
        # only the keys and lengths of this level are read; inner messages are scanned when they are opened
        while at < len(data):
            at = self._scan_field(at)

    def _scan_field(self, at: int) -> int:
        """Record the field at byte ``at`` as (wire type, begin, end) and return where the next one begins."""
        key, begin = self._read_varint(at)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            _, end = self._read_varint(begin)
        elif wire_type == _BYTES:
            size, begin = self._read_varint(begin)
            end = begin + size
        elif wire_type in _SIZES:
            end = begin + _SIZES[wire_type]
        else:
            raise self.error(at, f"a field of wire type {wire_type}")
        if end > len(self.data) or not 1 <= number < 1 << 29:
            raise self.error(at, f"field {number} ends {end - len(self.data)} bytes after its message")
        self._reader.left -= 1
        if self._reader.left < 0:
            raise self.error(at, f"more than {MAX_FIELDS} fields")
        self._fields.setdefault(number, []).append((wire_type, begin, end))
        return end

    def _read_varint(self, at: int) -> tuple[int, int]:
        value = 0
        # ten groups of seven bits hold 64, and the tenth a few bits more, which are cut off
        for i, byte in enumerate(self.data[at : at + 10]):
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at + i + 1
        raise self.error(at, "a number that is cut off, or of more than ten bytes")

    def _read_signed(self, at: int) -> int:
        value, _ = self._read_varint(at)
        # negative numbers are stored in two's complement of 64 bits
        return value - (1 << 64) if value >= 1 << 63 else value

    def error(self, at: int, what: str) -> WeightsError:
        """Return an error that names byte ``at`` of this message by its place in the file."""
        return self._reader.error(self.start + at, what)

    def __contains__(self, number: int) -> bool:
        """Return whether there is a field of that number."""
        return number in self._fields

    def __iter__(self) -> Iterator[int]:
        """Return the field numbers, in the order in which they first come."""
        return iter(self._fields)

    def wire_type(self, number: int) -> int:
        """Return how the first value of a field is written: 0 a number, 2 bytes."""
        return self._fields[number][0][0]

    def check_fields(self, known: Container[int]) -> None:
        """Raise for a field that is not ``known``: passed over, it could change what the message says."""
        for number in self._fields:
            if number not in known:
                raise self.error(0, f"field {number} is not known here, and may change what the file means")

    def _find_fields(self, number: int, *wire_types: int) -> list[tuple[int, int, int]]:
        fields = self._fields.get(number, [])
        for wire_type, begin, _ in fields:
            if wire_type not in wire_types:
                expected = " or ".join(_WIRE_TYPE_NAMES[w] for w in wire_types)
                raise self.error(
                    begin, f"field {number} holds {_WIRE_TYPE_NAMES[wire_type]} instead of {expected}"
                )
        return fields

    # one value: the last one counts, as the format says

    def message(self, number: int) -> Message | None:
        """Return the inner message, None where there is none."""
        fields = self._find_fields(number, _BYTES)
        return self._open_message(*fields[-1][1:]) if fields else None

    def text(self, number: int, default: str = "") -> str:
        """Return a string."""
        fields = self._find_fields(number, _BYTES)
        return self._read_text(*fields[-1][1:]) if fields else default

    def raw_bytes(self, number: int) -> memoryview | None:
        """Return raw bytes, None where there are none."""
        fields = self._find_fields(number, _BYTES)
        return self.data[slice(*fields[-1][1:])] if fields else None

    def integer(self, number: int, default: int = 0) -> int:
        """Return a whole number, signed, of 64 bits."""
        fields = self._find_fields(number, _VARINT)
        return self._read_signed(fields[-1][1]) if fields else default

    def real(self, number: int, default: float = 0.0) -> float:
        """Return a floating-point number of 32 bits."""
        fields = self._find_fields(number, _FOUR)
        return float(np.frombuffer(self.data[slice(*fields[-1][1:])], "<f4")[0]) if fields else default

    # repeated values

    def messages(self, number: int) -> list[Message]:
        """Return all inner messages."""
        fields = self._find_fields(number, _BYTES)
        if len(fields) > MAX_MESSAGES:
            raise self.error(0, f"{len(fields)} messages in field {number}, more than {MAX_MESSAGES}")
        return [self._open_message(begin, end) for _, begin, end in fields]

    def texts(self, number: int) -> list[str]:
        """Return all strings."""
        return [self._read_text(begin, end) for _, begin, end in self._find_fields(number, _BYTES)]

    def integers(self, number: int) -> np.ndarray:
        """Return whole numbers, packed or one by one, as int64."""
        # writers may mix both forms in one message
        parts = [
            self._read_packed_varints(begin, end) if wire_type == _BYTES else [self._read_signed(begin)]
            for wire_type, begin, end in self._find_fields(number, _VARINT, _BYTES)
        ]
        return np.concatenate([np.asarray(part, np.int64) for part in parts]) if parts else np.empty(0, np.int64)

    def reals(self, number: int, kind: str = "f4") -> np.ndarray:
        """Return floating-point numbers of ``kind``, packed or one by one; a view where they are packed."""
        single = _FOUR if kind == "f4" else _EIGHT
        fields = self._find_fields(number, single, _BYTES)
        parts = [self.data[begin:end] for _, begin, end in fields]
        # one packed field, the usual case, stays a view
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        if len(whole) % _SIZES[single]:
            raise self.error(fields[0][1], f"field {number} ends in the middle of a number")
        return files.from_buffer(whole, kind)

    def _open_message(self, begin: int, end: int) -> Message:
        return Message(self.data[begin:end], self.start + begin, self._reader)

    def _read_text(self, begin: int, end: int) -> str:
        if end - begin > MAX_TEXT_BYTES:
            raise self.error(begin, f"a string of {end - begin} bytes")
        try:
            return str(self.data[begin:end], "utf-8")
        except UnicodeDecodeError:
            raise self.error(begin, "a string that is no UTF-8") from None

    def _read_packed_varints(self, begin: int, end: int) -> np.ndarray:
        if end - begin > MAX_VARINT_BYTES:
            raise self.error(begin, f"{end - begin} bytes of varints, which is no way to keep weights")
        raw = np.frombuffer(self.data[begin:end], np.uint8)
        # bit 7 is clear in the last byte of each varint, and the next one begins behind it
        last = np.flatnonzero(raw < 0x80)
        first = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
        lengths = last - first + 1
        if raw.size and (not len(last) or last[-1] != raw.size - 1 or lengths.max() > 10):
            raise self.error(begin, "packed numbers are cut off")
        values = np.zeros(len(last), np.uint64)
        # all varints at once: round i adds the seven bits of the i-th byte of those that have one
        for i in range(lengths.max(initial=0)):
            longer = lengths > i
            bits = raw[first[longer] + i].astype(np.uint64) & np.uint64(0x7F)
            values[longer] |= bits << np.uint64(7 * i)
        return values.view(np.int64)


# writing: a message is a list of chunks of bytes, so that weights are never copied

Chunks: TypeAlias = list[bytes | memoryview]


def _encode_varint(value: int) -> bytes:
    # a negative number becomes two's complement of 64 bits, which takes ten bytes
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def count_bytes(chunks: Iterable[bytes | memoryview]) -> int:
    """Return how many bytes chunks make."""
    # len() of a memoryview counts elements, not bytes
    return sum(memoryview(chunk).nbytes for chunk in chunks)


def encode_message(number: int, chunks: Chunks) -> Chunks:
    """Return a field that holds a message, or bytes."""
    return [_encode_varint(number << 3 | _BYTES) + _encode_varint(count_bytes(chunks)), *chunks]


def encode_text(number: int, value: str) -> Chunks:
    """Return a field that holds a string."""
    return encode_message(number, [value.encode("utf-8")])


def encode_integer(number: int, value: int) -> Chunks:
    """Return a field that holds a whole number."""
    return [_encode_varint(number << 3 | _VARINT) + _encode_varint(value)]


def encode_float(number: int, value: float) -> Chunks:
    """Return a field that holds a floating-point number of 32 bits."""
    return [_encode_varint(number << 3 | _FOUR) + np.float32(value).astype("<f4").tobytes()]


def encode_packed(number: int, values: Iterable[int]) -> Chunks:
    """Return a field that holds whole numbers, packed."""
    return encode_message(number, [b"".join(_encode_varint(int(v)) for v in values)])
