"""``minicnn saliency IMAGE...``: saliency maps, and the maps of later methods for comparison."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minicnn.cli import common
from minicnn.errors import MinicnnError

__all__ = ["configure", "run"]

METHODS = ("gradient", "gradient-x-input", "smoothgrad", "integrated-gradients", "grad-cam", "occlusion")


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_image_options(parser)
    common.add_output(parser)
    parser.add_argument("--target", metavar="CLASS", help="label or number (default: the most probable class)")
    parser.add_argument("--rule", default="gradient", choices=("gradient", "deconvnet", "guided"))
    parser.add_argument("--of", default="score", choices=("score", "probability"), help="what is differentiated")
    parser.add_argument(
        "--crops",
        choices=("one", "ten", "whole"),
        help="the centre; corners and centre, each mirrored too; the whole picture (default: ten; methods: one)",
    )
    group = parser.add_argument_group("later work", "other methods' maps, for comparison")
    group.add_argument("--method", default="gradient", choices=METHODS, help="default: the paper's %(default)s")
    add, count = common.option_adder(group, "settings"), common.integer_from(1)
    add("--samples", type=count, metavar="N", help="of smoothgrad (default: 16)")
    add("--noise", type=float, metavar="S", help="of smoothgrad, in parts of the range (0.15)")
    add("--seed", type=common.integer_from(0), metavar="N", help="of smoothgrad (default: 0)")
    add("--steps", type=count, metavar="N", help="of integrated-gradients (default: 50)")
    add("--baseline", choices=("black", "mean"), help="of integrated-gradients (default: black)")
    add("--layer", metavar="NAME", help="of grad-cam (default: the last convolutional)")
    add("--window", type=count, metavar="N", help="of occlusion, pixels (default: a seventh)")
    add("--stride", type=count, metavar="N", help="of occlusion (default: half the window)")


def run(arguments: Namespace) -> int:
    """Write each image's figure: the paper's map, or that of a later method."""
    from minicnn.explain import attribution, saliency
    from minicnn.figures.attribution import write_attribution
    from minicnn.figures.explanation import write_explanation
    from minicnn.report.files import distinct_names, make_folder

    net, origin = common.load_with_origin(
        arguments.net, arguments.weights, arguments.architecture, arguments.preprocessing, arguments.device
    )
    make_folder(arguments.output)
    is_later = arguments.method != "gradient" or bool(arguments.settings)
    kind = arguments.method if is_later else "saliency"
    figures = distinct_names(arguments.images, Path(arguments.output), kind)
    settings = {"crops": arguments.crops or "one", **arguments.settings}
    if arguments.rule != "gradient":
        settings["rule"] = arguments.rule
    if is_later and arguments.of != "score":
        raise MinicnnError(f"--of {arguments.of}: is the gradient's; {arguments.method} explains the score")

    def draw_saliency(path: str) -> dict[str, Any]:
        explained = saliency(net, path, arguments.target, arguments.crops or "ten", arguments.rule, arguments.of)
        return write_explanation(figures[path], path, explained, origin, arguments.of)

    def draw_attribution(path: str) -> dict[str, Any]:
        explained = attribution(net, path, arguments.target, arguments.method, progress=_step_progress, **settings)
        return write_attribution(figures[path], path, explained, origin)

    images = common.with_progress(arguments.images, "image")
    draw = draw_attribution if is_later else draw_saliency
    return common.run_for_each(images, draw, format_saliencies, arguments.json)


def _step_progress(steps: Iterable[int]) -> Iterable[int]:
    return common.with_progress(steps, "step")


def format_saliencies(records: list[dict[str, Any]]) -> str:
    """Return one line an image, and for integrated gradients how far they miss the score's change."""
    lines = []
    for record in records:
        lines.append(
            f"{record['image']}: {common.class_name(record)}, score {record['score']:.3f}, "
            f"probability {record['probability']:.2%} -> {record['figure']}"
        )
        if "completeness error" in record:
            error, change = record["completeness error"], record["score change"]
            lines.append(f"  attributions add up to the score's change of {change:.4g} but for {error:.2g}")
    return "\n".join(lines)
