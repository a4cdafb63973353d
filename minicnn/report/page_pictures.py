"""Pictures of a page: a figure's panels by themselves, each as a file of bounded size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from minicnn._utils.types import PathLike

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "KEY",
    "PagePicture",
    "describe_panels",
    "describe_row",
    "encode",
    "mark_photographs",
    "page_size",
    "read_row",
    "split_figure",
]

KEY = "minicnn panels"  # the text chunk that says where a figure's pictures are
ROW = b"minicnn row "  # begins the comment of a JPEG file of pictures of one size side by side
LONGEST = 1280  # pixels of the longer side
COLOURS = 256  # up to so many a picture is kept exactly


class PagePicture(NamedTuple):
    """One picture of a figure, the words below and above it, its box (left, top, right, bottom) in pixels.

    ``few`` says that the figure has fewer colours than this picture had.
    """

    image: Image
    caption: str
    heading: str
    box: tuple[int, ...]
    few: bool = False


def describe_panels(panels: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the text chunk that says where the pictures of a figure are; see ``split_figure``."""
    return {KEY: json.dumps(list(panels))} if panels else {}


def split_figure(figure: PathLike | Image) -> list[PagePicture]:
    """Return the pictures of a figure that minicnn composed; none of any other file or picture."""
    from PIL import Image

    if isinstance(figure, Image.Image):
        return _crop(figure)
    try:
        with Image.open(figure) as image:
            return _crop(image)
    except (OSError, ValueError, TypeError, KeyError):
        return []  # whoever shows the file says what is wrong with it


def mark_photographs(figure: Image) -> dict[str, str]:
    """Return the text chunk of a figure that is about to lose colours, the pictures marked that lose some."""
    panels = [
        {**panel, "few": figure.crop(tuple(panel["box"])).getcolors(COLOURS) is None} for panel in _panels(figure)
    ]
    return describe_panels(panels)


def _panels(figure: Image) -> list[dict[str, Any]]:
    text = figure.info.get(KEY)
    return json.loads(text) if isinstance(text, str) else []


def _crop(figure: Image) -> list[PagePicture]:
    whole = figure.info.get("whole")
    panels = _panels(figure if whole is None else whole)
    # a palette would be lost with what is cut out
    source = figure.convert("RGB") if whole is None and panels else whole
    return [
        PagePicture(
            source.crop(tuple(panel["box"])),  # type: ignore[union-attr]  # None only where there are no panels
            str(panel["caption"]),
            str(panel["heading"]),
            tuple(panel["box"]),
            bool(panel.get("few", False)),
        )
        for panel in panels
    ]


def describe_row(size: Sequence[int], captions: Sequence[str]) -> bytes:
    """Return the comment of a JPEG file that holds pictures of (width, height) side by side; see ``read_row``."""
    return ROW + json.dumps({"size": list(size), "captions": list(captions)}).encode()


def read_row(file: PathLike) -> tuple[tuple[int, int], list[str]] | None:
    """Return (width, height) of the pictures side by side in a JPEG file, and their captions; None of others."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            comment = image.info.get("comment", b"")
        if not isinstance(comment, bytes) or not comment.startswith(ROW):
            return None
        row = json.loads(comment[len(ROW) :])
        width, height = row["size"]
        return (int(width), int(height)), [str(caption) for caption in row["captions"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None  # whoever shows the file says what is wrong with it


def page_size(image: Image) -> tuple[int, int]:
    """Return (width, height) in pixels of the file that ``encode`` makes of a picture."""
    from PIL import Image

    # the size alone: of one grey byte a pixel
    probe = Image.new("L", image.size)
    probe.thumbnail((LONGEST, LONGEST))
    return probe.size


def encode(image: Image, few: bool = False) -> tuple[bytes, str]:
    """Return a picture as the bytes of a file and its suffix: PNG of few colours, JPEG of many.

    Parameters
    ----------
    image : PIL.Image.Image
    few : bool
        The picture had many colours, and was dithered.

    Examples
    --------
    >>> from PIL import Image
    >>> encode(Image.new("RGB", (90, 60)))[1]
    'png'

    """
    from PIL.Image import Dither, Quantize

    image = image.convert("RGB")
    image.thumbnail((LONGEST, LONGEST))
    data = BytesIO()
    if not few and image.getcolors(COLOURS) is not None:
        image.quantize(COLOURS, Quantize.FASTOCTREE, dither=Dither.NONE).save(data, "PNG", optimize=True)
        return data.getvalue(), "png"
    image.save(data, "JPEG", quality=88, subsampling=0)
    return data.getvalue(), "jpg"
