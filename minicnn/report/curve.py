"""A curve over the steps of a climb: from first value to last, lowest and highest written beside it."""

import numpy as np

from minicnn.errors import ShapeError
from minicnn.report.panels import HAIRLINE, INK, ORANGE, PAPER, SOFT
from minicnn.report.text import font

__all__ = ["curve"]

# Drawn this many times as large and then reduced, so that lines are smooth.
FINER = 3


def curve(values, width=360, height=360):
    """Picture of a curve.

    Parameters
    ----------
    values : sequence of at least one finite number, evenly spaced from left to right
    width, height : int
        In pixels, 120 or more.

    Returns
    -------
    PIL.Image.Image
        RGB on white.

    Raises
    ------
    ShapeError
        If there are no values, or they aren't finite numbers.
    """
    from PIL import Image, ImageDraw

    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ShapeError(f"curve: expected finite numbers in one row, got {values.shape}")
    low, high = float(values.min()), float(values.max())
    left, top, right, bottom = 16, 40, width - 16, height - 40
    picture = Image.new("RGB", (width * FINER, height * FINER), PAPER)
    draw = ImageDraw.Draw(picture)
    for y in (top, bottom):
        draw.line([left * FINER, y * FINER, right * FINER, y * FINER], fill=HAIRLINE, width=FINER)
    x = np.linspace(left, right, max(2, len(values)))
    y = bottom - (values - low) / ((high - low) or 1) * (bottom - top)
    points = np.stack([x, np.broadcast_to(y, x.shape)], axis=1) * FINER
    draw.line([tuple(point) for point in points.tolist()], fill=ORANGE, width=2 * FINER, joint="curve")
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    draw, typeface = ImageDraw.Draw(picture), font(15)
    draw.text((left, top - 24), f"{high:.4g}", fill=INK, font=typeface)
    draw.text((left, bottom + 6), f"{low:.4g}", fill=INK, font=typeface)
    steps = f"{len(values) - 1} steps"
    draw.text((right - typeface.getlength(steps), bottom + 6), steps, fill=SOFT, font=typeface)
    return picture
