"""Text files of labels: of a size that labels have, in whatever encoding."""

from __future__ import annotations

import codecs
import re
import warnings
from pathlib import Path

from minicnn._utils.missing import missing_file
from minicnn.errors import MinicnnError

__all__ = ["read_text"]

LIMIT = 64 << 20  # bytes


# byte order marks, the longest first, since that of UTF-32 begins as that of UTF-16
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path, limit: int = LIMIT) -> str:
    """Return the text of a file of labels: UTF-8 unless a byte order mark says otherwise.

    Raises
    ------
    MinicnnError
        If it can't be read, is too long, or is no text.

    Warns
    -----
    UserWarning
        If it is not in UTF-8, so that it is taken as Windows-1252, which holds Latin-1.

    """
    try:
        with open(path, "rb") as file:
            # one byte more than allowed shows that a file is too long without reading all of it
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise MinicnnError(missing_file(path)) from None
    except (OSError, ValueError) as error:
        raise MinicnnError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})") from None
    if len(data) > limit:
        raise MinicnnError(f"{path}: more than {limit:,} bytes, which no list of labels needs")
    try:
        # spreadsheets put a byte order mark before the first column's name
        return data.decode(next((name for mark, name in MARKS if data.startswith(mark)), "utf-8"))
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = "\0"
    if re.search(r"[\x00-\x08\x0e-\x1f]", text):
        raise MinicnnError(f"{path}: no text; expected a file of labels")
    warnings.warn(f"{path}: is not in UTF-8; read as Windows-1252, check the letters with accents", stacklevel=2)
    return text
