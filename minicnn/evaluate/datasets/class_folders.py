"""A folder for each class, of pictures that show it: labels without boxes, as ILSVRC's own folders are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from minicnn.evaluate.datasets.annotation import Annotation
from minicnn.evaluate.datasets.pictures import PLACES
from minicnn.images.folder import SUFFIXES

__all__ = ["list_class_folders", "read_class_folders"]


def list_class_folders(folder: Path) -> list[Path]:
    """Return the folders below that hold pictures, in order; not those that data sets keep all pictures in."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in PLACES)
    return [path for path in folders if any(_pictures(path))]


def read_class_folders(folders: list[Path]) -> Iterator[Annotation]:
    """Yield each picture under the name of its folder: a label, a WordNet id or a class's number."""
    for folder in folders:
        for path in sorted(_pictures(folder)):
            yield Annotation(path, (folder.name,), (), where=str(folder))


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
