"""``minicnn convert SRC DST``: a network written in another format, or several as a committee."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.cli import common
from minicnn.cli.loop.printing import complain
from minicnn.cli.loop.results import add_overwrite

if TYPE_CHECKING:
    from minicnn.network import Network

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("sources", nargs="+", metavar="SRC", help="a file, or the name of a network")
    parser.add_argument("destination", metavar="DST", help="a name that ends in .npz, .onnx, .safetensors or .pth")
    common.add_loading(parser)
    common.add_preprocessing(parser)
    parser.add_argument(
        "--committee",
        action="store_true",
        help="write one network of several SRC, whose probabilities are the mean of theirs",
    )
    parser.add_argument("--check", action="store_true", help="run both files in what else reads them, and compare")
    add_overwrite(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Write a network in another format; with ``--check``, 1 if a peer disagrees."""
    from minicnn.io.load import resolve, save
    from minicnn.verify.conversion import all_agree, compare_files

    destination = arguments.destination
    if (len(arguments.sources) > 1) != arguments.committee:
        raise common.UsageError(
            f"{len(arguments.sources)} networks to convert; --committee makes one of two or more, and without it "
            "one is converted"
        )
    # as cp does, but not without a word
    replaces = not arguments.overwrite and os.path.lexists(destination)
    net = _load(arguments)
    save(net, destination)
    if replaces:
        complain(f"{destination}: was there before, and was replaced")
    checks: list[dict[str, Any]] = []
    if arguments.check:
        # of a committee no source is the network that was written
        files = [] if arguments.committee else [resolve(source) for source in arguments.sources]
        checks = compare_files(net, files, **arguments.loading)
        # what was written holds one network, under its own names
        own = {"entry", "input", "output", "input_size"}
        own |= {"architecture", "head"} if "head" in arguments.loading else set()
        loading = {name: value for name, value in arguments.loading.items() if name not in own}
        checks += compare_files(net, [Path(arguments.destination)], **loading)
    record = {"source": ", ".join(arguments.sources), "destination": arguments.destination, "checks": checks}
    common.print_result(record, format_conversion, arguments.json)
    return 0 if not arguments.check or all_agree(checks) else 1


def _load(arguments: Namespace) -> Network:
    """Return the network that is written; UsageError for several that are to be no committee, or one that is."""
    from minicnn.network.committee import committee

    nets = [
        common.load_network(source, arguments.loading, arguments.preprocessing) for source in arguments.sources
    ]
    return committee(nets) if arguments.committee else nets[0]


def format_conversion(record: dict[str, Any]) -> str:
    """Return what was written, and one line a check."""
    lines = [f"{record['source']} -> {record['destination']}"]
    for row in record["checks"]:
        lines.append(f"  {row['file']} in {row['peer']}, {row['what']}: {_format_result(row)}")
    return "\n".join(lines)


def _format_result(row: dict[str, Any]) -> str:
    note = f" ({row['note']})" if row["note"] else ""
    if row["skipped"] or row["difference"] is None:
        return str(row["skipped"] or f"NOT COMPARED{note}")
    word = "" if row["difference"] <= row["tolerance"] * row["scale"] else "DIFFERS, "
    return f"{word}largest difference {row['difference']:.3g} of {row['scale']:.3g}{note}"
