"""Pictures in a row with captions, a map laid over its photograph, a box on an image; figures saved as PNG."""

import re
from io import BytesIO

import numpy as np

from minicnn.errors import ImageError, ShapeError
from minicnn.report.colour_map import checked_map, colour_map
from minicnn.report.files import write_whole
from minicnn.report.text import font, wrap

__all__ = ["draw_box", "overlay", "panels", "save_png"]

MARGIN, GAP = 40, 24
PANEL_HEIGHT = 360
TITLE_SIZE, SUBTITLE_SIZE, CAPTION_SIZE = 30, 19, 18
INK, SOFT, HAIRLINE, PAPER = (24, 26, 31), (98, 103, 114), (222, 224, 228), (255, 255, 255)
ORANGE = (242, 112, 33)
# Rec. 709 weights: how much each primary adds to the brightness of a pixel.
LUMA = np.array([0.2126, 0.7152, 0.0722])


def picture(image, where):
    """Picture of any accepted kind as a `PIL.Image` in RGB, or an ImageError that begins with the caller's name.

    Taken are (H, W, 3) and (H, W) uint8 arrays, (H, W) boolean masks and `PIL.Image`; transparency shows white.
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


def _on_white(image, where):
    from PIL import Image

    try:
        layers = image.convert("RGBA")
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{where}: can't read the {image.mode} image ({error}); save it anew as 8-bit RGB"
        ) from error
    if 0 in layers.size:
        raise ImageError(f"{where}: expected an image with pixels, got one of size {layers.size}")
    ground = Image.new("RGBA", layers.size, (*PAPER, 255))
    return Image.alpha_composite(ground, layers).convert("RGB")


def overlay(image, map, alpha=0.9, name="heat"):
    """Map in colours over its photograph.

    y = (1 - a) g + a c(m),  a = alpha |m|^0.7:  g the photograph, greyed by 60 % and dimmed to 75 % so that the
    map's colours stand out, c the colour map. Where the map is zero the photograph shows alone.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8 array, or PIL.Image
    map : (H, W) array
        0..1, or -1..1 with name="signed"; see `minicnn.report.normalise`.
    alpha : float
        Opacity of the largest value, 0..1.
    name : str
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
    """
    photograph = np.asarray(picture(image, "overlay"), dtype=np.float64)
    values = checked_map("overlay", map)
    if values.shape != photograph.shape[:2]:
        raise ShapeError(
            f"overlay: expected a map of the image's height and width {photograph.shape[:2]}, got {values.shape}; "
            "resize the map to the image"
        )
    if not 0 <= alpha <= 1:
        raise ShapeError(f"overlay: expected alpha in 0..1, got {alpha}; 0.9 is the default")
    grey = (photograph @ LUMA)[..., None]
    ground = 0.75 * (0.4 * photograph + 0.6 * grey)
    opacity = alpha * np.clip(np.abs(values), 0, 1)[..., None] ** 0.7
    mixed = (1 - opacity) * ground + opacity * colour_map(values, name)
    return np.rint(mixed).astype(np.uint8)


def fit(image, width, height):
    """Picture (RGB) at the largest size inside width x height; four times and more keeps its pixels square."""
    from PIL import Image

    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale >= 4 else Image.Resampling.LANCZOS)


def paragraph(text, width, size, colour, lines):
    """Text as a picture on white, as wide as told and as high as its lines need."""
    from PIL import Image, ImageDraw

    typeface = font(size)
    wrapped = wrap(text, typeface, width, lines)
    step = round(1.35 * size)
    result = Image.new("RGB", (width, step * len(wrapped)), PAPER)
    draw = ImageDraw.Draw(result)
    for i, line in enumerate(wrapped):
        draw.text((0, i * step), line, fill=colour, font=typeface)
    return result


def tile(image, caption, width, height, size=CAPTION_SIZE):
    """Picture (RGB) at the lower left of a space of width x height, a hairline round it, its caption beneath."""
    from PIL import Image, ImageDraw

    words = paragraph(caption, width, size, INK, lines=3)
    result = Image.new("RGB", (width, height + (size // 2 + words.height if words.height else 0)), PAPER)
    top = height - image.height
    result.paste(image, (0, top))
    ImageDraw.Draw(result).rectangle((0, top, image.width - 1, height - 1), outline=HAIRLINE)
    result.paste(words, (0, height + size // 2))
    return result


def compose(rows, title="", subtitle="", headings=(), metadata=None):
    """Rows of tiles on white paper under a title and a subtitle, each row under its heading, if it has one."""
    inner = max(480, *(sum(piece.width + GAP for piece in row) - GAP for row in rows))
    stack = [
        (0, [paragraph(title, inner, TITLE_SIZE, INK, lines=2)]),
        (4, [paragraph(subtitle, inner, SUBTITLE_SIZE, SOFT, lines=3)]),
    ]
    for i, row in enumerate(rows):
        heading = headings[i] if i < len(headings) else ""
        words = paragraph(heading, inner, SUBTITLE_SIZE, INK, lines=2)
        stack += [(GAP, [words]), (GAP // 2 if words.height else GAP, row)]
    paper = _stacked([(space, row) for space, row in stack if any(piece.height for piece in row)], inner)
    paper.info.update(metadata or {})
    return paper


def _stacked(stack, inner):
    """White paper, margins round it, with rows of pieces from top to bottom: each with the space above it."""
    from PIL import Image

    heights = [max(piece.height for piece in row) for _, row in stack]
    spaces = [0] + [space for space, _ in stack[1:]]
    paper = Image.new("RGB", (inner + 2 * MARGIN, sum(heights) + sum(spaces) + 2 * MARGIN), PAPER)
    y = MARGIN
    for (_, row), space, height in zip(stack, spaces, heights, strict=True):
        x, y = MARGIN, y + space
        for piece in row:
            paper.paste(piece, (x, y))
            x += piece.width + GAP
        y += height
    return paper


def panels(items, title="", subtitle="", metadata=None):
    """Pictures side by side in one figure, each with its caption.

    Every picture is brought to a height of 360 pixels and keeps its aspect; one over four times as wide as high is
    brought to a width of 1440 pixels instead. Title, subtitle and captions wrap, and end in "..." where room ends.
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
    """
    row = [_panel(image, caption) for image, caption in items]
    if not row:
        raise ImageError("panels: expected at least one (image, caption), got none")
    return compose([row], title, subtitle, metadata=metadata)


def _panel(image, caption):
    image = fit(picture(image, "panels"), 4 * PANEL_HEIGHT, PANEL_HEIGHT)
    return tile(image, caption, max(image.width, 120), PANEL_HEIGHT)


def save_png(image, path, metadata=None):
    """Write a picture as PNG, with its provenance in text chunks, whole or not at all.

    Parameters
    ----------
    image : PIL.Image or uint8 array
    path : str or Path
    metadata : dict of str to str, optional
        Keyword to text; keywords are 1 to 79 characters of Latin-1. By default what `panels` was given.

    Raises
    ------
    ImageError
        If `image` isn't an image, a keyword can't stand in a PNG, or the file can't be written; then nothing is
        left behind.
    """
    if metadata is None:
        metadata = {key: text for key, text in getattr(image, "info", {}).items() if isinstance(text, str)}
    buffer = BytesIO()
    # the default level 6 takes three times as long, a tenth of a command, for a tenth of the bytes
    options = {"compress_level": 2, "pnginfo": _text_chunks(metadata), "dpi": (144, 144)}
    picture(image, "save_png").save(buffer, "PNG", **options)
    write_whole(path, buffer.getvalue(), "save_png")


def _text_chunks(metadata):
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for key, text in metadata.items():
        if not (isinstance(key, str) and re.fullmatch(r"[ -~\xa1-\xff]{1,79}", key) and key == key.strip()):
            raise ImageError(f"save_png: expected metadata keywords of 1 to 79 Latin-1 letters, got {key!r:.100}")
        chunks.add_text(key, str(text).replace("\0", "").encode("utf-8", "replace").decode("utf-8"))
    return chunks


def draw_box(image, box, colour=ORANGE, label=""):
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
    """
    from PIL import ImageDraw

    result = picture(image, "draw_box")
    width, height = result.size
    left, top, right, bottom = _clipped(box, width, height)
    draw, line = ImageDraw.Draw(result), max(2, round(min(width, height) / 100))
    colour = tuple(int(c) for c in colour)
    draw.rectangle((left, top, right - 1, bottom - 1), outline=INK, width=line + 2)
    if right - left > 2 and bottom - top > 2:
        draw.rectangle((left + 1, top + 1, right - 2, bottom - 2), outline=colour, width=line)
    if label:
        _draw_label(draw, (left, top), label, colour, (width, height))
    return np.asarray(result).copy()


def _clipped(box, width, height):
    """Whole pixels of a box inside an image."""
    edges = np.asarray(box, dtype=np.float64)
    if edges.shape == (4,) and np.isfinite(edges).all():
        left, top, right, bottom = np.rint(np.clip(edges, 0, [width, height] * 2)).astype(int).tolist()
        if left < right and top < bottom:
            return left, top, right, bottom
    raise ShapeError(
        f"draw_box: expected a box (xmin, ymin, xmax, ymax) with pixels inside an image {width} wide and {height} "
        f"high, got {edges.tolist()}"
    )


def _draw_label(draw, corner, label, colour, extent):
    """Name on a filled ground, above `corner` where there is room, below it otherwise."""
    size = max(11, round(min(extent) / 20))
    typeface, pad = font(size), max(2, size // 4)
    (line,) = wrap(label, typeface, max(1, extent[0] - 2 * pad), 1) or [""]
    wide, high = round(typeface.getlength(line)) + 2 * pad, round(1.25 * size) + pad
    x = max(0, min(corner[0], extent[0] - wide))
    y = corner[1] - high if corner[1] >= high else corner[1]
    draw.rectangle((x, y, x + wide - 1, y + high - 1), fill=colour)
    draw.text((x + pad, y + pad // 2), line, fill=INK if LUMA @ colour > 110 else PAPER, font=typeface)
