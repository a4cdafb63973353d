"""Bytes, object headers and groups of an HDF5 file.

A header is a row of messages (what kind of array, where it lies, attributes), continued elsewhere when it grows.
A group of the old kind names a tree of nodes ``TREE`` whose leaves ``SNOD`` list (name, address of a header), the
names lying in a ``HEAP``; one of the new kind has a message for each member.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError

__all__ = [
    "ATTRIBUTE",
    "DATASPACE",
    "DATATYPE",
    "LAYOUT",
    "MAX_NAME_LENGTH",
    "UNDEFINED",
    "Message",
    "Source",
    "read_links",
    "read_messages",
]

DATASPACE, LINK_INFO, DATATYPE, LINK, LAYOUT = 0x01, 0x02, 0x03, 0x06, 0x08
ATTRIBUTE, CONTINUED, SYMBOLS, ATTRIBUTE_INFO = 0x0C, 0x10, 0x11, 0x15
UNDEFINED = (1 << 64) - 1
MAX_PARTS = 100_000  # headers, nodes of trees, heaps
MAX_MESSAGES = 200_000
MAX_NAME_LENGTH = 1 << 12


class Source:
    """The bytes of one file, and what of it was read already: no part, and no byte of an array, comes twice."""

    def __init__(self, data: memoryview, path: PathLike):
        self.data, self.path = data, path
        self.parts: set[int] = set()
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}
        self.bytes_left, self.messages_left = len(data), MAX_MESSAGES

    def error(self, at: int, what: str) -> WeightsError:
        """Return an error that names the file and the byte."""
        return WeightsError(f"{self.path}: byte {at}: {what}")

    def read(self, at: int, count: int) -> memoryview:
        """Return ``count`` bytes from ``at`` on."""
        if not 0 <= at <= at + count <= len(self.data):
            raise self.error(at, f"{count} bytes should be here, of {len(self.data)} in all; the file is damaged")
        return self.data[at : at + count]

    def read_uint(self, at: int, count: int) -> int:
        """Return an unsigned whole number of ``count`` bytes."""
        return int.from_bytes(self.read(at, count), "little")

    def enter(self, at: int, signature: bytes = b"") -> None:
        """Check that a part of the file begins here, and that none did before: the file is a tree."""
        if bytes(self.read(at, len(signature))) != signature:
            raise self.error(at, f"expected {signature.decode()!r} here; the file is damaged")
        if at in self.parts or len(self.parts) >= MAX_PARTS:
            raise self.error(at, "is reached a second time, or after too many others; expected a tree of objects")
        self.parts.add(at)

    def count_message(self, at: int) -> None:
        """Count one of the small things in the file."""
        self.messages_left -= 1
        if self.messages_left < 0:
            raise self.error(at, f"holds more than {MAX_MESSAGES} messages; no network has as many")

    def read_text(self, at: int, end: int) -> str:
        """Return a name that ends with a zero byte."""
        raw = bytes(self.read(at, min(end - at, MAX_NAME_LENGTH)))
        if b"\0" not in raw:
            raise self.error(at, "a name has no end; the file is damaged")
        return raw.partition(b"\0")[0].decode("utf-8", "replace")

    def read_data(self, at: int, count: int) -> memoryview:
        """Return the bytes of an array, of which all together may be no more than the file."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise self.error(at, f"{count} bytes of an array overlap others: together they are more than the file")
        return self.read(at, count)


class Message(NamedTuple):
    """What kind of message, its bytes, and whether it only says where in the file the message is."""

    kind: int
    start: int
    stop: int
    shared: bool


def read_messages(source: Source, at: int) -> list[Message]:
    """Return the messages of the object header at byte ``at``."""
    new = bytes(source.read(at, 4)) == b"OHDR"
    source.enter(at)
    if new:
        flags = source.read_uint(at + 5, 1)
        # times (16 bytes) and limits on attributes (4) stand here if the flags say so, then the block's size
        start = at + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        # a message begins with kind 1, size 2, flags 1, and order of creation 2 if that is tracked
        width, head = 1 << (flags & 3), 4 + 2 * bool(flags & 4)
        blocks = [(start + width, source.read_uint(start, width))]
    else:
        if source.read_uint(at, 1) != 1:
            raise source.error(at, f"an object header of version {source.read_uint(at, 1)} is not read")
        # version 1: a prefix of 12 bytes, padded to 16; messages begin with kind 2, size 2, flags 1, 3 unused
        head, blocks = 8, [(at + 16, source.read_uint(at + 8, 4))]
    messages: list[Message] = []
    for start, size in blocks:  # grows as continuations are read
        for message in _read_block(source, start, start + size, head, new):
            if message.kind == CONTINUED:
                blocks.append(_read_continuation(source, message, new))
            else:
                messages.append(message)
            if message.kind in (LINK_INFO, ATTRIBUTE_INFO):
                _refuse_index(source, message)
    return messages


def _read_block(source: Source, at: int, end: int, head: int, new: bool) -> Iterator[Message]:
    # the whole block must lie in the file
    source.read(at, end - at)
    kind_width, flags_at = (1, 3) if new else (2, 4)
    while at + head <= end:
        size = source.read_uint(at + kind_width, 2)
        # bit 1: the bytes say where else in the file the message is
        shared = bool(source.read_uint(at + flags_at, 1) & 2)
        message = Message(source.read_uint(at, kind_width), at + head, at + head + size, shared)
        source.count_message(at)
        if message.stop > end:
            raise source.error(at, "a message ends after its header; the file is damaged")
        at = message.stop
        yield message


def _refuse_index(source: Source, message: Message) -> None:
    """Raise for members or attributes that are kept in an index, as newer files do with more than eight."""
    # after version and flags: a counter where order of creation is tracked, then the index's address
    counted, width = source.read_uint(message.start + 1, 1) & 1, 8 if message.kind == LINK_INFO else 2
    if source.read_uint(message.start + 2 + width * counted, 8) != UNDEFINED:
        raise source.error(message.start, "a group keeps its members in an index, which is not read")


def _read_continuation(source: Source, message: Message, new: bool) -> tuple[int, int]:
    at, size = source.read_uint(message.start, 8), source.read_uint(message.start + 8, 8)
    source.enter(at, b"OCHK" if new else b"")
    # the messages of a new block lie between a signature and a checksum, of four bytes each
    return (at + 4, max(0, size - 8)) if new else (at, size)


def read_links(source: Source, messages: list[Message]) -> Iterator[tuple[str, int]]:
    """Yield the names of a group's members, and where their headers are."""
    for message in messages:
        if message.kind == SYMBOLS:
            yield from _read_symbol_table(source, *(source.read_uint(message.start + i, 8) for i in (0, 8)))
        elif message.kind == LINK:
            yield _read_link(source, message)


def _read_link(source: Source, message: Message) -> tuple[str, int]:
    at, flags = message.start + 2, source.read_uint(message.start + 1, 1)
    kind = source.read_uint(at, 1) if flags & 8 else 0
    # there if the flags say so: kind of link 1, order of creation 8, character set 1; then length and name
    at += bool(flags & 8) + 8 * bool(flags & 4) + bool(flags & 16)
    width = 1 << (flags & 3)
    length = source.read_uint(at, width)
    if kind != 0 or length > MAX_NAME_LENGTH:
        raise source.error(message.start, "a link leads elsewhere than to an object of this file")
    name = bytes(source.read(at + width, length)).decode("utf-8", "replace")
    return name, source.read_uint(at + width + length, 8)


def _read_symbol_table(source: Source, tree: int, heap: int) -> Iterator[tuple[str, int]]:
    """Yield the members of a group of the old kind, by a walk over the tree, whose names lie in the heap."""
    source.enter(heap, b"HEAP")
    # a heap's head has the size of its data at byte 8 and their address at byte 24
    names, length = source.read_uint(heap + 24, 8), source.read_uint(heap + 8, 8)
    source.read(names, length)
    # depth first on a list, not by recursion: the file decides how deep the tree is
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if bytes(source.read(node, 4)) == b"TREE":
            source.enter(node, b"TREE")
            used = source.read_uint(node + 6, 2)
            # keys and children take turns, beginning with a key
            nodes += [source.read_uint(node + 32 + 16 * i, 8) for i in reversed(range(used))]
            continue
        source.enter(node, b"SNOD")
        # an entry has 40 bytes: the name's offset in the heap, the header's address, what is cached (2: a link)
        for entry in range(node + 8, node + 8 + 40 * source.read_uint(node + 6, 2), 40):
            if source.read_uint(entry + 16, 4) == 2:
                raise source.error(entry, "a soft link is not read; expected arrays and groups")
            at = names + source.read_uint(entry, 8)
            yield source.read_text(at, names + length), source.read_uint(entry + 8, 8)
