"""A curve over the steps of an ascent: from first value to last, lowest and highest written beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicnn.errors import ShapeError
from minicnn.report.layout import HAIRLINE, INK, ORANGE, PAPER, SOFT
from minicnn.report.text import font, to_drawable
from minicnn.report.vector import Line, write_words

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["curve"]

# Drawn this many times as large and then reduced, so that lines are smooth.
SUPERSAMPLING = 3
SIZE = 15  # of the letters


def curve(values: Sequence[float] | np.ndarray, width: int = 360, height: int = 360, name: str = "") -> Image:
    """Picture of a curve.

    Parameters
    ----------
    values : sequence of at least one finite number, evenly spaced from left to right
    width, height : int
        In pixels, 120 or more.
    name : str, what is measured, written beside the highest value

    Returns
    -------
    PIL.Image.Image
        RGB on white.

    Raises
    ------
    ShapeError
        If there are no values, or they aren't finite numbers.

    Examples
    --------
    >>> curve([0.0, 0.5, 0.7], width=120, height=120).size
    (120, 120)

    """
    from PIL import Image, ImageDraw

    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ShapeError(f"curve: expected finite numbers in one row, got {values.shape}")
    low, high = float(values.min()), float(values.max())
    left, top, right, bottom = 16, 40, width - 16, height - 40
    picture = Image.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING), PAPER)
    draw = ImageDraw.Draw(picture)
    for edge in (top, bottom):
        ends = np.array([left, edge, right, edge]) * SUPERSAMPLING
        draw.line(ends.tolist(), fill=HAIRLINE, width=SUPERSAMPLING)
    # a single value is drawn as a level line, for which it takes two points
    x = np.linspace(left, right, max(2, len(values)))
    y = bottom - (values - low) / ((high - low) or 1) * (bottom - top)
    points = np.stack([x, np.broadcast_to(y, x.shape)], axis=1) * SUPERSAMPLING
    draw.line([tuple(point) for point in points.tolist()], fill=ORANGE, width=2 * SUPERSAMPLING, joint="curve")
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    words, steps = to_drawable(name), f"{len(values) - 1} steps"
    # flush right
    starts = [right - round(font(SIZE).getlength(text)) for text in (words, steps)]
    lines = [
        Line(left, top - 24, SIZE, INK, f"{high:.4g}"),
        Line(starts[0], top - 24, SIZE, SOFT, words),
        Line(left, bottom + 6, SIZE, INK, f"{low:.4g}"),
        Line(starts[1], bottom + 6, SIZE, SOFT, steps),
    ]
    return write_words(picture, lines)
