"""How figures are drawn: which colours maps have, with words or without, and as vectors too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from minicnn._utils.colour_names import BOTH_SIGNS

__all__ = ["Drawing", "current", "drawing", "signed_map"]


class Drawing(NamedTuple):
    """How figures are drawn.

    Attributes
    ----------
    colour_map : of all maps, a name of ``COLOUR_MAPS``; "" for the figure's own
        Maps without negative values take the upper half of one for both signs; maps with negative values, which
        the others can't show, keep "signed".
    titles : False leaves title, subtitle, captions and margins to whoever uses the figure, such as a paper
    vector : "svg" or "pdf": each figure is written as such a file too, beside the PNG, its words as text

    """

    colour_map: str = ""
    titles: bool = True
    vector: str = ""


_CURRENT = ContextVar("drawing", default=Drawing())  # noqa: B039  # a tuple does not change


def current() -> Drawing:
    """Return how figures are drawn here."""
    return _CURRENT.get()


@contextmanager
def drawing(how: Drawing) -> Iterator[None]:
    """Draw figures like this inside a ``with`` block, in this thread.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.report import colour_map
    >>> with drawing(Drawing("grey")):
    ...     colour_map(np.ones((1, 1))).tolist()
    [[[255, 255, 255]]]

    """
    token = _CURRENT.set(how)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def signed_map() -> str:
    """Return the colour map of what has both signs: the one that was chosen if it has them too."""
    chosen = current().colour_map
    return chosen if chosen in BOTH_SIGNS else "signed"
