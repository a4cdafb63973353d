"""Names that people type: the nearest known ones, for error messages."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a clause for an error message: the known names nearest to ``name``, or a few of all.

    Only names of the same family are near: of the same letters before the first digit, but for a slip.

    Examples
    --------
    >>> did_you_mean("salency", ["saliency", "guided", "deconvnet"])
    "did you mean 'saliency'?"
    >>> did_you_mean("vgg12", ["vgg11", "vgg-f", "zfnet"])
    "did you mean 'vgg11'?"
    >>> did_you_mean("xyz", ["saliency", "guided", "deconvnet"])
    'known are deconvnet, guided, saliency'

    """
    from difflib import get_close_matches

    known = sorted(set(known))
    folded = {k.casefold(): k for k in known if _is_near(_family(name), _family(k))}
    # the very family, where there is one: resnext35 is no resnet, although the two words are alike
    same = {k for k in folded if _family(k) == _family(name)} or set(folded)
    close = [folded[k] for k in get_close_matches(name.casefold(), same, n=3, cutoff=0.5)]
    if close:
        return f"did you mean {' or '.join(repr(k) for k in close)}?"
    shown = ", ".join(known[:8])
    return f"known are {shown}{', ...' if len(known) > 8 else ''}"


def _family(name: str) -> str:
    """Return the letters before the first digit; of "vgg-f", all."""
    return re.sub(r"[^a-z]", "", re.split(r"\d", name.casefold(), maxsplit=1)[0])


def _is_near(family: str, other: str) -> bool:
    """Return whether one begins with the other, or they differ by a slip: letters swapped, or the ends alike."""
    if not family or not other:
        return family == other
    if family.startswith(other) or other.startswith(family):
        return True
    from difflib import SequenceMatcher

    ends = family[0] == other[0] and family[-1] == other[-1]
    swapped = sorted(family) == sorted(other)
    return swapped or (ends and SequenceMatcher(None, family, other).ratio() > 0.85)
