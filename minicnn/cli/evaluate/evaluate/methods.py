"""``minicnn evaluate methods DATA``: every method of maps by every measure, in one table."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

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
from minicnn.cli.parsing.drawing import add_colour_map

if TYPE_CHECKING:
    from pathlib import Path

    from minicnn._utils.types import Progress

__all__ = ["configure", "run"]

SHOWN = 4  # photographs in the figure of maps


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    add_comparison_options(parser, "minicnn-methods")
    add_colour_map(parser)
    parser.add_argument(
        "--limit",
        dest="images",
        type=common.integer_from(1),
        metavar="N",
        help="the same as --images; 4 tries everything in a minute or two",
    )
    parser.add_argument(
        "--kept", action="store_true", help="measure nothing more: the table of what was measured until now"
    )
    add_size(parser, "--steps", 16, 1, "of each insertion and deletion curve")
    add_size(parser, "--curves", 24, 0, "pictures of insertion and deletion; 0 leaves them out")
    add_size(parser, "--grids", 16, 0, "at most, of four photographs each; 0 leaves the grid pointing game out")
    add_size(parser, "--random-pictures", 8, 0, "that are shown to randomised nets; 0 leaves the MPRTs out")
    add_size(parser, "--copies", 4, 1, "noisy ones of each such picture (the publication: 50)")
    add_size(parser, "--truth-pictures", 30, 0, "of each scenario of known truth; 0 leaves it out")


def add_size(parser: ArgumentParser, name: str, default: int, minimum: int, help: str) -> None:
    """Add how many of something are measured."""
    kind = common.integer_from(minimum)
    parser.add_argument(name, type=kind, default=default, metavar="N", help=f"{help} (default: %(default)s)")


def run(arguments: Namespace) -> int:
    """Measure, print the table and the verdicts; write the page, the text, the table and the record."""
    import minicnn
    from minicnn.evaluate.method_table import TableSettings, evaluate_methods
    from minicnn.figures.evaluation.method_maps import write_method_maps
    from minicnn.figures.evaluation.method_table import format_table, write_method_table
    from minicnn.figures.provenance import name_files
    from minicnn.report.files import make_folder

    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    left_out = LeftOut()
    examples = read_examples(arguments, net, left_out)
    folder = claim(arguments, "methods", origin)
    make_folder(folder / "measured")
    settings = TableSettings(
        curve_steps=arguments.steps,
        curve_pictures=arguments.curves,
        grids=arguments.grids,
        random_pictures=arguments.random_pictures,
        noisy_copies=arguments.copies,
        truth_pictures=arguments.truth_pictures,
        seed=arguments.seed,
    )
    with resumable(arguments.output, None, "measurement") as follow:
        table = evaluate_methods(
            net,
            examples,
            split_methods(arguments.methods),
            settings=settings,
            keep=folder / "measured",
            progress=(lambda tasks: ()) if arguments.kept else _say_kept(folder / "measured", follow),
            skip=left_out.skipped.append,
        )
    facts = {"date": date.today().isoformat(), "version": minicnn.__version__}
    record = {**table.record(), "origin": name_files(origin, folder), **facts, "skipped": left_out.record(folder)}
    maps = folder / "methods.png"
    broken = {name for name, _ in left_out.skipped}
    shown = [example for example in examples if example.image.name not in broken][:SHOWN]
    write_method_maps(maps, net, shown, table.methods, table.settings["methods"], origin)
    paths = write_method_table(folder, record, maps)
    print_written(record, format_table(record), [*paths.values(), maps], arguments.json)
    return left_out.complain()


def _say_kept(folder: Path, follow: Progress) -> Progress:
    """Return what follows measurements, and says before that earlier ones are kept."""

    def progress(tasks: Sequence[Any]) -> Iterable[Any]:
        if any(folder.iterdir()):
            rest = f"continuing with {len(tasks)}" if tasks else "nothing is left to measure"
            common.complain(f"earlier measurements are kept in {folder}; {rest}")
        return follow(tasks)

    return progress
