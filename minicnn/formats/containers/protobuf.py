"""Protocol buffers on the wire: what ONNX and Caffe files are made of, read without a schema compiler.

A message is a row of fields.  Each begins with a varint, 8 x field number + wire type; then, by wire type, a
varint (0), 8 bytes (1), a length and that many bytes (2: text, bytes, an inner message, packed numbers), or 4
bytes (5).  A varint is a whole number in groups of seven bits, the lowest first, bit 7 set on all but the last.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.containers import files

__all__ = ["Chunks", "Message", "integer", "length", "message", "opened", "packed", "real", "text"]

MOST_FIELDS, MOST_MESSAGES = 200_000, 20_000  # in one file; in one field of a message
LONGEST_TEXT = 1 << 16
LONGEST_VARINTS = 16 << 20  # bytes of packed varints that one field may hold

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_SIZES = {_EIGHT: 8, _FOUR: 4}
_WIRE_NAMES = {_VARINT: "a varint", _EIGHT: "8 bytes", _BYTES: "a length and bytes", _FOUR: "4 bytes"}


def opened(path: str | Path, expected: str) -> Message:
    """Map a file and return it as a message; WeightsError if it is none, or can't be read."""
    data = memoryview(files.mapped(path, expected))
    return Message(data, 0, _Reader(path, expected))


class _Reader:
    """What all messages of one file share: its name for errors, and how many fields may still be read."""

    def __init__(self, path: str | Path, expected: str):
        self.path, self.expected, self.left = path, expected, MOST_FIELDS

    def fault(self, offset: int, what: str) -> WeightsError:
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
        self._fields = {}  # {number: [(wire type, begin, end)]}
        at = 0
        while at < len(data):
            at = self._scan(at)

    def _scan(self, at: int) -> int:
        """Note the field at byte ``at`` as (wire type, begin, end) and return where the next one begins."""
        key, begin = self._varint(at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            _, end = self._varint(begin)
        elif wire == _BYTES:
            size, begin = self._varint(begin)
            end = begin + size
        elif wire in _SIZES:
            end = begin + _SIZES[wire]
        else:
            raise self.fault(at, f"a field of wire type {wire}")
        if end > len(self.data) or not 1 <= number < 1 << 29:
            raise self.fault(at, f"field {number} ends {end - len(self.data)} bytes after its message")
        self._reader.left -= 1
        if self._reader.left < 0:
            raise self.fault(at, f"more than {MOST_FIELDS} fields")
        self._fields.setdefault(number, []).append((wire, begin, end))
        return end

    def _varint(self, at: int) -> tuple[int, int]:
        value = 0
        for i, byte in enumerate(self.data[at : at + 10]):
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at + i + 1
        raise self.fault(at, "a number that is cut off, or of more than ten bytes")

    def fault(self, at: int, what: str) -> WeightsError:
        """Return an error that names byte ``at`` of this message by its place in the file."""
        return self._reader.fault(self.start + at, what)

    def __contains__(self, number: int) -> bool:
        """Whether there is a field of that number."""
        return number in self._fields

    def __iter__(self):
        """Field numbers, in the order in which they first come."""
        return iter(self._fields)

    def _values(self, number: int, *wires: int) -> list[tuple[int, int, int]]:
        found = self._fields.get(number, [])
        for wire, begin, _ in found:
            if wire not in wires:
                expected = " or ".join(_WIRE_NAMES[w] for w in wires)
                raise self.fault(begin, f"field {number} holds {_WIRE_NAMES[wire]} instead of {expected}")
        return found

    # one value: the last one counts, as the format says

    def message(self, number: int) -> Message | None:
        """Return the inner message, None where there is none."""
        found = self._values(number, _BYTES)
        return self._inner(*found[-1][1:]) if found else None

    def text(self, number: int, default: str = "") -> str:
        """Return a string."""
        found = self._values(number, _BYTES)
        return self._text(*found[-1][1:]) if found else default

    def blob(self, number: int) -> memoryview | None:
        """Return raw bytes, None where there are none."""
        found = self._values(number, _BYTES)
        return self.data[slice(*found[-1][1:])] if found else None

    def integer(self, number: int, default: int = 0) -> int:
        """Return a whole number, signed, of 64 bits."""
        found = self._values(number, _VARINT)
        return _signed(self._varint(found[-1][1])[0]) if found else default

    def real(self, number: int, default: float = 0.0) -> float:
        """Return a floating-point number of 32 bits."""
        found = self._values(number, _FOUR)
        return float(np.frombuffer(self.data[slice(*found[-1][1:])], "<f4")[0]) if found else default

    # repeated values

    def messages(self, number: int) -> list[Message]:
        """Return all inner messages."""
        found = self._values(number, _BYTES)
        if len(found) > MOST_MESSAGES:
            raise self.fault(0, f"{len(found)} messages in field {number}, more than {MOST_MESSAGES}")
        return [self._inner(begin, end) for _, begin, end in found]

    def texts(self, number: int) -> list[str]:
        """Return all strings."""
        return [self._text(begin, end) for _, begin, end in self._values(number, _BYTES)]

    def integers(self, number: int) -> np.ndarray:
        """Return whole numbers, packed or one by one, as int64."""
        parts = [
            self._packed_varints(begin, end) if wire == _BYTES else [_signed(self._varint(begin)[0])]
            for wire, begin, end in self._values(number, _VARINT, _BYTES)
        ]
        return np.concatenate([np.asarray(part, np.int64) for part in parts]) if parts else np.empty(0, np.int64)

    def reals(self, number: int, kind: str = "f4") -> np.ndarray:
        """Return floating-point numbers of ``kind``, packed or one by one; a view where they are packed."""
        single = _FOUR if kind == "f4" else _EIGHT
        found = self._values(number, single, _BYTES)
        parts = [self.data[begin:end] for _, begin, end in found]
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        if len(whole) % _SIZES[single]:
            raise self.fault(found[0][1], f"field {number} ends in the middle of a number")
        return files.numbers(whole, kind)

    def _inner(self, begin: int, end: int) -> Message:
        return Message(self.data[begin:end], self.start + begin, self._reader)

    def _text(self, begin: int, end: int) -> str:
        if end - begin > LONGEST_TEXT:
            raise self.fault(begin, f"a string of {end - begin} bytes")
        try:
            return str(self.data[begin:end], "utf-8")
        except UnicodeDecodeError:
            raise self.fault(begin, "a string that is no UTF-8") from None

    def _packed_varints(self, begin: int, end: int) -> np.ndarray:
        if end - begin > LONGEST_VARINTS:
            raise self.fault(begin, f"{end - begin} bytes of varints, which is no way to keep weights")
        raw = np.frombuffer(self.data[begin:end], np.uint8)
        last = np.flatnonzero(raw < 0x80)
        first = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
        lengths = last - first + 1
        if raw.size and (not len(last) or last[-1] != raw.size - 1 or lengths.max() > 10):
            raise self.fault(begin, "packed numbers are cut off")
        values = np.zeros(len(last), np.uint64)
        for i in range(lengths.max(initial=0)):
            longer = lengths > i
            bits = raw[first[longer] + i].astype(np.uint64) & np.uint64(0x7F)
            values[longer] |= bits << np.uint64(7 * i)
        return values.view(np.int64)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


# writing: a message is a list of chunks of bytes, so that weights are never copied

Chunks = list


def _number(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def length(chunks: Iterable) -> int:
    """Return how many bytes chunks make."""
    return sum(memoryview(chunk).nbytes for chunk in chunks)


def message(number: int, chunks: Chunks) -> Chunks:
    """Return a field that holds a message, or bytes."""
    return [_number(number << 3 | _BYTES) + _number(length(chunks)), *chunks]


def text(number: int, value: str) -> Chunks:
    """Return a field that holds a string."""
    return message(number, [value.encode("utf-8")])


def integer(number: int, value: int) -> Chunks:
    """Return a field that holds a whole number."""
    return [_number(number << 3 | _VARINT) + _number(value)]


def real(number: int, value: float) -> Chunks:
    """Return a field that holds a floating-point number of 32 bits."""
    return [_number(number << 3 | _FOUR) + np.float32(value).astype("<f4").tobytes()]


def packed(number: int, values: Iterable[int]) -> Chunks:
    """Return a field that holds whole numbers, packed."""
    return message(number, [b"".join(_number(int(v)) for v in values)])
