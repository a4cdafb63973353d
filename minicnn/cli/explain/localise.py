"""``minicnn localise IMAGE...``: objects found by graph cut."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn._utils.counted import counted
from minicnn.cli import common
from minicnn.cli.loop.raw import RawFiles, add_raw, format_raw
from minicnn.cli.loop.results import add_overwrite, claim, figure_paths
from minicnn.cli.loop.sources import read_sources
from minicnn.cli.parsing.drawing import add_drawing

if TYPE_CHECKING:
    import numpy as np

    from minicnn.explain.localise import Detection

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_image_options(parser)
    common.add_output(parser)
    add_overwrite(parser)
    add_drawing(parser)
    add_raw(parser, "map and mask")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--target", metavar="CLASS", help="label or number (default: the most probable class)")
    which.add_argument(
        "--top",
        type=common.integer_from(1),
        default=1,
        metavar="N",
        help="so many of the most probable classes",
    )
    parser.add_argument(
        "--method",
        metavar="NAME",
        help="consensus: the box that many cuts agree on (the default); paper: the paper's, the default where one "
        "of the options below is given; smooth: the paper's cut on a SmoothGrad map",
    )
    parser.add_argument("--rule", choices=("gradient", "deconvnet", "guided"), help="default: the method's")
    add = common.option_adder(parser, "settings")
    add("--foreground", type=float, metavar="Q", help="seeds lie above this quantile")
    add("--background", type=float, metavar="Q", help="and below this one")
    add("--gamma", type=float, metavar="G", help="weight of the boundary")
    parser.add_argument(
        "--crops", choices=("one", "ten", "whole", "pair", "all"), help="views for the map (default: the method's)"
    )


def run(arguments: Namespace) -> int:
    """Write a figure of each object found: photograph, map, seeds, mask and box."""
    from minicnn.explain import localise
    from minicnn.explain.localise import DEFAULT_METHOD, configure_method, configure_settings
    from minicnn.figures.localisation import write_detection

    given = {"crops": arguments.crops, "rule": arguments.rule}
    given = {name: value for name, value in given.items() if value is not None}
    method = arguments.method or ("paper" if given or arguments.settings else DEFAULT_METHOD)
    # what the method lacks is refused before the net is loaded
    with common.wrong_use():
        settings = configure_settings(method, arguments.settings)
        configure_method(method, {**given, "settings": settings})
    sources = read_sources(arguments.images)
    figures = figure_paths(sources.files, arguments.output, "localisation")
    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    if arguments.target is not None:
        common.check_classes(net, [arguments.target])
    targets = arguments.top if arguments.target is None else [arguments.target]
    count = arguments.top if arguments.target is None else 1
    raw = RawFiles.asked_for(arguments, ("map", "mask"))

    def planned(paths: Iterable[Path]) -> list[Path]:
        return raw.planned([_number(path, n + 1) for path in paths for n in range(count)])

    figures = claim(arguments.output, figures, arguments.overwrite, planned)
    options = {**given, "settings": settings, "method": method}

    def draw(path: str) -> dict[str, Any]:
        records = []
        for n, detection in enumerate(localise(net, path, targets, **options), 1):
            figure = _number(figures[path], n)
            record = write_detection(figure, path, detection, origin, settings)
            records.append(record | raw.write(figure, _raw_arrays(detection)))
        return {"image": path, "net": net.name, "detections": records}

    return common.run_for_each(sources.paths, draw, format_detections, arguments.json, failures=sources.failures)


def _raw_arrays(detection: Detection) -> dict[str, Callable[[], np.ndarray]]:
    return {"map": lambda: detection.saliency.placed.at(outside=nan), "mask": lambda: detection.mask}


def _number(figure: Path, n: int) -> Path:
    """Return the figure of an image's n-th class."""
    return figure if n == 1 else figure.with_suffix(f".{n}.png")


def format_detections(records: list[dict[str, Any]]) -> str:
    """Return one line a detection: class, probability, box and the figure's path."""
    return "\n".join(
        f"{record['image']}: {common.class_name(d)}, probability {d['probability']:.2%} "
        f"({counted(d['views'], 'view')}), box {d['box']}"
        f"{_format_trust(d)} -> {d['figure']}{format_raw(d)}"
        for record in records
        for d in record["detections"]
    )


def _format_trust(detection: dict[str, Any]) -> str:
    """Return how sure the method "consensus" is of the box, nothing of the others."""
    if "confidence" not in detection:
        return ""
    words = f", confidence {detection['confidence']:.0%}"
    if not detection["localised"]:
        words += " (can't localise: the box is a guess)"
    if detection["thresholded"]:
        words += " (no cut gave a mask: the map's threshold)"
    others = len(detection["instances"]) - 1
    return words + (f", {others} more like it" if others else "")
