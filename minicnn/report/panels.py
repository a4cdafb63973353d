"""Pictures side by side in one figure, each with its caption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from minicnn.errors import ImageError
from minicnn.report.drawing import current
from minicnn.report.layout import Picture, compose, fit, tile, to_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["panels"]

PANEL_HEIGHT = 360


def panels(
    items: Iterable[tuple[Picture, str]],
    title: str = "",
    subtitle: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Image:
    """Pictures side by side in one figure, each with its caption.

    Every picture is brought to a height of 360 pixels and keeps its aspect; one over four times as wide as high is
    brought to a width of 1440 pixels instead. Title, subtitle and captions wrap; what is too long ends in "...".
    The font has ASCII and the middle dot only: accents are dropped, other characters show as "?".

    Parameters
    ----------
    items : sequence of (image, caption)
        Each image an (H, W, 3) or (H, W) uint8 array, an (H, W) boolean mask or a PIL.Image.
    title, subtitle : str
    metadata : dict of str to str, optional
        Where the figure comes from; kept in the figure's `info`, written by `save_png`.

    Returns
    -------
    PIL.Image.Image
        RGB on white.

    Raises
    ------
    ImageError
        If there is no picture, or one of them isn't an image.

    See Also
    --------
    minicnn.report.contact_sheet : many small pictures in rows

    Examples
    --------
    >>> import numpy as np
    >>> grey = np.full((90, 120), 128, np.uint8)
    >>> panels([(grey, "before"), (grey, "after")], title="Two pictures").width
    1064

    """
    row = [_panel(image, caption) for image, caption in items]
    if not row:
        raise ImageError("panels: expected at least one (image, caption), got none")
    return compose([row], title, subtitle, metadata=metadata)


def _panel(image: Picture, caption: str) -> Image:
    fitted = fit(to_rgb(image, "panels"), 4 * PANEL_HEIGHT, PANEL_HEIGHT)
    if not current().titles:
        return tile(fitted, "", fitted.width, fitted.height)
    return tile(fitted, caption, max(fitted.width, 120), PANEL_HEIGHT)
