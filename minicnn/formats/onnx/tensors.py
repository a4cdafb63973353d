"""Constants of an ONNX file: in the file, packed or raw, or in a file beside it."""

from __future__ import annotations

from functools import cached_property
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.containers import files
from minicnn.formats.containers.files import escape
from minicnn.formats.containers.protobuf import Message

__all__ = ["KINDS", "Filled", "Folder", "Tensor"]

# TensorProto's fields
DATA_FIELDS = (4, 5, 6, 7, 9, 10, 11)
DIMS, DATA_TYPE, SEGMENT, NAME, RAW, EXTERNAL, LOCATION = 1, 2, 3, 8, 9, 13, 14
FIELDS = frozenset((*range(1, 15), 16))
MAX_AXES = 16


class ElementType(NamedTuple):
    """An element type: NumPy's code (or bf16), the field of its numbers, and the code of a number there."""

    code: str
    field: int
    stored: str


_INT32, _INT64, _UINT64 = 5, 7, 11
KINDS = {
    1: ElementType("f4", 4, "f4"),
    2: ElementType("u1", _INT32, "varint"),
    3: ElementType("i1", _INT32, "varint"),
    4: ElementType("u2", _INT32, "varint"),
    5: ElementType("i2", _INT32, "varint"),
    6: ElementType("i4", _INT32, "varint"),
    7: ElementType("i8", _INT64, "varint"),
    9: ElementType("b1", _INT32, "varint"),
    10: ElementType("f2", _INT32, "bits"),
    11: ElementType("f8", 10, "f8"),
    12: ElementType("u4", _UINT64, "varint"),
    13: ElementType("u8", _UINT64, "varint"),
    16: ElementType("bf16", _INT32, "bits"),
}


class Folder:
    """The folder of the model, out of which no external data may lead; each file in it is mapped once.

    ``size`` counts the bytes of the model and of what has been mapped beside it.
    """

    def __init__(self, model: Path, size: int):
        self.model, self.size = model, size
        self._mapped: dict[Path, memoryview] = {}

    def map(self, location: str, what: str) -> memoryview:
        """Map the file at ``location``, a path relative to the folder."""
        path = self._resolve(location, what)
        if path not in self._mapped:
            try:
                self._mapped[path] = memoryview(files.map_file(path, "the model's data"))
            except WeightsError as error:
                raise WeightsError(f"{self.model}: {what}: {escape(str(error), 300)}") from None
            self.size += self._mapped[path].nbytes
        return self._mapped[path]

    def _resolve(self, location: str, what: str) -> Path:
        folder = self.model.parent
        try:
            path = (folder / location).resolve()
            # resolved, so that a symbolic link can't lead out either
            inside = path.is_relative_to(folder.resolve()) and not Path(location).is_absolute()
        except (OSError, ValueError, RuntimeError):
            inside = False
        if not inside or ".." in Path(location).parts or "\\" in location:
            raise WeightsError(
                f"{self.model}: {what}: its data lie at {escape(location)!r}, outside of the model's folder; "
                "put both files into one folder and give the bare name"
            )
        return path


class Tensor:
    """A constant, decoded when its ``array`` is first asked for."""

    def __init__(self, proto: Message, folder: Folder):
        proto.check_fields(FIELDS)
        self._proto, self._folder = proto, folder
        self.name = proto.text(NAME)
        self.dims = tuple(int(n) for n in proto.integers(DIMS))
        kind = KINDS.get(proto.integer(DATA_TYPE))
        if kind is None:
            raise self._error(f"element type {proto.integer(DATA_TYPE)}; convert the model to float32")
        self.kind = kind
        if len(self.dims) > MAX_AXES or any(n < 0 for n in self.dims):
            raise self._error(f"no tensor can have the shape {escape(self.dims)}")
        if SEGMENT in proto:
            raise self._error("in segments; save the model again with a newer onnx")

    def _error(self, what: str) -> WeightsError:
        return self._proto.error(0, f"tensor {escape(self.name)!r}: {what}")

    @cached_property
    def array(self) -> np.ndarray:
        """The values, which can't be written to; a view into the file where they lie at an even address."""
        size = prod(self.dims)
        flat = self._decode(size)
        if flat.size != size:
            raise self._error(f"holds {flat.size} values, its shape {escape(self.dims)} needs {size}")
        try:
            array = flat.reshape(self.dims)
        except ValueError:
            raise self._error(f"no tensor can have the shape {escape(self.dims)}") from None
        array.flags.writeable = False
        return array

    def _decode(self, size: int) -> np.ndarray:
        code, field, stored = self.kind
        if sum(n in self._proto for n in DATA_FIELDS) > 1:
            raise self._error("holds its values twice; expected one field of values")
        raw = self._map_external(size) if self._proto.integer(LOCATION) == 1 else self._proto.raw_bytes(RAW)
        # raw bytes are the elements themselves; the typed fields below hold one number for each
        if raw is not None:
            needed = size * files.itemsize(code)
            if raw.nbytes != needed:
                raise self._error(f"has {raw.nbytes} bytes of data, its shape {escape(self.dims)} needs {needed}")
            return files.from_buffer(raw, code)
        if stored == "varint":
            return self._proto.integers(field).astype(code)
        # float16 and bfloat16 stand as their bits in whole numbers
        if stored == "bits":
            return files.from_buffer(self._proto.integers(field).astype("<u2").tobytes(), code)
        return self._proto.reals(field, stored)

    def _map_external(self, size: int) -> memoryview:
        entries = {entry.text(1): entry.text(2) for entry in self._proto.messages(EXTERNAL)}
        unknown = set(entries) - {"location", "offset", "length", "checksum"}
        if unknown:
            raise self._error(f"its external data have an unknown {escape(min(unknown))!r}")
        try:
            offset = int(entries.get("offset", "0"))
            length = int(entries.get("length", str(size * files.itemsize(self.kind.code))))
        except ValueError:
            raise self._error("its external data have no whole numbers for offset and length") from None
        data = self._folder.map(entries.get("location", ""), f"tensor {escape(self.name)!r}")
        if offset < 0 or length < 0 or offset + length > data.nbytes:
            raise self._error(
                f"its external data end at byte {escape(offset + length)} of a file of {data.nbytes} bytes"
            )
        return data[offset : offset + length]


class Filled(Tensor):
    """A constant that is not in the file: an input to which one value was given."""

    def __init__(self, name: str, array: np.ndarray):
        self.name, self.dims = name, array.shape
        array.flags.writeable = False
        self.__dict__["array"] = array
