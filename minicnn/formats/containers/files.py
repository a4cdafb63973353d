"""Weight files as bytes: mapped for reading, written whole or not at all, and bytes taken as numbers."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minicnn._utils.missing import missing_file
from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError

__all__ = [
    "CHECK_LIMIT",
    "atomic_write",
    "check_name",
    "escape",
    "flat_bytes",
    "from_buffer",
    "guess_file_type",
    "itemsize",
    "map_file",
    "reshape",
]

CHECK_LIMIT = 64 << 20  # files up to this size have every checksum checked unless the caller says otherwise

_SIGNATURES = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "an empty zip archive",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x93NUMPY": "a .npy file",
    b"\x1f\x8b": "gzip data",
    b"\x80\x02": "a pickle",
    b"\x80\x04": "a pickle",
    b"MATLAB 5.0": "a MATLAB file",
}


def map_file(path: PathLike, expected: str) -> mmap.mmap:
    """Map a file into memory, to be read only.

    The bytes stay on the disc until they are read. The file must not be cut short while an array out of it
    is in use; replacing it by another of the same name, as the writers do, is safe.

    Parameters
    ----------
    path : str or Path
    expected : str
        What the file should be, with its article, for the error: "a PyTorch file".

    Raises
    ------
    WeightsError
        If there is no such file, it is a folder or empty, or it can't be read.

    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise WeightsError(f"{path}: expected {expected}, found a folder; name a file in it")
        # a pipe can't be mapped, and to open one may block
        if not stat.S_ISREG(mode):
            raise WeightsError(f"{path}: expected {expected}, found no regular file; copy it to a disc first")
        with open(path, "rb") as file:
            # an empty file can't be mapped
            if not os.fstat(file.fileno()).st_size:
                raise WeightsError(f"{path}: expected {expected}, found 0 bytes; fetch or copy the file again")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise WeightsError(missing_file(path)) from None
    except OSError as error:
        raise WeightsError(f"{path}: can't be read ({error.strerror or error}); check its permissions") from None
    except WeightsError:
        raise
    except ValueError:
        raise WeightsError(f"{escape(str(path))}: no name of a file; check the path") from None


@contextmanager
def atomic_write(path: PathLike) -> Iterator[BinaryIO]:
    """Open a temporary file, renamed to ``path`` at the end: readers see the old file or the new one.

    Raises
    ------
    WeightsError
        If the file can't be written; nothing is left behind, whatever was raised inside.

    """
    if "\0" in str(path):
        raise WeightsError(f"{escape(str(path))}: no name of a file; check the path")
    # in the same folder: a rename replaces a file only within one file system
    temporary = Path(path).parent / f".{os.urandom(8).hex()}.part"
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise WeightsError(
            f"{path}: can't be written ({error.strerror or error}); name a file in a folder that exists, "
            "allows it and has space left"
        ) from None
    finally:
        # after the rename there is nothing left to remove
        with suppress(OSError):
            temporary.unlink()


def from_buffer(buffer: memoryview | mmap.mmap | bytes, kind: str, order: str = "<") -> np.ndarray:
    r"""Return the numbers in ``buffer`` as a flat array that can't be written to.

    Nothing is copied, at whatever address it lies, unless the bytes are of the other byte order or need
    converting: a bool is any byte but 0, and a bfloat16 is the upper half of a float32, as which it comes back.

    Parameters
    ----------
    buffer : bytes-like, a whole number of elements long
    kind : str
        NumPy's code without its byte order ("f4", "i8", "b1"), or "bf16".
    order : {"<", ">"}
        Byte order in the file.

    Examples
    --------
    >>> from_buffer(b"\x80\x3f\x00\xc0", "bf16").tolist()
    [1.0, -2.0]

    """
    if kind == "bf16":
        bits = np.frombuffer(buffer, f"{order}u2").astype(np.uint32)
        bits <<= 16
        values = bits.view(np.float32)
    elif kind == "b1":
        values = np.frombuffer(buffer, np.uint8) != 0
    else:
        stored = np.frombuffer(buffer, order + kind)
        values = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    values.flags.writeable = False
    return values


def reshape(flat: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Return ``flat`` in ``shape``, of as many elements; empty arrays may not have vast other axes."""
    if prod(max(length, 1) for length in shape) * flat.itemsize >= 1 << 62:
        raise WeightsError(f"{where}: no array can have the shape {escape(shape)}")
    return flat.reshape(shape)


def check_name(path: PathLike, name: object, used: Container[str] = ()) -> None:
    """Raise for an entry whose name is no text, is too long, can't be printed or is used already."""
    if not isinstance(name, str) or not 0 < len(name) <= 1024 or not name.isprintable() or name in used:
        raise WeightsError(
            f"{path}: can't name an entry {escape(name)!r}; expected unique names of printable letters"
        )


def flat_bytes(array: np.ndarray) -> memoryview:
    r"""Return an array's elements in row order as little-endian bytes; nothing is copied if they lie so already.

    Examples
    --------
    >>> bytes(flat_bytes(np.array([1, 256], np.int16)))
    b'\x01\x00\x00\x01'

    """
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(little).reshape(-1).view(np.uint8).data


def itemsize(kind: str) -> int:
    """Return the bytes an element of ``kind`` takes in the file."""
    return 2 if kind == "bf16" else np.dtype(kind).itemsize


def guess_file_type(data: mmap.mmap | bytes) -> str:
    r"""Return what a file that is not of the expected kind seems to be, from its first bytes.

    Examples
    --------
    >>> guess_file_type(b"PK\x03\x04..."), guess_file_type(b"# a readme")
    ('a zip archive', "text that begins '# a readme'")

    """
    head = bytes(data[:512])
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    # tar has its signature behind the first member's header fields
    if head[257:262] == b"ustar":
        return "a tar archive"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head[:64]):
        return f"text that begins {escape(head[:40].decode('ascii'))!r}"
    return f"bytes that begin {head[:8].hex(' ')}"


def escape(value: object, limit: int = 80) -> str:
    r"""Return ``value``, which may come out of a hostile file, as short text that is safe to print.

    Examples
    --------
    >>> print(escape("a\0b"), escape("long" * 30, limit=12))
    a\x00b longlongl...

    """
    # repr() recurses into nested values and refuses vast integers
    try:
        text = value if isinstance(value, str) else repr(value)
    except (RecursionError, ValueError):
        text = f"a nested or vast {type(value).__name__}"
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
