"""Lists of pictures: one a line, with its class behind or without; the ground truth of ILSVRC's validation set."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from minicnn.errors import MinicnnError
from minicnn.evaluate.datasets.class_names import read_lines
from minicnn.images.folder import SUFFIXES
from minicnn.io.ilsvrc import read_ground_truth

__all__ = ["picture_name", "read_picture_list"]


def read_picture_list(path: Path) -> dict[str, str | None]:
    """Return {name of a picture without its suffix: its class as written, or None}.

    A list of lone numbers is ``ILSVRC2012_validation_ground_truth.txt``: one line for each picture of the
    validation set, numbered as in the development kit and not as networks number classes; its ``meta.mat``, which
    must lie beside the list, says which WordNet ids they are.

    Raises
    ------
    MinicnnError
        If the list can't be read or is empty, or ``meta.mat`` is missing.

    """
    lines = read_lines(path)
    if not lines:
        raise MinicnnError(f"{path}: is empty; expected a picture a line")
    if all(line.isascii() and line.isdigit() for line in lines):
        return dict(read_ground_truth(path, lines))
    entries = dict(_split(line) for line in lines)
    # ILSVRC's lists number their lines from 1, which is no class
    if [word for word in entries.values() if word] == [str(n) for n in range(1, len(entries) + 1)]:
        return dict.fromkeys(entries)
    return entries


def picture_name(path: str) -> str:
    """Return the name of a picture without folders and suffix.

    Examples
    --------
    >>> picture_name("val/ILSVRC2012_val_00000001.JPEG"), picture_name("n01440764/n01440764_18")
    ('ILSVRC2012_val_00000001', 'n01440764_18')

    """
    pure = PurePosixPath(path.replace("\\", "/"))
    return pure.stem if pure.suffix.lower() in SUFFIXES else pure.name


def _split(line: str) -> tuple[str, str | None]:
    # a name may hold spaces if nothing follows it
    if line.lower().endswith(SUFFIXES):
        return picture_name(line), None
    name, _, word = line.partition(" ")
    return picture_name(name), word.strip() or None
