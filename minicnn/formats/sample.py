"""What a file's first bytes, its members or its fields say about its kind, whatever its name says."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

from minicnn.errors import WeightsError
from minicnn.formats.containers import files, protobuf, zip_archive

__all__ = ["Sample", "take_sample"]

HEAD_BYTES = 1 << 16
MAX_JSON_BYTES = 64 << 20
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_VARINT, _BYTES = 0, 2


class Sample:
    """The beginning of a file, and what can be asked about it; what takes more is read when asked for."""

    def __init__(self, path: Path, head: bytes, size: int):
        self.path, self.head, self.size = path, head, size

    @cached_property
    def text(self) -> str:
        """The beginning as text, "" if it is none: no mark of byte order and no spaces before it."""
        head = self.head.removeprefix(b"\xef\xbb\xbf")
        # as some programs of Windows save text
        encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
        try:
            # the last character may be cut
            text = head.decode(encoding, "strict" if self.size <= HEAD_BYTES else "ignore").lstrip()
        except UnicodeDecodeError:
            return ""
        return text if all(c.isprintable() or c.isspace() for c in text[:512]) else ""

    @cached_property
    def members(self) -> frozenset[str]:
        """Names in a zip archive; none in other files, and in archives that are damaged."""
        if self.head[:4] != b"PK\x03\x04":
            return frozenset()
        try:
            return frozenset(zip_archive.list_members(files.map_file(self.path, "a zip archive"), self.path))
        except WeightsError:
            return frozenset()

    @cached_property
    def fields(self) -> dict[int, int]:
        """Numbers and wire types of the fields of a protocol buffer; none for other files."""
        try:
            message = protobuf.open_message(self.path, "a protocol buffer")
        except WeightsError:
            return {}
        return {number: message.wire_type(number) for number in message}

    @cached_property
    def json(self) -> dict[str, Any]:
        """The dictionary in a JSON file, {} for other files."""
        if not self.text.startswith("{") or self.size > MAX_JSON_BYTES:
            return {}
        try:
            value = json.loads(self.path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    # the kinds that minicnn reads

    def is_numpy_archive(self) -> bool:
        """Return whether it is an .npz file, ours or NumPy's."""
        return any(name.endswith(".npy") or name == "network.json" for name in self.members)

    def is_pytorch(self) -> bool:
        """Return whether it is a file of ``torch.save``, of either layout."""
        if any(name == "data.pkl" or name.endswith("/data.pkl") for name in self.members):
            return True
        # the pickle of a number with which legacy files begin, in binary protocols and in text
        magic = _TORCH_MAGIC.to_bytes(10, "little"), f"L{_TORCH_MAGIC}L".encode()
        return any(number in self.head[:40] for number in magic)

    def is_pickle(self) -> bool:
        """Return whether it is a pickle of another program, or a .npy file."""
        pickled = self.head[:1] == b"\x80" and self.head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
        return self.head[:6] == b"\x93NUMPY" or (pickled and not self.is_pytorch())

    def is_safetensors(self) -> bool:
        """Return whether it is a safetensors file."""
        # 8 bytes of length, of which no header needs more than four, then JSON
        return self.head[4:9] == b"\0\0\0\0{"

    def is_matlab(self) -> bool:
        """Return whether it is a MATLAB file."""
        return self.head[:7] == b"MATLAB "

    def is_keras(self) -> bool:
        """Return whether it is a file of Keras, with or without a model."""
        # of a file that lacks one of them its reader says which
        archived = "model.weights.h5" in self.members or {"config.json", "metadata.json"} <= self.members
        return archived or self.head[:8] == b"\x89HDF\r\n\x1a\n"

    def is_keras_description(self) -> bool:
        """Return whether it is a model of Keras as JSON, without weights."""
        return isinstance(self.json.get("class_name"), str) and "config" in self.json

    def is_index(self) -> bool:
        """Return whether it is the index of weights in several files."""
        return isinstance(self.json.get("weight_map"), dict)

    def is_onnx(self) -> bool:
        """Return whether it is an ONNX network."""
        # ModelProto: the graph, and a version or the sets of operators
        wanted = {7: _BYTES, 8: _BYTES} if 8 in self.fields else {7: _BYTES, 1: _VARINT}
        return self.fields.items() >= wanted.items() and max(self.fields) < 200

    def is_caffemodel(self) -> bool:
        """Return whether it is a file of Caffe's weights."""
        # NetParameter: a name in text, and layers of either version
        layers = {number for number in (2, 100) if self.fields.get(number) == _BYTES}
        return (
            bool(layers)
            and self.fields.keys() <= {*range(1, 9), 100}
            and self.fields.get(1) != _VARINT
            and not re.match(rb"\n.{1,3}\n.", self.head, re.DOTALL)
        )

    def is_prototxt(self) -> bool:
        """Return whether it is the description of a Caffe network."""
        return re.search(r"^\s*layers?\s*\{", self.text, re.MULTILINE) is not None


def take_sample(path: Path) -> Sample | None:
    """Return the beginning of a file, None where there is no regular file that can be read."""
    try:
        if not path.is_file():
            return None
        with open(path, "rb") as file:
            return Sample(path, file.read(HEAD_BYTES), path.stat().st_size)
    except (OSError, ValueError):
        return None
