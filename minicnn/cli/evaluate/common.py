"""What several measures have: a labelled data set, the methods that are measured, pictures that are left out."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.cli import common

if TYPE_CHECKING:
    from minicnn._utils.types import Progress
    from minicnn.evaluate.dataset import Example
    from minicnn.evaluate.datasets.annotation import Skipped
    from minicnn.network import Network

__all__ = [
    "LeftOut",
    "add_comparison_options",
    "add_data",
    "add_labels",
    "add_methods",
    "follow",
    "image_progress",
    "print_written",
    "read_examples",
    "resumable",
    "split_methods",
]

SHOWN = 50  # reasons why pictures are left out
ILSVRC = "imagenet"  # what --classes calls the list of ILSVRC-2012's classes


def add_data(parser: ArgumentParser) -> None:
    """Add the data set."""
    parser.add_argument(
        "data", metavar="DATA", help="a folder of pictures with boxes as CSV, COCO json or VOC xml, or that file"
    )


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
    add_labels(parser)
    common.add_limit(parser)
    common.add_seed(parser, "of what is drawn")
    common.add_device(parser)
    common.add_json(parser)


def add_labels(parser: ArgumentParser) -> None:
    """Add how boxes and classes are to be read, where pictures lie, and what happens to broken ones."""
    group = parser.add_argument_group("data set")
    group.add_argument(
        "--convention",
        choices=("exclusive", "voc"),
        help="boxes from 0, maxima outside, or from 1, maxima inside (default: voc for XML, else exclusive)",
    )
    group.add_argument(
        "--classes",
        metavar="FILE",
        help="what the data set calls classes, if the network's labels don't tell: in order, one a line; or "
        "'kangaroo = wallaby'; or the word imagenet, for WordNet ids and names in ILSVRC's order",
    )
    group.add_argument("--pictures", metavar="DIR", help="where the pictures are (default: below DATA)")
    group.add_argument(
        "--list", metavar="FILE", help="the pictures to use, one a line, with their class behind or without"
    )
    group.add_argument(
        "--strict", action="store_true", help="exit with 1 if a picture was left out, as broken or unknown"
    )


class LeftOut:
    """Pictures that are left out, to be listed at the end."""

    def __init__(self) -> None:
        self.skipped: list[Skipped] = []

    def record(self) -> list[dict[str, str]]:
        """Return them as values for JSON."""
        return [{"image": image, "reason": reason} for image, reason in self.skipped]

    def complain(self) -> None:
        """List them on stderr, each with the reason; of very many the first."""
        if self.skipped:
            common.complain(f"{len({s.image for s in self.skipped})} pictures or annotations are left out:")
        for image, reason in self.skipped[:SHOWN]:
            common.complain(reason if image in reason else f"{image}: {reason}")
        if len(self.skipped) > SHOWN:
            common.complain(f"and {len(self.skipped) - SHOWN} more; --json lists all")

    def status(self, strict: bool) -> int:
        """Return the exit status: 1 if some were left out and none should be."""
        return 1 if strict and self.skipped else 0


def read_examples(
    arguments: Namespace, net: Network, left_out: LeftOut, needs_boxes: bool = True
) -> list[Example]:
    """Read the labelled data set that was named, or the first ``--images`` examples of it."""
    from minicnn.evaluate.dataset import read_dataset
    from minicnn.evaluate.datasets.class_names import ILSVRC as FILE
    from minicnn.evaluate.datasets.class_names import ClassNames, read_classes
    from minicnn.io import catalogue

    names, path = ClassNames.of_network(net), arguments.classes
    if path is not None:
        names = read_classes(catalogue.folder("weights") / FILE if path == ILSVRC else path, names)
    examples = read_dataset(
        arguments.data,
        arguments.convention,
        names,
        pictures=arguments.pictures,
        listed=arguments.list,
        skip=left_out.skipped.append,
        needs_boxes=needs_boxes,
    )
    return examples[: arguments.images]


def split_methods(text: str | None) -> list[str] | None:
    """Return the methods that were typed with commas between, or None."""
    return None if text is None else text.split(",")


def print_written(record: dict[str, Any], text: str, files: Sequence[Path], as_json: bool) -> None:
    """Print a result, for people with the files that hold it."""
    listed = " and ".join([", ".join(map(str, files[:-1])), str(files[-1])])
    common.print_result(record, lambda _: f"{text}\nwrote {listed}", as_json)


def image_progress(items: Iterable[Any]) -> Iterable[Any]:
    """Show a bar over images."""
    return common.with_progress(items, "image")


def follow(count: int, folder: str) -> Progress:
    """Return what shows a bar over the pictures that are left of ``count``, and says what an earlier run kept."""

    def progress(items: Sequence[Any]) -> Iterable[Any]:
        if kept := count - len(items):
            rest = f"continuing with {len(items)}" if items else "nothing is left to measure"
            print(f"minicnn: {kept} of {count} pictures are kept in {folder}; {rest}", file=sys.stderr)
        yield from image_progress(items)

    return progress


@contextmanager
def resumable(folder: str) -> Iterator[None]:
    """Say, when a long measurement is interrupted, that it can be continued."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; what was measured is kept in {folder}, and the same command continues"
        ) from None
