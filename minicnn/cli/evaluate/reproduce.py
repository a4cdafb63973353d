"""``minicnn reproduce DATA``: every experiment of the paper, and one page."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minicnn.cli import common
from minicnn.cli.loop.each import list_failures
from minicnn.cli.loop.results import add_overwrite, claim_folder
from minicnn.cli.loop.signals import Stopped
from minicnn.cli.loop.sources import Failure
from minicnn.cli.parsing.drawing import add_colour_map

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("data", metavar="DATA", help="a folder of images, with boxes and masks or without")
    common.add_network_options(parser)
    common.add_output(parser, "minicnn-paper")
    add_colour_map(parser)
    parser.add_argument(
        "--classes", metavar="FILE", help="what annotations call the classes, as for 'evaluate localisation'"
    )
    common.add_limit(parser)
    parser.add_argument(
        "--steps", type=int, default=200, metavar="N", help="of each class model (default: %(default)s)"
    )
    common.add_device(parser)
    add_overwrite(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Run the experiments that are missing, and write the page; 1 if one could not be done."""
    from minicnn.evaluate.datasets.class_names import ClassNames, read_classes
    from minicnn.paper.experiments import EXPERIMENTS
    from minicnn.paper.reproduce import reproduce

    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    if Path(arguments.data).is_dir():  # what else it is, reproduce says
        run = {key: origin[key] for key in ("sha256", "preprocess")}
        claim_folder(arguments.output, "reproduce", {"net": run}, arguments.overwrite)
    try:
        record = reproduce(
            net,
            arguments.data,
            arguments.output,
            arguments.images,
            arguments.steps,
            origin=origin,
            classes=None
            if arguments.classes is None
            else read_classes(arguments.classes, ClassNames.of_network(net)),
            progress=_announce,
        )
    except Stopped as stop:
        done = sum((Path(arguments.output) / f"{name}.json").is_file() for name in EXPERIMENTS)
        raise Stopped(
            stop.number,
            f"{stop}: {done} of {len(EXPERIMENTS)} experiments done; they are kept in {arguments.output}, and the "
            "same command continues",
        ) from None
    common.print_result(record, format_experiments, arguments.json)
    status = 1 if any(result["failed"] for result in record["experiments"].values()) else 0
    skipped = [Failure(picture["image"], picture["reason"]) for picture in record["skipped"]]
    return status | list_failures(skipped, record["images"] + len(skipped), "image")


def _announce(items: Iterable[Any], unit: str) -> Iterable[Any]:
    """Say on stderr what is being done, also where there is no bar."""
    items = list(items)
    common.complain(f"{unit}: {len(items)}")
    return common.with_progress(items, unit)


def format_experiments(record: dict[str, Any]) -> str:
    """Return one line an experiment, and the page."""
    left_out = [f"left out: {len(record['skipped'])} images or annotations"] if record["skipped"] else []
    lines = [
        f"{name + ':':<16}" + (result["failed"] or f"{result['seconds']:8.1f} s  {len(result['figures'])} figures")
        for name, result in record["experiments"].items()
    ]
    return "\n".join([*lines, *left_out, f"page: {record['page']}"])
