"""``minicnn inspect FILE``: what a weight file holds, or where a figure comes from and whether that is so."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.cli import common
from minicnn.cli.loop.sources import find_figures, read_sources
from minicnn.errors import MinicnnError

if TYPE_CHECKING:
    from minicnn.network import Network

__all__ = ["configure", "run"]

NAME_WIDTH, MAX_LENGTH = 18, 2000


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="FILE",
        help="a file, the name of a network, a figure (.png) or a folder of figures; patterns in quotes, @FILE "
        "(names, one a line) or - (names on standard input)",
    )
    parser.add_argument("--verify", action="store_true", help="compute the figure's map again and compare")
    parser.add_argument("--net", metavar="NAME", help="for --verify: instead of the net that the figure names")
    parser.add_argument(
        "--image", action="append", metavar="IMAGE", help="for --verify: where the image is; repeat for several"
    )
    parser.add_argument("--device", help="for --verify: where to compute (default: as the figure was)")
    common.add_loading(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Describe weight files, or say where figures come from; 1 if ``--verify`` finds another map."""
    sources = read_sources(arguments.sources, find_figures)
    net = common.load_network(arguments.net, arguments.loading) if arguments.net and arguments.verify else None
    differing: list[str] = []

    def describe(source: str) -> dict[str, Any]:
        record = _describe(source, net, arguments)
        if not record.get("verdict", {"match": True})["match"]:
            differing.append(source)
        return record

    if len(sources.files) == sources.total == 1:
        common.print_result(describe(sources.paths[0]), _format, arguments.json)
        status = 0
    else:
        status = common.run_for_each(
            sources.paths, describe, _format_each, arguments.json, "file", sources.failures
        )
    return 1 if differing else status


def _describe(source: str, net: Network | None, arguments: Namespace) -> dict[str, Any]:
    if Path(source).suffix.lower() != ".png":
        if arguments.verify:
            raise MinicnnError(f"--verify: expected a figure that minicnn wrote, a .png file, got {source}")
        from minicnn.io.inspect import inspect

        return inspect(source, **arguments.loading)

    from minicnn.figures.provenance import read

    record = {"figure": source, **read(source)}
    if arguments.verify:
        from minicnn.figures.verification import verify_figure

        record["verdict"] = verify_figure(source, net, arguments.image, arguments.device)._asdict()
    return record


def _format(record: dict[str, Any]) -> str:
    if "figure" in record:
        return format_provenance(record)
    from minicnn.io.inspect import format_description

    return format_description(record)


def _format_each(records: list[dict[str, Any]]) -> str:
    return "".join(f"{_format(record)}\n" for record in records)


def format_provenance(record: dict[str, Any]) -> str:
    """Return a figure's record as text: one line a fact."""
    lines = [f"{_to_line(name) + ':':<{NAME_WIDTH}}{_to_line(value)}" for name, value in _facts(record)]
    if "verdict" in record:
        answer = "match" if record["verdict"]["match"] else "DIFFERS"
        lines += [
            f"{'verdict:':<{NAME_WIDTH}}{answer}",
            *(f"  {sentence}" for sentence in record["verdict"]["sentences"]),
        ]
    return "\n".join(lines)


def _facts(record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) pairs: dictionaries opened, of each map its shape and digest."""
    for name, value in record.items():
        if name in ("verdict", "pixels") or value is None:
            continue
        if name == "arrays":
            yield from ((key, f"{a.get('shape')}, sha256 {a.get('sha256')}") for key, a in value.items())
        elif name == "images":
            yield from (("image", f"{image.get('name')}, sha256 {image.get('sha256')}") for image in value)
        elif isinstance(value, dict):
            yield from ((name, f"{key} {_to_line(inner)}") for key, inner in value.items())
        else:
            yield name, value


def _to_line(value: Any) -> str:
    """Return one line of printable text; other people's figures may hold anything."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={_to_line(inner)}" for key, inner in value.items())[:MAX_LENGTH]
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_LENGTH])
