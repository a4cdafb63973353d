"""PASCAL VOC's annotations, one XML file a picture; ILSVRC's are the same with WordNet ids for names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minicnn.errors import MinicnnError
from minicnn.evaluate.datasets.annotation import SIDES, Annotation, Box, Skipped, parse_box
from minicnn.evaluate.datasets.pictures import PictureFolder
from minicnn.evaluate.datasets.text import read_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["list_annotations", "read_voc"]

XML_LIMIT = 1 << 20  # bytes


def list_annotations(folder: Path) -> list[Path]:
    """Return the XML files of a folder's annotations, those of the first place that has some, below it too."""
    places = [p for p in (folder / "annotations", folder / "Annotations", folder) if p.is_dir()]
    direct = next((files for place in places if (files := sorted(place.glob("*.xml")))), [])
    return direct or next((files for place in places if (files := sorted(place.rglob("*.xml")))), [])


def read_voc(
    files: Sequence[Path], folder: Path, pictures: PictureFolder, convention: str
) -> Iterator[Annotation | Skipped]:
    """Read one annotation an object; of a file that is broken in any place, why it is left out.

    Parameters
    ----------
    files : XML files
    folder : of the data set; masks are looked for as ``masks/<name>.png``
    pictures : where the pictures lie
    convention : "voc" or "exclusive", how boxes are written

    """
    for path in files:
        try:
            yield from list(_read_file(path, folder, pictures, convention))
        except MinicnnError as error:
            yield Skipped(str(path), str(error))


def _read_file(path: Path, folder: Path, pictures: PictureFolder, convention: str) -> Iterator[Annotation]:
    root = _parse_xml(path)
    image = pictures.find((root.findtext("filename") or path.stem).strip(), str(path))
    # some files name a picture that was renamed since, or in ILSVRC "%s"
    if not image.is_file() and (renamed := pictures.find(path.stem, str(path))).is_file():
        image = renamed
    mask = folder / "masks" / f"{image.stem}.png"
    objects = root.findall("object")
    if not objects:
        raise MinicnnError(f"{path}: no <object> in it; expected PASCAL VOC's annotation with an object at least")
    for element in objects:
        yield Annotation(
            image=image,
            names=((element.findtext("name") or "").strip(),),
            boxes=(_read_box(element, convention, path),),
            where=str(path),
            size=_read_size(root),
            mask=mask if mask.is_file() else None,
        )


def _read_box(element: Element, convention: str, path: Path) -> Box:
    return parse_box([element.findtext(f"bndbox/{side}") for side in SIDES], convention, str(path))


def _read_size(root: Element) -> tuple[float, float] | None:
    """Return width and height if they are given; some programs write 0 for them."""
    try:
        width, height = (float(root.findtext(f"size/{side}") or 0) for side in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _parse_xml(path: Path) -> Element:
    """Root of an XML file; entities, which can blow a small file up, are refused before it is parsed."""
    from xml.etree import ElementTree

    text = read_text(path, XML_LIMIT)
    # comments may stay; what else begins so is a document type, where entities are declared, or a CDATA section
    if "<!" in text.replace("<!--", ""):
        raise MinicnnError(f"{path}: expected an annotation without a document type, which it never needs")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise MinicnnError(f"{path}: not XML ({error})") from None
