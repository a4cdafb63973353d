"""The regions of classes over a picture, in colours that a legend names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from colorsys import hsv_to_rgb
from typing import TYPE_CHECKING

import numpy as np

from minicnn.errors import ShapeError
from minicnn.report.layout import CAPTION_SIZE, INK, Colour, Picture, compose, fit, paragraph, tile, to_rgb
from minicnn.report.overlay import LUMA

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["class_regions"]

HEIGHT, SWATCH, LEGEND_WIDTH, PER_ROW = 480, 28, 200, 4
MAX_LEGEND = 24


def class_regions(
    image: Picture,
    classes: np.ndarray,
    legend: Sequence[tuple[int, str]],
    title: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Image:
    """Picture with the region of each class in its colour, and a legend below.

    Parameters
    ----------
    image : as for `minicnn.report.panels`, of size (H, W)
    classes : (H, W) int array
        The class of each pixel; the picture alone where it is below 0.
    legend : sequence of (class, name)
        What is said below, at most 24 of them; those whose region has no pixel are left out.
    title : str
    metadata : dict of str to str, optional

    Raises
    ------
    ImageError
        If `image` isn't an image.
    ShapeError
        If `classes` has another size.

    Examples
    --------
    >>> class_regions(np.zeros((4, 4), np.uint8), np.eye(4, dtype=int), [(0, "sky"), (1, "road")]).mode
    'RGB'

    """
    from PIL import Image

    photograph = np.asarray(to_rgb(image, "class_regions"), np.float64)
    if classes.shape != photograph.shape[:2]:
        raise ShapeError(f"class_regions: classes of {classes.shape} for a picture of {photograph.shape[:2]}")
    mixed, grey = photograph.copy(), (photograph @ LUMA)[..., None]
    for c in np.unique(classes[classes >= 0]):
        mixed[classes == c] = 0.4 * grey[classes == c] + 0.6 * np.array(_colour(int(c)))
    picture = fit(Image.fromarray(np.rint(mixed).astype(np.uint8)), 2 * HEIGHT, HEIGHT)
    drawn = [(c, name) for c, name in legend if (classes == c).any()]
    swatches = [
        tile(Image.new("RGB", (SWATCH, SWATCH), _colour(c)), name, LEGEND_WIDTH, SWATCH)
        for c, name in drawn[:MAX_LEGEND]
    ]
    rows = [swatches[i : i + PER_ROW] for i in range(0, len(swatches), PER_ROW)]
    if len(drawn) > MAX_LEGEND:
        rows.append([paragraph(f"and {len(drawn) - MAX_LEGEND} more", LEGEND_WIDTH, CAPTION_SIZE, INK, lines=1)])
    return compose([[picture], *rows], title, metadata=metadata)


def _colour(c: int) -> Colour:
    """Return a class's colour: hues in steps of the golden section, so that neighbours differ, in three shades."""
    red, green, blue = hsv_to_rgb(c * 0.618034 % 1, (0.85, 0.55)[c // 3 % 2], (1.0, 0.75, 0.55)[c % 3])
    return round(255 * red), round(255 * green), round(255 * blue)
