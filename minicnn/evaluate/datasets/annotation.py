"""What every reader of a format yields: a picture's objects as its file has them, or why it has none to use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from minicnn.errors import MinicnnError

__all__ = ["CONVENTIONS", "SIDES", "Annotation", "Box", "Skipped", "parse_box"]

Box: TypeAlias = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax

CONVENTIONS = ("exclusive", "voc")
SIDES = ("xmin", "ymin", "xmax", "ymax")


class Annotation(NamedTuple):
    """Objects of one class, or one object, in a picture.

    Attributes
    ----------
    image : Path
    names : of the class; an int is its number, and any one is right
    boxes : (xmin, ymin, xmax, ymax) each, pixels from 0, the last two exclusive
    where : str, the file that says so, and the line
    size : (width, height) of the picture that the boxes are drawn on, (1, 1) for fractions; None: not said
    mask : Path of a picture that is 0 outside of the object, or None
    group : str, what it shares with other pictures (the object that it shows)

    """

    image: Path
    names: tuple[str | int, ...]
    boxes: tuple[Box, ...]
    where: str
    size: tuple[float, float] | None = None
    mask: Path | None = None
    group: str = ""


class Skipped(NamedTuple):
    """A picture that is left out.

    Attributes
    ----------
    image : str, the picture, or the file of labels if that does not say which
    reason : str, one sentence

    """

    image: str
    reason: str


def parse_box(sides: Sequence[object], convention: str, where: str) -> Box:
    """Return a box of four numbers or texts, as ``Annotation`` has it.

    Raises
    ------
    MinicnnError
        If they are no numbers, or the box has no area.

    Examples
    --------
    >>> parse_box(["1", "1", "20", "10"], "voc", "a.xml")
    (0.0, 0.0, 20.0, 10.0)

    """
    try:
        # ILSVRC has whole numbers, VOC some fractions
        xmin, ymin, xmax, ymax = (float(side or "") if isinstance(side, str) else float(side) for side in sides)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise MinicnnError(f"{where}: expected {', '.join(SIDES)} in pixels, got {list(sides)!r:.120}") from None
    # VOC counts pixels from 1 and includes the last: less 1 on all sides, and 1 more on the far ones to exclude it
    if convention == "voc":
        xmin, ymin = xmin - 1, ymin - 1
    if not (0 <= xmin < xmax < 1e6 and 0 <= ymin < ymax < 1e6):
        raise MinicnnError(
            f"{where}: a box from ({xmin:g}, {ymin:g}) to ({xmax:g}, {ymax:g}), once counted from 0, has no area "
            "inside a picture; is the convention right?"
        )
    return xmin, ymin, xmax, ymax
