"""``minicnn evaluate sanity NET IMAGE...``: whether maps depend on what the net has learnt."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from minicnn.cli import common
from minicnn.cli.evaluate.evaluate.common import LeftOut, add_methods, claim, resumable, split_methods
from minicnn.cli.loop.results import add_overwrite
from minicnn.cli.loop.sources import HELP, read_sources
from minicnn.cli.parsing.drawing import add_colour_map

__all__ = ["configure", "run"]

IMAGES_SHOWN = 3


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_network(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help=HELP)
    common.add_loading(parser)
    common.add_preprocessing(parser)
    common.add_output(parser, "minicnn-sanity")
    add_colour_map(parser)
    add_methods(parser)
    common.add_seed(parser, "of what is drawn")
    common.add_device(parser)
    add_overwrite(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Print the table; write it, a chart, and a figure with its verdict for each method."""
    from minicnn.evaluate.datasets.annotation import Skipped
    from minicnn.evaluate.sanity_checks import sanity_check
    from minicnn.figures.evaluation.sanity import write_cascade_chart, write_cascade_sheets, write_similarities_csv

    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    methods = split_methods(arguments.methods)
    sources = read_sources(arguments.images)
    sources.check_any()
    left_out = LeftOut()
    left_out.skipped += [Skipped(*failure) for failure in sources.failures]
    folder = claim(arguments, "sanity", origin)
    with resumable(arguments.output, len(sources.files)) as progress:
        check = sanity_check(
            net,
            sources.paths,
            methods,
            seed=arguments.seed,
            keep=folder,
            progress=progress,
            skip=left_out.skipped.append,
        )
    images = check.images
    table, chart = folder / "sanity.csv", folder / "sanity.png"
    write_similarities_csv(table, check)
    write_cascade_chart(chart, check, images, origin)
    sheets = write_cascade_sheets(folder, net, images[:IMAGES_SHOWN], check, origin)
    record = {
        **check.record(),
        "skipped": left_out.record(folder),
        "net": origin["name"],
        "table": str(table),
        "chart": str(chart),
    }
    record["figures"] = [str(path) for path in sheets]
    written = f"wrote {table}, {chart} and {', '.join(path.name for path in sheets)}"
    common.print_result(record, lambda _: f"{check.text()}\n{written}", arguments.json)
    return left_out.complain()
