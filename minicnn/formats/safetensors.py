"""Files of the safetensors format: a length, a JSON header, and the bytes of the tensors without gaps."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.types import PathLike, Shape
from minicnn.errors import WeightsError
from minicnn.formats.containers import files
from minicnn.formats.containers.files import escape

__all__ = ["read", "read_metadata", "write"]

_KINDS = {
    **{f"F{8 * n}": f"f{n}" for n in (2, 4, 8)},
    **{f"I{8 * n}": f"i{n}" for n in (1, 2, 4, 8)},
    **{f"U{8 * n}": f"u{n}" for n in (1, 2, 4, 8)},
    "BOOL": "b1",
    "BF16": "bf16",
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_FRAMEWORKS = ("pt", "pytorch", "np", "numpy", "minicnn")
_MAX_HEADER_BYTES = 4 << 20
_MAX_AXES = 32


class _Span(NamedTuple):
    """Where a tensor lies, in bytes from the end of the header, and what it is made of."""

    kind: str
    shape: Shape
    begin: int
    end: int


def read(path: PathLike) -> dict[str, np.ndarray]:
    """Read the tensors of a safetensors file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    arrays : dict of str to array
        Arrays that can't be written to, in the header's order, mapped from the file; BF16 becomes float32.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, the header is longer than 4 MiB or names a tensor twice, or the
        tensors do not fill the rest of the file exactly, without gap or overlap. The format has no checksums.

    """
    data, start, header = _open(path)
    framework = header.get("__metadata__", {}).get("format", "pt")
    if framework not in _FRAMEWORKS:
        raise WeightsError(
            f"{path}: its metadata say format {escape(framework)!r}, whose arrays may have other axes; "
            f"expected one of {', '.join(_FRAMEWORKS)}"
        )
    spans = {name: _parse_entry(path, name, entry) for name, entry in header.items() if name != "__metadata__"}
    _check_spans(path, spans, len(data) - start)
    view = memoryview(data)[start:]
    arrays = {}
    for name, span in spans.items():
        flat = files.from_buffer(view[span.begin : span.end], span.kind)
        arrays[name] = files.reshape(flat, span.shape, f"{path}: tensor {escape(name)!r}")
    return arrays


def read_metadata(path: PathLike) -> dict[str, str]:
    """Read the free text of a safetensors file: what it calls ``__metadata__``.

    Raises
    ------
    WeightsError
        If the file is missing or its header damaged.

    """
    return _open(path)[2].get("__metadata__", {})


def _open(path: PathLike) -> tuple[mmap.mmap, int, dict[str, Any]]:
    data = files.map_file(path, "a safetensors file")
    # eight bytes of length come before the brace
    if data[8:9] != b"{":
        given = files.guess_file_type(data)
        raise WeightsError(f"{path}: expected a safetensors file (8 bytes, then a JSON header), found {given}")
    length = int.from_bytes(data[:8], "little")
    if length > min(len(data) - 8, _MAX_HEADER_BYTES):
        raise WeightsError(
            f"{path}: claims a header of {length} bytes; expected at most {_MAX_HEADER_BYTES} and no more than "
            f"the {len(data) - 8} that follow, the file is cut short or damaged"
        )
    try:
        header = json.loads(
            data[8 : 8 + length].decode("utf-8"),
            object_pairs_hook=_check_unique,
            # the parser would take integers of any length, and NaN
            parse_int=_parse_size,
            parse_constant=_parse_size,
        )
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: the header of {length} bytes is damaged ({escape(str(error))})") from None
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise WeightsError(f"{path}: __metadata__: expected a dictionary of text")
    return data, 8 + length, header


def _check_unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    "".join(entries).encode()  # half surrogates don't encode
    if len(entries) != len(pairs):
        raise ValueError("a name is given twice")
    return entries


def _parse_size(digits: str) -> int:
    if len(digits) > 19 or not digits.lstrip("-").isdigit():
        raise ValueError("a number that is no size")
    return int(digits)


def _parse_entry(path: PathLike, name: str, entry: Any) -> _Span:
    """Return where a tensor lies; its shape must take as many bytes as it claims."""
    where = f"{path}: tensor {escape(name)!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"{where}: expected dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _KINDS:
        quantised = (
            ", of quantised weights; save them in float16 or float32" if re.match("F[468]_", str(dtype)) else ""
        )
        raise WeightsError(f"{where}: type {escape(dtype)}{quantised}; expected one of {', '.join(_KINDS)}")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(shape) > _MAX_AXES or len(offsets) != 2:
        raise WeightsError(f"{where}: shape or data_offsets are no lists of lengths")
    begin, end = offsets
    size = prod(shape) * files.itemsize(_KINDS[dtype])
    if end - begin != size:
        raise WeightsError(
            f"{where}: shape {escape(shape)} of {dtype} takes {size} bytes and data_offsets "
            f"{escape(offsets)} hold {end - begin}"
        )
    return _Span(_KINDS[dtype], tuple(shape), begin, end)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(n) is int and n >= 0 for n in values)


def _check_spans(path: PathLike, spans: dict[str, _Span], length: int) -> None:
    """Check that the tensors, in the order of their first bytes, fill ``length`` bytes exactly."""
    # in the order of their first bytes each tensor must begin where the one before it ends
    at = 0
    for name, (_, _, begin, end) in sorted(spans.items(), key=lambda item: (item[1].begin, item[1].end)):
        if begin != at:
            problem = (
                "overlaps the tensor before it" if begin < at else f"leaves {begin - at} bytes unused before it"
            )
            raise WeightsError(f"{path}: tensor {escape(name)!r} {problem}; expected it at byte {at} of the data")
        at = end
    if at != length:
        raise WeightsError(f"{path}: the tensors end at byte {at} of the data and the file has {length}")


def write(path: PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays to a safetensors file; it appears whole or not at all.

    The bytes of wider elements come first, so that every array is aligned in the file; the header keeps the
    order given. No second copy of the arrays is made unless one is not contiguous, and then of one at a time.

    Parameters
    ----------
    path : str or Path
    arrays : mapping of str to array
        float16/32/64, int8 to int64, uint8 to uint64 or bool.
    metadata : mapping of str to str, optional
        Free text.

    Raises
    ------
    WeightsError
        If an array is of another type, a name is ``__metadata__``, metadata are not text, or the file can't be
        written; nothing is left behind.

    """
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        files.check_name(path, name, ["__metadata__"])
        if array.dtype.str[1:] not in _NAMES:
            raise WeightsError(
                f"{path}: array {escape(name)!r} is of type {array.dtype}; expected floats, integers or bool"
            )
    metadata = dict(metadata or {})
    if not all(isinstance(item, str) for pair in metadata.items() for item in pair):
        raise WeightsError(f"{path}: metadata: expected a dictionary of text")
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    try:
        header = _encode_header(arrays, order, metadata)
    except UnicodeEncodeError as error:
        raise WeightsError(
            f"{path}: metadata have no UTF-8 form ({error.reason}); expected whole characters"
        ) from None
    with files.atomic_write(path) as file:
        file.write(header)
        for name in order:
            file.write(files.flat_bytes(arrays[name]))


def _encode_header(arrays: dict[str, np.ndarray], order: list[str], metadata: dict[str, str]) -> bytes:
    # offsets follow the order of the bytes, entries the order given
    at, offsets = 0, {}
    for name in order:
        offsets[name] = [at, at + arrays[name].nbytes]
        at += arrays[name].nbytes
    entries: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    for name, array in arrays.items():
        dtype = _NAMES[array.dtype.str[1:]]
        entries[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets[name]}
    words = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    # JSON allows spaces at the end: the data begin at a multiple of 64 bytes
    words += b" " * (-(8 + len(words)) % 64)
    return len(words).to_bytes(8, "little") + words
