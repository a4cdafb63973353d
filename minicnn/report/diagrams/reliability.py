"""A reliability diagram: accuracy over confidence, the gap to the diagonal, and how many answers there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minicnn.errors import ShapeError
from minicnn.report.chart import COLOURS
from minicnn.report.layout import HAIRLINE, INK, PAPER, SOFT
from minicnn.report.text import font
from minicnn.report.vector import Line, write_words

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw_reliability"]

SUPERSAMPLING = 3  # drawn so many times as large and then reduced, so that lines are smooth
SIZE = 14
SIDE, SHARES, LEFT, TOP = 390, 80, 46, 44  # pixels: of the square, of the shares below it; margins
GAP_COLOUR, BAR = (246, 190, 150), COLOURS[1]


def draw_reliability(bins: Sequence[tuple[int, float, float]]) -> Image:
    """Diagram of (count, mean confidence, accuracy) of bins of even width over [0, 1].

    Blue bars are accuracies, pale ones reach from there to the mean confidence; below are the shares of answers.

    Returns
    -------
    PIL.Image.Image
        RGB on white.

    Raises
    ------
    ShapeError
        If there are no answers.

    References
    ----------
    .. [1] Guo et al. 2017, "On calibration of modern neural networks", figure 1.

    Examples
    --------
    >>> draw_reliability([(0, float("nan"), float("nan")), (8, 0.9, 0.75)]).mode
    'RGB'

    """
    from PIL import Image

    total = sum(count for count, _, _ in bins)
    if not total:
        raise ShapeError("draw_reliability: expected bins with answers, got none")
    width, height = LEFT + SIDE + 166, TOP + SIDE + 34 + SHARES + 40
    picture = Image.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING), PAPER)
    _draw_bars(picture, bins, total)
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return write_words(picture, _words(max(count for count, _, _ in bins) / total))


def _draw_bars(picture: Image, bins: Sequence[tuple[int, float, float]], total: int) -> None:
    from PIL import ImageDraw

    draw, scale = ImageDraw.Draw(picture), SUPERSAMPLING
    bottom, base = TOP + SIDE, TOP + SIDE + 34 + SHARES

    def box(x0: float, y0: float, x1: float, y1: float, fill: tuple[int, int, int]) -> None:
        draw.rectangle([round(v * scale) for v in (x0, min(y0, y1), x1, max(y0, y1))], fill=fill)

    for tick in range(6):
        y = bottom - SIDE * tick / 5
        box(LEFT, y, LEFT + SIDE, y + 1, HAIRLINE)
    most, step = max(count for count, _, _ in bins) / total, SIDE / len(bins)
    for n, (count, confidence, accuracy) in enumerate(bins):
        if not count:
            continue
        x0, x1 = LEFT + n * step + 1.5, LEFT + (n + 1) * step - 1.5
        box(x0, bottom, x1, bottom - SIDE * accuracy, BAR)
        box(x0, bottom - SIDE * accuracy, x1, bottom - SIDE * confidence, GAP_COLOUR)
        # where the bar is above the gap, its end is still seen
        box(x0, bottom - SIDE * accuracy - 1, x1, bottom - SIDE * accuracy + 1, BAR)
        box(x0, base, x1, base - SHARES * count / total / most, SOFT)
    draw.line([round(v * scale) for v in (LEFT, bottom, LEFT + SIDE, TOP)], fill=INK, width=scale)
    box(LEFT, base, LEFT + SIDE, base + 1, HAIRLINE)
    # the legend's samples
    for n, colour in enumerate((BAR, GAP_COLOUR)):
        box(LEFT + SIDE + 16, TOP + 6 + 26 * n, LEFT + SIDE + 30, TOP + 20 + 26 * n, colour)


def _words(most: float) -> list[Line]:
    bottom, base = TOP + SIDE, TOP + SIDE + 34 + SHARES
    lines = [Line(6, round(bottom - SIDE * t / 5) - 9, SIZE, SOFT, f"{20 * t}%") for t in range(6)]
    for n, text in enumerate(("0", "confidence", "1")):
        width = round(font(SIZE).getlength(text))
        x = LEFT + round((SIDE - width) * n / 2)
        lines.append(Line(x, base + 8, SIZE, SOFT, text))
    return [
        *lines,
        Line(6, 8, SIZE, SOFT, "accuracy"),
        Line(LEFT, bottom + 8, SIZE, SOFT, f"share of the answers, up to {most:.0%}"),
        Line(LEFT + SIDE + 38, TOP + 4, SIZE, INK, "accuracy"),
        Line(LEFT + SIDE + 38, TOP + 30, SIZE, INK, "gap to confidence"),
    ]
