"""Text that fits: the font bundled with Pillow, the characters it has, and lines no wider than their place."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

__all__ = ["font", "to_drawable", "wrap"]

MAX_LENGTH = 1000
JOINTS = "_-./,:;)"
# En and em dash, minus sign; single and double quotation marks; multiplication sign; arrow.
LOOKALIKES = str.maketrans("\u2013\u2014\u2212\u2018\u2019\u201c\u201d\u00d7", "---''\"\"x") | {0x2192: "->"}


def font(size: int) -> FreeTypeFont | ImageFont:
    """Pillow's bundled font at a size in pixels; its small bitmap font where Pillow was built without FreeType."""
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except ImportError:
        return ImageFont.load_default()


def to_drawable(text: object) -> str:
    """Return text in characters that the bundled font can draw.

    That font holds ASCII and the middle dot. Accents are dropped, dashes and quotation marks become their ASCII
    kin, runs of white space become one space, and each other character becomes "?". At most 1000 characters are
    kept: no figure has space for more.

    Examples
    --------
    >>> to_drawable("caf\u00e9 \u2013 3\u00d73")
    'cafe - 3x3'

    """
    line = " ".join(str(text)[:MAX_LENGTH].translate(LOOKALIKES).split())
    pieces = unicodedata.normalize("NFKD", line.replace("·", "\0")).replace("\0", "·")
    kept = (c for c in pieces if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" or c == "·" else "?" for c in kept)


def _count_fitting(text: str, typeface: FreeTypeFont | ImageFont, width: int) -> int:
    """Return how many characters of `text` fit into `width` pixels, one at least."""
    low, high = 1, len(text)
    while low < high:
        # low characters fit, or are the one that has to; more than high don't: rounded up, so that low moves on
        middle = (low + high + 1) // 2
        low, high = (middle, high) if typeface.getlength(text[:middle]) <= width else (low, middle - 1)
    return low


def wrap(text: object, typeface: FreeTypeFont | ImageFont, width: int, lines: int) -> list[str]:
    """Break `text` into at most `lines` lines of at most `width` pixels; "..." stands for what doesn't fit.

    Lines end at a space where there is one; a word that is wider than the line is broken behind a joint, such as
    an underscore of a file's name, and loses its end to "..." if it has none.

    Examples
    --------
    >>> wrap("photos n02123045_tabby.jpg", font(16), 110, 3)
    ['photos', 'n02123045_', 'tabby.jpg']
    >>> wrap("electroencephalogram of a cat", font(16), 110, 3)
    ['electroencep...', 'of a cat']

    """
    rest = to_drawable(text)
    result: list[str] = []
    while rest and len(result) < lines:
        end = _count_fitting(rest, typeface, width)
        line = rest[:end]
        if end < len(rest):
            # the space may be the very next character, which need not fit itself
            space = rest.rfind(" ", 0, end + 1)
            joint = max(rest.rfind(character, 0, end) for character in JOINTS) + 1
            if end := max(space, 0) or joint:
                line = rest[:end]
            else:
                end = f"{rest} ".index(" ")
                line = _shorten(line, typeface, width)
        result.append(line.rstrip())
        rest = rest[end:].lstrip()
    if rest:
        result[-1] = _shorten(result[-1].removesuffix("..."), typeface, width)
    return result


def _shorten(line: str, typeface: FreeTypeFont | ImageFont, width: int) -> str:
    """Return a line that ends in "...", which characters at its end give way to."""
    start = f"{line}..."
    while len(start) > 3 and typeface.getlength(start) > width:
        start = f"{start[:-4].rstrip()}..."
    return start
