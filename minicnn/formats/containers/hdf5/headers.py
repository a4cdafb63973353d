"""Bytes, object headers and groups of an HDF5 file.

A header is a row of messages (what kind of array, where it lies, attributes), continued elsewhere when it grows.
A group of the old kind names a tree of nodes ``TREE`` whose leaves ``SNOD`` list (name, address of a header), the
names lying in a ``HEAP``; one of the new kind has a message for each member.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from minicnn.errors import WeightsError

__all__ = [
    "ATTRIBUTE",
    "DATASPACE",
    "DATATYPE",
    "LAYOUT",
    "LONGEST_NAME",
    "UNDEFINED",
    "Message",
    "Source",
    "links",
    "messages",
]

DATASPACE, LINK_INFO, DATATYPE, LINK, LAYOUT = 0x01, 0x02, 0x03, 0x06, 0x08
ATTRIBUTE, CONTINUED, SYMBOLS, ATTRIBUTE_INFO = 0x0C, 0x10, 0x11, 0x15
UNDEFINED = (1 << 64) - 1
MOST_PARTS = 100_000  # headers, nodes of trees, heaps
MOST_MESSAGES = 200_000
LONGEST_NAME = 1 << 12


class Source:
    """The bytes of one file, and what of it was read already: no part, and no byte of an array, comes twice."""

    def __init__(self, data: memoryview, path: str | Path):
        self.data, self.path = data, path
        self.parts: set[int] = set()
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}
        self.room, self.messages = len(data), MOST_MESSAGES

    def fault(self, at: int, what: str) -> WeightsError:
        """Return an error that names the file and the byte."""
        return WeightsError(f"{self.path}: byte {at}: {what}")

    def bytes(self, at: int, count: int) -> memoryview:
        """Return ``count`` bytes from ``at`` on."""
        if not 0 <= at <= at + count <= len(self.data):
            raise self.fault(at, f"{count} bytes should be here, of {len(self.data)} in all; the file is damaged")
        return self.data[at : at + count]

    def number(self, at: int, count: int) -> int:
        """Return an unsigned whole number of ``count`` bytes."""
        return int.from_bytes(self.bytes(at, count), "little")

    def part(self, at: int, signature: bytes = b"") -> None:
        """Check that a part of the file begins here, and that none did before: the file is a tree."""
        if bytes(self.bytes(at, len(signature))) != signature:
            raise self.fault(at, f"expected {signature.decode()!r} here; the file is damaged")
        if at in self.parts or len(self.parts) >= MOST_PARTS:
            raise self.fault(at, "is reached a second time, or after too many others; expected a tree of objects")
        self.parts.add(at)

    def message(self, at: int) -> None:
        """Count one of the small things in the file."""
        self.messages -= 1
        if self.messages < 0:
            raise self.fault(at, f"holds more than {MOST_MESSAGES} messages; no network has as many")

    def text(self, at: int, end: int) -> str:
        """Return a name that ends with a zero byte."""
        raw = bytes(self.bytes(at, min(end - at, LONGEST_NAME)))
        if b"\0" not in raw:
            raise self.fault(at, "a name has no end; the file is damaged")
        return raw.partition(b"\0")[0].decode("utf-8", "replace")

    def take(self, at: int, count: int) -> memoryview:
        """Return the bytes of an array, of which all together may be no more than the file."""
        self.room -= count
        if self.room < 0:
            raise self.fault(at, f"{count} bytes of an array overlap others: together they are more than the file")
        return self.bytes(at, count)


class Message(NamedTuple):
    """What kind of message, its bytes, and whether it only says where in the file the message is."""

    kind: int
    start: int
    stop: int
    shared: bool


def messages(source: Source, at: int) -> list[Message]:
    """Return the messages of the object header at byte ``at``."""
    new = bytes(source.bytes(at, 4)) == b"OHDR"
    source.part(at)
    if new:
        flags = source.number(at + 5, 1)
        start = at + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        width, head = 1 << (flags & 3), 4 + 2 * bool(flags & 4)
        blocks = [(start + width, source.number(start, width))]
    else:
        if source.number(at, 1) != 1:
            raise source.fault(at, f"an object header of version {source.number(at, 1)} is not read")
        head, blocks = 8, [(at + 16, source.number(at + 8, 4))]
    found: list[Message] = []
    for start, size in blocks:  # grows while continuations are met
        for message in _block(source, start, start + size, head, new):
            if message.kind == CONTINUED:
                blocks.append(_continuation(source, message, new))
            else:
                found.append(message)
            if message.kind in (LINK_INFO, ATTRIBUTE_INFO):
                _no_index(source, message)
    return found


def _block(source: Source, at: int, end: int, head: int, new: bool) -> Iterator[Message]:
    source.bytes(at, end - at)
    kind_width, flags_at = (1, 3) if new else (2, 4)
    while at + head <= end:
        size = source.number(at + kind_width, 2)
        shared = bool(source.number(at + flags_at, 1) & 2)
        message = Message(source.number(at, kind_width), at + head, at + head + size, shared)
        source.message(at)
        if message.stop > end:
            raise source.fault(at, "a message ends after its header; the file is damaged")
        at = message.stop
        yield message


def _no_index(source: Source, message: Message) -> None:
    """Refuse members or attributes that are kept in an index, as newer files do with more than eight."""
    counted, width = source.number(message.start + 1, 1) & 1, 8 if message.kind == LINK_INFO else 2
    if source.number(message.start + 2 + width * counted, 8) != UNDEFINED:
        raise source.fault(message.start, "a group keeps its members in an index, which is not read")


def _continuation(source: Source, message: Message, new: bool) -> tuple[int, int]:
    at, size = source.number(message.start, 8), source.number(message.start + 8, 8)
    source.part(at, b"OCHK" if new else b"")
    return (at + 4, max(0, size - 8)) if new else (at, size)


def links(source: Source, found: list[Message]) -> Iterator[tuple[str, int]]:
    """Names of a group's members, and where their headers are."""
    for message in found:
        if message.kind == SYMBOLS:
            yield from _symbols(source, *(source.number(message.start + i, 8) for i in (0, 8)))
        elif message.kind == LINK:
            yield _link(source, message)


def _link(source: Source, message: Message) -> tuple[str, int]:
    at, flags = message.start + 2, source.number(message.start + 1, 1)
    kind = source.number(at, 1) if flags & 8 else 0
    at += bool(flags & 8) + 8 * bool(flags & 4) + bool(flags & 16)
    width = 1 << (flags & 3)
    length = source.number(at, width)
    if kind != 0 or length > LONGEST_NAME:
        raise source.fault(message.start, "a link leads elsewhere than to an object of this file")
    name = bytes(source.bytes(at + width, length)).decode("utf-8", "replace")
    return name, source.number(at + width + length, 8)


def _symbols(source: Source, tree: int, heap: int) -> Iterator[tuple[str, int]]:
    """Members of a group of the old kind: a walk over the tree, whose names lie in the heap."""
    source.part(heap, b"HEAP")
    names, length = source.number(heap + 24, 8), source.number(heap + 8, 8)
    source.bytes(names, length)
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if bytes(source.bytes(node, 4)) == b"TREE":
            source.part(node, b"TREE")
            used = source.number(node + 6, 2)
            # keys and children take turns, beginning with a key
            nodes += [source.number(node + 32 + 16 * i, 8) for i in reversed(range(used))]
            continue
        source.part(node, b"SNOD")
        for entry in range(node + 8, node + 8 + 40 * source.number(node + 6, 2), 40):
            if source.number(entry + 16, 4) == 2:
                raise source.fault(entry, "a soft link is not read; expected arrays and groups")
            at = names + source.number(entry, 8)
            yield source.text(at, names + length), source.number(entry + 8, 8)
