"""Where the pictures of a data set lie: the folders that data sets use, then anywhere below."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path, PurePosixPath

from minicnn.errors import MinicnnError
from minicnn.images.folder import SUFFIXES

__all__ = ["PictureFolder", "path_inside"]

PLACES = (".", "images", "JPEGImages")


class PictureFolder:
    """A folder that pictures are looked for in.

    Parameters
    ----------
    folder : Path

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, name: str | None, where: str) -> Path:
        """Return the path of a picture, with or without its suffix; one that exists, if any does.

        Raises
        ------
        MinicnnError
            If the name leads out of the folder, or several pictures below it have it.

        """
        stated = path_inside(self.folder, name, where)
        relative = stated.relative_to(self.folder)
        places = [self.folder / place / relative for place in PLACES]
        if path := next((path for path in places if path.is_file()), None):
            return path
        # without its suffix, or anywhere below
        matches = self._files.get(relative.name) or self._files.get(relative.stem) or []
        at_place = [path for path in matches if path.with_suffix("") in (p.with_suffix("") for p in places)]
        ending = [path for path in matches if path.parts[-len(relative.parts) :] == relative.parts]
        matches = at_place[:1] or ending or matches
        if len(matches) > 1:
            raise MinicnnError(f"{where}: {len(matches)} pictures are named {name}: {matches[0]}, {matches[1]}")
        return matches[0] if matches else stated

    def describe(self, name: object, where: str) -> str:
        """Return the path of a picture that a broken entry names, or where the entry stands if there is none."""
        try:
            return str(self.find(name if isinstance(name, str) else None, where))
        except MinicnnError:
            return where

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        """Pictures below the folder, by name and by stem."""
        files: dict[str, list[Path]] = {}
        for parent, folders, names in os.walk(self.folder):
            folders.sort()
            for path in (Path(parent, name) for name in sorted(names)):
                if path.suffix.lower() in SUFFIXES:
                    for key in {path.name, path.stem}:
                        files.setdefault(key, []).append(path)
        return files


def path_inside(folder: Path, name: str | None, where: str) -> Path:
    """Path of a file below the folder; MinicnnError for any other, which labels must not make us open."""
    # read as Windows would read it too: backslashes part folders there, and C: is a drive
    pure = PurePosixPath((name or "").replace("\\", "/"))
    if (
        not name
        or not pure.parts
        or "\0" in name
        or pure.is_absolute()
        or ".." in pure.parts
        or ":" in pure.parts[0]
    ):
        raise MinicnnError(f"{where}: expected the name of a file inside {folder}, got {(name or '')[:80]!r}")
    return folder / pure
