"""Layout on white paper: what counts as a picture, pictures brought to a size, text, tiles with captions, rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np

from minicnn.errors import ImageError
from minicnn.report.drawing import current
from minicnn.report.page_pictures import describe_panels
from minicnn.report.text import font, wrap
from minicnn.report.vector import Line

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Colour", "Picture", "compose", "fit", "paragraph", "tile", "to_rgb"]

Picture: TypeAlias = Union[np.ndarray, "Image"]  # (H, W, 3) or (H, W) uint8, (H, W) bool, or of Pillow
Colour: TypeAlias = tuple[int, int, int]

MARGIN, GAP = 40, 24
TITLE_SIZE, SUBTITLE_SIZE, CAPTION_SIZE = 30, 19, 18
# sRGB
INK, SOFT, HAIRLINE, PAPER = (24, 26, 31), (98, 103, 114), (222, 224, 228), (255, 255, 255)
ORANGE: Colour = (242, 112, 33)


def to_rgb(image: Picture, where: str) -> Image:
    """Convert a picture of any accepted kind to RGB, or raise an ImageError that begins with the caller's name.

    Accepted are (H, W, 3) and (H, W) uint8 arrays, (H, W) boolean masks and `PIL.Image`; transparency shows white.
    A picture that is RGB already is returned as it is.
    """
    from PIL import Image

    if isinstance(image, Image.Image):
        return _on_white(image, where)
    array = np.asarray(image)
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[-1] == 3
    if array.dtype != np.uint8 or not (grey or colour) or array.size == 0:
        raise ImageError(
            f"{where}: expected an image of shape (H, W, 3) or (H, W) and dtype uint8, got {array.dtype} "
            f"{array.shape}; turn a map into colours with colour_map first"
        )
    return Image.fromarray(array).convert("RGB")


def _on_white(image: Image, where: str) -> Image:
    from PIL import Image

    try:
        image.load()
        if image.mode == "RGB" and not image.has_transparency_data and 0 not in image.size:
            return image
        layers = image.convert("RGBA")
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{where}: can't read the {image.mode} image ({error}); save it anew as 8-bit RGB"
        ) from error
    if 0 in layers.size:
        raise ImageError(f"{where}: expected an image with pixels, got one of size {layers.size}")
    paper = Image.new("RGBA", layers.size, (*PAPER, 255))
    return Image.alpha_composite(paper, layers).convert("RGB")


def fit(image: Image, width: int, height: int) -> Image:
    """Resize a picture (RGB) to the largest size inside width x height; from four times on pixels stay square."""
    from PIL import Image

    # the tighter of the two sides decides, so that the aspect is kept
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    result = image.resize(size, Image.Resampling.NEAREST if scale >= 4 else Image.Resampling.LANCZOS)
    if "bare" in image.info:
        lines = [line.scaled(scale) for line in image.info["lines"]]
        result.info = {"bare": fit(image.info["bare"], width, height), "lines": lines}
    return result


def paragraph(text: str, width: int, size: int, colour: Colour, lines: int) -> Image:
    """Return text as a picture on white, as wide as told and as high as its lines need."""
    from PIL import Image, ImageDraw

    typeface = font(size)
    wrapped = wrap(text, typeface, width, lines)
    step = round(1.35 * size)
    result = Image.new("RGB", (width, step * len(wrapped)), PAPER)
    draw = ImageDraw.Draw(result)
    lines_drawn = [Line(0, i * step, size, colour, line) for i, line in enumerate(wrapped)]
    for line in lines_drawn:
        draw.text((line.x, line.y), line.text, fill=colour, font=typeface)
    result.info["lines"] = lines_drawn
    return result


def tile(image: Image, caption: str, width: int, height: int, size: int = CAPTION_SIZE) -> Image:
    """Put a picture (RGB) at the lower left of width x height pixels, a hairline round it, its caption beneath."""
    from PIL import Image, ImageDraw

    words = paragraph(caption if current().titles else "", width, size, INK, lines=3)
    result = Image.new("RGB", (width, height + (size // 2 + words.height if words.height else 0)), PAPER)
    # pictures of one row stand on one line, whatever their height, with their captions below it
    top = height - image.height
    result.paste(image, (0, top))
    ImageDraw.Draw(result).rectangle((0, top, image.width - 1, height - 1), outline=HAIRLINE)
    result.paste(words, (0, height + size // 2))
    result.info["panel"] = {"box": [0, top, image.width, height], "caption": caption}
    result.info["lines"] = [line.moved(0, height + size // 2) for line in words.info["lines"]]
    if "bare" in image.info:
        result.info["bare"] = image.info["bare"]
        result.info["lines"] += [line.moved(0, top) for line in image.info["lines"]]
    return result


def compose(
    rows: Sequence[Sequence[Image]],
    title: str = "",
    subtitle: str = "",
    headings: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
) -> Image:
    """Return rows of tiles on white paper under a title and a subtitle, each row under its heading, if any.

    Where figures have no titles (`Drawing`), rows of tiles alone, without margins.
    """
    has_titles = current().titles
    if not has_titles:
        title, subtitle, headings = "", "", ()
    # as wide as the widest row, and wide enough for a title
    inner = max(480 if has_titles else 1, *(sum(tile.width + GAP for tile in row) - GAP for row in rows))
    stack: list[tuple[int, Sequence[Image]]] = [
        (0, [paragraph(title, inner, TITLE_SIZE, INK, lines=2)]),
        (4, [paragraph(subtitle, inner, SUBTITLE_SIZE, SOFT, lines=3)]),
    ]
    for i, row in enumerate(rows):
        heading = headings[i] if i < len(headings) else ""
        words = paragraph(heading, inner, SUBTITLE_SIZE, INK, lines=4)
        words.info["heading"] = heading
        stack += [(GAP, [words]), (GAP // 2 if words.height else GAP, row)]
    # texts that are empty have no height, and take the space above them with them
    shown = [(space, row) for space, row in stack if any(tile.height for tile in row)]
    paper = _stack(shown, inner, MARGIN if has_titles else 0)
    paper.info.update(metadata or {})
    return paper


def _stack(stack: Sequence[tuple[int, Sequence[Image]]], inner: int, margin: int) -> Image:
    """Return white paper with margins, on it rows of tiles from top to bottom, each with the space above it."""
    from PIL import Image

    heights = [max(tile.height for tile in row) for _, row in stack]
    spaces = [0] + [space for space, _ in stack[1:]]
    paper = Image.new("RGB", (inner + 2 * margin, sum(heights) + sum(spaces) + 2 * margin), PAPER)
    y, heading, panels, lines, bare = margin, "", [], [], {}
    for (_, row), space, height in zip(stack, spaces, heights, strict=True):
        x, y = margin, y + space
        for tile in row:
            paper.paste(tile, (x, y))
            heading = tile.info.get("heading", heading)
            lines += [line.moved(x, y) for line in tile.info.get("lines", ())]
            if panel := tile.info.get("panel"):
                box = [a + b for a, b in zip(panel["box"], (x, y, x, y), strict=True)]
                if "bare" in tile.info:
                    bare[tuple(box)] = tile.info["bare"]
                panels.append({"box": box, "caption": panel["caption"], "heading": heading})
            x += tile.width + GAP
        y += height
    # where the pictures are, so that a page can lay them out itself
    paper.info.update(describe_panels(panels))
    paper.info.update(lines=lines, bare=bare)
    return paper
