"""``minicnn evaluate localisation DATA``: boxes and masks by the ILSVRC protocol."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from minicnn.cli import common
from minicnn.cli.evaluate.evaluate.common import (
    LeftOut,
    add_data,
    add_labels,
    claim,
    print_written,
    read_examples,
    resumable,
)
from minicnn.cli.loop.results import add_overwrite
from minicnn.cli.parsing.drawing import add_colour_map

__all__ = ["configure", "run"]

DRAWN = 5000  # pictures of which map, seeds and mask are drawn: 40 kB each


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    common.add_network_options(parser)
    common.add_output(parser, "minicnn-localisation")
    add_colour_map(parser)
    parser.add_argument("--method", default="consensus", metavar="NAME", help="default: %(default)s")
    add_labels(parser)
    common.add_limit(parser)
    common.add_seed(parser, "of the intervals")
    common.add_device(parser)
    add_overwrite(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Print the table; write one line a picture, a sheet of the worst and best boxes, pages of all pictures."""
    from minicnn.evaluate.localisation import evaluate_localisation
    from minicnn.explain.localise import get_localisation_method
    from minicnn.figures.evaluation.localisation_page import write_answer, write_localisation_pages
    from minicnn.figures.evaluation.worst_best import write_localisation_csv, write_worst_best
    from minicnn.report.files import make_folder

    get_localisation_method(arguments.method)  # an unknown name is refused before the net is loaded
    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    left_out = LeftOut()
    examples = read_examples(arguments, net, left_out)
    folder, method = claim(arguments, arguments.method, origin), arguments.method
    pictures = folder / f"{method}-pictures"
    make_folder(pictures)
    with resumable(arguments.output, len(examples)) as progress:
        evaluation = evaluate_localisation(
            net,
            examples,
            method,
            seed=arguments.seed,
            keep=folder,
            progress=progress,
            skip=left_out.skipped.append,
            draw=(lambda drawing: write_answer(pictures, drawing)) if len(examples) <= DRAWN else None,
        )
    table, sheet = folder / f"{method}.csv", folder / f"{method}-worst-best.png"
    write_localisation_csv(table, evaluation.rows)
    write_worst_best(sheet, evaluation.examples, evaluation.rows, origin, method)
    page = write_localisation_pages(folder, evaluation, origin["name"])[0]
    files = {"table": str(table), "sheet": str(sheet), "page": str(page)}
    record = {**evaluation.record(), "skipped": left_out.record(folder), "net": origin["name"], **files}
    print_written(record, evaluation.text(), (table, sheet, page), arguments.json)
    return left_out.complain()
