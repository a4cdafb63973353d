"""The networks that come with minicnn: names, files and where they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from minicnn._utils.suggest import did_you_mean
from minicnn.errors import MinicnnError

__all__ = ["find_weights", "folder", "read_entries"]


def folder(name: str) -> Path:
    """Return the folder of shipped "weights" or "images": in the package if installed, else in the checkout."""
    package = Path(__file__).parent.parent
    checkout = {"weights": package.parent / "weights", "images": package.parent / "notebooks" / "images"}
    installed = package / "data" / name
    return installed if installed.is_dir() else checkout[name]


def read_entries() -> dict[str, dict[str, Any]]:
    """Return the catalogue: {name: {"file", "description", "licence", "source", "sha256"}}."""
    return json.loads((folder("weights") / "catalogue.json").read_text(encoding="utf-8"))


def find_weights(name: str) -> Path:
    """Return the file of a network of the catalogue.

    Raises
    ------
    MinicnnError
        If the catalogue has no such name; the nearest names are in the message.

    Examples
    --------
    >>> find_weights("digits").name
    'digits.npz'

    """
    known = read_entries()
    if name not in known:
        from minicnn.zoo import ARCHITECTURES

        if name in ARCHITECTURES:
            raise MinicnnError(
                f"{name!r}: an architecture whose weights don't come with minicnn; give a file of them and "
                f"architecture={name!r} (--architecture {name}), or take zoo.build({name!r}) with random ones"
            )
        raise MinicnnError(f"unknown network {name!r}, and no file of that name; {did_you_mean(name, known)}")
    return folder("weights") / known[name]["file"]
