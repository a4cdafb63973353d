"""Image files of a folder."""

from __future__ import annotations

from pathlib import Path

from minicnn.errors import ImageError

__all__ = ["SUFFIXES", "images_of"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def images_of(data: str | Path) -> list[Path]:
    """Image files of a folder in the order of their names, those in its folder ``images`` if it has one.

    Raises
    ------
    ImageError
        If there is no such folder, or no image in it.

    """
    folder = Path(data)
    if not folder.is_dir():
        raise ImageError(f"{data}: no such folder; name one with images in it")
    folder = folder / "images" if (folder / "images").is_dir() else folder
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise ImageError(f"{folder}: holds no images; expected files that end in {', '.join(SUFFIXES)}")
    return found
