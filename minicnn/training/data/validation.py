"""ILSVRC-2012's validation set: one folder of 50,000 images, whose classes are told by a file elsewhere."""

from __future__ import annotations

import csv
from pathlib import Path

from minicnn.errors import MinicnnError
from minicnn.io.ilsvrc import VALIDATION, WORDNET_ID, read_ground_truth

__all__ = ["read_validation_ids"]

KIT, KAGGLE = "ILSVRC2012_validation_ground_truth.txt", "LOC_val_solution.csv"
PLACES = ("", "ILSVRC2012_devkit_t12/data", "data")  # below the folder of the images, or one of the four above it


def read_validation_ids(folder: Path, paths: list[str]) -> list[str]:
    """Return the WordNet id of each image of the validation set.

    Parameters
    ----------
    folder : Path, of the images
    paths : list of str, the images

    Raises
    ------
    MinicnnError
        If no file tells the classes, or it does not name an image.

    """
    near = [folder, *folder.absolute().parents[:4]]
    candidates = (place / below / name for place in near for name in (KAGGLE, KIT) for below in PLACES)
    truth = next((path for path in candidates if path.is_file()), None)
    if truth is None:
        raise MinicnnError(
            f"{folder}: holds images such as {VALIDATION.format(1)}.JPEG in no folders of classes; put Kaggle's "
            f"{KAGGLE}, or {KIT} and meta.mat of the development kit, beside it or above it"
        )
    ids = _read_truth(truth)
    unknown = next((path for path in paths if Path(path).stem not in ids), None)
    if unknown:
        raise MinicnnError(f"{truth}: does not name {Path(unknown).name}; expected a line for each image")
    return [ids[Path(path).stem] for path in paths]


def _read_truth(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise MinicnnError(f"{path}: can't be read ({getattr(error, 'strerror', None) or 'no text'})") from None
    lines = [line.strip() for line in lines if line.strip()]
    if path.name == KIT:
        if not all(line.isascii() and line.isdigit() for line in lines):
            raise MinicnnError(f"{path}: expected a number a line, those of the development kit's classes")
        return read_ground_truth(path, lines)
    # after the columns' names: an image, and the id and box of each object in it
    rows = [row for row in csv.reader(lines[1:]) if len(row) > 1]
    ids = {row[0]: row[1][:9] for row in rows if WORDNET_ID.match(row[1])}
    if len(ids) != len(lines) - 1:
        raise MinicnnError(f"{path}: expected lines such as 'ILSVRC2012_val_00000001,n01751748 111 108 365 342'")
    return ids
