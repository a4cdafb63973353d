"""Several curves over the same places in one chart, each named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.errors import ShapeError
from minicnn.report.layout import HAIRLINE, INK, SOFT
from minicnn.report.text import font, to_drawable
from minicnn.report.vector import Line, Stroke, draw_curves

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["COLOURS", "chart"]

SIZE = 15  # of the letters
WIDTH, HEIGHT = 760, 380  # pixels; names stand beside it, to the right
# Okabe and Ito's colours, told apart by the colour-blind too, and grey.
COLOURS = (
    (213, 94, 0),
    (0, 114, 178),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (110, 110, 110),
)
GREY = len(COLOURS) - 1


class _Axes(NamedTuple):
    """The plane of a chart: its edges in pixels, and the values at the bottom and the top."""

    left: int
    top: int
    right: int
    bottom: int
    low: float
    high: float

    def y(self, value: Any) -> Any:
        """Return how far below the top of the chart a value, or an array of them, lies, in pixels."""
        # rows of a picture are counted from the top, values from the bottom
        share = (value - self.low) / ((self.high - self.low) or 1)
        return self.bottom - share * (self.bottom - self.top)


def chart(
    curves: Mapping[str, Sequence[float] | np.ndarray],
    left: str = "",
    right: str = "",
    low: float = 0.0,
    high: float = 1.0,
    name: str = "",
    marks: Mapping[str, float] | None = None,
) -> Image:
    """Chart of curves.

    Parameters
    ----------
    curves : dict of name to sequence of finite numbers, all of one length of at least 2, evenly spaced
        From the eighth on colours are used again, by broken lines.
    left, right : str, written under the ends of the axis
    low, high : float, the ends of the other axis, low < high; they widen by fifths where a curve goes beyond
    name : str, what is measured, written above the other axis
    marks : dict of name to float in [0, 1], optional
        Places along the axis, from its left end to its right, that get a line from bottom to top.

    Returns
    -------
    PIL.Image.Image
        RGB on white.

    Raises
    ------
    ShapeError
        If there is no curve, or curves are of different lengths or not finite.

    Examples
    --------
    >>> picture = chart({"trained": [1.0, 0.4, 0.1], "shuffled": [0.2, 0.2, 0.2]}, left="first", right="last")
    >>> picture.mode, picture.height
    ('RGB', 380)

    """
    values = _stack(curves)
    step = (high - low) / 5
    # the axis is extended by whole steps until it holds every value, so that ticks stay where they were
    low -= step * max(0, np.ceil((low - values.min()) / step))
    high += step * max(0, np.ceil((values.max() - high) / step))
    typeface, marks = font(SIZE), dict(marks or {})
    legend = [to_drawable(words) for words in (*curves, *marks)]
    legend_width = round(max(map(typeface.getlength, legend))) + 50
    # rounded to the decimals that are meant; adding 0 turns -0 into 0
    ticks = np.linspace(low, high, round((high - low) / step) + 1).round(9) + 0.0
    tick_width = round(max(typeface.getlength(f"{tick:.2g}") for tick in ticks))
    axes = _Axes(max(48, tick_width + 14), 40 if name else 16, WIDTH - 16, HEIGHT - 32, low, high)
    strokes = [
        Stroke(((axes.left, axes.y(tick)), (axes.right, axes.y(tick))), 1, HAIRLINE) for tick in ticks.tolist()
    ]
    for n, place in enumerate(marks.values(), start=len(curves)):
        at, y = axes.left + place * (axes.right - axes.left), 28 + 24 * n
        strokes += _strokes(np.array([[at, axes.top], [at, axes.bottom]]), GREY)
        strokes += _strokes(np.array([[WIDTH + 14, y - 9], [WIDTH + 14, y + 9]]), GREY)
    for n, row in enumerate(values):
        x = np.linspace(axes.left, axes.right, len(row))
        strokes += _strokes(np.stack([x, axes.y(row)], axis=1), n)
        # the legend's sample of the line, in a row of 24 pixels beside the chart
        y = 28 + 24 * n
        strokes += _strokes(np.array([[WIDTH, y], [WIDTH + 28, y]]), n)
    left, right = to_drawable(left), to_drawable(right)
    lines = [Line(6, round(axes.y(tick)) - 9, SIZE, SOFT, f"{tick:.2g}") for tick in ticks]
    lines += [Line(WIDTH + 36, 19 + 24 * n, SIZE, INK, words) for n, words in enumerate(legend)]
    lines += [
        Line(6, 8, SIZE, SOFT, to_drawable(name)),
        Line(axes.left, HEIGHT - 24, SIZE, SOFT, left),
        Line(axes.right - round(typeface.getlength(right)), HEIGHT - 24, SIZE, SOFT, right),
    ]
    return draw_curves((WIDTH + legend_width, HEIGHT), strokes, lines)


def _stack(curves: Mapping[str, Sequence[float] | np.ndarray]) -> np.ndarray:
    """Return the curves as rows of one float64 array, or say what is wrong with them."""
    rows = [np.asarray(row, np.float64) for row in curves.values()]
    if not rows or any(row.ndim != 1 or row.size < 2 or row.shape != rows[0].shape for row in rows):
        raise ShapeError("chart: expected curves of two numbers or more, all of one length")
    values = np.stack(rows)
    if not np.isfinite(values).all():
        raise ShapeError("chart: expected finite numbers")
    return values


def _strokes(points: np.ndarray, n: int) -> list[Stroke]:
    """Return a line through points (N, 2) in the colour of the n-th curve; broken where colours are used again."""
    colour = COLOURS[n % len(COLOURS)]
    if n < len(COLOURS):
        return [Stroke(_pairs(points), 2, colour)]
    dashes = []
    for start, end in pairwise(points):
        count = max(2, round(np.hypot(*(end - start)) / 8))
        # 2 count + 1 points make as many strokes as gaps, and each second stretch is drawn
        dots = start + np.linspace(0, 1, 2 * count + 1)[:, None] * (end - start)
        dashes += [Stroke(_pairs(np.stack(ends)), 2, colour) for ends in zip(dots[:-1:2], dots[1::2], strict=True)]
    return dashes


def _pairs(points: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in points)
