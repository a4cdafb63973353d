"""Options of commands that draw figures: the colours of maps, words or none, vectors."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import AbstractContextManager, nullcontext

__all__ = ["add_drawing", "drawing_of"]

COLOUR_MAPS = ("heat", "green", "grey", "ink")  # of maps without a sign


def add_drawing(parser: ArgumentParser) -> None:
    """Add how figures are drawn."""
    group = parser.add_argument_group("drawing")
    group.add_argument(
        "--colour-map", choices=COLOUR_MAPS, default="heat", help="of maps without a sign (default: %(default)s)"
    )
    group.add_argument("--no-titles", action="store_true", help="pictures alone, without titles and captions")
    group.add_argument(
        "--vector", choices=("svg", "pdf"), default="", help="write each figure as such a file too, words as text"
    )


def drawing_of(arguments: Namespace) -> AbstractContextManager[None]:
    """Return the context in which a command draws as was typed."""
    if "colour_map" not in arguments:
        return nullcontext()
    from minicnn.report.drawing import Drawing, drawing

    return drawing(Drawing(arguments.colour_map, not arguments.no_titles, arguments.vector))
