"""Which images there are: files, members of tar files, and those that tables name."""

from __future__ import annotations

import csv
import errno
import glob
import os
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from minicnn._utils.missing import is_pipe, missing_file
from minicnn.errors import MinicnnError
from minicnn.images.folder import SUFFIXES
from minicnn.images.kinds import check_names

__all__ = ["Input", "list_inputs", "modified", "read_bytes"]

COLUMNS = ("path", "image", "file", "filename")  # which of a table holds the paths: the first of these
LONGEST = 2**16  # bytes of a name in a list; systems allow 4,096


class Input(NamedTuple):
    """An image.

    Attributes
    ----------
    name : str, what it is called in answers and tables
    path : str, the file that holds it
    offset, size : int, where in the file; the whole file for a size of -1

    """

    name: str
    path: str
    offset: int = 0
    size: int = -1


def list_inputs(words: Iterable[str], leave_out: str | None = None) -> Iterator[Input]:
    """Yield the images that words stand for, one at a time: a million of them are never held.

    Parameters
    ----------
    words : image files; folders, with all below in the order of names; patterns; "-" for names on standard input,
        one a line or with zero bytes between; "@FILE" for a file of names; uncompressed tar files (WebDataset's
        shards are some); tables (``.csv``, ``.parquet``) with a column "path", "image", "file" or "filename",
        relative to the table
    leave_out : str, optional, a folder that is not looked into, such as the one that answers are written to

    Raises
    ------
    MinicnnError
        If a word stands for no file, a tar file, list or table can't be read, or a folder is the one left out.

    Examples
    --------
    >>> [image.name for image in list_inputs(["notebooks/images/c*.png"])]
    ['notebooks/images/chelsea.png', 'notebooks/images/coffee.png']

    """
    out = None if leave_out is None else os.path.realpath(leave_out)
    for word in words:
        if word in ("-", "@-"):
            yield from _each(_names(sys.stdin.buffer, word), out)
        elif word.startswith("@") and not os.path.lexists(word):
            try:
                with open(word[1:], "rb") as file:
                    yield from _each(_names(file, word), out)
            except OSError as error:
                raise MinicnnError(f"{word}: can't be read ({error.strerror})") from None
        elif not os.path.lexists(word) and glob.has_magic(word):
            fitting = sorted(path for path in glob.glob(word, recursive=True) if not os.path.isdir(path))
            if not fitting:
                raise MinicnnError(f"{word}: no file fits this pattern")
            yield from _each(fitting, out)
        elif not os.path.lexists(word):
            raise MinicnnError(missing_file(word))
        else:
            yield from _each([word], out)


def _each(paths: Iterable[str], leave_out: str | None) -> Iterator[Input]:
    """Yield the images of a folder, a tar file, or a table, or the file itself, whether or not it is there."""
    readers = {".tar": _list_tar, ".csv": _list_csv, ".parquet": _list_parquet}
    for path in paths:
        suffix = Path(path).suffix.lower()
        if os.path.isdir(path):
            yield from _walk(path, leave_out)
        elif suffix in (".tgz", ".gz"):
            raise MinicnnError(f"{path}: members of a compressed tar file can't be reached one by one; gunzip it")
        elif suffix in readers:
            yield from readers[suffix](path)
        else:
            yield Input(path, path)


def _walk(folder: str, leave_out: str | None) -> Iterator[Input]:
    """Yield the images of a folder and of all below it, by name; hidden ones are none of them."""
    real = os.path.realpath(folder)
    if real == leave_out:
        raise MinicnnError(f"{folder}: answers would lie among the images; name another folder for them")
    try:
        with os.scandir(folder) as entries:
            inside = sorted((e.name, e.is_dir()) for e in entries if not e.name.startswith("."))
    except OSError as error:
        raise MinicnnError(f"{folder}: can't be read ({error.strerror})") from None
    for name, is_folder in inside:
        path = os.path.join(folder, name)
        if is_folder:
            inner = os.path.realpath(path)
            # a link to a folder that it lies in would lead round for ever
            if inner != leave_out and not f"{real}/".startswith(f"{inner.rstrip('/')}/"):
                yield from _walk(path, leave_out)
        elif name.lower().endswith(SUFFIXES) and not is_pipe(path):
            yield Input(path, path)


def _names(file: IO[bytes], word: str) -> Iterator[str]:
    """Yield names with line breaks between, or zero bytes, as ``find -print0`` writes."""
    rest = b""
    separator = None
    while part := file.read(1 << 16):
        if separator is None:
            check_names(word, part)
        rest += part
        separator = separator or (b"\0" if b"\0" in rest else b"\n")
        *whole, rest = rest.split(separator)
        if len(rest) > LONGEST:
            raise MinicnnError(
                f"{word}: expected names of files, one a line, got one of more than {LONGEST:,} bytes"
            )
        yield from (os.fsdecode(name.removesuffix(b"\r")) for name in whole if name.strip())
    if rest.strip():
        yield os.fsdecode(rest.removesuffix(b"\r"))


def read_bytes(image: Input) -> tuple[int, bytes]:
    """Return when an image's file was changed (ns), and the image's bytes; OSError if it can't be read."""
    if is_pipe(image.path):
        raise OSError(errno.EINVAL, "is a pipe or a device, no file")
    with open(image.path, "rb") as file:
        changed = os.fstat(file.fileno()).st_mtime_ns
        if image.size < 0:
            return changed, file.read()
        file.seek(image.offset)
        return changed, file.read(image.size)


def modified(path: str) -> int | None:
    """Return when a file was changed, in nanoseconds, or None if there is none."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def _list_tar(path: str) -> Iterator[Input]:
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isreg() and member.name.lower().endswith(SUFFIXES):
                    yield Input(f"{path}/{member.name}", path, member.offset_data, member.size)
                tar.members = []  # type: ignore[attr-defined]  # a million headers are not kept
    except (tarfile.TarError, OSError) as error:
        raise MinicnnError(f"{path}: is no whole tar file ({error})") from None


def _list_csv(path: str) -> Iterator[Input]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            column = _column(path, rows.fieldnames or [])
            for row in rows:
                if any(row.values()):
                    yield _beside(path, row[column], f"line {rows.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MinicnnError(f"{path}: is no table that can be read ({error})") from None


def _list_parquet(path: str) -> Iterator[Input]:
    from minicnn.batch.rows import import_pyarrow

    import_pyarrow()
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            column = _column(path, file.schema_arrow.names)
            parts = file.iter_batches(columns=[column])
            names = (name for part in parts for name in part.column(0).to_pylist())
            for number, name in enumerate(names, 1):
                if not isinstance(name, str | None):
                    raise MinicnnError(
                        f"{path}: expected paths in the column {column}, got {type(name).__name__}; "
                        "write pictures that lie in a table to files, or to a tar file"
                    )
                yield _beside(path, name, f"row {number}")
    except (OSError, pyarrow.ArrowException) as error:
        raise MinicnnError(f"{path}: is no Parquet file that can be read ({error})") from None


def _column(path: str, names: Iterable[str]) -> str:
    names = list(names)
    for column in COLUMNS:
        if column in names:
            return column
    is_headless = any(name.lower().endswith(SUFFIXES) for name in names)
    raise MinicnnError(
        f"{path}: expected a column {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]} with the paths of images, "
        f"got {', '.join(names[:8]) or 'none'}"
        + ("; write 'path' above them as the first line" if is_headless else "")
    )


def _beside(table: str, name: str | None, place: str) -> Input:
    if not name:
        raise MinicnnError(f"{table}, {place}: names no file")
    path = name if os.path.isabs(name) else os.path.join(os.path.dirname(table), name)
    return Input(path, path)
