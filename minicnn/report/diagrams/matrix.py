"""A confusion matrix as a diagram: counts in cells, right ones in blue, wrong ones in vermilion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicnn.errors import ShapeError
from minicnn.report.chart import COLOURS
from minicnn.report.layout import HAIRLINE, INK, PAPER, SOFT
from minicnn.report.text import font, wrap
from minicnn.report.vector import Line, write_words

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw_matrix"]

CELL, SIZE = 44, 14  # pixels
NAME = 240  # widest name in pixels
WRONG, RIGHT = COLOURS[0], COLOURS[1]


def draw_matrix(matrix: np.ndarray, labels: Sequence[str], numbers: Sequence[int], totals: np.ndarray) -> Image:
    """Diagram of a confusion matrix; the ground of a cell is the darker, the larger its share of the row's images.

    Parameters
    ----------
    matrix : ints of shape (K, K): images of each class (row) for which each class was named (column)
    labels : list of K str
    numbers : list of K ints, which stand beside the rows' names and above the columns
    totals : ints of shape (K,), the images of each row's class, of which the matrix may show some

    Returns
    -------
    PIL.Image.Image
        RGB on white.

    Raises
    ------
    ShapeError
        If these do not belong together.

    Examples
    --------
    >>> draw_matrix(np.array([[3, 1], [0, 4]]), ["cat", "dog"], [0, 1], np.array([4, 4])).mode
    'RGB'

    """
    from PIL import Image, ImageDraw

    count = len(labels)
    if not count or np.shape(matrix) != (count, count) or len(numbers) != count or np.shape(totals) != (count,):
        raise ShapeError(f"draw_matrix: expected a matrix of {count} x {count} counts, got {np.shape(matrix)}")
    typeface = font(SIZE)
    digits = [str(number) for number in numbers]
    # a class that is called by its number needs no name beside it
    names = [
        "".join(wrap(label, typeface, NAME, 1)) if label != n else ""
        for label, n in zip(labels, digits, strict=True)
    ]
    gutter = round(max(map(typeface.getlength, digits))) + 12
    left, top = max(90, round(max(map(typeface.getlength, names))) + gutter + 12), 58
    picture = Image.new("RGB", (left + CELL * count + 2, top + CELL * count + 2), PAPER)
    draw = ImageDraw.Draw(picture)
    lines = [Line(left, 8, SIZE, SOFT, "named class"), Line(4, top - 24, SIZE, SOFT, "right class")]
    for i in range(count):
        y = top + CELL * i
        lines += [
            Line(4, y + 14, SIZE, INK, names[i]),
            _centred(left - gutter // 2 - 2, y + 14, SOFT, digits[i]),
            _centred(left + CELL * i + CELL // 2, top - 24, SOFT, digits[i]),
        ]
        for j in range(count):
            share = matrix[i, j] / totals[i] if totals[i] else 0.0
            ground = _mix(RIGHT if i == j else WRONG, share)
            x = left + CELL * j
            draw.rectangle((x, y, x + CELL, y + CELL), fill=ground, outline=HAIRLINE)
            if matrix[i, j]:
                colour = PAPER if sum(ground) < 380 else INK
                lines.append(_centred(x + CELL // 2 + 1, y + 14, colour, str(matrix[i, j])))
    return write_words(picture, lines)


def _mix(colour: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """Return a colour on white, by the root of a share, so that few errors are seen too."""
    red, green, blue = (round(255 + (c - 255) * min(share, 1.0) ** 0.5) for c in colour)
    return red, green, blue


def _centred(x: int, y: int, colour: tuple[int, int, int], text: str) -> Line:
    return Line(x - round(font(SIZE).getlength(text) / 2), y, SIZE, colour, text)
