"""COCO's annotations: one JSON file with images, categories, and boxes as corner and size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minicnn.errors import MinicnnError
from minicnn.evaluate.datasets.annotation import Annotation, Box, Skipped, parse_box
from minicnn.evaluate.datasets.pictures import PictureFolder
from minicnn.evaluate.datasets.text import read_text

__all__ = ["read_coco"]

LIMIT = 1 << 30  # bytes; the instances of COCO's training pictures are 450 MB


def read_coco(path: Path, pictures: PictureFolder) -> Iterator[Annotation | Skipped]:
    """Read one annotation a box; crowds are left out, a picture with a broken box is with the reason.

    Raises
    ------
    MinicnnError
        If it is no such file.

    """
    tables = _load(path)
    categories = {_id(category): str(category.get("name", "")) for category in tables["categories"]}
    images = {_id(image): image for image in tables["images"]}
    for number, entry in enumerate(tables["annotations"]):
        where = f"{path}, annotation {entry.get('id', number)}"
        image = images.get(_id(entry, "image_id"), {})
        # a crowd is a region with many objects, not an object
        if entry.get("iscrowd"):
            continue
        try:
            yield _read_entry(entry, image, categories, pictures, where)
        except MinicnnError as error:
            yield Skipped(pictures.describe(image.get("file_name"), where), str(error))


def _read_entry(
    entry: dict[str, Any],
    image: dict[str, Any],
    categories: dict[int | str | None, str],
    pictures: PictureFolder,
    where: str,
) -> Annotation:
    if not isinstance(image.get("file_name"), str):
        raise MinicnnError(f"{where}: no image has the id {entry.get('image_id')!r:.40} and a file_name")
    if (category := _id(entry, "category_id")) not in categories:
        raise MinicnnError(f"{where}: no category has the id {entry.get('category_id')!r:.40}")
    width, height = image.get("width"), image.get("height")
    size = None
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        size = float(width), float(height)
    path = pictures.find(image["file_name"], where)
    return Annotation(path, (categories[category],), (_read_box(entry, where),), where, size)


def _id(entry: dict[str, Any], name: str = "id") -> int | str | None:
    """Return an id, None for what can't be one."""
    value = entry.get(name)
    return value if isinstance(value, int | str) else None


def _read_box(entry: dict[str, Any], where: str) -> Box:
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(n, int | float) for n in box):
        raise MinicnnError(f"{where}: expected bbox as x, y, width, height in pixels, got {box!r:.80}")
    x, y, width, height = box
    # drawn with a mouse: a part of a pixel outside is inside
    left, top = max(x, 0.0) if x > -1 else x, max(y, 0.0) if y > -1 else y
    return parse_box([left, top, x + width, y + height], "exclusive", where)


def _load(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        value = json.loads(read_text(path, LIMIT))
    except (ValueError, RecursionError) as error:
        # our own errors are ValueErrors too
        raise error if isinstance(error, MinicnnError) else MinicnnError(f"{path}: not JSON ({error})") from None
    for name in ("images", "categories", "annotations"):
        rows = value.get(name) if isinstance(value, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise MinicnnError(
                f"{path}: no list {name!r} in it; expected COCO's instances: images, categories, boxes"
            )
    return dict(value)
