"""One self-contained HTML page: headings, verdicts, figures and tables; no script, nothing fetched."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, Union
from urllib.parse import quote

from minicnn._utils.types import PathLike
from minicnn.errors import ImageError, ShapeError
from minicnn.report.files import make_folder, sanitise_filename, write_atomically
from minicnn.report.page_pictures import encode, page_size, read_row, split_figure
from minicnn.report.style import STYLE

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["HeatCell", "Section", "write_page"]

PageFigure: TypeAlias = tuple[Union[PathLike, "Image"], str, str]  # file or picture, alternative text, caption
Table: TypeAlias = tuple[Sequence[str], Sequence[Sequence[Any]]]  # header, rows

# Control characters, halves of surrogate pairs and code points that are no characters.
FORBIDDEN = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
MAGIC = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif"}
# Words of results that stand in cells, and whether they are good.
MARKS = {"ok": True, "yes": True, "FAILED": False, "differs": False, "ARISES": False, "ARISES HERE": False}
SIGNS = {True: ("good", "\u2713"), False: ("bad", "\u2717"), None: ("open", "\u25cf")}
LINKED = re.compile(r"[\w.,+() -]+\.(png|jpg|svg|pdf|csv|json|npz|npy|html|md)")
FEW_COLUMNS = 5  # of a table that stands beside figures
MANY = 8  # figures, which then share lines
SMALL = 200  # pixels: pictures of a contact sheet


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
        Paths of pictures from where the program runs, or figures that are no files, such as `panels` returns;
        `alt` says in words what the picture shows.
    table : (header, rows), optional
        Column names and rows of cells; a column whose cells are all numbers is set flush right, and the ground of
        a HeatCell is coloured.
    links : sequence of (text, file)
        Other pages, by their path from this page's folder.
    verdict : (good, sentence), optional
        A result in a colour and with a sign; `good` is True, False or, undecided, None.

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
    verdict: tuple[bool | None, str] | None = None


def write_page(path: PathLike, title: str, sections: Iterable[Section], embed: bool = False) -> None:
    """Write one HTML page that needs nothing but its pictures.

    The page has no script, fetches nothing from elsewhere, follows the reader's choice of light or dark and fits
    screens from 400 to 2560 pixels. Every text is escaped: markup in a label is shown as it was written.  A figure
    that minicnn composed is taken apart: its pictures stand side by side or below each other as there is room, as
    files of a folder beside the page, and the figure itself is linked.  A cell that names a file beside the page
    links to it.

    Parameters
    ----------
    path : str or Path
    title : str
    sections : sequence of Section; of three or more there is a table of contents
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
    sections, pictures = list(sections), _Pictures(Path(path), embed)
    parts = [_section(section, i, pictures) for i, section in enumerate(sections, start=1)]
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
<div class="page">
<header><h1>{_safe(title)}</h1></header>
{_contents(sections)}<main>
{"".join(parts)}</main>
</div>
</body>
</html>
"""
    write_atomically(path, page.encode("utf-8", "replace"), "write_page")


def _contents(sections: Sequence[Section]) -> str:
    if len(sections) < 3:
        return ""
    items = "".join(f'<li><a href="#s{i}">{_safe(s.title)}</a></li>\n' for i, s in enumerate(sections, start=1))
    return f'<nav aria-label="Contents">\n<ol>\n{items}</ol>\n</nav>\n'


def _safe(text: object) -> str:
    """Escape text for HTML; characters that HTML forbids become the replacement character."""
    return escape(re.sub(FORBIDDEN, "\ufffd", str(text)))


def _section(section: Section, number: int, pictures: _Pictures) -> str:
    verdict = _verdict(*section.verdict) if section.verdict else ""
    paragraphs = "".join(f"<p>{_safe(text)}</p>\n" for text in section.paragraphs)
    figures = "".join(
        _figure(figure, f"s{number}f{i}", pictures) for i, figure in enumerate(section.figures, start=1)
    )
    if len(section.figures) > MANY:
        figures = f'<div class="many">\n{figures}</div>\n'
    table = _table(*section.table, pictures.folder) if section.table else ""
    if figures and section.table and len(section.table[0]) <= FEW_COLUMNS:
        figures, table = f'<div class="beside">\n<div>\n{figures}</div>\n', f"{table}</div>\n"
    links = " \u00b7 ".join(f'<a href="{quote(file)}">{_safe(text)}</a>' for text, file in section.links)
    links = f"<p>{links}</p>\n" if links else ""
    head = f'<section id="s{number}">\n<h2>{_safe(section.title)}</h2>\n'
    return f"{head}{verdict}{paragraphs}{links}{figures}{table}</section>\n"


def _verdict(good: bool | None, text: str) -> str:
    kind, sign = SIGNS[good]
    return f'<p class="verdict {kind}"><span aria-hidden="true">{sign}</span> {_safe(text)}</p>\n'


class _Pictures:
    """Where the pictures of a page are: files beside it, or in the page itself."""

    def __init__(self, page: Path, embed: bool):
        self.folder, self.embed = page.parent, embed
        self.own = page.parent / f"{page.stem}-pictures"

    def locate(self, path: PathLike) -> str:
        """Return the source of a picture that is a file."""
        return _embedded(path) if self.embed else _relative(path, self.folder)

    def add(self, image: Image, name: str, few: bool = False) -> str:
        """Return the source of a picture that is none yet."""
        data, suffix = encode(image, few)
        if self.embed:
            kind = "jpeg" if suffix == "jpg" else suffix
            return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
        make_folder(self.own)
        path = self.own / f"{sanitise_filename(name)}.{suffix}"
        write_atomically(path, data, "write_page")
        return _relative(path, self.folder)


def _figure(figure: PageFigure, name: str, pictures: _Pictures) -> str:
    """Return a figure: the pictures that it was composed of, or itself."""
    picture, alt, caption = figure
    file = picture if isinstance(picture, str | Path) else None
    row = None if file is None else read_row(file)
    if file is not None and row is not None and len(row[1]) > 1:
        return _group(name, _row(pictures.locate(file), alt, row, name), _safe(caption))
    parts = list(enumerate(split_figure(picture), start=1))
    if not parts:
        source = pictures.locate(picture) if isinstance(picture, str | Path) else pictures.add(picture, name)
        panel = _panel(source, alt, "", (name, f"{name}p1"))
        return _group(name, f'<div class="panels one">\n{panel}</div>\n', _safe(caption))
    stem = name if file is None else Path(file).stem
    largest = max(max(part.image.size) for _, part in parts)
    kind = "panels one" if len(parts) == 1 else "panels small" if largest <= SMALL else "panels"
    # in one line or in two, and none by itself
    kind = "panels four" if kind == "panels" and len(parts) == 4 else kind
    rows = []
    for heading, some in groupby(parts, key=lambda part: part[1].heading):
        panels = "".join(
            _panel(
                pictures.add(part.image, f"{stem}-{i}", part.few),
                f"{alt}: {part.caption}" if part.caption else f"{alt}, {i} of {len(parts)}",
                part.caption,
                (name, f"{name}p{i}"),
                size=page_size(part.image),
            )
            for i, part in some
        )
        words = f'<p class="heading">{_safe(heading)}</p>\n' if heading else ""
        rows.append(f'{words}<div class="{kind}">\n{panels}</div>\n')
    link = ""
    if file is not None and not pictures.embed:
        link = f' <a href="{_relative(file, pictures.folder)}">{_safe(Path(file).name)}</a>'
    return _group(name, "".join(rows), f"{_safe(caption)}{link}".strip())


def _row(source: str, alt: str, row: tuple[tuple[int, int], list[str]], name: str) -> str:
    """Return the pictures that stand side by side in one file as panels, each a window on its part of the file."""
    (width, height), captions = row
    panels = ""
    for i, caption in enumerate(captions):
        window = f"aspect-ratio: {width} / {height}; object-position: {100 * i / (len(captions) - 1):.2f}% 0"
        panels += _panel(source, f"{alt}: {caption}", caption, (name, f"{name}p{i + 1}"), window)
    return f'<div class="panels row">\n{panels}</div>\n'


def _group(name: str, panels: str, caption: str) -> str:
    words = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure class="group" id="{name}">\n{panels}{words}</figure>\n'


def _panel(
    source: str,
    alt: str,
    caption: str,
    names: tuple[str, str],
    window: str = "",
    size: tuple[int, int] | None = None,
) -> str:
    """Return a picture that fills the window where it is clicked, as the target of a link."""
    group, own = names
    words = f'<span class="caption">{_safe(caption)}</span>' if caption else ""
    style = f' style="{window}"' if window else ""
    # a browser that knows a picture's size before it has come doesn't move what it is reading
    place = f' width="{size[0]}" height="{size[1]}"' if size else style
    image = f'<img src="{source}" alt="{_safe(alt)}"{place} loading="lazy" />'
    zoom = f'<a class="zoom" href="#{own}">{image}</a>'
    close = f'<a class="close" href="#{group}">Close</a>'
    return f'<div class="panel" id="{own}">{zoom}{words}{close}</div>\n'


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


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]], folder: Path) -> str:
    rows = [list(row) for row in rows]
    if any(len(row) != len(header) for row in rows):
        raise ShapeError(
            f"write_page: expected rows of {len(header)} cells, as many as the header of the table has"
        )
    # a column is set to the right only if each of its cells is a number, or stands for none
    filled = [[row[i] for row in rows if str(row[i]) not in ("", "-")] for i in range(len(header))]
    numeric = [bool(cells) and all(map(_is_number, cells)) for cells in filled]
    head = "".join(
        f'<th scope="col"{_mark(None, n)}>{_safe(cell)}</th>' if cell else "<td></td>"
        for cell, n in zip(header, numeric, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(_cell(cell, n, folder) for cell, n in zip(row, numeric, strict=True))}</tr>\n"
        for row in rows
    )
    wide = ' class="wide"' if len(header) > 8 else ""
    # a table that is wider than its place is scrolled, by keys too
    frame = '<div class="table" tabindex="0" role="group" aria-label="Table">'
    return f"{frame}<table{wide}>\n<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"


def _cell(cell: Any, numeric: bool, folder: Path) -> str:
    good, text = MARKS.get(str(cell)), _safe(cell)
    if good is not None:
        text = f'<span aria-hidden="true">{SIGNS[good][1]}</span> {text}'
    elif isinstance(cell, str) and LINKED.fullmatch(cell) and (folder / cell).is_file():
        text = f'<a href="{quote(cell)}">{text}</a>'
    return f"<td{_mark(good, numeric)}{_ground(cell)}>{text}</td>"


def _mark(good: bool | None, numeric: bool) -> str:
    kind = "number" if numeric else "" if good is None else SIGNS[good][0]
    return f' class="{kind}"' if kind else ""


def _ground(cell: Any) -> str:
    """Return the ground of a HeatCell: a thin green, legible on white paper and on black."""
    if not isinstance(cell, HeatCell):
        return ""
    green = f"rgba(0, 158, 115, {0.45 * min(max(cell.heat, 0), 1):.2f})"
    return f' style="background: {green}; white-space: pre"'
