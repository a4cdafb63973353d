"""Attributes and arrays of an HDF5 file."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from minicnn.formats.containers import files
from minicnn.formats.containers.files import shown
from minicnn.formats.containers.hdf5.headers import DATASPACE, DATATYPE, LAYOUT, UNDEFINED, Message, Source

__all__ = ["array_of", "attribute_of"]

MOST_AXES = 16
_COMPACT, _CONTIGUOUS = 0, 1


class Type(NamedTuple):
    """Kind ("number", "text", "text in a heap", or "" for any other), bytes of an element, NumPy's code, order."""

    kind: str
    size: int
    code: str = ""
    order: str = "<"


def attribute_of(source: Source, message: Message) -> tuple[str, Any]:
    """Return name and value: str, list of str, array; None for values of other kinds."""
    at, version = message.start, source.number(message.start, 1)
    name_size, type_size, space_size = (source.number(at + i, 2) for i in (2, 4, 6))
    if version not in (1, 2, 3) or at + 8 + name_size + type_size + space_size > message.stop:
        raise source.fault(at, f"an attribute of version {version}; the file is damaged")
    at += 8 + (version == 3)

    def field(size: int) -> int:
        return -(-size // 8) * 8 if version == 1 else size

    name = source.text(at, at + name_size)
    at += field(name_size)
    kind = _type(source, at) if version == 1 or not source.number(message.start + 1, 1) & 3 else Type("", 1)
    at += field(type_size)
    shape = _shape(source, at)
    at += field(space_size)
    if not kind.kind:
        return name, None
    count = prod(shape)
    if at + count * kind.size > message.stop:
        raise source.fault(at, f"attribute {shown(name)!r} holds fewer than {count} values; the file is damaged")
    raw = source.bytes(at, count * kind.size)
    if kind.kind == "number":
        return name, files.shaped(files.numbers(raw, kind.code, kind.order), shape, str(source.path))
    pieces = [bytes(raw[i : i + kind.size]) for i in range(0, len(raw), kind.size)]
    texts = pieces if kind.kind == "text" else _from_heap(source, pieces)
    words = [text.partition(b"\0")[0].decode("utf-8", "replace") for text in texts]
    return name, words if shape else words[0]


def _from_heap(source: Source, references: list[bytes]) -> list[bytes]:
    """Texts of any length, each behind its length, the address of a heap and its number there."""
    texts = []
    for reference in references:
        length, at, index = (int.from_bytes(reference[a:b], "little") for a, b in ((0, 4), (4, 12), (12, 16)))
        start, size = _heap(source, at).get(index, (at, 0)) if length else (at, 0)
        if length > size:
            raise source.fault(at, f"a text of {length} bytes is not in this heap; the file is damaged")
        texts.append(bytes(source.take(start, length)) if length else b"")
    return texts


def _heap(source: Source, at: int) -> dict[int, tuple[int, int]]:
    """Where the objects of a heap begin and how long they are, by their number; each heap is read once."""
    if at in source.heaps:
        return source.heaps[at]
    source.part(at, b"GCOL")
    found, end = {}, at + source.number(at + 8, 8)
    entry = at + 16
    while entry + 16 <= min(end, len(source.data)):
        index, size = source.number(entry, 2), source.number(entry + 8, 8)
        if index == 0 or entry + 16 + size > end:  # the rest is free
            break
        found[index] = entry + 16, size
        entry += 16 + -(-size // 8) * 8
        source.message(entry)
    source.heaps[at] = found
    return found


def array_of(source: Source, found: list[Message], attributes: dict[str, Any], name: str) -> np.ndarray:
    """Return the array that a header describes, mapped; bfloat16, which Keras keeps as uint16, as float32."""
    kinds = {message.kind: message for message in found}
    if not {DATATYPE, DATASPACE} <= set(kinds) or kinds[DATATYPE].shared or kinds[DATASPACE].shared:
        raise source.fault(
            kinds[LAYOUT].start, f"{name}: an array without a type or a shape of its own is not read"
        )
    kind, shape = _type(source, kinds[DATATYPE].start), _shape(source, kinds[DATASPACE].start)
    if kind.kind != "number":
        raise source.fault(kinds[DATATYPE].start, f"{name}: expected an array of numbers")
    at, size = _place(source, kinds[LAYOUT].start, name)
    count = prod(shape)
    if at == UNDEFINED and count:
        raise source.fault(kinds[LAYOUT].start, f"{name}: an array of {shown(shape)} was never written")
    if size < count * kind.size:
        raise source.fault(
            kinds[LAYOUT].start, f"{name}: {size} bytes can't hold {shown(shape)}; the file is damaged"
        )
    code = "bf16" if kind.code == "u2" and attributes.get("dtype") == "bfloat16" else kind.code
    raw = source.take(at, count * kind.size) if count else b""
    return files.shaped(files.numbers(raw, code, kind.order), shape, f"{source.path}: {name}")


def _place(source: Source, at: int, name: str) -> tuple[int, int]:
    """Address and size of an array's bytes."""
    version, kind = source.number(at, 1), source.number(at + 1, 1)
    if version in (1, 2):
        rank, kind = kind, source.number(at + 2, 1)
        if kind == _CONTIGUOUS:
            sizes = (source.number(at + 16 + 4 * i, 4) for i in range(min(rank, MOST_AXES + 1)))
            return source.number(at + 8, 8), prod(sizes)
    elif version in (3, 4) and kind == _COMPACT:
        return at + 4, source.number(at + 2, 2)
    elif version in (3, 4) and kind == _CONTIGUOUS:
        return source.number(at + 2, 8), source.number(at + 10, 8)
    raise source.fault(
        at,
        f"{name}: an array in chunks, perhaps compressed, is not read; run h5repack -l CONTI -f NONE on it",
    )


def _shape(source: Source, at: int) -> tuple[int, ...]:
    version, rank = source.number(at, 1), source.number(at + 1, 1)
    if version not in (1, 2) or rank > MOST_AXES:
        raise source.fault(at, f"a shape of version {version} with {rank} axes is not read")
    if version == 2 and source.number(at + 3, 1) == 2:
        return (0,)
    start = at + (8 if version == 1 else 4)
    return tuple(source.number(start + 8 * i, 8) for i in range(rank))


def _type(source: Source, at: int) -> Type:
    kind, bits, size = source.number(at, 1) & 15, source.number(at + 1, 3), source.number(at + 4, 4)
    order = ">" if bits & 1 else "<"
    if kind == 0 and size in (1, 2, 4, 8):
        return Type("number", size, f"{'i' if bits & 8 else 'u'}{size}", order)
    if kind == 1 and size in (2, 4, 8) and not bits & 0x40:
        return Type("number", size, f"f{size}", order)
    if kind == 3 and size:
        return Type("text", size)
    if kind == 9 and bits & 15 == 1 and size == 16:
        return Type("text in a heap", size)
    return Type("", max(size, 1))
