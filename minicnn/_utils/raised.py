"""What another program raised, or somebody's own layer, in one line: what, and where in that code."""

from __future__ import annotations

from pathlib import Path
from traceback import extract_tb

__all__ = ["describe_error", "message"]

LONGEST = 200  # characters of another program's error message


def describe_error(error: Exception) -> str:
    """Return another program's error and the file and line where it arose, in that program's own code if it can.

    Examples
    --------
    >>> describe_error(ValueError("no such layer"))
    'ValueError: no such layer'

    """
    own = Path(__file__).parents[1]
    frames = [frame for frame in extract_tb(error.__traceback__) if own not in Path(frame.filename).parents]
    # the library that it calls says less than where it calls it
    frames = [frame for frame in frames if "site-packages" not in Path(frame.filename).parts] or frames
    where = f" ({frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    if isinstance(error, SyntaxError) and error.filename:  # message and line are its own
        where = ""
    return f"{type(error).__name__}: {message(error)}{where}"


def message(error: Exception) -> str:
    """Return the beginning of another program's error message."""
    return str(error)[:LONGEST]
