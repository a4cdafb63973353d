"""``minicnn classes [WORD]``: the classes of a network, by number and label."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from minicnn.cli import common
from minicnn.errors import MinicnnError

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "word", nargs="*", default=[], metavar="WORD", help="part of a label (default: all classes)"
    )
    common.add_network_options(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """List the classes whose labels contain what was typed; 1 if there are none."""
    from minicnn.explain.prediction import find_classes

    net = common.load_network(arguments.net, arguments.loading, arguments.preprocessing)
    if net.labels is None:
        raise MinicnnError(f"{net.name}: its classes have numbers and no labels; give them with --labels FILE")
    word = " ".join(arguments.word)
    listed = find_classes(net.labels, word) if word else range(len(net.labels))
    records: list[dict[str, Any]] = [{"target": c, "label": net.labels[c]} for c in listed]
    if not records:
        from minicnn._utils.suggest import did_you_mean

        raise MinicnnError(f"{net.name}: no label contains {word!r}; {did_you_mean(word, net.labels)}")
    common.print_result(records, format_classes, arguments.json)
    return 0


def format_classes(records: list[dict[str, Any]]) -> str:
    """Return a line a class: its number, and its label."""
    width = len(str(max(record["target"] for record in records)))
    return "\n".join(f"{record['target']:>{width}}  {record['label']}" for record in records)
