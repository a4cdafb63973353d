"""A folder of pictures whose objects are known: class, boxes and, where there are any, masks.

Two forms are read.  ``labels.csv`` has the columns image, class_indices (numbers with spaces between, any one is
right), xmin, ymin, xmax, ymax, and may have mask, object and background; further rows of one image and its classes
are further boxes.  Without that file, ``annotations/*.xml`` (or ``Annotations``, or ``*.xml``) in the PASCAL VOC
form that ILSVRC uses, whose names (WordNet ids there) become class numbers by a mapping that the user gives; masks
are looked for as ``masks/<name>.png``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import ImageError, MinicnnError
from minicnn.images import load_image

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = [
    "CONVENTIONS",
    "Example",
    "list_annotations",
    "read_classes",
    "read_dataset",
    "read_mask",
    "read_valid_mask",
]

CONVENTIONS = ("exclusive", "voc")
COLUMNS = ("image", "class_indices", "xmin", "ymin", "xmax", "ymax")
SIDES = COLUMNS[2:]
LIMIT = 64 << 20  # bytes of a file of labels
XML_LIMIT = 1 << 20

Box: TypeAlias = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax
Classes: TypeAlias = Mapping[str, int | tuple[int, ...]]  # the class, or classes, of each name


@dataclass(frozen=True)
class Example:
    """A picture and what is in it.

    Attributes
    ----------
    image : Path
    classes : ints, any one is right
    boxes : (xmin, ymin, xmax, ymax) of each thing of that class, pixels from 0, the last two exclusive
    mask : Path of a picture that is 0 outside of the object, or None
    group : str, what it shares with other pictures (the object that it shows); its own name if it shares nothing

    See Also
    --------
    minicnn.evaluate.read_dataset : what returns it, with an example

    """

    image: Path
    classes: tuple[int, ...]
    boxes: tuple[Box, ...]
    mask: Path | None = None
    group: str = ""


def read_dataset(
    folder: PathLike,
    convention: str | None = None,
    classes: Classes | None = None,
) -> list[Example]:
    r"""Pictures with known objects, in the order of the file or of the files' names.

    Parameters
    ----------
    folder : of ``labels.csv``, or of VOC annotations, and the pictures
    convention : "exclusive", "voc" or None
        How boxes are written: pixels counted from 0, xmax and ymax just outside; or from 1, xmax and ymax inside,
        which is PASCAL VOC's way.  None: "exclusive" for CSV, "voc" for XML.
    classes : mapping, for XML: the class or classes of each name; see ``read_classes``

    Returns
    -------
    examples : list of Example; a picture with objects of several classes in XML gives one for each class

    Raises
    ------
    MinicnnError
        If there are no labels, or a file of them is broken: which, and where.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = "image,class_indices,xmin,ymin,xmax,ymax\nseven.png,7,80,60,200,220\n"
    ...     _ = Path(folder, "labels.csv").write_text(table)
    ...     (example,) = read_dataset(folder)
    >>> example.image.name, example.classes, example.boxes
    ('seven.png', (7,), ((80.0, 60.0, 200.0, 220.0),))

    """
    folder = Path(folder)
    if convention not in (None, *CONVENTIONS):
        raise MinicnnError(f"convention: expected one of {CONVENTIONS}, got {convention!r}")
    if (folder / "labels.csv").is_file():
        examples = list(_read_csv(folder, convention or "exclusive"))
    else:
        examples = list(_read_xml(folder, convention or "voc", classes))
    if not examples:
        raise MinicnnError(f"{folder}: no labelled picture; expected labels.csv, or annotations/*.xml")
    return _merge_boxes(examples)


def list_annotations(folder: PathLike) -> list[Path]:
    """Return the XML files of a folder's annotations, those of the first place that has some."""
    folder = Path(folder)
    places = [p for p in (folder / "annotations", folder / "Annotations", folder) if p.is_dir()]
    return next((files for place in places if (files := sorted(place.glob("*.xml")))), [])


def read_classes(path: PathLike) -> dict[str, int]:
    """Class of each name, from a file with one name a line in the order of the classes.

    The first word of a line counts: ILSVRC's lists say ``n01440764 tench, Tinca tinca``, class 0, and so on.
    """
    # a class's number is the place of its line among those that are not empty
    names = [line.split()[0] for line in _read_text(Path(path)).splitlines() if line.strip()]
    if len(set(names)) < len(names):
        raise MinicnnError(f"{path}: a name stands on two lines; expected one class a line, its name first")
    return {name: number for number, name in enumerate(names)}


def read_mask(example: Example) -> np.ndarray | None:
    """Mask (H, W), bool, of an example, or None; ImageError if the file is broken or empty."""
    if example.mask is None:
        return None
    mask = np.asarray(load_image(example.mask).convert("L")) > 0
    if not mask.any():
        raise ImageError(f"{example.mask}: the mask is empty; expected the object's pixels above 0")
    return mask


def read_valid_mask(example: Example, size: tuple[int, int]) -> np.ndarray | None:
    """Read the mask of an example, or None, and check that boxes and mask fit the picture.

    Parameters
    ----------
    example : Example
    size : (H, W) of its picture

    Raises
    ------
    ImageError
        If the mask can't be read, or a box or the mask does not fit the picture.

    """
    height, width = size
    for box in example.boxes:
        if box[2] > width or box[3] > height:
            raise ImageError(f"{example.image}: the box {box} leaves the picture of {width} x {height} pixels")
    truth = read_mask(example)
    if truth is not None and truth.shape != size:
        raise ImageError(f"{example.mask}: a mask of {truth.shape} for a picture of {size} (height, width)")
    return truth


def _merge_boxes(examples: list[Example]) -> list[Example]:
    """Return one example for each picture and class, with all its boxes."""
    merged: dict[tuple[Path, tuple[int, ...]], Example] = {}
    for example in examples:
        key = (example.image, example.classes)
        first = merged.get(key, example)
        # the first row of a key is its own ``first``, and its box must not be counted twice
        boxes = example.boxes if first is example else (*first.boxes, *example.boxes)
        merged[key] = replace(first, boxes=boxes, mask=first.mask or example.mask)
    return list(merged.values())


# CSV


def _read_csv(folder: Path, convention: str) -> Iterator[Example]:
    path = folder / "labels.csv"
    # strict, so that a quote that is never closed is an error and not the rest of the file in one cell
    table = csv.DictReader(io.StringIO(_read_text(path)), strict=True)
    try:
        missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
        if missing:
            raise MinicnnError(f"{path}: no column {missing[0]!r}; expected {', '.join(COLUMNS)}")
        for row in table:
            where = f"{path}, line {table.line_num}"
            image = _path_inside(folder, row["image"], where)
            mask = row.get("mask")
            yield Example(
                image=image,
                classes=_parse_classes(row["class_indices"], where),
                boxes=(_parse_box([row[side] for side in SIDES], convention, where),),
                mask=_path_inside(folder, mask, where) if mask else None,
                group=row.get("object") or image.name,
            )
    except csv.Error as error:
        raise MinicnnError(f"{path}, line {table.line_num}: not CSV ({error})") from None


def _parse_classes(text: str | None, where: str) -> tuple[int, ...]:
    words = (text or "").split()
    # isdigit lets superscripts pass, which int does not read; isascii keeps them out
    if not words or not all(word.isascii() and word.isdigit() and len(word) < 8 for word in words):
        raise MinicnnError(f"{where}: class_indices: expected numbers of classes, got {(text or '')[:60]!r}")
    return tuple(dict.fromkeys(int(word) for word in words))


# PASCAL VOC


def _read_xml(folder: Path, convention: str, classes: Classes | None) -> Iterator[Example]:
    for path in list_annotations(folder):
        root = _parse_xml(path)
        name = (root.findtext("filename") or path.stem).strip()
        # ILSVRC's annotations name the picture without its suffix
        image = _find_picture(folder, name if PurePosixPath(name).suffix else f"{name}.JPEG", path)
        mask = folder / "masks" / f"{image.stem}.png"
        for thing in root.findall("object"):
            word = (thing.findtext("name") or "").strip()
            sides = [thing.findtext(f"bndbox/{side}") for side in SIDES]
            yield Example(
                image=image,
                classes=_find_classes(word, classes, path),
                boxes=(_parse_box(sides, convention, str(path)),),
                mask=mask if mask.is_file() else None,
                group=image.name,
            )


def _parse_xml(path: Path) -> Element:
    """Root of an XML file; entities, which can blow a small file up, are refused before it is parsed."""
    from xml.etree import ElementTree

    text = _read_text(path, XML_LIMIT)
    # comments may stay; what else begins so is a document type, where entities are declared, or a CDATA section
    if "<!" in text.replace("<!--", ""):
        raise MinicnnError(f"{path}: expected an annotation without a document type, which it never needs")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise MinicnnError(f"{path}: not XML ({error})") from None


def _find_picture(folder: Path, name: str, path: Path) -> Path:
    places = [f"{place}/{name}" for place in ("images", "JPEGImages", ".")]
    # each place is checked to be inside of the folder before it is looked at
    existing = [p for place in places if (p := _path_inside(folder, place, str(path))).is_file()]
    # if none exists, the first place is what the error will name when the picture is opened
    return existing[0] if existing else _path_inside(folder, places[0], str(path))


def _find_classes(word: str, classes: Classes | None, path: Path) -> tuple[int, ...]:
    if classes is None:
        raise MinicnnError(
            f"{path}: objects are named ({word[:40]!r}), not numbered; give the classes' names in order, one a "
            "line (read_classes, or --classes FILE)"
        )
    if word not in classes:
        raise MinicnnError(f"{path}: no class is named {word[:40]!r}; is the list of classes this data set's?")
    numbers = classes[word]
    return (numbers,) if isinstance(numbers, int) else tuple(numbers)


# CSV and PASCAL VOC


def _read_text(path: Path, limit: int = LIMIT) -> str:
    try:
        with open(path, "rb") as file:
            # one byte more than allowed shows that a file is too long without reading all of it
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise MinicnnError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})") from None
    if len(data) > limit:
        raise MinicnnError(f"{path}: more than {limit:,} bytes, which no list of labels needs")
    try:
        # spreadsheets put a byte order mark before the first column's name
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MinicnnError(f"{path}: not text in UTF-8; expected a file of labels") from None


def _path_inside(folder: Path, name: str | None, where: str) -> Path:
    """Path of a file below the folder; a list of labels must not make us open any other."""
    # read as Windows would read it too: backslashes part folders there, and C: is a drive
    pure = PurePosixPath((name or "").replace("\\", "/"))
    if (
        not name
        or not pure.parts
        or "\0" in name
        or pure.is_absolute()
        or ".." in pure.parts
        or ":" in pure.parts[0]
    ):
        raise MinicnnError(f"{where}: expected the name of a file inside {folder}, got {(name or '')[:80]!r}")
    return folder / pure


def _parse_box(sides: list[str | None], convention: str, where: str) -> Box:
    try:
        xmin, ymin, xmax, ymax = (
            float(side or "") for side in sides
        )  # ILSVRC has whole numbers, VOC some fractions
    except (TypeError, ValueError):
        raise MinicnnError(f"{where}: expected {', '.join(SIDES)} in pixels, got {sides!r:.120}") from None
    # VOC counts pixels from 1 and includes the last: less 1 on all sides, and 1 more on the far ones to exclude it
    if convention == "voc":
        xmin, ymin = xmin - 1, ymin - 1
    if not (0 <= xmin < xmax < 1e6 and 0 <= ymin < ymax < 1e6):
        raise MinicnnError(
            f"{where}: a box from ({xmin:g}, {ymin:g}) to ({xmax:g}, {ymax:g}), once counted from 0, has no area "
            "inside a picture; is the convention right?"
        )
    return xmin, ymin, xmax, ymax
