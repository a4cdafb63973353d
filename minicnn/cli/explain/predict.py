"""``minicnn predict IMAGE...``: the classes that a network sees in images."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from minicnn._utils.counted import counted
from minicnn.cli import common
from minicnn.cli.loop.results import add_overwrite, refuse_existing
from minicnn.cli.loop.sources import read_sources

if TYPE_CHECKING:
    from minicnn.explain.outputs.class_map import ClassMap

__all__ = ["configure", "format_predictions", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_image_options(parser)
    parser.add_argument(
        "--top",
        type=common.integer_from(1),
        default=5,
        metavar="N",
        help="how many classes (default: %(default)s)",
    )
    parser.add_argument(
        "--class-map",
        metavar="FILE",
        help="of a network of maps, such as a segmentation: draw the class at each pixel of the image, as PNG",
    )
    add_overwrite(parser)
    common.add_crops(parser, "one")


def run(arguments: Namespace) -> int:
    """Print the most probable classes of each image."""
    from minicnn.explain import predict
    from minicnn.explain.outputs.class_map import class_map, gives_maps

    sources = read_sources(arguments.images)
    if arguments.class_map is not None:
        if len(sources.files) != 1:
            raise common.UsageError(f"--class-map: expected one image, got {len(sources.files)}")
        refuse_existing([arguments.class_map], arguments.overwrite)
    net = common.load_network(arguments.net, arguments.loading, arguments.preprocessing, arguments.device)

    def describe(path: str) -> dict[str, Any]:
        predictions = predict(net, path, crops=arguments.crops, top=arguments.top)
        views = predictions[0].view_count
        record: dict[str, Any] = {"image": path, "net": net.name, "crops": arguments.crops, "views": views}
        record["predictions"] = [p._asdict() for p in predictions]
        if arguments.class_map is not None or (arguments.crops in ("one", "whole") and gives_maps(net)):
            regions = class_map(net, path, arguments.crops)
            record["shares"] = [share._asdict() for share in regions.shares[: arguments.top]]
            if arguments.class_map is not None:
                _draw(path, regions, net.name, arguments.class_map)
        return record

    return common.run_for_each(
        sources.paths, describe, format_predictions, arguments.json, failures=sources.failures
    )


def _draw(path: str, regions: ClassMap, name: str, target: str) -> None:
    """Write the picture with its classes, and a legend."""
    from minicnn.figures.common import draw_photograph
    from minicnn.report import save_png
    from minicnn.report.class_regions import class_regions
    from minicnn.report.png import few_colours

    legend = [
        (share.target, f"{common.class_name(share._asdict())}  {share.share:.1%}") for share in regions.shares
    ]
    photograph = draw_photograph(path)
    classes = regions.at((photograph.shape[0], photograph.shape[1]))
    save_png(few_colours(class_regions(photograph, classes, legend, f"{path} · {name}")), target)


def format_predictions(records: list[dict[str, Any]]) -> str:
    """Return one block an image: probability, score and name of each class; of maps, its share of the pixels."""
    lines = []
    for record in records:
        lines.append(f"{record['image']}  ({record['net']}, {counted(record['views'], 'view')})")
        lines += [
            f"  {p['probability']:7.2%}  {p['score']:8.3f}  {common.class_name(p)}" for p in record["predictions"]
        ]
        shares = record.get("shares", [])
        lines += ["  share of the pixels where each class scores highest"] if shares else []
        lines += [f"  {s['share']:7.2%}  {common.class_name(s)}" for s in shares]
    return "\n".join(lines)
