"""How data sets lie on disk: idx files, folders of classes, lists, arrays."""

from __future__ import annotations

import csv
import gzip
import os
import struct
import warnings
import zlib
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.formats.containers import npz
from minicnn.images.folder import SUFFIXES
from minicnn.io.ilsvrc import VALIDATION, WORDNET_ID, name_classes
from minicnn.training.data.validation import read_validation_ids

__all__ = ["read"]

Parts: TypeAlias = tuple[Any, Any, list[str]]  # images, classes, labels

IDX = {"train": "train-{}-idx{}-ubyte", "test": "t10k-{}-idx{}-ubyte"}  # as MNIST and its family name their files
KAGGLE = Path("Data", "CLS-LOC")  # where ILSVRC's images lie in Kaggle's archive, in its folder ILSVRC
FOLDERS = {"train": ("train", "training"), "test": ("val", "test", "validation", "testing")}
LARGEST = 1 << 34  # bytes of an unpacked file


def read(path: Path, part: str) -> Parts:
    """Return the images, classes and labels at a path; MinicnnError where there is no data set."""
    if path.is_dir():
        if files := _idx_files(path, part):
            return _read_idx(*files)
        return _read_folders(_find_part(path, part))
    if path.suffix.lower() == ".npz":
        return _read_arrays(path, part)
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return _read_list(path)
    raise MinicnnError(
        f"{path}: is no data set; expected a folder (idx files, or a folder a class), a CSV of paths and classes, "
        "or an .npz of images and labels"
    )


# idx, the format of MNIST


def _idx_files(folder: Path, part: str) -> list[Path]:
    """Return the files of images and labels, gzipped or not; none where the folder holds no such files."""
    stems = IDX[part].format("images", 3), IDX[part].format("labels", 1)
    matches = [
        [p for p in (folder / s, folder / f"{s}.gz", folder / s.replace("-idx", ".idx")) if p.exists()]
        for s in stems
    ]
    if not any(matches):
        return []
    if not all(matches):
        stem = next(stem for stem, files in zip(stems, matches, strict=True) if not files)
        raise MinicnnError(f"{folder}: {stem} is missing; images and labels belong together")
    return [files[0] for files in matches]


def _read_idx(images: Path, labels: Path) -> Parts:
    pixels, classes = _read_idx_file(images, 3), _read_idx_file(labels, 1)
    if len(pixels) != len(classes):
        raise MinicnnError(f"{images}: has {len(pixels)} images, and {labels.name} {len(classes)} labels")
    return pixels, classes, []


def _read_idx_file(path: Path, axes: int) -> np.ndarray:
    """Read an idx file of bytes: two zeros, type 8, the number of axes, their lengths, then the values."""
    data = _bytes_of(path)
    start = bytes(data[:4])
    if start != bytes([0, 0, 8, axes]):
        raise MinicnnError(f"{path}: is no idx file of {axes} axes of bytes; it begins with {start.hex(' ')}")
    shape = struct.unpack(f">{axes}I", bytes(data[4 : 4 + 4 * axes]).ljust(4 * axes, b"\0"))
    if len(data) != 4 + 4 * axes + prod(shape):
        raise MinicnnError(
            f"{path}: expected {prod(shape):,} values behind its header, found {len(data) - 4 - 4 * axes:,}"
        )
    return data[4 + 4 * axes :].reshape(shape)


def _bytes_of(path: Path) -> np.ndarray:
    """Return the bytes of a file: mapped, so that it may be larger than memory, unless it is gzipped."""
    try:
        if path.suffix != ".gz":
            return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
        with gzip.open(path) as file:
            data = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise MinicnnError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})") from None
    if len(data) > LARGEST:
        raise MinicnnError(f"{path}: unpacks to more than {LARGEST:,} bytes, which is too much for memory")
    return np.frombuffer(data, np.uint8)


# a folder a class


def _find_part(root: Path, part: str) -> Path:
    """Return the folder of a part of a data set, which is the root itself where there are no parts."""
    places = (root, root / KAGGLE, root / "ILSVRC" / KAGGLE)
    folders = [place / name for place in places for name in FOLDERS[part] if (place / name).is_dir()]
    if folders:
        return folders[0]
    held = [folder.name for folder in root.iterdir() if folder.is_dir()]
    if held and all(name in FOLDERS["test" if part == "train" else "train"] for name in held):
        raise MinicnnError(f"{root}: holds {', '.join(held)}; expected {' or '.join(FOLDERS[part])} beside it")
    return root


def _read_folders(root: Path) -> Parts:
    """Read image files from a folder for each class; classes are numbered in the order of the folders' names."""
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
    files = {folder.name: paths for folder in folders if (paths := _images_below(folder))}
    if files and (empty := [folder.name for folder in folders if folder.name not in files]):
        warnings.warn(
            f"{root}: {', '.join(empty[:3])}{', ...' if len(empty) > 3 else ''}: no images in it, and so no class",
            stacklevel=2,
        )
    if files:
        paths, names = [path for each in files.values() for path in each], list(files)
        classes = np.repeat(np.arange(len(files)), [len(each) for each in files.values()])
    elif paths := [str(path) for path in sorted(root.glob(VALIDATION.replace("{:08d}", "*")))]:
        ids, classes = np.unique(read_validation_ids(root, paths), return_inverse=True)
        names = ids.tolist()
    else:
        raise MinicnnError(f"{root}: holds no folders of images; expected one for each class")
    is_ilsvrc = all(WORDNET_ID.fullmatch(name) for name in names)
    return paths, classes, name_classes(names) if is_ilsvrc else names


def _images_below(folder: Path) -> list[str]:
    """Return the paths of image files, those that can't be opened too: they are named when they are read."""

    def refuse(error: OSError) -> None:
        raise MinicnnError(f"{error.filename}: can't be read ({error.strerror})")

    paths = (os.path.join(where, name) for where, _, names in os.walk(folder, onerror=refuse) for name in names)
    return sorted(path for path in paths if path.lower().endswith(SUFFIXES))


# lists


def _read_list(path: Path) -> Parts:
    """Read lines of a path, from the list's own folder, and a class: a name or a number."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file, delimiter=_delimiter(path)) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MinicnnError(
            f"{path}: can't be read as a CSV ({getattr(error, 'strerror', None) or error})"
        ) from None
    if rows and Path(rows[0][0]).suffix.lower() not in SUFFIXES:
        rows = rows[1:]  # the columns' names
    short = [row for row in rows if len(row) < 2]
    if short or not rows:
        raise MinicnnError(
            f"{path}: expected lines of a path and a class, got {short[0] if short else 'none'}; "
            f"{_delimiter(path)!r} parts them in a {path.suffix.lower()}"
        )
    names = [row[1].strip() for row in rows]
    images = [str(path.parent / row[0].strip()) for row in rows]
    if all(name.isdecimal() for name in names):
        return images, [int(name) for name in names], []
    labels = sorted(set(names))
    return images, [labels.index(name) for name in names], labels


def _delimiter(path: Path) -> str:
    return {".tsv": "\t", ".txt": " "}.get(path.suffix.lower(), ",")


# arrays


def _read_arrays(path: Path, part: str) -> Parts:
    arrays, _ = npz.read(path)
    names = ("images", "labels") if "images" in arrays else (f"x_{part}", f"y_{part}")
    if not all(name in arrays for name in names):
        raise MinicnnError(
            f"{path}: expected arrays images and labels, or x_train, y_train, x_test and y_test; "
            f"it holds {', '.join(arrays) or 'none'}"
        )
    classes = np.asarray(arrays[names[1]]).reshape(-1)
    if classes.dtype.kind != "U":
        return arrays[names[0]], classes, []
    labels, numbers = np.unique(classes, return_inverse=True)
    return arrays[names[0]], numbers, labels.tolist()
