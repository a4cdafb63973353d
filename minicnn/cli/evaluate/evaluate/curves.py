"""``minicnn evaluate curves DATA``: areas under deletion and insertion curves."""

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
    add_comparison_options(parser, "minicnn-curves")
    parser.add_argument(
        "--steps",
        type=common.integer_from(1),
        default=32,
        metavar="N",
        help="of each curve (default: %(default)s)",
    )


def run(arguments: Namespace) -> int:
    """Print the table; write it, and a chart of the curves."""
    from minicnn.evaluate.insertion_deletion import evaluate_insertion_deletion
    from minicnn.figures.comparison import write_comparison_csv, write_curves

    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    left_out = LeftOut()
    examples = read_examples(arguments, net, left_out, needs_boxes=False)
    folder = claim(arguments, "curves", origin)
    with resumable(arguments.output, len(examples)) as progress:
        comparison = evaluate_insertion_deletion(
            net,
            examples,
            steps=arguments.steps,
            methods=split_methods(arguments.methods),
            seed=arguments.seed,
            keep=folder,
            progress=progress,
            skip=left_out.skipped.append,
        )
    table, figure = folder / "curves.csv", folder / "curves.png"
    write_comparison_csv(table, comparison, ("deletion", "insertion"))
    write_curves(figure, comparison.examples, comparison, origin)
    record = {
        **comparison.record(),
        "skipped": left_out.record(folder),
        "net": origin["name"],
        "table": str(table),
        "figure": str(figure),
    }
    print_written(record, comparison.text(), (table, figure), arguments.json)
    return left_out.complain()
