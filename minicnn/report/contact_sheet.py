"""A contact sheet: many small pictures in rows, as for the strongest stimuli of a feature map."""

from minicnn.errors import ImageError
from minicnn.report.panels import compose, fit, picture, tile

__all__ = ["contact_sheet"]


def contact_sheet(rows, headings=(), title="", subtitle="", cell=180, metadata=None):
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
    """
    rows = [list(row) for row in rows]
    if not any(rows):
        raise ImageError("contact_sheet: expected at least one (image, caption), got none")
    if cell < 32:
        raise ImageError(f"contact_sheet: expected a cell of 32 pixels or more, got {cell}")
    size = max(11, min(16, cell // 11))
    tiles = [[_tile(image, caption, cell, size) for image, caption in row] for row in rows]
    return compose(tiles, title, subtitle, headings, metadata)


def _tile(image, caption, cell, size):
    return tile(fit(picture(image, "contact_sheet"), cell, cell), caption, cell, cell, size)
