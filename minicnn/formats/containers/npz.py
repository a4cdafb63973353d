"""Named arrays and text in one file: an uncompressed .npz whose arrays are mapped, not read.

The file is a zip archive of ``name.npy`` members, as ``numpy.savez`` writes them, and of text members. Arrays
begin at multiples of 64 bytes, so opening half a gigabyte takes no longer than reading the directory.
"""

from __future__ import annotations

import ast
import mmap
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers import files, zip_archive
from minicnn.formats.containers.files import escape

__all__ = ["member_names", "read", "read_header", "read_npy", "write"]

_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 10_000
_MAX_TEXT_BYTES = 16 << 20
_MAX_AXES = 32
_NUMBERS = re.compile(r"[<>|=]?(f[248]|[iu][1248]|b1|c8|c16|[SU][1-9]\d{0,5})")
_KINDS = "biufc"


def write(path: PathLike, arrays: Mapping[str, np.ndarray], text: Mapping[str, str] | None = None) -> None:
    """Write arrays and texts to one file that ``numpy.load`` reads too.

    The same content gives the same bytes. No second copy of the arrays is made unless one is not contiguous,
    and then of one at a time. The file appears whole or not at all.

    Parameters
    ----------
    path : str or Path
    arrays : mapping of str to array
        bool, integers, floats or complex numbers of any shape, kept in the order given.
    text : mapping of str to str, optional
        UTF-8 members by name, such as {"network.json": "..."}; they come first.

    Raises
    ------
    WeightsError
        If an array holds objects, a name is unfit or used twice, or the file can't be written; nothing is left
        behind.

    """
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        files.check_name(path, name)
        if array.dtype.kind not in _KINDS or not _NUMBERS.fullmatch(array.dtype.str):
            raise WeightsError(f"{path}: array {escape(name)!r} is of type {array.dtype}; expected numbers")
    texts = {name: _encode(path, name, words) for name, words in (text or {}).items()}
    zip_archive.write(path, _list_members(arrays, texts))


def _encode(path: PathLike, name: str, words: str) -> bytes:
    files.check_name(path, name)
    if name.endswith(".npy"):
        raise WeightsError(f"{path}: text {escape(name)!r} has the name of an array; expected another ending")
    try:
        return words.encode("utf-8")
    except UnicodeEncodeError as error:
        raise WeightsError(f"{path}: text {escape(name)!r} has no UTF-8 form ({error.reason})") from None


def _list_members(
    arrays: dict[str, np.ndarray], texts: dict[str, bytes]
) -> Iterator[tuple[str, list[bytes | memoryview]]]:
    for name, words in texts.items():
        yield name, [words]
    for name, array in arrays.items():
        yield f"{name}.npy", [_encode_header(array), files.flat_bytes(array)]


def _encode_header(array: np.ndarray) -> bytes:
    """Return the .npy header of ``array``, padded so that the numbers begin at a multiple of 64 bytes."""
    descr = array.dtype.newbyteorder("<").str
    words = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {array.shape!r}, }}".encode("ascii")
    # before the words: signature 6, version 2, length 2; after them a newline
    words += b" " * (-(len(_MAGIC) + 4 + len(words) + 1) % zip_archive.ALIGNMENT) + b"\n"
    return _MAGIC + b"\x01\x00" + len(words).to_bytes(2, "little") + words


def read(path: PathLike, check: bool | None = None) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read arrays and texts from a file of ``write``, ``numpy.savez`` or ``numpy.savez_compressed``.

    Parameters
    ----------
    path : str or Path
    check : bool, optional
        Whether to compare everything with its checksums, which reads all of it; by default files of up to
        64 MiB are checked. Compressed members are always checked.

    Returns
    -------
    arrays : dict of str to array
        Arrays that can't be written to, mapped from the file where they are not compressed.
    text : dict of str to str
        The members that are not arrays.

    Raises
    ------
    WeightsError
        If the file is missing, damaged or no .npz, an array holds objects (pickles are never read) or its size
        is not what its header says, or compressed members fill more than 64 MiB and 20 times the file.

    """
    data = _map(path)
    check = len(data) <= files.CHECK_LIMIT if check is None else check
    arrays, text = {}, {}
    for name, member in zip_archive.list_members(data, path).items():
        view = zip_archive.read_member(data, path, member, check or member.deflated)
        where = f"{path}: member {escape(name)!r}"
        if name.endswith(".npy"):
            arrays[name.removesuffix(".npy")] = _read_array(view, where)
        else:
            text[name] = _decode_text(view, where)
    return arrays, text


def member_names(path: PathLike) -> list[str]:
    """Return the names in a file, those of arrays with their .npy; WeightsError if it is damaged or no .npz."""
    return list(zip_archive.list_members(_map(path), path))


def _map(path: PathLike) -> mmap.mmap:
    data = files.map_file(path, "an .npz file")
    if data[:4] != b"PK\x03\x04":
        raise WeightsError(f"{path}: expected an .npz file (a zip archive), found {files.guess_file_type(data)}")
    return data


def read_npy(path: PathLike) -> np.ndarray:
    """Read the array of a .npy file, mapped from the file; it can't be written to.

    Raises
    ------
    WeightsError
        As for ``read``.

    """
    return _read_array(memoryview(files.map_file(path, "a .npy file")), str(path))


def _decode_text(view: memoryview, where: str) -> str:
    if len(view) > _MAX_TEXT_BYTES:
        raise WeightsError(
            f"{where} is no array and has {len(view)} bytes; expected text of up to {_MAX_TEXT_BYTES}"
        )
    try:
        return str(view, "utf-8")
    except UnicodeDecodeError as error:
        raise WeightsError(f"{where} is neither an array nor UTF-8 text: byte {error.start}") from None


def _read_array(view: memoryview, where: str) -> np.ndarray:
    descr, fortran, shape, start = read_header(view, where)
    if not _NUMBERS.fullmatch(descr):
        raise WeightsError(f"{where}: type {escape(descr)}; expected numbers or text (objects are pickles)")
    kind, order = descr.lstrip("<>|="), ">" if descr[0] == ">" else "<"
    given, wanted = len(view) - start, prod(shape) * files.itemsize(kind)
    if given != wanted:
        raise WeightsError(
            f"{where}: {escape(shape)} of {descr} takes {wanted} bytes and {given} follow the header"
        )
    flat = files.from_buffer(view[start:], kind, order)
    # Fortran order: row order in the reversed shape, transposed, which is a view
    return files.reshape(flat, shape[::-1], where).T if fortran else files.reshape(flat, shape, where)


def read_header(view: memoryview, where: str) -> tuple[str, bool, tuple[int, ...], int]:
    """Return type, Fortran order and shape as a .npy header has them, and the byte where the numbers begin.

    Raises
    ------
    WeightsError
        If it is no such header.

    """
    version = bytes(view[6:8])
    if bytes(view[:6]) != _MAGIC or version not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise WeightsError(f"{where}: expected a .npy array, found {files.guess_file_type(bytes(view[:512]))}")
    # version 1 has two bytes for the header's length, later ones have four
    first = 10 if version == b"\x01\x00" else 12
    start = first + int.from_bytes(view[8:first], "little")
    if not start <= min(len(view), first + _MAX_HEADER_BYTES):
        raise WeightsError(f"{where}: a header of {start - first} bytes; the file is cut short or damaged")
    fields = _parse_literal(bytes(view[first:start]))
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise WeightsError(f"{where}: the header is no dictionary of descr, fortran_order and shape")
    descr, fortran, shape = fields["descr"], fields["fortran_order"], fields["shape"]
    if not isinstance(descr, str):
        raise WeightsError(f"{where}: type {escape(descr)}; expected numbers or text")
    if not isinstance(shape, tuple) or not isinstance(fortran, bool) or len(shape) > _MAX_AXES:
        raise WeightsError(
            f"{where}: shape {escape(shape)}, Fortran order {escape(fortran)} are no shape and truth value"
        )
    if not all(type(n) is int and 0 <= n < 1 << 62 for n in shape):
        raise WeightsError(f"{where}: shape {escape(shape)}; expected lengths of 0 or more")
    return descr, fortran, shape, start


@lru_cache(maxsize=256)  # many arrays of a network have one shape
def _parse_literal(source: bytes) -> Any:
    """Return the Python literal in ``source``, or None if it is none; nothing in it is run."""
    if b"\\" in source:
        return None
    try:
        return ast.literal_eval(source.decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
