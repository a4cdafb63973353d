"""Which labels a folder has, and in which format: told by what the files hold.

A table of boxes, COCO's JSON, the XML of PASCAL VOC and ILSVRC, or a folder for each class; each is read by a file
of its own beside this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError
from minicnn.evaluate.datasets.annotation import Annotation, Skipped
from minicnn.evaluate.datasets.class_folders import list_class_folders, read_class_folders
from minicnn.evaluate.datasets.coco import read_coco
from minicnn.evaluate.datasets.pictures import PictureFolder
from minicnn.evaluate.datasets.table import is_table, read_table
from minicnn.evaluate.datasets.voc import list_annotations, read_voc

__all__ = ["has_annotations", "read_labels"]


def has_annotations(folder: PathLike) -> bool:
    """Return whether a folder has labels that ``read_dataset`` would read."""
    return _find_table(Path(folder)) is not None or bool(list_annotations(Path(folder)))


def read_labels(data: Path, pictures: PictureFolder, convention: str | None) -> Iterator[Annotation | Skipped]:
    """Yield what a folder or a file of labels holds; pictures that are broken as ``Skipped``."""
    table = _find_table(data) if data.is_dir() else data
    folder = data if data.is_dir() else data.parent
    if table is None and not list_annotations(folder) and (folders := list_class_folders(folder)):
        return read_class_folders(folders)
    if table is None:
        return read_voc(list_annotations(folder), folder, pictures, convention or "voc")
    if table.suffix.lower() == ".xml":
        return read_voc([table], folder, pictures, convention or "voc")
    if _looks_like_json(table):
        return read_coco(table, pictures)
    return read_table(table, folder, pictures, convention)


def _find_table(folder: Path) -> Path | None:
    """Return the table or JSON file of a folder, None if there is none; MinicnnError if there are several."""
    if (folder / "labels.csv").is_file():
        return folder / "labels.csv"
    for place in (folder, folder / "annotations", folder / "Annotations"):
        files = sorted(p for p in place.glob("*") if p.suffix.lower() in (".csv", ".tsv", ".json"))
        files = [p for p in files if p.suffix.lower() == ".json" or is_table(p)]
        # COCO's own name for the files that hold boxes
        files = [p for p in files if p.name.startswith("instances")] or files
        if len(files) > 1:
            shown = ", ".join(p.name for p in files[:4])
            raise MinicnnError(
                f"{place}: {len(files)} files of labels ({shown}); name one of them instead of the folder"
            )
        if files:
            return files[0]
    return None


def _looks_like_json(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
    except OSError as error:
        raise MinicnnError(
            f"{path}: can't be read ({error.strerror or error}); expected labels or a folder"
        ) from None
