"""``minicnn deconvnet IMAGE...``: what activates a feature map, and where the three rules differ."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.cli import common
from minicnn.cli.loop.each import counting, list_failures
from minicnn.cli.loop.raw import RawFiles, add_raw, format_raw
from minicnn.cli.loop.results import add_overwrite, claim, figure_paths
from minicnn.cli.loop.sources import Failure, Sources, read_sources
from minicnn.cli.parsing.drawing import add_drawing
from minicnn.errors import ImageError

if TYPE_CHECKING:
    from minicnn.network import Network

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_image_options(parser)
    # of the shipped networks the one with max-pools, whose switches a deconvnet needs
    parser.set_defaults(net="squeezenet1_1")
    common.add_output(parser)
    add_overwrite(parser)
    add_drawing(parser)
    add_raw(parser, "each reconstruction, C x H x W in the network's coordinates,")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--layer", metavar="NAME", help="a layer, as 'minicnn inspect' names it")
    shown.add_argument(
        "--table",
        action="store_true",
        help="the three rules at each kind of layer, for each image: where they differ",
    )
    parser.add_argument(
        "--channel",
        type=int,
        metavar="N",
        help="a feature map of that layer (default: the first image's strongest)",
    )
    parser.add_argument(
        "--position",
        type=_parse_position,
        metavar="ROW,COLUMN",
        help="an activation of it (default: each image's largest)",
    )
    parser.add_argument("--rule", default="deconvnet", choices=("gradient", "deconvnet", "guided"))
    parser.add_argument(
        "--top",
        type=common.integer_from(1),
        default=9,
        metavar="N",
        help="how many images (default: %(default)s)",
    )


def _parse_position(text: str) -> tuple[int, int]:
    """Return ROW,COLUMN as two whole numbers."""
    row, _, column = text.partition(",")
    if not (row.strip().isdecimal() and column.strip().isdecimal()):
        raise ArgumentTypeError(f"expected ROW,COLUMN, such as 7,12, got {text!r}")
    return int(row), int(column)


def run(arguments: Namespace) -> int:
    """Write the contact sheet of a feature map over all images, or each image's table of the three rules."""
    sources = read_sources(arguments.images)
    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    if arguments.table:
        return _draw_rules(net, origin, sources, arguments)
    if arguments.layer is None:
        raise common.UsageError(_ask_for_layer(net, arguments))
    return _draw_feature_map(net, origin, sources, arguments)


def _ask_for_layer(net: Network, arguments: Namespace) -> str:
    """Return the question which layer, with one whose reconstructions are worth a look."""
    from minicnn.layers import Conv2d, MaxPool2d, sequence

    named = list(sequence.walk(net.named_layers))
    # a deconvnet remembers in a pool's switches where things were
    pools = [name for name, layer in named if isinstance(layer, MaxPool2d)]
    others = [name for name, layer in named if isinstance(layer, Conv2d)] or [name for name, _ in named]
    words = [
        "minicnn",
        "deconvnet",
        *arguments.images[:3],
        "--net",
        arguments.net,
        "--layer",
        (pools or others)[-1],
    ]
    return (
        f"deconvnet: which layer? for example '{shlex.join(words)}'; 'minicnn inspect' lists the layers of a "
        "network, and --table compares the three rules at each kind of layer"
    )


def _draw_feature_map(net: Network, origin: dict[str, Any], sources: Sources, arguments: Namespace) -> int:
    """Write the contact sheet of the images that activate a feature map most."""
    from minicnn.explain import deconvnet, top_activations
    from minicnn.figures.features.deconvnet import write_reconstructions
    from minicnn.report.files import sanitise_filename

    layer, channel, position = arguments.layer, arguments.channel, arguments.position
    sources.check_any()
    common.check_unit(net, layer, channel)
    failures = list(sources.failures)
    images = sources.paths
    if channel is None:
        channel, images = _choose_channel(net, images, layer, failures)
    figure = Path(arguments.output) / f"{sanitise_filename(layer)}-{channel}.{arguments.rule}.png"
    names = [f"{n}" for n in range(1, min(arguments.top, len(images)) + 1)]
    planned = RawFiles.asked_for(arguments, names).planned
    figure = claim(arguments.output, {layer: figure}, arguments.overwrite, planned)[layer]
    with counting(images) as searched:
        strongest = top_activations(
            net,
            searched,
            layer,
            channel,
            arguments.top,
            lambda error: failures.append(Failure("", str(error))),
            position,
        )
    reconstructions = [
        (path, deconvnet(net, path, layer, channel, position, arguments.rule)) for path, _ in strongest
    ]
    record = write_reconstructions(figure, reconstructions, origin, len(images), net)
    arrays = {f"{n}": (lambda x=r.x: x) for n, (_, r) in enumerate(reconstructions, 1)}
    record |= RawFiles.asked_for(arguments, list(arrays)).write(figure, arrays)
    common.print_result(record, format_reconstructions, arguments.json)
    return list_failures(failures, sources.total, "image")


def _choose_channel(net: Network, images: list[str], layer: str, failures: list[Failure]) -> tuple[int, list[str]]:
    """Return the strongest channel of the first image that can be read, and the images from there on."""
    from minicnn.explain.deconvnet import most_active_channel

    for n, image in enumerate(images):
        try:
            return most_active_channel(net, image, layer), images[n:]
        except ImageError as error:
            failures.append(Failure(image, str(error)))
    raise ImageError(failures[-1].reason)


def _draw_rules(net: Network, origin: dict[str, Any], sources: Sources, arguments: Namespace) -> int:
    """Write section 4's table for each image."""
    from minicnn.explain.rules_table import group_by_kind, rules_by_layer
    from minicnn.figures.rules_table import write_rules_table

    figures = figure_paths(sources.files, arguments.output, "rules")
    figures = claim(arguments.output, figures, arguments.overwrite)

    def draw(image: str) -> dict[str, Any]:
        return write_rules_table(figures[image], image, group_by_kind(rules_by_layer(net, image)), origin)

    return common.run_for_each(sources.paths, draw, format_rules, arguments.json, failures=sources.failures)


def format_reconstructions(record: dict[str, Any]) -> str:
    """Return the activation in each image, and the figure's path."""
    lines = [
        f"{record['layer']}, channel {record['channel']}, rule {record['rule']} -> {record['figure']}"
        f"{format_raw(record)}"
    ]
    lines += [f"  {a['value']:9.3f}  {a['image']}  position {a['position']}" for a in record["activations"]]
    return "\n".join(lines)


def format_rules(records: list[dict[str, Any]]) -> str:
    """Return one block an image: how far deconvnet and guided are from the gradient at each kind of layer."""
    lines = []
    for record in records:
        lines += [f"{record['image']} -> {record['figure']}", f"  {'':<22}{'deconvnet':>10}{'guided':>10}"]
        for kind in record["kinds"]:
            cells = (
                "not defined" if kind[rule] is None else f"{kind[rule]:.3g}" for rule in ("deconvnet", "guided")
            )
            lines.append(f"  {kind['count']:>3} {kind['kind']:<18}" + "".join(f"{cell:>10}" for cell in cells))
    return "\n".join(lines)
