"""Large pictures at a size that is enough to draw them, or to cut an object out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from minicnn.images.views import Size

__all__ = ["MOST_DRAWN", "reduce_picture", "reduced_size", "reducing_factor", "scale_boxes"]

MOST_READ = 1 << 24  # pixels of a picture that is resized for a network; a photograph of 16 million stays as it is
MOST_DRAWN = 1 << 20  # pixels of a picture that is drawn or cut: six times what a figure's panel shows


def reduced_size(size: Size) -> Size:
    """Return the size (H, W) of a picture's aspect with at most 2^20 pixels; its own if it has no more.

    Examples
    --------
    >>> reduced_size((375, 500)), reduced_size((6250, 8000))
    ((375, 500), (905, 1158))

    """
    scale = (MOST_DRAWN / (size[0] * size[1])) ** 0.5
    if scale >= 1:
        return size
    height, width = (max(1, int(n * scale)) for n in size)
    # of a very long picture one side is a pixel, and the other has to be bounded by itself
    return min(height, MOST_DRAWN), min(width, MOST_DRAWN)


def reducing_factor(size: Size, least: int) -> int:
    """Return by how much a picture (H, W) is reduced as it is read, to be resized to sides of at most ``least``.

    Examples
    --------
    >>> reducing_factor((3000, 4000), 256), reducing_factor((6250, 8000), 256), reducing_factor((6250, 8000), 4000)
    (1, 2, 1)

    """
    factor = 1
    while factor < 8 and size[0] * size[1] > MOST_READ * factor**2 and min(size) >= 4 * factor * least:
        factor *= 2
    return factor


def reduce_picture(picture: Picture) -> Picture:
    """Return a picture brought to `reduced_size`; the picture itself if it has that size."""
    from PIL import Image

    height, width = reduced_size((picture.height, picture.width))
    if (width, height) == picture.size:
        return picture
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def scale_boxes(
    boxes: Sequence[Sequence[float]], size: Size, other: Size
) -> list[tuple[float, float, float, float]]:
    """Return boxes (xmin, ymin, xmax, ymax) of a picture (H, W) in the pixels of the same at another size.

    Examples
    --------
    >>> scale_boxes([(0, 10, 20, 40)], (100, 200), (50, 100))
    [(0.0, 5.0, 10.0, 20.0)]

    """
    y, x = (to / full for full, to in zip(size, other, strict=True))
    return [(xmin * x, ymin * y, xmax * x, ymax * y) for xmin, ymin, xmax, ymax in boxes]
