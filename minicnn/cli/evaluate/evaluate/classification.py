"""``minicnn evaluate classification DATA``: how often the right class is named, and how sure the network is."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from minicnn.cli import common
from minicnn.cli.evaluate.evaluate.common import LeftOut, add_classes, claim, print_written, read_names, resumable
from minicnn.cli.loop.results import add_overwrite

if TYPE_CHECKING:
    from minicnn.training import Dataset

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "data",
        metavar="DATA",
        help="idx files, a folder of class folders, a CSV of paths and classes, or an .npz; the test part, if it "
        "has two",
    )
    common.add_network_options(parser)
    common.add_output(parser, "minicnn-classification")
    common.add_crops(parser, "one")
    add_classes(parser)
    parser.add_argument(
        "--images", type=common.integer_from(1), metavar="N", help="N images, evenly spaced (default: all)"
    )
    common.add_device(parser)
    add_overwrite(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Print measures and classes; write each answer, tables, figures and a page."""
    from minicnn.evaluate.classification.evaluate import evaluate_classification
    from minicnn.figures.evaluation import classification as figures
    from minicnn.figures.evaluation.classification_page import write_classification_page
    from minicnn.training import read_dataset

    data = _take(read_dataset(arguments.data, "test"), arguments.images)
    net, origin = common.load_with_origin(
        arguments.net, arguments.loading, arguments.preprocessing, arguments.device
    )
    # what "auto" stands for follows from how much there is to do
    net = net.to(arguments.device, images=len(data))
    origin = {**origin, "device": net.device}
    names, left_out = read_names(arguments, net), LeftOut()
    folder = claim(arguments, "classification", origin)
    with resumable(arguments.output, len(data), "image") as progress:
        result = evaluate_classification(
            net,
            data,
            crops=arguments.crops,
            names=names,
            keep=folder,
            progress=progress,
            skip=left_out.skipped.append,
        )
    assert result.path is not None  # since they are kept
    tables = [result.path, *figures.write_classes(folder, result)]
    drawn = {kind: folder / f"{kind}.png" for kind in ("confusion", "reliability", "mistakes")}
    figures.write_confusion(drawn["confusion"], result, origin)
    figures.write_reliability(drawn["reliability"], result, origin)
    if not figures.write_mistakes(drawn["mistakes"], data, result, origin):
        del drawn["mistakes"]
    page = folder / "classification.html"
    write_classification_page(page, result, drawn, tables, left_out.skipped)
    files = {kind: str(path) for kind, path in {**drawn, "page": page}.items()}
    record = {**result.record(), "skipped": left_out.record(folder), **files}
    print_written(record, result.text(), [*tables, *drawn.values(), page], arguments.json)
    return left_out.complain()


def _take(data: Dataset, images: int | None) -> Dataset:
    """Return so many images, evenly spaced, as class folders lie one behind the other."""
    import numpy as np

    if images is None or images >= len(data):
        return data
    return data.subset(np.linspace(0, len(data) - 1, images).round().astype(np.int64))
