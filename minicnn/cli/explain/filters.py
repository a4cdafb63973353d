"""``minicnn filters NET [IMAGE...]``: what a layer looks for, and the maps that it gives of an image."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.cli import common
from minicnn.cli.loop.results import add_overwrite, claim, figure_paths
from minicnn.cli.loop.sources import HELP, read_sources
from minicnn.cli.parsing.drawing import add_drawing

if TYPE_CHECKING:
    from minicnn.explain import Filters
    from minicnn.network import Network

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_network(parser)
    parser.add_argument(
        "images", nargs="*", default=[], metavar="IMAGE", help=f"draw the layer's feature maps of it too: {HELP}"
    )
    parser.add_argument(
        "--layer", metavar="NAME", help="a layer, as 'minicnn inspect' names it (default: the first with filters)"
    )
    parser.add_argument(
        "--count",
        type=common.integer_from(1),
        metavar="N",
        help="how many channels: with an image the most active, else the first (default: 64; 16 of deep filters)",
    )
    parser.add_argument(
        "--inputs",
        type=common.integer_from(1),
        default=8,
        metavar="N",
        help="over how many input channels deep filters are drawn (default: %(default)s)",
    )
    common.add_output(parser)
    add_overwrite(parser)
    add_drawing(parser)
    common.add_loading(parser)
    common.add_preprocessing(parser)
    common.add_device(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Write the sheet of a layer, or one for each image."""
    from minicnn.explain import feature_maps
    from minicnn.figures.features.filters import write_filters
    from minicnn.report.files import sanitise_filename

    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    sources = read_sources(arguments.images)
    filters = _read_filters(net, arguments.layer, not arguments.images)
    layer = arguments.layer if filters is None else filters.layer
    name, planned = sanitise_filename(layer), figure_paths(sources.files, arguments.output, "filters")
    figures = {image: figure.with_name(f"{name}-{figure.name}") for image, figure in planned.items()}
    figures = figures or {"": Path(arguments.output) / f"{name}.filters.png"}
    figures = claim(arguments.output, figures, arguments.overwrite)

    def draw(image: str) -> dict[str, Any]:
        maps = feature_maps(net, image, layer) if image else None
        return write_filters(
            figures[image], filters, maps, origin, image or None, arguments.count, arguments.inputs
        )

    if sources.total < 2:
        if sources.failures:
            sources.check_any()
        common.print_result(draw(*figures), format_filters, arguments.json)
        return 0
    return common.run_for_each(
        sources.paths, draw, lambda records: format_filters(records[0]), arguments.json, failures=sources.failures
    )


def _read_filters(net: Network, layer: str | None, needed: bool) -> Filters | None:
    """Return a layer's filters; None for a layer without any, whose maps are drawn alone."""
    from minicnn.explain.features.filters import filters, layers_with_filters

    with common.wrong_use():
        if layer is not None and not needed and layer not in layers_with_filters(net):
            common.check_unit(net, layer, None)
            return None
        return filters(net, layer)


def format_filters(record: dict[str, Any]) -> str:
    """Return what was drawn, and the figure's path."""
    parts = []
    if record["filter_shape"]:
        count, depth, height, width = record["filter_shape"]
        parts.append(
            f"{count} filters of {depth} x {height} x {width}{' in colour' if record['in_colour'] else ''}"
        )
    if record["map_shape"]:
        parts.append(f"feature maps of {' x '.join(map(str, record['map_shape'][1:]))} of {record['image']}")
    return f"{record['layer']}: {', '.join(parts)}, {len(record['channels'])} drawn -> {record['figure']}"
