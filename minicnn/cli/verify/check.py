"""``minicnn check NET [IMAGE...]``: every gradient of a network against its forward pass."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from minicnn.cli import common
from minicnn.cli.loop.results import add_overwrite, refuse_existing
from minicnn.cli.verify.reports import add_images, print_reports, read_images

if TYPE_CHECKING:
    from minicnn.network import Network

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_network(parser)
    add_images(parser, "random values")
    common.add_loading(parser)
    common.add_preprocessing(parser)
    parser.add_argument("--device", default="reference", help="whose gradients (default: %(default)s)")
    common.add_seed(parser, "of the directions")
    parser.add_argument(
        "--directions",
        type=common.integer_from(1),
        default=3,
        metavar="N",
        help="for each gradient (default: %(default)s)",
    )
    parser.add_argument("--html", metavar="FILE", help="write the table as a page too")
    add_overwrite(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Hold gradients against the forward pass; 1 if one is wrong."""
    from minicnn.verify import gradients

    sources = read_images(arguments.images, {"--html": arguments.html})
    refuse_existing([arguments.html] if arguments.html else [], arguments.overwrite)
    net = common.load_network(arguments.net, arguments.loading, arguments.preprocessing)

    def check(image: str | None) -> Any:
        report = gradients(
            net,
            _make_input(net, image, arguments.seed),
            device=arguments.device,
            seed=arguments.seed,
            directions=arguments.directions,
            progress=lambda layers: common.with_progress(layers, "layer"),
        )
        if arguments.html:
            _write_page(arguments.html, report)
        return report

    return print_reports(sources, check, lambda r: r.ok, lambda r: r.text(), arguments.json)


def _make_input(net: Network, image: str | None, seed: int) -> Any:
    import numpy as np

    from minicnn.verify.comparison.inputs import choose_shape

    return np.random.default_rng(seed).standard_normal((1, *choose_shape(net))) if image is None else image


def _write_page(path: str, report: Any) -> None:
    from minicnn.report import Section, write_page

    write_page(
        path,
        f"Gradients of {report.subject}",
        [
            Section("Result", tuple(report.notes()), verdict=(report.ok, report.verdict())),
            Section("Worst of each layer", table=report.table()),
        ],
    )
