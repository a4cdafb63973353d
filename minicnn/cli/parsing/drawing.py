"""Options of commands that draw figures: the colours of maps, words or none, vectors."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from minicnn._utils.colour_names import COLOUR_MAPS

__all__ = ["add_colour_map", "add_drawing", "drawing_of"]


def add_drawing(parser: ArgumentParser) -> None:
    """Add how figures are drawn."""
    group = parser.add_argument_group("drawing")
    add_colour_map(group)
    group.add_argument(
        "--no-titles", action="store_true", help="pictures alone, without titles, captions and margins"
    )
    group.add_argument(
        "--vector", choices=("svg", "pdf"), default="", help="write each figure as such a file too, words as text"
    )


def add_colour_map(parser: Any) -> None:
    """Add the colours of maps alone, for commands whose figures stand on a page."""
    parser.add_argument(
        "--colour-map",
        choices=COLOUR_MAPS,
        metavar="NAME",
        default="",
        help="of maps: " + "; ".join(f"{name} ({looks})" for name, looks in COLOUR_MAPS.items()),
    )


def drawing_of(arguments: Namespace) -> AbstractContextManager[None]:
    """Return the context in which a command draws as was typed."""
    if "colour_map" not in arguments:
        return nullcontext()
    from minicnn.report.drawing import Drawing, drawing

    has_titles = not getattr(arguments, "no_titles", False)
    return drawing(Drawing(arguments.colour_map, has_titles, getattr(arguments, "vector", "")))
