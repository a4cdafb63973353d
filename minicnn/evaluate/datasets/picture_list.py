"""Lists of pictures: one a line, with its class behind or without; the ground truth of ILSVRC's validation set."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from minicnn.errors import MinicnnError
from minicnn.evaluate.datasets.class_names import read_lines
from minicnn.formats.containers import matlab
from minicnn.images.folder import SUFFIXES

__all__ = ["picture_name", "read_picture_list"]

VALIDATION = "ILSVRC2012_val_{:08d}"
META = "meta.mat"  # of ILSVRC-2012's development kit: which WordNet id each of its own numbers is


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
        ids = _read_wordnet_ids(path.with_name(META), path)
        unknown = next((line for line in lines if int(line) not in ids), None)
        if unknown:
            raise MinicnnError(f"{path}: class {unknown} is not in {META}; do they belong together?")
        return {VALIDATION.format(n): ids[int(line)] for n, line in enumerate(lines, 1)}
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


def _read_wordnet_ids(path: Path, listed: Path) -> dict[int, str]:
    if not path.is_file():
        raise MinicnnError(
            f"{listed}: its numbers are those of ILSVRC's development kit, in an order that is not the networks'; "
            f"put the kit's {META} beside it"
        )
    synsets: Any = matlab.read(path).get("synsets")
    try:
        return {int(s["ILSVRC2012_ID"].item()): str(s["WNID"]) for s in synsets}
    except (TypeError, KeyError, AttributeError, ValueError):
        raise MinicnnError(
            f"{path}: no synsets with ILSVRC2012_ID and WNID in it; is it of the development kit?"
        ) from None
