"""One self-contained HTML page: headings, paragraphs, figures and tables; no script, nothing fetched."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

from minicnn._utils.types import PathLike
from minicnn.errors import ImageError, ShapeError
from minicnn.report.files import write_atomically

__all__ = ["HeatCell", "Section", "write_page"]

PageFigure: TypeAlias = tuple[PathLike, str, str]  # path, alternative text, caption
Table: TypeAlias = tuple[Sequence[str], Sequence[Sequence[Any]]]  # header, rows

# Control characters, halves of surrogate pairs and code points that are no characters.
FORBIDDEN = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
MAGIC = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif"}

STYLE = """
:root { color-scheme: light dark; --ink: #181a1f; --soft: #626772; --line: #dee0e4; --paper: #fff; --plate: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ec; --soft: #9aa0ac; --line: #33373f; --paper: #15171b; --plate: #fff; }
  img { filter: brightness(.92); }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55; overflow-wrap: break-word;
  font-family: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: clamp(1.25rem, 5vw, 4rem) clamp(1rem, 4vw, 2.5rem); }
h1 { margin: 0 0 2rem; font-size: clamp(1.6rem, 4vw, 2.3rem); line-height: 1.2; letter-spacing: -.015em; }
h2 { margin: 0 0 .75rem; font-size: 1.3rem; line-height: 1.3; }
section { padding: 2rem 0; border-top: 1px solid var(--line); }
p { max-width: 44rem; margin: 0 0 1rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem; margin: 1.25rem 0; }
figure { margin: 0; flex: 0 1 auto; min-width: min(12rem, 100%); max-width: 100%; }
figure img { display: block; max-width: 100%; height: auto; background: var(--plate); border-radius: .4rem;
  border: 1px solid var(--line); }
figcaption { margin-top: .5rem; width: 0; min-width: 100%; color: var(--soft); font-size: .9rem; }
.table { overflow-x: auto; margin: 1.25rem 0; }
table { border-collapse: collapse; font-size: .95rem; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem 1.5rem .45rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; border-bottom-width: 2px; }
.number { text-align: right; white-space: nowrap; }
.wide { font-size: .8rem; }
.wide th, .wide td { padding-right: .7rem; }
tr > :last-child { padding-right: 0; }
"""


class HeatCell(NamedTuple):
    """A cell of a table whose ground is the greener, the better its value is.

    Attributes
    ----------
    text : str, of several lines if it likes
    heat : float in [0, 1], 1 the best of its column

    Examples
    --------
    >>> str(HeatCell("95.1%", 1.0))
    '95.1%'

    """

    text: str
    heat: float

    def __str__(self) -> str:
        """Return the text alone."""
        return self.text


@dataclass(frozen=True)
class Section:
    """A part of a page, under its own heading; what is left out doesn't appear.

    Parameters
    ----------
    title : str
    paragraphs : sequence of str
        Plain text; no markup is read.
    figures : sequence of (path, alt, caption)
        Paths of pictures from where the program runs; `alt` says in words what the picture shows.
    table : (header, rows), optional
        Column names and rows of cells; a column whose cells are all numbers is set flush right, and the ground of
        a HeatCell is coloured.
    links : sequence of (text, file)
        Other pages, by their path from this page's folder.

    Examples
    --------
    >>> Section("Classes", table=(("class", "probability"), [("espresso", "95.1%")])).paragraphs
    ()

    """

    title: str
    paragraphs: Sequence[str] = ()
    figures: Sequence[PageFigure] = ()
    table: Table | None = None
    links: Sequence[tuple[str, str]] = ()


def write_page(path: PathLike, title: str, sections: Iterable[Section], embed: bool = False) -> None:
    """Write one HTML page that needs nothing but its pictures.

    The page has no script, fetches nothing from elsewhere, follows the reader's choice of light or dark and fits
    narrow screens. Every text is escaped: markup in a label is shown as it was written.

    Parameters
    ----------
    path : str or Path
    title : str
    sections : sequence of Section
    embed : bool
        True puts the pictures (PNG, JPEG, GIF) into the page; False names them by their path from the page's
        folder.

    Raises
    ------
    ImageError
        If a picture isn't there or, to be embedded, isn't of these kinds, or if the page can't be written.
    ShapeError
        If a table's row hasn't as many cells as its header.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_page(f"{folder}/index.html", "What was seen", [Section("A cup", ["Espresso."])])
    ...     "<h2>A cup</h2>" in Path(folder, "index.html").read_text()
    True

    """
    folder = Path(path).parent
    parts = [_section(section, folder, embed) for section in sections]
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="Content-Security-Policy" content="script-src 'none'; object-src 'none'; base-uri 'none'" />
<title>{_safe(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{_safe(title)}</h1>
{"".join(parts)}</main>
</body>
</html>
"""
    write_atomically(path, page.encode("utf-8", "replace"), "write_page")


def _safe(text: object) -> str:
    """Escape text for HTML; characters that HTML forbids become the replacement character."""
    return escape(re.sub(FORBIDDEN, "\ufffd", str(text)))


def _section(section: Section, folder: Path, embed: bool) -> str:
    paragraphs = "".join(f"<p>{_safe(text)}</p>\n" for text in section.paragraphs)
    figures = "".join(_figure(*figure, folder, embed) for figure in section.figures)
    figures = f'<div class="figures">\n{figures}</div>\n' if figures else ""
    table = _table(*section.table) if section.table else ""
    links = " \u00b7 ".join(f'<a href="{quote(file)}">{_safe(text)}</a>' for text, file in section.links)
    links = f"<p>{links}</p>\n" if links else ""
    return f"<section>\n<h2>{_safe(section.title)}</h2>\n{paragraphs}{links}{figures}{table}</section>\n"


def _figure(path: PathLike, alt: str, caption: str, folder: Path, embed: bool) -> str:
    source = _embedded(path) if embed else _relative(path, folder)
    words = f"<figcaption>{_safe(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="{source}" alt="{_safe(alt)}" loading="lazy" />{words}</figure>\n'


def _relative(path: PathLike, folder: Path) -> str:
    if not Path(path).is_file():
        raise ImageError(f"write_page: there is no picture {str(path)!r}; write it before the page")
    # by bytes, as a file's name need not be valid Unicode
    return quote(os.fsencode(Path(os.path.relpath(path, folder)).as_posix()))


def _embedded(path: PathLike) -> str:
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ImageError(f"write_page: can't read the picture {str(path)!r} ({error}); write it first") from error
    # the content says what a picture is, whatever its suffix
    for magic, kind in MAGIC.items():
        if data.startswith(magic):
            return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    raise ImageError(f"write_page: expected {str(path)!r} to be a PNG, JPEG or GIF picture; save it as PNG")


def _is_number(cell: object) -> bool:
    try:
        float(str(cell).rstrip("%").strip())
    except ValueError:
        return False
    return True


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    rows = [list(row) for row in rows]
    if any(len(row) != len(header) for row in rows):
        raise ShapeError(
            f"write_page: expected rows of {len(header)} cells, as many as the header of the table has"
        )
    # a column is set to the right only if each of its cells is a number
    numeric = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(header))]
    marks = [' class="number"' if n else "" for n in numeric]
    head = _row("th", header, marks)
    body = "".join(_row("td", row, marks) for row in rows)
    wide = ' class="wide"' if len(header) > 8 else ""
    return f'<div class="table"><table{wide}>\n<thead>\n{head}</thead>\n<tbody>\n{body}</tbody>\n</table></div>\n'


def _row(tag: str, cells: Sequence[Any], marks: Sequence[str]) -> str:
    inside = "".join(
        f"<{tag}{mark}{_ground(cell)}>{_safe(cell)}</{tag}>" for cell, mark in zip(cells, marks, strict=True)
    )
    return f"<tr>{inside}</tr>\n"


def _ground(cell: Any) -> str:
    """Return the ground of a HeatCell: a thin green, legible on white paper and on black."""
    if not isinstance(cell, HeatCell):
        return ""
    green = f"rgba(0, 158, 115, {0.45 * min(max(cell.heat, 0), 1):.2f})"
    return f' style="background: {green}; white-space: pre"'
