"""``minicnn diagnose NET [IMAGE]``: the convention that makes a network answer wrongly."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from minicnn.cli import common
from minicnn.cli.loop.results import add_overwrite, refuse_existing

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_network(parser)
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="what the reference saw, or shows the class")
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
    refuse_existing(files, arguments.overwrite)
    net = common.load_network(arguments.net, arguments.loading, arguments.preprocessing)
    if arguments.label is not None:
        common.check_classes(net, [arguments.label])
    reference = arguments.reference
    diagnosis = diagnose(
        net,
        reference and as_peer(reference, net, **common.ends(arguments.loading)),
        arguments.image,
        arguments.label,
        progress=lambda changes: common.with_progress(changes, "change"),
    )
    if arguments.save is not None and diagnosis.changes and diagnosis.healed:
        save(diagnosis.net, arguments.save)
    elif arguments.save is not None:
        print(f"nothing was healed, so that {arguments.save} was not written", file=sys.stderr)
    if arguments.html is not None:
        diagnosis.write_page(arguments.html)
    if arguments.json:
        common.print_json(diagnosis.record(), arguments.json)
    else:
        print(diagnosis.text())
    return 0 if diagnosis.sound or diagnosis.healed else 1
