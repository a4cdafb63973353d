"""Attributes and arrays of an HDF5 file."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from minicnn.formats.containers import files
from minicnn.formats.containers.files import escape
from minicnn.formats.containers.hdf5.headers import DATASPACE, DATATYPE, LAYOUT, UNDEFINED, Message, Source

__all__ = ["read_array", "read_attribute"]

MAX_AXES = 16
_COMPACT, _CONTIGUOUS = 0, 1


class Type(NamedTuple):
    """Kind ("number", "text", "text in a heap", or "" for any other), bytes of an element, NumPy's code, order."""

    kind: str
    size: int
    code: str = ""
    order: str = "<"


def read_attribute(source: Source, message: Message) -> tuple[str, Any]:
    """Return name and value: str, list of str, array; None for values of other kinds."""
    at, version = message.start, source.read_uint(message.start, 1)
    name_size, type_size, space_size = (source.read_uint(at + i, 2) for i in (2, 4, 6))
    if version not in (1, 2, 3) or at + 8 + name_size + type_size + space_size > message.stop:
        raise source.error(at, f"an attribute of version {version}; the file is damaged")
    # version 3 adds a byte for the name's character set
    at += 8 + (version == 3)

    def field(size: int) -> int:
        # version 1 pads name, type and shape to multiples of 8 bytes
        return -(-size // 8) * 8 if version == 1 else size

    name = source.read_text(at, at + name_size)
    at += field(name_size)
    # bits 0 and 1 of the flags: the type or the shape is kept elsewhere in the file
    kind = (
        _read_type(source, at) if version == 1 or not source.read_uint(message.start + 1, 1) & 3 else Type("", 1)
    )
    at += field(type_size)
    shape = _read_shape(source, at)
    at += field(space_size)
    if not kind.kind:
        return name, None
    count = prod(shape)
    if at + count * kind.size > message.stop:
        raise source.error(at, f"attribute {escape(name)!r} holds fewer than {count} values; the file is damaged")
    raw = source.read(at, count * kind.size)
    if kind.kind == "number":
        return name, files.reshape(files.from_buffer(raw, kind.code, kind.order), shape, str(source.path))
    pieces = [bytes(raw[i : i + kind.size]) for i in range(0, len(raw), kind.size)]
    texts = pieces if kind.kind == "text" else _read_heap_texts(source, pieces)
    words = [text.partition(b"\0")[0].decode("utf-8", "replace") for text in texts]
    # no axes: one text and not a list
    return name, words if shape else words[0]


def _read_heap_texts(source: Source, references: list[bytes]) -> list[bytes]:
    """Return texts of any length, each kept as its length, the address of a heap and its number there."""
    texts = []
    for reference in references:
        length, at, index = (int.from_bytes(reference[a:b], "little") for a, b in ((0, 4), (4, 12), (12, 16)))
        start, size = _read_heap(source, at).get(index, (at, 0)) if length else (at, 0)
        if length > size:
            raise source.error(at, f"a text of {length} bytes is not in this heap; the file is damaged")
        texts.append(bytes(source.read_data(start, length)) if length else b"")
    return texts


def _read_heap(source: Source, at: int) -> dict[int, tuple[int, int]]:
    """Return where the objects of a heap begin and how long they are, by number; each heap is read once."""
    if at in source.heaps:
        return source.heaps[at]
    source.enter(at, b"GCOL")
    objects, end = {}, at + source.read_uint(at + 8, 8)
    entry = at + 16
    # an object: number 2, references 2, unused 4, size 8, then its bytes padded to a multiple of 8
    while entry + 16 <= min(end, len(source.data)):
        index, size = source.read_uint(entry, 2), source.read_uint(entry + 8, 8)
        if index == 0 or entry + 16 + size > end:  # the rest is free
            break
        objects[index] = entry + 16, size
        entry += 16 + -(-size // 8) * 8
        source.count_message(entry)
    source.heaps[at] = objects
    return objects


def read_array(source: Source, messages: list[Message], attributes: dict[str, Any], name: str) -> np.ndarray:
    """Return the array that a header describes, mapped; bfloat16, which Keras keeps as uint16, as float32."""
    kinds = {message.kind: message for message in messages}
    if not {DATATYPE, DATASPACE} <= set(kinds) or kinds[DATATYPE].shared or kinds[DATASPACE].shared:
        raise source.error(
            kinds[LAYOUT].start, f"{name}: an array without a type or a shape of its own is not read"
        )
    kind, shape = _read_type(source, kinds[DATATYPE].start), _read_shape(source, kinds[DATASPACE].start)
    if kind.kind != "number":
        raise source.error(kinds[DATATYPE].start, f"{name}: expected an array of numbers")
    at, size = _locate_data(source, kinds[LAYOUT].start, name)
    count = prod(shape)
    if at == UNDEFINED and count:
        raise source.error(kinds[LAYOUT].start, f"{name}: an array of {escape(shape)} was never written")
    if size < count * kind.size:
        raise source.error(
            kinds[LAYOUT].start, f"{name}: {size} bytes can't hold {escape(shape)}; the file is damaged"
        )
    code = "bf16" if kind.code == "u2" and attributes.get("dtype") == "bfloat16" else kind.code
    raw = source.read_data(at, count * kind.size) if count else b""
    return files.reshape(files.from_buffer(raw, code, kind.order), shape, f"{source.path}: {name}")


def _locate_data(source: Source, at: int, name: str) -> tuple[int, int]:
    """Return the address and the size of an array's bytes."""
    version, kind = source.read_uint(at, 1), source.read_uint(at + 1, 1)
    if version in (1, 2):
        # rank and class, at byte 8 the address, from byte 16 on the sizes, of which the last is the element's
        rank, kind = kind, source.read_uint(at + 2, 1)
        if kind == _CONTIGUOUS:
            sizes = (source.read_uint(at + 16 + 4 * i, 4) for i in range(min(rank, MAX_AXES + 1)))
            return source.read_uint(at + 8, 8), prod(sizes)
    elif version in (3, 4) and kind == _COMPACT:
        # compact: the bytes lie in the header itself
        return at + 4, source.read_uint(at + 2, 2)
    elif version in (3, 4) and kind == _CONTIGUOUS:
        return source.read_uint(at + 2, 8), source.read_uint(at + 10, 8)
    raise source.error(
        at,
        f"{name}: an array in chunks, perhaps compressed, is not read; run h5repack -l CONTI -f NONE on it",
    )


def _read_shape(source: Source, at: int) -> tuple[int, ...]:
    version, rank = source.read_uint(at, 1), source.read_uint(at + 1, 1)
    if version not in (1, 2) or rank > MAX_AXES:
        raise source.error(at, f"a shape of version {version} with {rank} axes is not read")
    if version == 2 and source.read_uint(at + 3, 1) == 2:
        # type 2 is the null dataspace, which holds nothing
        return (0,)
    start = at + (8 if version == 1 else 4)
    return tuple(source.read_uint(start + 8 * i, 8) for i in range(rank))


def _read_type(source: Source, at: int) -> Type:
    # classes: 0 whole numbers, 1 floats, 3 text of fixed length, 9 text of any length
    kind, bits, size = source.read_uint(at, 1) & 15, source.read_uint(at + 1, 3), source.read_uint(at + 4, 4)
    order = ">" if bits & 1 else "<"
    if kind == 0 and size in (1, 2, 4, 8):
        return Type("number", size, f"{'i' if bits & 8 else 'u'}{size}", order)
    # bit 6 marks VAX order, which NumPy has no code for
    if kind == 1 and size in (2, 4, 8) and not bits & 0x40:
        return Type("number", size, f"f{size}", order)
    if kind == 3 and size:
        return Type("text", size)
    if kind == 9 and bits & 15 == 1 and size == 16:
        return Type("text in a heap", size)
    return Type("", max(size, 1))
