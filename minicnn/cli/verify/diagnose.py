"""``minicnn diagnose NET [IMAGE...]``: the convention that makes a network answer wrongly."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from minicnn.cli import common
from minicnn.cli.loop.results import add_overwrite, refuse_existing
from minicnn.cli.verify.reports import add_images, print_reports, read_images

if TYPE_CHECKING:
    from minicnn.verify import Diagnosis

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_network(parser)
    add_images(parser, "what a dump holds, or random values; what --label names must be seen in an image")
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument("--reference", metavar="PEER", help="FILE.onnx, FILE.keras, DUMP.npz, or module:function")
    truth.add_argument("--label", metavar="CLASS", help="without a reference: the image's class, label or number")
    parser.add_argument("--save", metavar="FILE.npz", help="write the healed network")
    parser.add_argument("--html", metavar="PAGE", help="write the result as a page too, what differs first drawn")
    common.add_loading(parser)
    common.add_preprocessing(parser)
    add_overwrite(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Find the wrong convention; 1 if there is a fault that no known change heals."""
    from minicnn.io.load import save
    from minicnn.verify import diagnose
    from minicnn.verify.comparison.peers.registry import as_peer

    files = [file for file in (arguments.save, arguments.html) if file is not None]
    sources = read_images(arguments.images, {"--save": arguments.save, "--html": arguments.html})
    refuse_existing(files, arguments.overwrite)
    net = common.load_network(arguments.net, arguments.loading, arguments.preprocessing)
    if arguments.label is not None:
        common.check_classes(net, [arguments.label])
    reference = arguments.reference
    peer = reference and as_peer(reference, net, **common.ends(arguments.loading))

    def diagnose_at(image: str | None) -> Diagnosis:
        diagnosis = diagnose(
            net,
            peer,
            image,
            arguments.label,
            progress=lambda changes: common.with_progress(changes, "change"),
        )
        if arguments.save is not None and diagnosis.changes and diagnosis.healed:
            save(diagnosis.net, arguments.save)
        elif arguments.save is not None:
            common.complain(f"nothing was healed, so that {arguments.save} was not written")
        if arguments.html is not None:
            diagnosis.write_page(arguments.html)
        return diagnosis

    return print_reports(sources, diagnose_at, lambda d: d.sound or d.healed, lambda d: d.text(), arguments.json)
