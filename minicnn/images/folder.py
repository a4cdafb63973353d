"""Image files of a folder."""

from __future__ import annotations

from pathlib import Path

from minicnn._utils.types import PathLike
from minicnn.errors import ImageError

__all__ = ["SUFFIXES", "list_images"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def list_images(data: PathLike) -> list[Path]:
    """Return the image files of a folder, or of its folder ``images`` if it has one, in the order of their names.

    Raises
    ------
    ImageError
        If there is no such folder, or no image in it.

    Examples
    --------
    >>> [path.name for path in list_images("notebooks/images")[:4]]
    ['ankle-boot.png', 'chelsea.png', 'coffee.png', 'jaguar.jpg']

    """
    folder = Path(data)
    if not folder.is_dir():
        raise ImageError(f"{data}: no such folder; name one with images in it")
    folder = folder / "images" if (folder / "images").is_dir() else folder
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ImageError(f"{folder}: holds no images; expected files that end in {', '.join(SUFFIXES)}")
    return paths
