"""Files that are given as images and are something else: what they are, by their first bytes."""

from __future__ import annotations

import re

from minicnn.errors import ImageError

__all__ = ["HEAD", "check_names", "other_kind"]

HEAD = 512  # bytes that tell

_VIDEO, _PHONE = "a video; save one of its frames as a PNG", "a HEIC photograph; save it as a JPEG or PNG"
# brands of ISO media files, of which photographs of phones are one kind
_BRANDS = {b"heic": _PHONE, b"heix": _PHONE, b"heim": _PHONE, b"heis": _PHONE, b"hevc": _PHONE, b"mif1": _PHONE}
_BRANDS |= {b"msf1": _PHONE, b"avif": "an AVIF image that this Pillow can't read; save it as a JPEG or PNG"}
_BRANDS |= {b"crx ": "a raw photograph; develop it to a JPEG or PNG"}

_STARTS: tuple[tuple[bytes, str], ...] = (
    (rb"%PDF", "a PDF document; save its picture as a PNG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript, which is a program and is not run; convert it to a PNG"),
    (rb"(?s)\s*(<\?xml.*?)?(<!--.*?-->\s*)?(<!DOCTYPE svg.*?)?<svg\b", "a drawing in SVG; save it as a PNG"),
    (rb"(?i)\s*(<!doctype html|<html\b)", "a page of the web, not the picture that it shows; download that"),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the picture; fetch it with 'git lfs pull'"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "a JPEG XL image, which Pillow can't read; save it as a JPEG or PNG"),
    (rb"PK\x03\x04", "a zip archive; unpack it"),
    (rb"\x1f\x8b", "a gzip archive; unpack it"),
    (rb"Rar!|7z\xbc\xaf", "an archive; unpack it"),
    (rb"\x1aE\xdf\xa3|RIFF....AVI ", _VIDEO),
    (rb"\x89HDF", "an HDF5 file; save its picture as a PNG"),
    (rb"FUJIFILM|.{0,4}IIRO|IIU\x00", "a raw photograph; develop it to a JPEG or PNG"),
    (rb"(?s).{128}DICM", "a DICOM file; export its picture as a PNG, or its values as .npy"),
)


def other_kind(head: bytes) -> str | None:
    """Return what a file that Pillow can't read is, and what to do; None if its first bytes don't tell.

    Examples
    --------
    >>> other_kind(b"%PDF-1.7")
    'a PDF document; save its picture as a PNG'

    """
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], _VIDEO)
    return next((kind for start, kind in _STARTS if re.match(start, head)), None)


_PICTURE = re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|BM.{4}\0\0|II\*\0|MM\0\*|RIFF....WEBP", re.DOTALL)


def check_names(word: str, head: bytes) -> None:
    """Raise ImageError if what should be names of files is a picture itself.

    Parameters
    ----------
    word : what was typed for it, "-" or "@FILE"
    head : its first bytes

    """
    if _PICTURE.match(head):
        instead = "/dev/stdin is the picture itself" if word in ("-", "@-") else "leave out the @"
        raise ImageError(f"{word}: is a picture, where names of files are expected; {instead}")
