"""A contact sheet: many small pictures in rows, as for the images that activate a feature map most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from minicnn.errors import ImageError
from minicnn.report.layout import Picture, compose, fit, tile, to_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["contact_sheet"]


def contact_sheet(
    rows: Sequence[Sequence[tuple[Picture, str]]],
    headings: Sequence[str] = (),
    title: str = "",
    subtitle: str = "",
    cell: int = 180,
    metadata: Mapping[str, str] | None = None,
) -> Image:
    """Grid of pictures with captions.

    Each picture is brought to the largest size inside a square cell and keeps its aspect.

    Parameters
    ----------
    rows : sequence of sequences of (image, caption)
        Each image as for `minicnn.report.panels`; rows may differ in length.
    headings : sequence of str
        One above each row; may be shorter than `rows`.
    title, subtitle : str
    cell : int
        The side of a cell in pixels, 32 or more.
    metadata : dict of str to str, optional
        As for `minicnn.report.panels`.

    Returns
    -------
    PIL.Image.Image
        RGB on white.

    Raises
    ------
    ImageError
        If there is no picture, one of them isn't an image, or `cell` is under 32.

    See Also
    --------
    minicnn.report.panels : pictures side by side, larger

    Examples
    --------
    >>> import numpy as np
    >>> grey = np.full((8, 8), 128, np.uint8)
    >>> contact_sheet([[(grey, "first"), (grey, "second")], [(grey, "third")]], cell=32).mode
    'RGB'

    """
    rows = [list(row) for row in rows]
    if not any(rows):
        raise ImageError("contact_sheet: expected at least one (image, caption), got none")
    if cell < 32:
        raise ImageError(f"contact_sheet: expected a cell of 32 pixels or more, got {cell}")
    # captions shrink with the cells, within what can be read
    size = max(11, min(16, cell // 11))
    tiles = [_draw_row(row, cell, size) for row in rows]
    return compose(tiles, title, subtitle, headings, metadata)


def _draw_row(row: Sequence[tuple[Picture, str]], cell: int, size: int) -> list[Image]:
    pictures = [fit(to_rgb(image, "contact_sheet"), cell, cell) for image, _ in row]
    # as high as the highest picture, so that a row of wide ones leaves no gap above
    height = max((picture.height for picture in pictures), default=0)
    return [tile(p, caption, cell, height, size) for p, (_, caption) in zip(pictures, row, strict=True)]
