"""What several measures have: a labelled data set, the methods that are measured, pictures that are left out."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn._utils.counted import counted
from minicnn.cli import common
from minicnn.cli.loop.each import list_failures
from minicnn.cli.loop.results import add_overwrite, claim_folder
from minicnn.cli.loop.signals import Stopped
from minicnn.cli.loop.sources import Failure

if TYPE_CHECKING:
    from minicnn._utils.types import PathLike, Progress
    from minicnn.evaluate.dataset import Example
    from minicnn.evaluate.datasets.annotation import Skipped
    from minicnn.evaluate.datasets.class_names import ClassNames
    from minicnn.network import Network

__all__ = [
    "LeftOut",
    "add_classes",
    "add_comparison_options",
    "add_data",
    "add_labels",
    "add_methods",
    "claim",
    "print_written",
    "read_examples",
    "read_names",
    "resumable",
    "split_methods",
]

SHOWN = 50  # reasons why pictures are left out
# what leaves results what they are; the net is known by its digest, and with more pictures a run goes on
NO_RESULT = {
    "output",
    "json",
    "overwrite",
    "kept",
    "device",
    "net",
    "verbose",
    "quiet",
    "preprocessing",
    "loading",
}
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
    add_overwrite(parser)
    common.add_json(parser)


def add_labels(parser: ArgumentParser) -> None:
    """Add how boxes and classes are to be read, where pictures lie, and what happens to broken ones."""
    group = parser.add_argument_group("data set")
    group.add_argument(
        "--convention",
        choices=("exclusive", "voc"),
        help="boxes from 0, maxima outside, or from 1, maxima inside (default: voc for XML, else exclusive)",
    )
    add_classes(group)
    group.add_argument("--pictures", metavar="DIR", help="where the pictures are (default: below DATA)")
    group.add_argument(
        "--list", metavar="FILE", help="the pictures to use, one a line, with their class behind or without"
    )


def add_classes(parser: Any) -> None:
    """Add what the data set calls classes."""
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help="what the data set calls classes, if the network's labels don't tell: in order, one a line; or "
        "'kangaroo = wallaby'; or the word imagenet, for WordNet ids and names in ILSVRC's order",
    )


class LeftOut:
    """Pictures that are left out, to be listed at the end."""

    def __init__(self) -> None:
        self.skipped: list[Skipped] = []

    def record(self, folder: PathLike) -> list[dict[str, str]]:
        """Return them as values for JSON, named from the folder of the results."""
        from minicnn.figures.provenance import name_from

        names = [(skipped, name_from(folder, skipped.image)) for skipped in self.skipped]
        return [{"image": name, "reason": reason.replace(image, name)} for (image, reason), name in names]

    def complain(self) -> int:
        """List them on stderr, of very many the first, with the reasons; return 1 if there are some, else 0."""
        if self.skipped:
            common.complain(f"{len({s.image for s in self.skipped})} pictures or annotations are left out:")
        shown = [Failure(*skipped) for skipped in self.skipped[:SHOWN]]
        status = list_failures(shown)
        if len(self.skipped) > SHOWN:
            common.complain(f"and {len(self.skipped) - SHOWN} more; --json lists all")
        return status


def read_examples(
    arguments: Namespace, net: Network, left_out: LeftOut, needs_boxes: bool = True
) -> list[Example]:
    """Read the labelled data set that was named, or the first ``--images`` examples of it."""
    from minicnn.evaluate.dataset import read_dataset

    examples = read_dataset(
        arguments.data,
        arguments.convention,
        read_names(arguments, net),
        pictures=arguments.pictures,
        listed=arguments.list,
        skip=left_out.skipped.append,
        needs_boxes=needs_boxes,
    )
    return examples[: arguments.images]


def read_names(arguments: Namespace, net: Network) -> ClassNames:
    """Return what a data set may call the network's classes: its labels, and what ``--classes`` says."""
    from minicnn.evaluate.datasets.class_names import ILSVRC as FILE
    from minicnn.evaluate.datasets.class_names import ClassNames, read_classes
    from minicnn.io import catalogue

    names, path = ClassNames.of_network(net), arguments.classes
    if path is None:
        return names
    return read_classes(catalogue.folder("weights") / FILE if path == ILSVRC else path, names)


def split_methods(text: str | None) -> list[str] | None:
    """Return the methods that were typed with commas between, or None; UsageError for one that there is not."""
    from minicnn.explain.methods import get_method

    names = None if text is None else text.split(",")
    with common.wrong_use():
        for name in names or ():
            get_method(name)
    return names


def claim(arguments: Namespace, name: str, origin: Mapping[str, Any]) -> Path:
    """Return the folder of a measure's results, made or to be continued; refuse that of another run's results."""
    from minicnn.figures.provenance import name_from

    def show(value: Any) -> Any:
        if isinstance(value, list):
            return [show(inner) for inner in value]
        return name_from(arguments.output, value) if isinstance(value, str) and os.path.exists(value) else value

    split_methods(getattr(arguments, "methods", None))
    typed = {k: v for k, v in vars(arguments).items() if isinstance(v, str | int | float | list | None)}
    given = {key: show(value) for key, value in typed.items() if key not in NO_RESULT}
    if not isinstance(given.get("images"), list):
        given.pop("images", None)
    net = {key: origin[key] for key in ("sha256", "preprocess")}
    claim_folder(arguments.output, name, {**given, "net": net}, arguments.overwrite)
    return Path(arguments.output)


def print_written(record: dict[str, Any], text: str, files: Sequence[Path], as_json: bool) -> None:
    """Print a result, for people with the files that hold it."""
    listed = " and ".join([", ".join(map(str, files[:-1])), str(files[-1])])
    common.print_result(record, lambda _: f"{text}\nwrote {listed}", as_json)


@contextmanager
def resumable(folder: str, count: int | None, unit: str = "picture") -> Iterator[Progress]:
    """Yield what shows progress over what is left of ``count``, where it is known, and says what is kept already.

    Stopped, it says how many are measured, and that the same command continues.
    """
    done, total = 0, count or 0

    def progress(items: Sequence[Any]) -> Iterable[Any]:
        nonlocal done, total
        total = len(items) if count is None else count
        if done := total - len(items):
            rest = f"continuing with {len(items)}" if items else "nothing is left to measure"
            common.complain(f"{done} of {counted(total, unit)} are kept in {folder}; {rest}")
        for item in common.with_progress(items, unit):
            yield item
            done += 1

    try:
        yield progress
    except KeyboardInterrupt as stop:
        raise Stopped(
            getattr(stop, "number", Stopped.DEFAULT),
            f"{str(stop) or 'stopped'}: {done} of {counted(total, unit)} done; what was measured is kept in "
            f"{folder}, and the same command continues",
        ) from None
