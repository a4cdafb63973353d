"""MATLAB files of version 5 to 7: variables as Python values and arrays, nothing in them executed.

After a header of 128 bytes a file is a row of elements: a tag with a type and a length, then the data, filled up
to 8 bytes.  A variable is an element of the type "matrix" that holds further elements: flags with the class,
dimensions, a name, and then numbers, or for cells and structures further matrices; version 7 packs each variable
by zlib.  Numbers keep the type they are stored in, which for whole numbers is often narrower than their class.

They are read here and not by SciPy because SciPy's reader follows nested cells by recursion in C, without a limit:
a file of half a megabyte that nests them 10,000 deep ends the process.
"""

from __future__ import annotations

import struct
import zlib
from math import prod
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.types import PathLike, Shape
from minicnn.errors import WeightsError
from minicnn.formats.containers import files
from minicnn.formats.containers.files import escape

__all__ = ["read"]

MAX_DEPTH = 24  # cells in structures in cells
MAX_MATRICES = 100_000
MAX_AXES = 16
MAX_TEXT_BYTES = 1 << 16
GROWTH_LIMIT, GROWTH_FREE = 100, 64 << 20  # packed variables may fill this many times the file, or these bytes

_HEADER = 128
_HDF5 = b"\x89HDF\r\n\x1a\n"
_MATRIX, _PACKED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_INTEGERS = (1, 2, 3, 4, 5)  # of up to 16 bits, and the 32 of dimensions
_TEXT = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _CHAR, _NUMERIC = 1, 2, 4, range(6, 16)  # what else there is: objects, functions, sparse matrices
_COMPLEX = 0x800
_EMPTY = np.zeros((0, 0))
_EMPTY.flags.writeable = False


def read(path: PathLike) -> dict[str, Any]:
    """Read the variables of a MATLAB file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    variables : dict of str to value
        Numbers are arrays in MATLAB's shape (column-major, at least two axes), text is str, several rows of text
        a list of str, a cell array a list in MATLAB's order, a structure a dict, several of them a list of dicts;
        functions, objects, complex and sparse matrices are None.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, of version 4 or 7.3, or nests values deeper than any network.

    """
    data = memoryview(files.map_file(path, "a MATLAB file"))
    order = _byte_order(path, data)
    budget, growth_left = _Budget(MAX_MATRICES), max(GROWTH_FREE, GROWTH_LIMIT * len(data))
    reader = _Reader(path, order, data, "", budget)
    variables, at = {}, _HEADER
    while at < len(data):
        # every element of the top level is one variable, packed or plain
        element, source = reader.read_element(at, len(data)), reader
        at = element.next
        if element.kind == _PACKED:
            body = reader.inflate(element, growth_left)
            # one allowance for the file: many small variables can't unpack to more than one large one
            growth_left -= len(body)
            source = _Reader(path, order, memoryview(body), f"unpacked from byte {element.start - 8}, ", budget)
            element = source.read_element(0, len(body))
        name, value = source.read_matrix(element)
        variables[name] = value
    return variables


def _byte_order(path: PathLike, data: memoryview) -> str:
    mark = bytes(data[124:128])
    # version 7.3 is HDF5, behind a user block of 512 bytes
    if _HDF5 in (bytes(data[:8]), bytes(data[512:520])):
        raise WeightsError(
            f"{path}: a MATLAB file of version 7.3, which is not read; load it in MATLAB and save it with '-v7'"
        )
    # version 0x0100 and the letters MI as two 16-bit numbers: little-endian writers swap both
    if mark not in (b"\0\1IM", b"\1\0MI"):
        raise WeightsError(
            f"{path}: expected a MATLAB file of version 5 to 7, found {files.guess_file_type(bytes(data[:512]))}"
        )
    return "<" if mark == b"\0\1IM" else ">"


class _Budget:
    """How many matrices may still be read."""

    def __init__(self, left: int):
        self.left = left


class _Element(NamedTuple):
    """An element's type, where its data are, and where the next element begins."""

    kind: int
    start: int
    stop: int
    next: int


class _Reader:
    """Decodes elements of one buffer: the file, or a variable unpacked from it."""

    def __init__(self, path: PathLike, order: str, data: memoryview, where: str, budget: _Budget):
        self.path, self.order, self.data, self.where, self.budget = path, order, data, where, budget
        self.uint32_pair = struct.Struct(f"{order}II")

    def error(self, at: int, what: str) -> WeightsError:
        return WeightsError(f"{self.path}: {self.where}byte {at}: {what}; the file is damaged or no MATLAB file")

    def read_element(self, at: int, end: int) -> _Element:
        """Return the element at byte ``at`` of what ends at ``end``; up to four bytes lie in the tag itself."""
        if at + 8 > end:
            raise self.error(at, f"an element should begin here, {end - at} bytes before the end")
        kind, size = self.uint32_pair.unpack_from(self.data, at)
        # data begin after the tag of 8 bytes and are padded to a multiple of 8
        start, following = at + 8, at + 8 + -(-size // 8) * 8
        # small form: the size is the first word's upper half, and the data take the place of the second word
        if kind >> 16:
            kind, size, start, following = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        # packed variables are not padded
        elif kind == _PACKED:
            following = start + size
        if start + size > min(end, following):
            raise self.error(at, f"an element of {size} bytes ends {start + size - min(end, following)} too late")
        return _Element(kind, start, start + size, min(following, end))

    def inflate(self, element: _Element, limit: int) -> bytearray:
        """Unpack a variable: as much of it as its own tag says, and no more than ``limit`` bytes."""
        content, stream, claimed = bytearray(), zlib.decompressobj(), 8
        at = element.start
        try:
            while len(content) < claimed and at < element.stop:
                packed: bytes | memoryview = self.data[at : min(at + (1 << 16), element.stop)]
                at += len(packed)
                while len(content) < claimed and (part := stream.decompress(packed, claimed - len(content))):
                    content += part
                    packed = stream.unconsumed_tail
                    # the first 8 bytes unpacked are the variable's tag, whose second word says how much follows
                    if len(content) == 8 == claimed:
                        claimed += self.uint32_pair.unpack(content)[1]
                        if claimed > limit:
                            raise self.error(element.start, f"claims to unpack to {claimed} bytes")
        except zlib.error as error:
            raise self.error(element.start, f"does not unpack ({error})") from None
        if len(content) < claimed:
            raise self.error(element.start, f"unpacks to {len(content)} of {claimed} bytes")
        return content

    def read_matrix(self, element: _Element, depth: int = 0) -> tuple[str, Any]:
        """Return name and value of a matrix."""
        self.budget.left -= 1
        if depth > MAX_DEPTH or self.budget.left < 0:
            limit = f"{MAX_DEPTH} deep" if depth > MAX_DEPTH else f"{MAX_MATRICES} in all"
            raise self.error(element.start, f"nests more values than a network does, {limit}")
        if element.kind != _MATRIX:
            raise self.error(element.start, f"expected a value, found an element of type {element.kind}")
        if element.start == element.stop:
            return "", _EMPTY
        # every matrix begins with flags, dimensions and name
        flags, dims, label = self._read_elements(element.start, element.stop, 3)
        name, shape = self._read_name(label), tuple(self._read_integers(dims))
        if not 2 <= len(shape) <= MAX_AXES or min(shape) < 0 or flags.stop - flags.start != 8:
            raise self.error(element.start, f"{escape(shape)} are no dimensions")
        # the first word of the flags: class in the low byte, complex in bit 11
        word, _ = self.uint32_pair.unpack_from(self.data, flags.start)
        return name, self._read_value(word & 0xFF, bool(word & _COMPLEX), shape, label.next, element.stop, depth)

    def _read_value(self, kind: int, is_complex: bool, shape: Shape, at: int, end: int, depth: int) -> Any:
        if kind == _CELL:
            return [fields[""] for fields in self._read_structs([""], prod(shape), at, end, depth)]
        if kind == _STRUCT:
            width, table = self._read_elements(at, end, 2)
            items = self._read_structs(self._read_field_names(width, table), prod(shape), table.next, end, depth)
            return items[0] if len(items) == 1 else items
        if kind == _CHAR:
            return self._read_text(self.read_element(at, end), shape)
        if kind not in _NUMERIC or is_complex:
            return None
        element = self.read_element(at, end)
        values = self._read_numbers(element)
        if len(values) != prod(shape):
            raise self.error(at, f"{len(values)} numbers can't have the shape {escape(shape)}")
        # column-major: row-major in the reversed shape, transposed, which is a view
        return files.reshape(values, shape[::-1], str(self.path)).T

    def _read_elements(self, at: int, end: int, count: int) -> list[_Element]:
        elements = []
        for _ in range(count):
            elements.append(self.read_element(at, end))
            at = elements[-1].next
        return elements

    def _read_structs(self, names: list[str], count: int, at: int, end: int, depth: int) -> list[dict[str, Any]]:
        """Return ``count`` structures with fields of those names; a cell array has one nameless field."""
        # a value takes a tag of 8 bytes at least, so that an impossible count is refused before the loop
        if count * len(names) * 8 > end - at:
            raise self.error(at, f"{count} x {len(names)} values can't be in {end - at} bytes")
        items = []
        # structures without fields take no bytes, which would bound their number: one stands for all
        for _ in range(count if names else 1):
            fields = {}
            for name in names:
                element = self.read_element(at, end)
                fields[name], at = self.read_matrix(element, depth + 1)[1], element.next
            items.append(fields)
        return items

    def _read_field_names(self, length: _Element, table: _Element) -> list[str]:
        # the names lie in a table of fixed width, each ended by a zero byte
        text, (width, *_) = bytes(self.data[table.start : table.stop]), (*self._read_integers(length), 0)
        if width < 1 or len(text) % width:
            raise self.error(table.start, f"names of {width} letters can't be in {len(text)} bytes")
        parts = (text[i : i + width].partition(b"\0")[0] for i in range(0, len(text), width))
        return [escape(part.decode("latin-1")) for part in parts]

    def _read_name(self, element: _Element) -> str:
        return escape(bytes(self.data[element.start : min(element.stop, element.start + 200)]).decode("latin-1"))

    def _read_numbers(self, element: _Element) -> np.ndarray:
        kind, size = _NUMBERS.get(element.kind), element.stop - element.start
        if kind is None or size % np.dtype(kind).itemsize:
            raise self.error(element.start, f"{size} bytes of type {element.kind} are no numbers")
        return files.from_buffer(self.data[element.start : element.stop], kind, self.order)

    def _read_integers(self, element: _Element) -> list[int]:
        if element.kind not in _INTEGERS:
            raise self.error(element.start, f"an element of type {element.kind}, expected whole numbers")
        return self._read_numbers(element)[:MAX_TEXT_BYTES].tolist()

    def _read_text(self, element: _Element, shape: Shape) -> str | list[str]:
        """Return text, which lies column by column if it has several rows."""
        if element.kind in _TEXT:
            codec = _TEXT[element.kind] + {16: ""}.get(element.kind, "-le" if self.order == "<" else "-be")
            letters = bytes(self.data[element.start : element.stop][:MAX_TEXT_BYTES]).decode(codec, "replace")
        else:
            letters = "".join(chr(code & 0xFFFF) for code in self._read_integers(element))
        rows = shape[0]
        return [letters[i::rows].rstrip() for i in range(rows)] if 1 < rows <= len(letters) else letters
