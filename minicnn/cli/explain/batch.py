"""``minicnn batch SOURCE... --do TASK --out DIR``: a folder of any size, answered so that nothing is lost."""

from __future__ import annotations

import random
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any

from minicnn._utils.counted import counted
from minicnn.cli import common
from minicnn.cli.loop.printing import print_result
from minicnn.cli.loop.speed import Speed
from minicnn.cli.parsing.loudness import is_quiet

if TYPE_CHECKING:
    from minicnn.batch import Input

__all__ = ["configure", "run"]

HELP = (
    "images, folders (with all below), patterns in quotes, tar files, tables (.csv, .parquet) with a column "
    '"path", @FILE (names, one a line), or - (names on standard input)'
)


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=HELP)
    parser.add_argument(
        "--do",
        dest="task",
        default="predict",
        choices=("predict", "saliency", "localise", "features"),
        help="what of each image (default: %(default)s)",
    )
    common.add_network_options(parser)
    common.add_output(parser, "answers")
    _add_job(parser)
    parser.add_argument(
        "--processes",
        type=common.integer_from(0),
        metavar="N",
        help="workers of one thread each; 0: none but this process (default: one for each core it may use)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask's, such as tcp://10.0.0.1:8786, whose workers see the same folders, instead of processes here",
    )
    parser.add_argument("--limit", type=common.integer_from(1), metavar="N", help="the first N images only")
    parser.add_argument(
        "--shuffle-seed", type=common.integer_from(0), metavar="N", help="in an order drawn from this seed"
    )
    parser.add_argument(
        "--fail-rate",
        type=_parse_share,
        default=1.0,
        metavar="SHARE",
        help="stop once more than this share of the images is broken, such as 0.01",
    )
    parser.add_argument(
        "--changed", action="store_true", help="answer images again whose files have changed since"
    )
    common.add_device(parser)
    common.add_json(parser)


def _add_job(parser: ArgumentParser) -> None:
    """Add what decides the answers; what is typed goes to ``job``."""
    add = common.option_adder(parser, "job")
    add("--top", type=common.integer_from(1), metavar="N", help="how many classes of predict (default: 5)")
    add("--target", metavar="CLASS", help="label or number, of saliency and localise (default: the most probable)")
    add("--crops", choices=("one", "ten", "whole"), help="views of each image (default: one)")
    add("--layer", metavar="NAME", help="of features (default: what the class scores are made of)")
    add("--method", choices=("consensus", "paper", "smooth"), help="of localise (default: consensus)")
    add(
        "--answers",
        choices=("jsonl", "csv", "parquet"),
        help="how rows are written (default: parquet with pyarrow, else jsonl)",
    )
    add("--maps", choices=("npz", "png", "none"), help="how maps and masks are (default: npz)")
    add("--shard-size", type=common.integer_from(1), metavar="N", help="images of a file (default: 256)")
    add("--batch-size", type=common.integer_from(1), metavar="N", help="images of a pass (default: 8)")


def _parse_share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise ArgumentTypeError(f"expected a share from 0 to 1, got {text!r}")
    return share


def run(arguments: Namespace) -> int:
    """Answer what is not answered yet; say how many are, and how many are broken."""
    from minicnn.batch import Job, list_inputs, run_batch
    from minicnn.batch.call import MANY, choose_answers
    from minicnn.batch.cluster import choose_workers
    from minicnn.batch.rows import import_pyarrow

    typed = dict(arguments.job)
    net = common.load_network(arguments.net, arguments.loading, arguments.preprocessing)
    net = net.to(arguments.device, images=MANY)
    if "target" in typed:
        classes = common.check_classes(net, [typed["target"]])
        typed["target"] = int(typed["target"]) if classes is None else classes[0]
    if typed.setdefault("answers", choose_answers(arguments.output)) == "parquet":
        import_pyarrow()
    with common.wrong_use():
        job = Job(arguments.task, **typed)
    images: Iterable[Input] = list_inputs(arguments.sources, arguments.output)
    if arguments.shuffle_seed is not None:
        images = list(images)
        random.Random(arguments.shuffle_seed).shuffle(images)
    with closing(Speed()) as speed, choose_workers(arguments.scheduler, arguments.processes) as workers:
        summary = run_batch(
            net,
            islice(images, arguments.limit),
            arguments.output,
            job,
            workers=workers,
            changed=arguments.changed,
            fail_rate=arguments.fail_rate,
            on_shard=None if is_quiet() else speed,
        )
    print_result(summary._asdict(), _format, arguments.json)
    return 1 if summary.broken else 0


def _format(record: dict[str, Any]) -> str:
    broken = f"{record['broken']} broken{' (broken.csv)' if record['broken'] else ''}"
    images = counted(record["images"], "image")
    return f"{record['folder']}: {record['answered']} of {images} answered, {broken}, {record['worked_on']} now"
