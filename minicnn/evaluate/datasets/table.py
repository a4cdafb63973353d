"""Tables of boxes: CSV with one box a row, whatever its columns are called; and ILSVRC's table on Kaggle.

Recognised are the columns of several programs (see ``NAMES``), commas, semicolons and tabs between cells, corners
or a corner and a size, fractions of the picture (``XMin`` of Open Images), and files without a header whose rows
are ``image, x1, y1, x2, y2, class``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from minicnn.errors import MinicnnError
from minicnn.evaluate.datasets.annotation import Annotation, Box, Skipped, parse_box
from minicnn.evaluate.datasets.pictures import PictureFolder, path_inside
from minicnn.evaluate.datasets.text import read_text

__all__ = ["NAMES", "is_table", "read_table"]

# a column, and how files spell it, in small letters and without spaces, underscores and dots
NAMES: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "filename", "file", "imagefile", "imagename", "imagepath", "path", "filepath", "imageid"),
    "numbers": ("classindices", "classindex", "classid", "target"),
    "class": ("class", "classname", "label", "labelname", "name", "category", "wnid", "synset", "objectname"),
    "xmin": ("xmin", "x1", "x0", "left", "bboxxmin", "bboxx1"),
    "ymin": ("ymin", "y1", "y0", "top", "bboxymin", "bboxy1"),
    "xmax": ("xmax", "x2", "right", "bboxxmax", "bboxx2"),
    "ymax": ("ymax", "y2", "bottom", "bboxymax", "bboxy2"),
    "x": ("x", "bboxx"),
    "y": ("y", "bboxy"),
    "width": ("w", "width", "bboxw", "bboxwidth"),
    "height": ("h", "height", "bboxh", "bboxheight"),
    "mask": ("mask",),
    "object": ("object", "group"),
    "background": ("background",),
    "prediction": ("predictionstring",),
}
CORNERS, CORNER_AND_SIZE = ("xmin", "ymin", "xmax", "ymax"), ("x", "y", "width", "height")
HEADERLESS = ("image", *CORNERS, "class")

Columns: TypeAlias = dict[str, int]  # the place of each column that is known


def is_table(path: Path) -> bool:
    """Return whether a file's first line is that of a table of boxes."""
    try:
        rows = _rows(path)
        return bool(_find_columns(next(rows)[1]))
    except (MinicnnError, StopIteration):
        return False


def read_table(
    path: Path, folder: Path, pictures: PictureFolder, convention: str | None
) -> Iterator[Annotation | Skipped]:
    """Read one annotation a row; of a row that is broken, why its picture is left out.

    Parameters
    ----------
    path : of the file
    folder : that masks lie below
    pictures : where the pictures lie
    convention : "exclusive", "voc" or None, how corners are written
        None: "voc" in ILSVRC's table, else "exclusive".

    Raises
    ------
    MinicnnError
        If it is no such table, or its quotes do not match, so that no row can be trusted.

    """
    rows = _rows(path)
    header = next(rows, (1, []))[1]
    columns = _find_columns(header)
    if not columns:
        raise MinicnnError(f"{path}: {_missing(header)}")
    if _is_number(header[columns["xmin"]] if "xmin" in columns else ""):
        # the first line of a file without a header is a row
        rows = _rows(path)
    for number, cells in rows:
        row = {name: cells[place].strip() for name, place in columns.items() if place < len(cells)}
        where = f"{path}, line {number}"
        try:
            if "prediction" in columns:
                yield from list(_read_prediction(row, pictures, convention or "voc", where))
            else:
                yield _read_row(row, folder, pictures, convention or "exclusive", where)
        except MinicnnError as error:
            yield Skipped(pictures.describe(row.get("image"), where), str(error))


def _read_row(
    row: Mapping[str, str], folder: Path, pictures: PictureFolder, convention: str, where: str
) -> Annotation:
    image = pictures.find(row.get("image"), where)
    mask = row.get("mask")
    box, size = _read_box(row, convention, where)
    return Annotation(
        image=image,
        names=_read_names(row, where),
        boxes=(box,),
        where=where,
        size=size,
        mask=path_inside(folder, mask, where) if mask else None,
        group=row.get("object", ""),
    )


def _read_names(row: Mapping[str, str], where: str) -> tuple[str | int, ...]:
    """Return numbers with spaces between, or names with semicolons or bars between."""
    if "numbers" not in row and row.get("class"):
        return tuple(name for part in re.split(r"[;|]", row["class"]) if (name := part.strip()))
    words = row.get("numbers", "").split()
    # isdigit lets superscripts pass, which int does not read; isascii keeps them out
    if not words or not all(word.isascii() and word.isdigit() and len(word) < 8 for word in words):
        raise MinicnnError(
            f"{where}: class_indices: expected numbers of classes, got {row.get('numbers', '')[:60]!r}"
        )
    return tuple(int(word) for word in words)


def _read_box(row: Mapping[str, str], convention: str, where: str) -> tuple[Box, tuple[float, float] | None]:
    """Return the box, and the size of the picture that it is in if that is 1 x 1."""
    if "xmin" in row or "x" not in row:
        box = parse_box([row.get(side) for side in CORNERS], convention, where)
    else:
        try:
            x, y, width, height = (float(row.get(side, "")) for side in CORNER_AND_SIZE)
        except ValueError:
            raise MinicnnError(
                f"{where}: expected {', '.join(CORNER_AND_SIZE)} in pixels, got {row!r:.120}"
            ) from None
        # a size counts pixels; only the corner can be counted from 1
        first = 1 if convention == "voc" else 0
        box = parse_box([x - first, y - first, x - first + width, y - first + height], "exclusive", where)
    # fractions are written with a point, a box of one pixel is not
    fractions = max(box) <= 1 and any("." in row.get(side, "") for side in (*CORNERS, *CORNER_AND_SIZE))
    return box, ((1.0, 1.0) if fractions else None)


def _read_prediction(
    row: Mapping[str, str], pictures: PictureFolder, convention: str, where: str
) -> Iterator[Annotation]:
    """Yield the objects of a row of ILSVRC's table on Kaggle: WordNet id and four sides, once and again."""
    image, words = pictures.find(row.get("image"), where), row.get("prediction", "").split()
    if not words or len(words) % 5:
        raise MinicnnError(f"{where}: expected a WordNet id and four sides for each object, got {words!r:.80}")
    for n in range(0, len(words), 5):
        yield Annotation(image, (words[n],), (parse_box(words[n + 1 : n + 5], convention, where),), where)


# columns


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of its line and the cells of each row that is not empty."""
    text = read_text(path)
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    # strict, so that a quote that is never closed is an error and not the rest of the file in one cell
    table = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        for row in table:
            if any(cell.strip() for cell in row):
                yield table.line_num, row
    except csv.Error as error:
        raise MinicnnError(f"{path}, line {table.line_num}: not CSV ({error})") from None


def _find_columns(header: Sequence[str]) -> Columns:
    """Return the columns of a table of boxes, {} if one is missing."""
    if len(header) == len(HEADERLESS) and all(map(_is_number, header[1:5])):
        return {name: place for place, name in enumerate(HEADERLESS)}
    columns = _known_columns(header)
    return columns if not _missing(header) else {}


def _known_columns(header: Sequence[str]) -> Columns:
    words = [re.sub(r"[\s_.-]", "", cell).lower() for cell in header]
    # of several spellings of one column the one that stands first in NAMES
    return {
        column: next(words.index(spelling) for spelling in spellings if spelling in words)
        for column, spellings in NAMES.items()
        if not set(spellings).isdisjoint(words)
    }


def _missing(header: Sequence[str]) -> str:
    """Return what a header lacks, "" if nothing."""
    columns = _known_columns(header)
    if "prediction" in columns and "image" in columns:
        return ""
    boxes = CORNER_AND_SIZE if "x" in columns and "xmin" not in columns else CORNERS
    lacking = [name for name in ("image", *boxes) if name not in columns]
    if "numbers" not in columns and "class" not in columns:
        lacking.insert(0, "class_indices")
    shown = "image, class_indices or label, and xmin, ymin, xmax, ymax or x, y, width, height"
    return f"no column {lacking[0]!r}; expected {shown}" if lacking else ""


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
