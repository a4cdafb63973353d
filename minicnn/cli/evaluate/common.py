"""What several measures have: a labelled data set, the methods that are measured."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.cli import common

if TYPE_CHECKING:
    from minicnn.evaluate.dataset import Example

__all__ = [
    "add_comparison_options",
    "add_data",
    "add_methods",
    "add_voc",
    "image_progress",
    "print_written",
    "read_examples",
    "split_methods",
]


def add_data(parser: ArgumentParser) -> None:
    """Add the data set."""
    parser.add_argument("data", metavar="DATA", help="a folder with labels.csv or annotations/*.xml")


def add_methods(parser: ArgumentParser) -> None:
    """Add which methods of explanation are measured."""
    parser.add_argument(
        "--methods",
        metavar="NAME,NAME",
        help="of 'minicnn saliency' and the rules deconvnet and guided (default: those that are quick)",
    )


def add_comparison_options(parser: ArgumentParser, folder: str) -> None:
    """Add what measures that compare methods on a data set share; ``folder`` is where they write by default."""
    add_data(parser)
    common.add_network_options(parser)
    common.add_output(parser, folder)
    add_methods(parser)
    add_voc(parser, "of the boxes, as for 'evaluate localisation'")
    common.add_limit(parser)
    common.add_seed(parser, "of what is drawn")
    common.add_device(parser)
    common.add_json(parser)


def add_voc(parser: ArgumentParser, help: str) -> None:
    """Add how boxes and classes of annotations are to be read."""
    parser.add_argument("--convention", choices=("exclusive", "voc"), help=help)
    parser.add_argument("--classes", metavar="FILE", help="for XML: the classes' names in order, one a line")


def read_examples(data: str, convention: str | None, classes: str | None, limit: int | None) -> list[Example]:
    """Read a labelled data set, or the first ``limit`` examples of it; ``classes`` is a file of names."""
    from minicnn.evaluate.dataset import read_classes, read_dataset

    numbers = None if classes is None else read_classes(classes)
    return read_dataset(data, convention, numbers)[:limit]


def split_methods(text: str | None) -> list[str] | None:
    """Return the methods that were typed with commas between, or None."""
    return None if text is None else text.split(",")


def print_written(record: dict[str, Any], text: str, table: Path, figure: Path, as_json: bool) -> None:
    """Print a result, for people with the files that hold it."""
    common.print_result(record, lambda _: f"{text}\nwrote {table} and {figure}", as_json)


def image_progress(items: Iterable[Any]) -> Iterable[Any]:
    """Show a bar over images."""
    return common.with_progress(items, "image")
