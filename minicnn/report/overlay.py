"""What is drawn over a photograph: a map in colours, a box with its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicnn.errors import ShapeError
from minicnn.report.colour_map import check_map, colour_map
from minicnn.report.layout import INK, ORANGE, PAPER, Colour, Picture, to_rgb
from minicnn.report.text import font, wrap

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

__all__ = ["draw_box", "hatch", "overlay"]

# Rec. 709 weights: how much each primary adds to the brightness of a pixel.
LUMA = np.array([0.2126, 0.7152, 0.0722])


def overlay(image: Picture, map: np.ndarray, alpha: float = 0.9, name: str | None = None) -> np.ndarray:
    """Map in colours over its photograph.

    y = (1 - a) g + a c(m),  a = alpha |m|^0.7:  g the photograph, greyed by 60 % and dimmed to 75 % so that the
    map's colours stand out, c the colour map. Where the map is zero the photograph shows alone.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8 array, or PIL.Image
    map : (H, W) array
        0..1, or -1..1 with a colour map for both signs; see `minicnn.report.normalise`.
    alpha : float
        Opacity of the largest value, 0..1.
    name : str, optional
        The colour map; see `minicnn.report.colour_map`.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ImageError
        If `image` isn't an image.
    ShapeError
        If `map` isn't a finite array of the image's height and width, or `alpha` is outside 0..1.

    See Also
    --------
    minicnn.report.normalise : brings a map of any range to 0..1

    Examples
    --------
    >>> photograph = np.full((1, 2, 3), 200, np.uint8)
    >>> overlay(photograph, np.array([[0.0, 1.0]]))[0, 0].tolist()
    [150, 150, 150]

    """
    photograph = np.asarray(to_rgb(image, "overlay"), dtype=np.float64)
    values = check_map("overlay", map)
    if values.shape != photograph.shape[:2]:
        raise ShapeError(
            f"overlay: expected a map of the image's height and width {photograph.shape[:2]}, got {values.shape}; "
            "resize the map to the image"
        )
    if not 0 <= alpha <= 1:
        raise ShapeError(f"overlay: expected alpha in 0..1, got {alpha}; 0.9 is the default")
    # (H, W, 1), which broadcasts over the channels
    grey = (photograph @ LUMA)[..., None]
    background = 0.75 * (0.4 * photograph + 0.6 * grey)
    # the power lifts weak values, which would hardly show otherwise
    opacity = alpha * np.clip(np.abs(values), 0, 1)[..., None] ** 0.7
    mixed = (1 - opacity) * background + opacity * colour_map(values, name)
    return np.rint(mixed).astype(np.uint8)


def hatch(image: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Image with diagonal stripes where no view looked, so that "not seen" is not taken for zero.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    outside : (H, W) bool array

    Returns
    -------
    (H, W, 3) uint8

    Examples
    --------
    >>> black = np.zeros((8, 8, 3), np.uint8)
    >>> bool(hatch(black, np.eye(8, dtype=bool)).any()), bool(hatch(black, np.zeros((8, 8), bool)).any())
    (True, False)

    """
    height, width = outside.shape
    # forty stripes a side, however large the image is
    period = max(4, max(height, width) // 40)
    phase = (np.arange(height)[:, None] + np.arange(width)) % period
    result = image.copy()
    result[outside] = np.where(phase[outside] < period / 3, 150, 215)[:, None]
    return result


def draw_box(image: Picture, box: Sequence[float], colour: Sequence[int] = ORANGE, label: str = "") -> np.ndarray:
    """Image with a box drawn on it, and a name on the box.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8 array, or PIL.Image
    box : (xmin, ymin, xmax, ymax)
        In pixels; xmin, ymin inclusive, xmax, ymax exclusive. What lies outside the image is cut off.
    colour : (3,) ints
        sRGB, 0..255.
    label : str
        Drawn above the box, or inside it where the image ends.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ImageError
        If `image` isn't an image.
    ShapeError
        If nothing of the box lies inside the image.

    Examples
    --------
    >>> pixels = draw_box(np.zeros((9, 9), np.uint8), (2, 2, 8, 8), colour=(0, 114, 255))
    >>> pixels[3, 3].tolist(), pixels[0, 0].tolist()
    ([0, 114, 255], [0, 0, 0])

    """
    from PIL import ImageDraw

    result = to_rgb(image, "draw_box").copy()
    width, height = result.size
    left, top, right, bottom = _clip_box(box, width, height)
    draw, line = ImageDraw.Draw(result), max(2, round(min(width, height) / 100))
    red, green, blue = (int(c) for c in colour)
    ink = (red, green, blue)
    # a dark outline, a pixel wider on both sides than the coloured one, which thus shows on any ground
    draw.rectangle((left, top, right - 1, bottom - 1), outline=INK, width=line + 2)
    if right - left > 2 and bottom - top > 2:
        draw.rectangle((left + 1, top + 1, right - 2, bottom - 2), outline=ink, width=line)
    if label:
        _draw_label(draw, (left, top), label, ink, (width, height))
    return np.asarray(result).copy()


def _clip_box(box: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """Return the whole pixels of a box inside an image."""
    edges = np.asarray(box, dtype=np.float64)
    if edges.shape == (4,) and np.isfinite(edges).all():
        # [width, height, width, height]: x and y are clipped to their own side
        left, top, right, bottom = np.rint(np.clip(edges, 0, [width, height] * 2)).astype(int).tolist()
        if left < right and top < bottom:
            return left, top, right, bottom
    raise ShapeError(
        f"draw_box: expected a box (xmin, ymin, xmax, ymax) with pixels inside an image {width} wide and {height} "
        f"high, got {edges.tolist()}"
    )


def _draw_label(
    draw: ImageDraw, corner: tuple[int, int], label: str, colour: Colour, extent: tuple[int, int]
) -> None:
    """Draw a name on a filled ground, above `corner` where there is space, below it otherwise."""
    size = max(11, round(min(extent) / 20))
    typeface, pad = font(size), max(2, size // 4)
    (line,) = wrap(label, typeface, max(1, extent[0] - 2 * pad), 1) or [""]
    wide, high = round(typeface.getlength(line)) + 2 * pad, round(1.25 * size) + pad
    # moved to the left where the name would leave the picture on the right
    x = max(0, min(corner[0], extent[0] - wide))
    y = corner[1] - high if corner[1] >= high else corner[1]
    draw.rectangle((x, y, x + wide - 1, y + high - 1), fill=colour)
    draw.text((x + pad, y + pad // 2), line, fill=INK if LUMA @ colour > 110 else PAPER, font=typeface)
