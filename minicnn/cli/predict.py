"""``minicnn predict IMAGE...``: the classes that a network sees in images."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from minicnn.cli import common

__all__ = ["configure", "format_predictions", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_image_options(parser)
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many classes (default: %(default)s)")
    common.add_crops(parser, "one")


def run(arguments: Namespace) -> int:
    """Print the most probable classes of each image."""
    from minicnn.explain import predict

    net = common.load_network(arguments.net, arguments.loading, arguments.preprocessing, arguments.device)

    def describe(path: str) -> dict[str, Any]:
        predictions = predict(net, path, crops=arguments.crops, top=arguments.top)
        return {"image": path, "net": net.name, "predictions": [p._asdict() for p in predictions]}

    images = common.with_progress(arguments.images, "image")
    return common.run_for_each(images, describe, format_predictions, arguments.json)


def format_predictions(records: list[dict[str, Any]]) -> str:
    """Return one block an image: probability, score and name of each class."""
    lines = []
    for record in records:
        lines.append(f"{record['image']}  ({record['net']})")
        lines += [
            f"  {p['probability']:7.2%}  {p['score']:8.3f}  {common.class_name(p)}" for p in record["predictions"]
        ]
    return "\n".join(lines)
