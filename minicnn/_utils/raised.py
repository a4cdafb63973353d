"""What somebody else's code raised, in one line: what, and where in that code."""

from __future__ import annotations

import traceback
from pathlib import Path

__all__ = ["describe_raised"]


def describe_raised(error: BaseException) -> str:
    """Return the error's kind, message, file and line.

    Examples
    --------
    >>> try:
    ...     {}["missing"]
    ... except KeyError as error:
    ...     print(describe_raised(error).partition(" (")[0])
    KeyError: 'missing'

    """
    frames = traceback.extract_tb(error.__traceback__)
    # the innermost line outside of installed packages is what can be mended
    own = [f for f in frames if not {"site-packages", "minicnn"} & set(Path(f.filename).parts)] or frames
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{where}"
