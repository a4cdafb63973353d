"""PNG files with their provenance in text chunks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from minicnn._utils.types import PathLike
from minicnn.errors import ImageError
from minicnn.report.drawing import current
from minicnn.report.files import write_atomically
from minicnn.report.layout import Picture, to_rgb
from minicnn.report.page_pictures import KEY
from minicnn.report.vector import to_pdf, to_svg

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

__all__ = ["save_png"]


def save_png(image: Picture, path: PathLike, metadata: Mapping[str, str] | None = None) -> None:
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
    buffer = BytesIO()
    # the default level 6 takes three times as long, a tenth of a command, for a tenth of the bytes
    to_rgb(image, "save_png").save(buffer, "PNG", compress_level=2, pnginfo=_text_chunks(metadata), dpi=(144, 144))
    write_atomically(path, buffer.getvalue(), "save_png")
    if vector := current().vector:
        data = (to_svg if vector == "svg" else to_pdf)(to_rgb(image, "save_png"), metadata)
        write_atomically(Path(path).with_suffix(f".{vector}"), data, "save_png")


def _text_chunks(metadata: Mapping[str, str]) -> PngInfo:
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for key, text in metadata.items():
        if not (isinstance(key, str) and re.fullmatch(r"[ -~\xa1-\xff]{1,79}", key) and key == key.strip()):
            raise ImageError(f"save_png: expected metadata keywords of 1 to 79 Latin-1 letters, got {key!r:.100}")
        # a zero byte ends the keyword and may not be in the text; halves of surrogate pairs have no UTF-8
        chunks.add_text(key, str(text).replace("\0", "").encode("utf-8", "replace").decode("utf-8"))
    return chunks
