"""Figures as SVG and PDF: pictures as they are, words as text that can be searched, curves as curves."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from minicnn.report.page_pictures import encode, split_figure
from minicnn.report.text import font

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Line", "Stroke", "draw_curves", "to_pdf", "to_svg", "write_words"]

ASCENT = 0.8  # of the size of a font: from the top of a line to where its letters stand
POINTS = 0.5  # of a pixel of a figure, which has 144 to the inch
SUPERSAMPLING = 3  # curves are drawn so many times as large and then reduced, so that they are smooth
WHITE = (255, 255, 255)


class Line(NamedTuple):
    """A line of words: its upper left corner in pixels, its size, its colour, sRGB, and what it says."""

    x: int
    y: int
    size: int
    colour: tuple[int, int, int]
    text: str

    def moved(self, x: int, y: int) -> Line:
        """Return the line elsewhere."""
        return self._replace(x=self.x + x, y=self.y + y)

    def scaled(self, scale: float) -> Line:
        """Return the line as it stands in a picture brought to another size."""
        x, y, size = (round(scale * n) for n in (self.x, self.y, self.size))
        return self._replace(x=x, y=y, size=size)


class Stroke(NamedTuple):
    """A line drawn through points (x, y) in pixels: its width in pixels, its colour, sRGB."""

    points: tuple[tuple[float, float], ...]
    width: float
    colour: tuple[int, int, int]

    def moved(self, x: int, y: int) -> Stroke:
        """Return the stroke elsewhere."""
        return self._replace(points=tuple((a + x, b + y) for a, b in self.points))

    def scaled(self, scale: float) -> Stroke:
        """Return the stroke as it stands in a picture brought to another size."""
        return Stroke(tuple((a * scale, b * scale) for a, b in self.points), self.width * scale, self.colour)


def write_words(picture: Image, lines: Sequence[Line]) -> Image:
    """Write words on a picture, and keep in its ``info`` both apart, for figures as vectors."""
    from PIL import ImageDraw

    result = picture.copy()
    draw = ImageDraw.Draw(result)
    for line in lines:
        draw.text((line.x, line.y), line.text, fill=line.colour, font=font(line.size))
    result.info.update(bare=picture, lines=list(lines))
    return result


def draw_curves(size: tuple[int, int], strokes: Sequence[Stroke], lines: Sequence[Line]) -> Image:
    """Draw strokes and write words on white of (width, height) pixels; ``info`` keeps them, for vectors."""
    from PIL import Image, ImageDraw

    width, height = size
    picture = Image.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING), WHITE)
    draw = ImageDraw.Draw(picture)
    for stroke in strokes:
        points = [(x * SUPERSAMPLING, y * SUPERSAMPLING) for x, y in stroke.points]
        draw.line(points, fill=stroke.colour, width=round(stroke.width * SUPERSAMPLING), joint="curve")
    # text is drawn afterwards, at its final size, so that it is not blurred by the reduction
    result = write_words(picture.resize(size, Image.Resampling.LANCZOS), lines)
    result.info.update(bare=Image.new("RGB", size, WHITE), lines=[*strokes, *lines])
    return result


class _Part(NamedTuple):
    """A picture and its box in the figure."""

    image: Image
    box: tuple[int, ...]


def _parts(figure: Image) -> tuple[list[_Part], list[Stroke], list[Line]]:
    """Return pictures, strokes and words of a figure; one that was not composed is a picture itself."""
    # of charts without their strokes and words, which are among the marks
    bare = figure.info.get("bare", {})
    parts = [_Part(bare.get(tuple(part.box), part.image), part.box) for part in split_figure(figure)]
    parts = parts or [_Part(figure, (0, 0, *figure.size))]
    marks = figure.info.get("lines", ())
    # of a chart that is all strokes the ground is left out
    seen = [part for part in parts if part.image.getcolors(1) is None or part.image.getpixel((0, 0)) != WHITE]
    return seen, [m for m in marks if isinstance(m, Stroke)], [m for m in marks if isinstance(m, Line)]


def to_svg(figure: Image, metadata: Mapping[str, str]) -> bytes:
    """Return a figure as an SVG file that holds its pictures, and its record as metadata.

    Examples
    --------
    >>> from PIL import Image
    >>> b"<image" in to_svg(Image.new("RGB", (9, 9)), {})
    True

    """
    parts, strokes, lines = _parts(figure)
    width, height = figure.size
    words = "".join(f"<desc>{escape(key)}: {escape(text)}</desc>\n" for key, text in metadata.items())
    pictures = ""
    for image, (left, top, right, bottom) in parts:
        data, suffix = encode(image)
        kind, text = "jpeg" if suffix == "jpg" else suffix, base64.b64encode(data).decode("ascii")
        place = f'x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"'
        pictures += f'<image {place} href="data:image/{kind};base64,{text}" />\n'
    curves = "".join(
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in stroke.points)}" fill="none" '
        f'stroke="rgb{stroke.colour}" stroke-width="{stroke.width:.2g}" stroke-linejoin="round" />\n'
        for stroke in strokes
    )
    texts = "".join(
        f'<text x="{line.x}" y="{line.y + ASCENT * line.size:.1f}" font-size="{line.size}" '
        f'fill="rgb{line.colour}">{escape(line.text)}</text>\n'
        for line in lines
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif">\n'
        f"<metadata>\n{words}</metadata>\n"
        f'<rect width="{width}" height="{height}" fill="white" />\n{pictures}{curves}{texts}</svg>\n'
    ).encode("utf-8", "replace")


def to_pdf(figure: Image, metadata: Mapping[str, str]) -> bytes:
    """Return a figure as a PDF file of one page, its words in Helvetica, which every reader of PDF has.

    Examples
    --------
    >>> from PIL import Image
    >>> to_pdf(Image.new("RGB", (9, 9)), {})[:8]
    b'%PDF-1.4'

    """
    parts, strokes, lines = _parts(figure)
    height, drawn = figure.height, []
    # PDF counts from the lower left corner
    for n, (_, (left, top, right, bottom)) in enumerate(parts):
        drawn.append(f"q {right - left} 0 0 {bottom - top} {left} {height - bottom} cm /I{n} Do Q")
    for stroke in strokes:
        path = " l ".join(f"{x:.1f} {height - y:.1f}" + " m" * (n == 0) for n, (x, y) in enumerate(stroke.points))
        drawn.append(f"{_rgb(stroke.colour)} RG {stroke.width:.2f} w 1 j {path.replace('m l', 'm', 1)} l S")
    for line in lines:
        y = height - line.y - ASCENT * line.size
        drawn.append(
            f"BT {_rgb(line.colour)} rg /F {line.size} Tf {line.x} {y:.1f} Td ({_escape(line.text)}) Tj ET"
        )
    content = "\n".join([f"{POINTS} 0 0 {POINTS} 0 0 cm", *drawn]).encode("cp1252", "replace")
    names = " ".join(f"/I{n} {6 + n} 0 R" for n in range(len(parts)))
    box = f"[0 0 {POINTS * figure.width} {POINTS * figure.height}]"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox {box} /Contents 4 0 R /Resources << /Font << /F 5 0 R >> "
        f"/XObject << {names} >> >> >>".encode(),
        _stream("", content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        *(_image(image) for image, _ in parts),
        f"<< /Subject ({_escape('; '.join(metadata.values()))}) >>".encode("cp1252", "replace"),
    ]
    return _file(objects)


def _rgb(colour: tuple[int, int, int]) -> str:
    return " ".join(f"{c / 255:.3f}" for c in colour)


def _image(image: Image) -> bytes:
    data = BytesIO()
    image.convert("RGB").save(data, "JPEG", quality=92, subsampling=0)
    size = f"/Width {image.width} /Height {image.height} /ColorSpace /DeviceRGB /BitsPerComponent 8"
    return _stream(f"/Type /XObject /Subtype /Image {size} /Filter /DCTDecode", data.getvalue())


def _stream(entries: str, data: bytes) -> bytes:
    return f"<< {entries} /Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream"


def _escape(text: str) -> str:
    return "".join(f"\\{c}" if c in "()\\" else c for c in text if c >= " ")


def _file(objects: list[bytes]) -> bytes:
    """Return the file of numbered objects, the first the catalogue and the last the information."""
    data, places = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for n, body in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{n} 0 obj\n".encode() + body + b"\nendobj\n"
    start, count = len(data), len(objects) + 1
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    data += f"xref\n0 {count}\n0000000000 65535 f \n{table}".encode()
    data += (
        f"trailer\n<< /Size {count} /Root 1 0 R /Info {len(objects)} 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    )
    return bytes(data)
