"""Inputs as they are typed: files, folders, patterns, lists of names and standard input, as one list of files."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from minicnn._utils.missing import is_pipe, missing_file
from minicnn.errors import ImageError

__all__ = ["HELP", "Failure", "Source", "Sources", "find_figures", "read_sources"]

HELP = (
    "files, folders (with all below), patterns in quotes, @FILE (names, one a line) or - (names on standard input)"
)
OUR_RECORD = b"tEXtminicnn"  # how the records of a figure begin, in the head of its file


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


def read_sources(words: Iterable[str], find: Callable[[str], Iterator[Source | Failure]] | None = None) -> Sources:
    """Return the files that words stand for; a file that is called like a pattern or list is that file.

    Parameters
    ----------
    words : what was typed
    find : yields the files that a path, a folder or a pattern stands for; images unless given

    Examples
    --------
    >>> sources = read_sources(["notebooks/images", "notebooks/images/c*.png", "none*.png"])
    >>> sources.paths[:2], len(sources.files)
    (['notebooks/images/ankle-boot.png', 'notebooks/images/chelsea.png'], 8)
    >>> sources.failures
    [Failure(item='none*.png', reason='none*.png: no file fits this pattern')]

    """
    files: dict[str, Source] = {}
    failures: list[Failure] = []
    for word in words:
        for source in _read_word(word, find or _find_images):
            if isinstance(source, Failure):
                failures.append(source)
            else:
                files.setdefault(source.path, source)
    return Sources(list(files.values()), failures)


def _read_word(word: str, find: Callable[[str], Iterator[Source | Failure]]) -> Iterator[Source | Failure]:
    is_list = word.startswith("@") and len(word) > 1 and not os.path.lexists(word)
    if word != "-" and not is_list:
        yield from find(word)
        return
    from minicnn.images.kinds import check_names

    try:
        data = sys.stdin.buffer.read() if word in ("-", "@-") else Path(word[1:]).read_bytes()
        check_names(word, data)
    except OSError as error:
        yield Failure(word, f"{word}: can't be read ({error.strerror or error})")
        return
    except ImageError as error:
        yield Failure(word, str(error))
        return
    names = _split(data)
    if not names:
        yield Failure(word, f"{word}: names no files")
    for name in names:
        yield from find(name)


def _split(data: bytes) -> list[str]:
    """Return names with line breaks between, or zero bytes, as ``find -print0`` writes."""
    separator = b"\0" if b"\0" in data else b"\n"
    names = data.removeprefix(b"\xef\xbb\xbf").split(separator)
    return [os.fsdecode(name.removesuffix(b"\r")) for name in names if name.strip()]


def _find_images(word: str) -> Iterator[Source | Failure]:
    """Find the file, the images of the folder, or those that fit the pattern."""
    if os.path.isdir(word):
        yield from _list_images(word)
    else:
        yield from _find_files(word)


def find_figures(word: str) -> Iterator[Source | Failure]:
    """Find the figures of the folder, or the files that fit the pattern; anything else stands for itself."""
    figures = [path for path in _walk(word, []) if _is_figure(path)] if os.path.isdir(word) else []
    if not figures and glob.has_magic(word):
        yield from _find_files(word)
    else:
        yield from (Source(path, os.path.basename(path)) for path in figures or [word])


def _find_files(word: str) -> Iterator[Source | Failure]:
    if os.path.lexists(word):
        yield Source(word, os.path.basename(word))
    elif not glob.has_magic(word):
        yield Failure(word, missing_file(word))
    else:
        fitting = sorted(path for path in glob.glob(word, recursive=True) if not os.path.isdir(path))
        if not fitting:
            yield Failure(word, f"{word}: no file fits this pattern")
        yield from (Source(path, os.path.basename(path)) for path in fitting)


def _list_images(folder: str) -> Iterator[Source | Failure]:
    """List the images of a folder and of all below it; figures that minicnn wrote are none of them."""
    from minicnn.images.folder import SUFFIXES

    failures: list[Failure] = []
    images = [p for p in _walk(folder, failures) if p.lower().endswith(SUFFIXES) and not _is_figure(p)]
    if not images and not failures:
        yield Failure(folder, f"{folder}: holds no images; expected files that end in {', '.join(SUFFIXES)}")
    yield from failures
    yield from (Source(path, os.path.relpath(path, folder)) for path in images)


def _walk(folder: str, failures: list[Failure]) -> list[str]:
    """Return all files below a folder that are not hidden, by name; folders that can't be read are failures."""

    def fail(error: OSError) -> None:
        failures.append(Failure(folder, f"{error.filename}: can't be read ({error.strerror})"))

    paths = []
    for here, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = (os.path.join(here, name) for name in names if not name.startswith("."))
        paths += [path for path in inside if not is_pipe(path)]
    return sorted(paths, key=lambda path: path.split(os.sep))


def _is_figure(path: str) -> bool:
    if not path.lower().endswith(".png"):
        return False
    try:
        with open(path, "rb") as file:
            return OUR_RECORD in file.read(4096)
    except OSError:
        return False  # which the loop will say
