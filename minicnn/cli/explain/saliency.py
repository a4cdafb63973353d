"""``minicnn saliency IMAGE...``: saliency maps, and the maps of later methods for comparison."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable
from math import nan
from typing import Any

from minicnn._utils.counted import counted
from minicnn.cli import common
from minicnn.cli.loop.raw import RawFiles, add_raw, format_raw
from minicnn.cli.loop.results import add_overwrite, claim, figure_paths
from minicnn.cli.loop.sources import read_sources
from minicnn.cli.parsing.drawing import add_drawing

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_image_options(parser)
    common.add_output(parser)
    add_overwrite(parser)
    add_drawing(parser)
    add_raw(parser)
    parser.add_argument("--target", metavar="CLASS", help="label or number (default: the most probable class)")
    parser.add_argument("--rule", default="gradient", choices=("gradient", "deconvnet", "guided"))
    parser.add_argument("--of", default="score", choices=("score", "probability"), help="what is differentiated")
    parser.add_argument(
        "--crops",
        choices=("one", "ten", "whole"),
        help="the centre; corners and centre, each mirrored too; the whole picture (default: ten; grad-cam: "
        "whole; other methods: one)",
    )
    parser.add_argument(
        "--region",
        type=_parse_region,
        metavar="X,Y",
        help="of a network of maps: the pixel, or XMIN,YMIN,XMAX,YMAX, where the class is scored (default: all)",
    )
    _add_methods(parser)


def _parse_region(text: str) -> tuple[float, ...]:
    parts = text.split(",")
    if len(parts) not in (2, 4) or not all(part.strip().isdecimal() for part in parts):
        raise ArgumentTypeError(f"expected X,Y or XMIN,YMIN,XMAX,YMAX in pixels, got {text!r}")
    return tuple(float(part) for part in parts)


def _add_methods(parser: ArgumentParser) -> None:
    """Add the methods of ``minicnn.explain.methods``; their settings that are typed go to ``settings``."""
    from minicnn.explain.methods import command_methods, command_options

    group = parser.add_argument_group("later work", "other methods' maps, for comparison")
    group.add_argument(
        "--method", default="gradient", choices=command_methods(), help="default: the paper's %(default)s"
    )
    add = common.option_adder(group, "settings")
    for name, (setting, help) in command_options().items():
        option = f"--{name.replace('_', '-')}"
        if setting.choices:
            add(option, choices=setting.choices, help=help)
        elif setting.type is int and setting.minimum is not None:
            add(
                option, type=common.integer_from(setting.minimum, setting.word), metavar=setting.metavar, help=help
            )
        else:
            add(option, type=setting.type, metavar=setting.metavar, help=help)


def run(arguments: Namespace) -> int:
    """Write each image's figure: the paper's map, or that of a later method."""
    from minicnn.explain import attribution, saliency
    from minicnn.figures.attribution import write_attribution
    from minicnn.figures.saliency import write_saliency

    is_later = arguments.method != "gradient" or bool(arguments.settings)
    if is_later and arguments.of != "score":
        raise common.UsageError(f"--of {arguments.of}: is the gradient's; {arguments.method} explains the score")
    sources = read_sources(arguments.images)
    kind = arguments.method if is_later else "saliency"
    figures = figure_paths(sources.files, arguments.output, kind)
    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    if arguments.target is not None:
        common.check_classes(net, [arguments.target])
    raw = RawFiles.asked_for(arguments, ("map", "signed") if is_later else ("map",))
    figures = claim(arguments.output, figures, arguments.overwrite, raw.planned)
    settings = {"crops": arguments.crops, **arguments.settings}
    if arguments.rule != "gradient":
        settings["rule"] = arguments.rule
    region = arguments.region
    # ten views show ten places; a picture that is warped is in one of them whole
    crops = arguments.crops or ("ten" if region is None else "whole")

    def draw_saliency(path: str) -> dict[str, Any]:
        explained = saliency(net, path, arguments.target, crops, arguments.rule, arguments.of, region)
        record = write_saliency(figures[path], path, explained, origin, arguments.of, region)
        return record | raw.write(figures[path], {"map": lambda: explained.placed.at(outside=nan)})

    def draw_attribution(path: str) -> dict[str, Any]:
        explained = attribution(
            net, path, arguments.target, arguments.method, region=region, progress=_step_progress, **settings
        )
        record = write_attribution(figures[path], path, explained, origin, region)
        signed = explained.placed_signed
        maps = {"map": lambda: explained.placed.at(outside=nan), "signed": lambda: signed.at(outside=nan)}
        return record | raw.write(figures[path], maps)

    draw = draw_attribution if is_later else draw_saliency
    return common.run_for_each(sources.paths, draw, format_saliencies, arguments.json, failures=sources.failures)


def _step_progress(steps: Iterable[int]) -> Iterable[int]:
    return common.with_progress(steps, "step")


def format_saliencies(records: list[dict[str, Any]]) -> str:
    """Return one line an image, and for maps that add up to something how far they miss it."""
    lines = []
    for record in records:
        lines.append(
            f"{record['image']}: {common.class_name(record)}, score {record['score']:.3f}, "
            f"probability {record['probability']:.2%} ({counted(record['views'], 'view')}) -> {record['figure']}"
            f"{format_raw(record)}"
        )
        if "score change" in record:
            lines += _format_completeness(record)
        elif "constant" in record:
            lines.append(
                f"  attributions and the constant {record['constant']:.4g} add up to the score but for "
                f"{record['completeness error']:.2g}"
            )
    return "\n".join(lines)


def _format_completeness(record: dict[str, Any]) -> list[str]:
    """Return what integrated gradients add up to; of exact ones also how, beside the usual sum."""
    change, usual = record["score change"], "completeness error of "
    lines = [f"  attributions add up to the score's change of {change:.4g} but for {_format_error(record)}"]
    for name in record:
        if name.startswith(usual):
            lines.append(f"  ({name.removeprefix(usual)} miss it by {_format_error(record, name)})")
    if "segments" in record:
        lines.append(
            f"  {record['segments']:,.0f} segments cross {record['kinks']:,.0f} kinks; cut last, they moved "
            f"{record['uncertainty']:.2%} of the map"
        )
    return lines


def _format_error(record: dict[str, Any], name: str = "completeness error") -> str:
    """Return an error, and what share of the score's change it is."""
    error, change = record[name], abs(record["score change"])
    return f"{error:.2g}, {error / change:.1e} of it" if change else f"{error:.2g}"
