"""PNG files with their provenance in text chunks, of few colours where that makes them small."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import ImageError
from minicnn.report.drawing import current
from minicnn.report.files import write_atomically
from minicnn.report.layout import Picture, to_rgb
from minicnn.report.page_pictures import COLOURS, KEY, mark_photographs
from minicnn.report.vector import to_pdf, to_svg

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.PngImagePlugin import PngInfo

__all__ = ["few_colours", "save_png"]

BUSY = 140_000  # pixels unlike those beside them: a quarter of a figure of three photographs


def few_colours(picture: Image) -> Image:
    """Return a picture (RGB) in 256 colours, dithered, if its file would be large: a third of the bytes, or so.

    What ``save_png`` and pages ask of it, its words and its own pictures among them, is still that of `picture`.

    Examples
    --------
    >>> import numpy as np
    >>> from PIL import Image
    >>> noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8))
    >>> few = few_colours(noise)
    >>> few.mode, len(few.getcolors()) <= 256
    ('RGB', True)

    """
    from PIL import Image
    from PIL.Image import Dither, Quantize

    codes = _codes(picture)
    flat = _is_flat(codes)
    if np.count_nonzero(~flat) <= BUSY or picture.getcolors(COLOURS) is not None:
        return picture
    palette = picture.quantize(COLOURS - 1, Quantize.FASTOCTREE, dither=Dither.NONE)
    pixels = np.array(picture.quantize(palette=palette, dither=Dither.FLOYDSTEINBERG).convert("RGB"))
    # dots would show on even ground, such as a filter's weight that is drawn as a square
    pixels[flat] = np.asarray(palette.convert("RGB"))[flat]
    pixels[codes == -1] = 255  # paper
    result = Image.fromarray(pixels)
    result.info = {**picture.info, "whole": picture}
    result.info.update(mark_photographs(picture).items())
    return result


def _codes(picture: Image) -> np.ndarray:
    """Return the colour of each pixel of a picture (RGB) as one number, int32 (H, W); white is -1."""
    return np.asarray(picture.convert("RGBA")).view(np.int32)[..., 0]


def _is_flat(codes: np.ndarray) -> np.ndarray:
    """Return whether each pixel has the colour of its neighbours to the left, right, above and below."""
    result = np.zeros(codes.shape, bool)
    inside = codes[1:-1, 1:-1]
    around = (codes[:-2, 1:-1], codes[2:, 1:-1], codes[1:-1, :-2], codes[1:-1, 2:])
    result[1:-1, 1:-1] = np.logical_and.reduce([inside == other for other in around])
    return result


def save_png(image: Picture, path: PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write a picture as PNG, pixel for pixel, with its provenance in text chunks, whole or not at all.

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

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_png(np.zeros((2, 2), np.uint8), f"{folder}/black.png", {"Title": "Night"})

    """
    if metadata is None:
        metadata = {key: text for key, text in getattr(image, "info", {}).items() if isinstance(text, str)}
    elif KEY in getattr(image, "info", {}):
        metadata = {KEY: image.info[KEY], **metadata}  # type: ignore[union-attr]  # an array has no info
    picture = to_rgb(image, "save_png")
    write_atomically(path, _encode(picture, _text_chunks(metadata)), "save_png")
    if vector := current().vector:
        data = (to_svg if vector == "svg" else to_pdf)(picture, metadata)
        write_atomically(Path(path).with_suffix(f".{vector}"), data, "save_png")


def _encode(picture: Image, chunks: PngInfo | None = None) -> bytes:
    """Return the bytes of a PNG file: with a palette if the picture has few colours, each of which is kept."""
    from PIL import Image

    # the default level 6 takes three times as long, a tenth of a command, for a tenth of the bytes
    level = 2
    if picture.getcolors(COLOURS) is not None:
        codes, (_, height) = _codes(picture), picture.size
        colours, indices = np.unique(codes, return_inverse=True)
        picture, level = Image.fromarray(indices.reshape(height, -1).astype(np.uint8)), 6
        picture.putpalette(colours.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=level, pnginfo=chunks, dpi=(144, 144))
    return buffer.getvalue()


def _text_chunks(metadata: Mapping[str, str]) -> PngInfo:
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for key, text in metadata.items():
        if not (isinstance(key, str) and re.fullmatch(r"[ -~\xa1-\xff]{1,79}", key) and key == key.strip()):
            raise ImageError(f"save_png: expected metadata keywords of 1 to 79 Latin-1 letters, got {key!r:.100}")
        # a zero byte ends the keyword and may not be in the text; halves of surrogate pairs have no UTF-8
        chunks.add_text(key, str(text).replace("\0", "").encode("utf-8", "replace").decode("utf-8"))
    return chunks
