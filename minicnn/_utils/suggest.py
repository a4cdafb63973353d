"""Names that people type: the nearest known ones, for error messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a clause for an error message: the known names nearest to ``name``, or a few of all.

    Examples
    --------
    >>> did_you_mean("salency", ["saliency", "guided", "deconvnet"])
    "did you mean 'saliency'?"
    >>> did_you_mean("xyz", ["saliency", "guided", "deconvnet"])
    'known are deconvnet, guided, saliency'

    """
    known = sorted(set(known))
    folded = {k.casefold(): k for k in known}
    close = [folded[k] for k in get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)]
    if close:
        return f"did you mean {' or '.join(repr(k) for k in close)}?"
    shown = ", ".join(known[:8])
    return f"known are {shown}{', ...' if len(known) > 8 else ''}"
