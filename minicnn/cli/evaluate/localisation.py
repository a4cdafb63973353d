"""``minicnn evaluate localisation DATA``: boxes and masks by the ILSVRC protocol."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from minicnn.cli import common
from minicnn.cli.evaluate.common import add_data, add_voc, image_progress, print_written, read_examples

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    add_data(parser)
    common.add_network_options(parser)
    common.add_output(parser, "minicnn-localisation")
    parser.add_argument("--method", default="paper", metavar="NAME", help="default: %(default)s")
    add_voc(
        parser, "boxes from 0, maxima outside, or from 1, maxima inside (default: exclusive for CSV, voc for XML)"
    )
    common.add_limit(parser)
    common.add_seed(parser, "of the intervals")
    common.add_device(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Print the table; write one line a picture, and a sheet of the worst and the best boxes."""
    from minicnn.evaluate.localisation import evaluate_localisation
    from minicnn.figures.worst_best import write_localisation_csv, write_worst_best
    from minicnn.report.files import make_folder

    net, origin = common.load_with_origin(
        arguments.net, arguments.weights, arguments.architecture, arguments.preprocessing, arguments.device
    )
    examples = read_examples(arguments.data, arguments.convention, arguments.classes, arguments.images)
    folder, method = Path(arguments.output), arguments.method
    make_folder(folder)
    evaluation = evaluate_localisation(
        net, examples, method, seed=arguments.seed, keep=folder, progress=image_progress
    )
    table, sheet = folder / f"{method}.csv", folder / f"{method}-worst-best.png"
    write_localisation_csv(table, evaluation.rows)
    write_worst_best(sheet, examples, evaluation.rows, origin, method)
    record = {**evaluation.record(), "net": origin["name"], "table": str(table), "sheet": str(sheet)}
    print_written(record, evaluation.text(), table, sheet, arguments.json)
    return 0
