"""Diagrams side by side at their own size, under a title."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minicnn.report.layout import compose, tile

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["frame"]


def frame(items: Sequence[tuple[Image, str]], title: str, subtitle: str) -> Image:
    """Return a figure of (diagram, caption), at least one, which are not resized, so that words stay sharp.

    Examples
    --------
    >>> from PIL import Image
    >>> frame([(Image.new("RGB", (600, 90)), "a diagram")], "Title", "").width
    680

    """
    height = max(picture.height for picture, _ in items)
    return compose(
        [[tile(picture, caption, picture.width, height) for picture, caption in items]], title, subtitle
    )
