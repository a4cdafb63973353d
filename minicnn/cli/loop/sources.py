"""Inputs as they are typed: files, folders, patterns, lists of names and standard input, as one list of files."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from minicnn._utils.missing import missing_file
from minicnn.errors import ImageError

__all__ = ["HELP", "Failure", "Source", "Sources", "read_sources"]

HELP = (
    "files, folders (with all below), patterns in quotes, @FILE (names, one a line) or - (names on standard input)"
)
OUR_RECORD = b"tEXtminicnn\0"  # how the record of a figure begins, in the head of its file


class Failure(NamedTuple):
    """An input that could not be done, and why."""

    item: str
    reason: str


class Source(NamedTuple):
    """An input file.

    Attributes
    ----------
    path : str
    place : str, where it lies below the folder that was typed; its name alone if no folder was

    """

    path: str
    place: str


class Sources(NamedTuple):
    """All input files, each once, in the order in which they were typed; those of a folder in the order of names.

    Attributes
    ----------
    files : list of Source
    failures : what was typed and stands for no file

    """

    files: list[Source]
    failures: list[Failure]

    @property
    def paths(self) -> list[str]:
        """The paths of the files."""
        return [file.path for file in self.files]

    @property
    def total(self) -> int:
        """How many inputs there are, those that stand for no file among them."""
        return len(self.files) + len(self.failures)

    def check_any(self) -> None:
        """Raise ImageError if there is no file, for commands that need one."""
        if not self.files:
            raise ImageError(self.failures[0].reason)


def read_sources(words: Iterable[str]) -> Sources:
    """Return the files that words stand for; a file that is called like a pattern or list is that file.

    Examples
    --------
    >>> sources = read_sources(["notebooks/images", "notebooks/images/c*.png", "none*.png"])
    >>> sources.paths[:2], len(sources.files)
    (['notebooks/images/chelsea.png', 'notebooks/images/coffee.png'], 7)
    >>> sources.failures
    [Failure(item='none*.png', reason='none*.png: no file fits this pattern')]

    """
    files: dict[str, Source] = {}
    failures: list[Failure] = []
    for word in words:
        for source in _read_word(word):
            if isinstance(source, Failure):
                failures.append(source)
            else:
                files.setdefault(source.path, source)
    return Sources(list(files.values()), failures)


def _read_word(word: str) -> Iterator[Source | Failure]:
    is_list = word.startswith("@") and len(word) > 1 and not os.path.lexists(word)
    if word != "-" and not is_list:
        yield from _find(word)
        return
    try:
        names = _split(sys.stdin.buffer.read() if word == "-" else Path(word[1:]).read_bytes())
    except OSError as error:
        yield Failure(word, f"{word}: can't be read ({error.strerror or error})")
        return
    if not names:
        yield Failure(word, f"{word}: names no files")
    for name in names:
        yield from _find(name)


def _split(data: bytes) -> list[str]:
    """Return names with line breaks between, or zero bytes, as ``find -print0`` writes."""
    separator = b"\0" if b"\0" in data else b"\n"
    names = data.removeprefix(b"\xef\xbb\xbf").split(separator)
    return [os.fsdecode(name.removesuffix(b"\r")) for name in names if name.strip()]


def _find(word: str) -> Iterator[Source | Failure]:
    """Find the file, the files of the folder, or those that fit the pattern."""
    if os.path.isdir(word):
        yield from _list_folder(word)
    elif os.path.lexists(word):
        yield Source(word, os.path.basename(word))
    elif not glob.has_magic(word):
        yield Failure(word, missing_file(word))
    else:
        fitting = sorted(path for path in glob.glob(word, recursive=True) if not os.path.isdir(path))
        if not fitting:
            yield Failure(word, f"{word}: no file fits this pattern")
        yield from (Source(path, os.path.basename(path)) for path in fitting)


def _list_folder(folder: str) -> Iterator[Source | Failure]:
    """List the images of a folder and of all below it; figures that minicnn wrote are none of them."""
    from minicnn.images.folder import SUFFIXES

    failures: list[Failure] = []

    def fail(error: OSError) -> None:
        failures.append(Failure(folder, f"{error.filename}: can't be read ({error.strerror})"))

    images_below = []
    for here, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        images = (name for name in names if name.lower().endswith(SUFFIXES) and not name.startswith("."))
        images_below += [path for path in (os.path.join(here, name) for name in images) if not _is_figure(path)]
    if not images_below and not failures:
        yield Failure(folder, f"{folder}: holds no images; expected files that end in {', '.join(SUFFIXES)}")
    yield from failures
    for path in sorted(images_below, key=lambda path: path.split(os.sep)):
        yield Source(path, os.path.relpath(path, folder))


def _is_figure(path: str) -> bool:
    if not path.lower().endswith(".png"):
        return False
    try:
        with open(path, "rb") as file:
            return OUR_RECORD in file.read(4096)
    except OSError:
        return False  # which the loop will say
