"""Files written whole or not at all, the names of figures, folders for them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

from minicnn._utils.types import PathLike
from minicnn.errors import ImageError

__all__ = ["distinct_names", "make_folder", "open_atomically", "sanitise_filename", "write_atomically"]


Image = TypeVar("Image", str, Path)


def distinct_names(images: Sequence[Image], folder: Path, kind: str) -> dict[Image, Path]:
    """Name each image's figure, ``folder/<stem>.<kind>.png``; of images of one stem, later ones get a number.

    Parameters
    ----------
    images : sequence of str or Path
    folder : Path
    kind : str

    Returns
    -------
    names : dict from image to Path

    Examples
    --------
    >>> paths = distinct_names(["a/cat.jpg", "b/cat.jpg"], Path("out"), "saliency")
    >>> [path.name for path in paths.values()]
    ['cat.saliency.png', 'cat-2.saliency.png']

    """
    names: dict[Image, Path] = {}
    taken = set()
    for image in images:
        stem, number = Path(image).stem or "image", 1
        # the first number that is free; 1 is not written
        while (name := f"{stem}{f'-{number}' if number > 1 else ''}.{kind}.png") in taken:
            number += 1
        if image not in names:
            names[image] = folder / name
            taken.add(name)
    return names


def sanitise_filename(name: str) -> str:
    """Return a name in which each character that could be part of a path, or upset a shell, is "_".

    Examples
    --------
    >>> sanitise_filename("features/conv 1")
    'features_conv_1'

    """
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)


def make_folder(path: PathLike) -> None:
    """Make a folder, and those above it, that files can be written to; before the work that fills it.

    Raises
    ------
    ImageError
        If it can't be made or written to.

    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        # permissions do not tell of read-only file systems: only writing does
        probe = path / f".{os.urandom(8).hex()}.part"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ImageError(
            f"can't write to the folder {str(path)!r} ({error.strerror or error}); name another with --out"
        ) from error


def write_atomically(path: PathLike, data: bytes, where: str) -> None:
    """Write bytes to a file beside `path` and rename it: a reader sees the old file or the new one, never a part.

    Parameters
    ----------
    path : str or Path
    data : bytes
    where : str
        The caller's name, at the head of an error.

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(f"{folder}/a.txt", b"all of it", "example")
    ...     Path(folder, "a.txt").read_text()
    'all of it'

    """
    with open_atomically(path, where) as file:
        file.write(data)


@contextmanager
def open_atomically(path: PathLike, where: str) -> Iterator[IO[bytes]]:
    """Open a file beside `path` for writing, which gets its name once whole; errors as `write_atomically`."""
    path = Path(path)
    # beside the file, since a rename replaces a file only within one file system
    partial = path.parent / f".{os.urandom(8).hex()}.part"
    try:
        with open(partial, "xb") as file:
            yield file
        os.replace(partial, path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(
            f"{where}: can't write {str(path)!r} ({reason}); name a file in a folder that exists and allows it"
        ) from error
    finally:
        # after the rename there is no partial file left, and after a failure there may be one
        with suppress(OSError, ValueError):
            partial.unlink()
