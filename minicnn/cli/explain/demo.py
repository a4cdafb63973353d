"""``minicnn demo``: the shipped images predicted and explained."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from minicnn.cli import common
from minicnn.cli.explain.predict import format_predictions
from minicnn.cli.loop.results import add_overwrite
from minicnn.cli.parsing.drawing import add_colour_map

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_output(parser, "minicnn-demo")
    add_overwrite(parser)
    add_colour_map(parser)
    common.add_crops(parser, "ten")
    common.add_device(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Predict and explain the shipped images; write their figures and a page."""
    from minicnn.paper.demo import demo

    page = _free_folder(Path(arguments.output), arguments.overwrite) / "index.html"
    records = demo(page.parent, device=arguments.device, crops=arguments.crops, on_written=_report)
    common.print_result(records, format_predictions, arguments.json)
    print(f"{len(records)} figures and their page: {page}", file=sys.stderr)
    return 0


def _free_folder(folder: Path, overwrite: bool) -> Path:
    """Return the folder, or one with a number behind it where files of it would be replaced."""
    from minicnn.paper.demo import FILES

    free, number = folder, 1
    while not overwrite and any(os.path.lexists(free / file) for file in FILES):
        number += 1
        free = folder.parent / f"{folder.name.strip('.') or 'minicnn-demo'}-{number}"
    if number > 1:
        common.complain(f"{folder}: holds such files already, which stay; these go to {free}")
    return free


def _report(path: Path) -> None:
    print(f"wrote {path}", file=sys.stderr)
