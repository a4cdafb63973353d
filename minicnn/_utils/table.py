"""Tables for a terminal: columns, long names cut in the middle so that lines fit, sentences wrapped."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

__all__ = ["WIDTH", "format_table"]

WIDTH = 100  # columns of a terminal that a table fits
SHORTEST = 12  # to which names are cut where a table is too wide


def format_table(
    verdict: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str] = (),
    width: int | None = WIDTH,
) -> str:
    """Return a verdict, a table and notes, in lines of at most ``width`` where names that are cut allow it.

    Examples
    --------
    >>> print(format_table("agree", ["layer", "error"], [["block1.unit2.conv3", "1e-7"]], width=21))
    agree
    <BLANKLINE>
    layer           error
    block1...conv3  1e-7

    """
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    while width is not None and sum(widths) + 2 * len(widths) - 2 > width and max(widths) > SHORTEST:
        widths[widths.index(max(widths))] -= 1
    table = ["  ".join(_fit(cell, w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    wrapped = [line for note in notes for line in (textwrap.wrap(note, width) if width else [note])]
    return "\n".join([verdict, "", *table, *(["", *wrapped] if wrapped else [])])


def _fit(cell: str, width: int) -> str:
    if len(cell) > width:
        end = (width - 2) // 2
        cell = f"{cell[: width - 2 - end]}..{cell[-end:]}"
    return cell.ljust(width)
