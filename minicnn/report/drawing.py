"""How figures are drawn: which colours maps have, with words or without, and as vectors too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

__all__ = ["Drawing", "current", "drawing"]


class Drawing(NamedTuple):
    """How figures are drawn.

    Attributes
    ----------
    colour_map : of maps without a sign; see ``colour_map``
    titles : False leaves title, subtitle and captions to whoever uses the figure, such as a paper
    vector : "svg" or "pdf": each figure is written as such a file too, beside the PNG, its words as text

    """

    colour_map: str = "heat"
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
