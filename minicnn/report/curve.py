"""A curve over the steps of an ascent: from first value to last, lowest and highest written beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicnn._utils.counted import counted
from minicnn.errors import ShapeError
from minicnn.report.layout import HAIRLINE, INK, ORANGE, SOFT
from minicnn.report.text import font, to_drawable
from minicnn.report.vector import Line, Stroke, draw_curves

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["curve"]

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
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ShapeError(f"curve: expected finite numbers in one row, got {values.shape}")
    low, high = float(values.min()), float(values.max())
    left, top, right, bottom = 16, 40, width - 16, height - 40
    strokes = [Stroke(((left, edge), (right, edge)), 1, HAIRLINE) for edge in (top, bottom)]
    # a single value is drawn as a level line, for which it takes two points
    x = np.linspace(left, right, max(2, len(values)))
    y = np.broadcast_to(bottom - (values - low) / ((high - low) or 1) * (bottom - top), x.shape)
    strokes.append(Stroke(tuple(zip(x.tolist(), y.tolist(), strict=True)), 2, ORANGE))
    words, steps = to_drawable(name), counted(len(values) - 1, "step")
    # flush right
    starts = [right - round(font(SIZE).getlength(text)) for text in (words, steps)]
    lines = [
        Line(left, top - 24, SIZE, INK, f"{high:.4g}"),
        Line(starts[0], top - 24, SIZE, SOFT, words),
        Line(left, bottom + 6, SIZE, INK, f"{low:.4g}"),
        Line(starts[1], bottom + 6, SIZE, SOFT, steps),
    ]
    return draw_curves((width, height), strokes, lines)
