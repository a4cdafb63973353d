"""Several curves over the same places in one chart, each named."""

from itertools import pairwise

import numpy as np

from minicnn.errors import ShapeError
from minicnn.report.panels import HAIRLINE, INK, PAPER, SOFT
from minicnn.report.text import font, plain

__all__ = ["chart"]

# Drawn this many times as large and then reduced, so that lines are smooth.
FINER = 3
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


def chart(curves, left="", right="", low=0.0, high=1.0, width=760, height=380):
    """Chart of curves.

    Parameters
    ----------
    curves : dict of name to sequence of finite numbers, all of one length of at least 2, evenly spaced
        From the eighth on colours are used again, by broken lines.
    left, right : str, written under the ends of the axis
    low, high : float, the ends of the other axis, low < high; they widen by fifths where a curve goes beyond
    width, height : int
        In pixels, 200 or more; names stand beside it, to the right.

    Returns
    -------
    PIL.Image.Image
        RGB on white.

    Raises
    ------
    ShapeError
        If there is no curve, or curves are of different lengths or not finite.
    """
    from PIL import Image, ImageDraw

    values = _checked(curves)
    step = (high - low) / 5
    low -= step * max(0, np.ceil((low - values.min()) / step))
    high += step * max(0, np.ceil((values.max() - high) / step))
    typeface = font(15)
    beside = round(max(typeface.getlength(plain(name)) for name in curves)) + 50
    area = (48, 16, width - 16, height - 32)
    picture = Image.new("RGB", ((width + beside) * FINER, height * FINER), PAPER)
    draw = ImageDraw.Draw(picture)
    ticks = np.linspace(low, high, round((high - low) / step) + 1).round(9) + 0.0
    for tick in ticks:
        y = _down(tick, low, high, area)
        draw.line([area[0] * FINER, y * FINER, area[2] * FINER, y * FINER], fill=HAIRLINE, width=FINER)
    for n, row in enumerate(values):
        _line(draw, row, low, high, area, n)
        y = 28 + 24 * n
        _stroke(draw, np.array([[width, y], [width + 28, y]]), n)
    picture = picture.resize((width + beside, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    for tick in ticks:
        draw.text((6, _down(tick, low, high, area) - 9), f"{tick:.2g}", fill=SOFT, font=typeface)
    for n, name in enumerate(curves):
        draw.text((width + 36, 19 + 24 * n), plain(name), fill=INK, font=typeface)
    draw.text((area[0], height - 24), plain(left), fill=SOFT, font=typeface)
    draw.text((area[2] - typeface.getlength(plain(right)), height - 24), plain(right), fill=SOFT, font=typeface)
    return picture


def _checked(curves):
    rows = [np.asarray(row, np.float64) for row in curves.values()]
    if not rows or any(row.ndim != 1 or row.size < 2 or row.shape != rows[0].shape for row in rows):
        raise ShapeError("chart: expected curves of two numbers or more, all of one length")
    values = np.stack(rows)
    if not np.isfinite(values).all():
        raise ShapeError("chart: expected finite numbers")
    return values


def _down(value, low, high, area):
    return area[3] - (value - low) / ((high - low) or 1) * (area[3] - area[1])


def _line(draw, row, low, high, area, n):
    x = np.linspace(area[0], area[2], len(row))
    _stroke(draw, np.stack([x, _down(row, low, high, area)], axis=1), n)


def _stroke(draw, points, n):
    """Line through points in the colour of the n-th curve; broken where colours are used again."""
    colour, points = COLOURS[n % len(COLOURS)], points * FINER
    if n < len(COLOURS):
        draw.line([tuple(p) for p in points.tolist()], fill=colour, width=2 * FINER, joint="curve")
        return
    for start, end in pairwise(points):
        pieces = np.linspace(0, 1, 2 * max(2, round(np.hypot(*(end - start)) / (8 * FINER))) + 1)[:, None]
        dots = start + pieces * (end - start)
        for a, b in zip(dots[:-1:2], dots[1::2], strict=True):
            draw.line([*a.tolist(), *b.tolist()], fill=colour, width=2 * FINER)
