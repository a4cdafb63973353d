"""Text files of labels: of a size that labels have, in UTF-8."""

from __future__ import annotations

from pathlib import Path

from minicnn.errors import MinicnnError

__all__ = ["read_text"]

LIMIT = 64 << 20  # bytes


def read_text(path: Path, limit: int = LIMIT) -> str:
    """Return the text of a file of labels; MinicnnError if it can't be read, is too long or is not in UTF-8."""
    try:
        with open(path, "rb") as file:
            # one byte more than allowed shows that a file is too long without reading all of it
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise MinicnnError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})") from None
    if len(data) > limit:
        raise MinicnnError(f"{path}: more than {limit:,} bytes, which no list of labels needs")
    try:
        # spreadsheets put a byte order mark before the first column's name
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MinicnnError(f"{path}: not text in UTF-8; expected a file of labels") from None
