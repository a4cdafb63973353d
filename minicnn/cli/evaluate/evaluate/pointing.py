"""``minicnn evaluate pointing DATA``: whether maps are largest on the object."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from minicnn.cli import common
from minicnn.cli.evaluate.evaluate.common import (
    LeftOut,
    add_comparison_options,
    claim,
    print_written,
    read_examples,
    resumable,
    split_methods,
)

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    add_comparison_options(parser, "minicnn-pointing")
    parser.add_argument(
        "--tolerance", type=float, default=15, metavar="N", help="pixels beside the object (default: %(default)s)"
    )
    parser.add_argument(
        "--smoothing",
        type=float,
        default=0.02,
        metavar="S",
        help="blur of the maps, in parts of the longer side (default: %(default)s)",
    )
    common.add_crops(parser, "whole")


def run(arguments: Namespace) -> int:
    """Print the table; write it, and the first pictures with every map's point."""
    from minicnn.evaluate.pointing_game import evaluate_pointing
    from minicnn.figures.comparison import write_comparison_csv, write_points

    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    left_out = LeftOut()
    examples = read_examples(arguments, net, left_out)
    folder = claim(arguments, "pointing", origin)
    with resumable(arguments.output, len(examples)) as progress:
        comparison = evaluate_pointing(
            net,
            examples,
            tolerance=arguments.tolerance,
            smoothing=arguments.smoothing,
            crops=arguments.crops,
            methods=split_methods(arguments.methods),
            seed=arguments.seed,
            keep=folder,
            progress=progress,
            skip=left_out.skipped.append,
        )
    table, figure = folder / "pointing.csv", folder / "pointing.png"
    write_comparison_csv(table, comparison, ("box", "mask"))
    write_points(figure, comparison.examples, comparison, origin)
    record = {
        **comparison.record(),
        "skipped": left_out.record(folder),
        "net": origin["name"],
        "table": str(table),
        "figure": str(figure),
    }
    print_written(record, comparison.text(), (table, figure), arguments.json)
    return left_out.complain()
