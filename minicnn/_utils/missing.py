"""Paths at which there is no file that can be read: why that may be, for error messages."""

from __future__ import annotations

import glob
import os
import re
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minicnn._utils.types import PathLike

__all__ = ["is_address", "is_pipe", "missing_file"]

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/{1,2}[^/]", re.IGNORECASE)  # a Path has lost one of the two slashes


def is_address(source: PathLike) -> bool:
    """Return whether what was given as a file is an address of the web.

    Examples
    --------
    >>> is_address("https://example.org/cat.jpg"), is_address("C:/cat.jpg")
    (True, False)

    """
    return bool(_ADDRESS.match(str(source)))


def is_pipe(path: str) -> bool:
    """Return whether a path is a pipe, socket or device, for which a walk through folders would wait for ever."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def missing_file(source: PathLike) -> str:
    """Return the sentence for a path at which there is no file.

    Examples
    --------
    >>> missing_file("nowhere.png")
    'nowhere.png: no such file; check the path'
    >>> missing_file("https://example.org/cat.jpg")
    'https://example.org/cat.jpg: is an address, not a file; minicnn fetches nothing, download it first'

    """
    text = str(source)
    if is_address(text):
        # as it was typed, where a Path has made one slash of two
        shown = re.sub(r":/(?=[^/])", "://", text, count=1)
        return f"{shown}: is an address, not a file; minicnn fetches nothing, download it first"
    if any(c in text for c in "*?["):
        files = glob.glob(text)
        if files:
            return f"{text}: no such file; the pattern fits {len(files)}, write it without quotes"
    # which leaves as it is what names no user's folder
    if text.startswith("~") and "\0" not in text and os.path.exists(os.path.expanduser(text)):
        return f"{text}: no such file; the shell did not replace ~, write it without quotes"
    return f"{text or repr(text)}: no such file; check the path"
