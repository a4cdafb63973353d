"""``minicnn deconvnet IMAGE...``: what activates a feature map, and where the three rules differ."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.cli import common

if TYPE_CHECKING:
    from minicnn.network import Network

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_image_options(parser, help="image files, or folders of them")
    # of the shipped networks the one with max-pools, whose switches a deconvnet needs
    parser.set_defaults(net="squeezenet1_1")
    common.add_output(parser)
    shown = parser.add_mutually_exclusive_group(required=True)
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
    parser.add_argument("--top", type=int, default=9, metavar="N", help="how many images (default: %(default)s)")


def _parse_position(text: str) -> tuple[int, int]:
    """Return ROW,COLUMN as two whole numbers."""
    row, _, column = text.partition(",")
    if not (row.strip().isdecimal() and column.strip().isdecimal()):
        raise ArgumentTypeError(f"expected ROW,COLUMN, such as 7,12, got {text!r}")
    return int(row), int(column)


def run(arguments: Namespace) -> int:
    """Write the contact sheet of a feature map over all images, or each image's table of the three rules."""
    from minicnn.report.files import make_folder

    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    make_folder(arguments.output)
    if arguments.table:
        return _draw_rules(net, origin, arguments.images, Path(arguments.output), arguments.json)

    from minicnn.explain import deconvnet, top_activations
    from minicnn.explain.deconvnet import most_active_channel
    from minicnn.figures.deconvnet import write_reconstructions
    from minicnn.report.files import sanitise_filename

    images = common.expand_folders(arguments.images)
    layer, channel, position = arguments.layer, arguments.channel, arguments.position
    if channel is None:
        channel = most_active_channel(net, images[0], layer)
    strongest = top_activations(
        net, common.with_progress(images, "image"), layer, channel, arguments.top, common.complain, position
    )
    reconstructions = [
        (path, deconvnet(net, path, layer, channel, position, arguments.rule)) for path, _ in strongest
    ]
    figure = Path(arguments.output) / f"{sanitise_filename(layer)}-{channel}.{arguments.rule}.png"
    record = write_reconstructions(figure, reconstructions, origin, len(images))
    common.print_result(record, format_reconstructions, arguments.json)
    return 0


def _draw_rules(net: Network, origin: dict[str, Any], images: list[str], folder: Path, as_json: bool) -> int:
    """Write section 4's table for each image."""
    from minicnn.explain.rules_table import group_by_kind, rules_by_layer
    from minicnn.figures.rules_table import write_rules_table
    from minicnn.report.files import distinct_names

    figures = distinct_names(images, folder, "rules")

    def draw(image: str) -> dict[str, Any]:
        return write_rules_table(figures[image], image, group_by_kind(rules_by_layer(net, image)), origin)

    return common.run_for_each(common.with_progress(images, "image"), draw, format_rules, as_json)


def format_reconstructions(record: dict[str, Any]) -> str:
    """Return the activation in each image, and the figure's path."""
    lines = [f"{record['layer']}, channel {record['channel']}, rule {record['rule']} -> {record['figure']}"]
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
