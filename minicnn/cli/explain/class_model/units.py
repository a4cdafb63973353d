"""Classes and units as they are typed, and the names of their figures."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from minicnn.cli import common

if TYPE_CHECKING:
    from minicnn.network import Network

__all__ = ["Unit", "name_figures", "parse_units"]

Unit: TypeAlias = int | tuple[int, ...]  # a class or channel, or (channel, row, column)


def parse_units(net: Network, texts: list[str], layer: str | None) -> dict[str, Unit]:
    """Return the units that were typed, each once: channels of a layer or places in them; without one, classes."""
    units: list[Unit] | list[int] | None
    if layer is None:
        units = common.check_classes(net, texts)
        if units is None:
            raise common.UsageError(f"{net.name}: does not say the size of its input; give --input-size H,W")
    else:
        units = [_parse_unit(net, text, layer) for text in texts]
    # of a unit that was typed twice the first
    return {text: unit for n, (text, unit) in enumerate(zip(texts, units, strict=True)) if unit not in units[:n]}


def _parse_unit(net: Network, text: str, layer: str) -> Unit:
    """Return a channel or (channel, row, column)."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts) or len(parts) not in (1, 3):
        raise common.UsageError(
            f"{text!r}: with --layer, expected CHANNEL or CHANNEL,ROW,COLUMN, such as 5 or 5,7,7"
        )
    unit = tuple(int(part) for part in parts)
    common.check_unit(net, layer, unit[0])
    return unit if len(unit) > 1 else unit[0]


def name_figures(units: dict[str, Unit], arguments: Namespace) -> dict[str, Path]:
    """Return each unit's figure."""
    from minicnn.report.files import sanitise_filename

    stem = "class" if arguments.layer is None else sanitise_filename(arguments.layer)
    is_ball = arguments.constraint == "l2_ball"
    suffix = ".ball" if is_ball else ".natural" if arguments.style == "natural" else ""
    figures = {}
    for text, unit in units.items():
        indices = "-".join(str(index) for index in (unit if isinstance(unit, tuple) else (unit,)))
        figures[text] = Path(arguments.output) / f"{stem}-{indices}{suffix}.png"
    return figures
