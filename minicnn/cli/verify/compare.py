"""``minicnn compare NET [IMAGE...] --with PEER``: a network beside another program, layer by layer."""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from minicnn.cli import common
from minicnn.cli.loop.results import add_overwrite, refuse_existing
from minicnn.cli.verify.reports import add_images, print_reports, read_images
from minicnn.errors import MinicnnError

if TYPE_CHECKING:
    import numpy as np

    from minicnn.network import Network
    from minicnn.verify import Comparison

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    common.add_network(parser)
    add_images(parser, "random values")
    parser.add_argument(
        "--with",
        dest="peer",
        required=True,
        metavar="PEER",
        help="torch or onnxruntime (the net translated), a device, FILE.onnx or .keras, DUMP.npz, module:function",
    )
    parser.add_argument("--target", metavar="CLASS", help="whose gradient, label or number (default: the best)")
    parser.add_argument("--forward", action="store_true", help="leave the gradients out")
    parser.add_argument("--wide", action="store_true", help="the table with all its columns, however wide")
    parser.add_argument("--save", metavar="DUMP.npz", help="keep the peer's values in a file")
    parser.add_argument(
        "--print-dumper",
        action=_PrintDumper,
        choices=("torch", "onnxruntime", "jax", "any"),
        help="print lines that write a dump with that framework alone, and exit",
    )
    parser.add_argument("--device", default="reference", help="where ours runs (default: %(default)s)")
    parser.add_argument("--html", metavar="PAGE", help="write the result as a page too, what differs first drawn")
    common.add_loading(parser)
    common.add_preprocessing(parser)
    add_overwrite(parser)
    common.add_json(parser)


class _PrintDumper(Action):
    """Prints the lines that write a dump."""

    def __call__(self, parser: ArgumentParser, namespace: Namespace, framework: Any, _: str | None = None) -> None:
        """Print them and exit."""
        from minicnn.verify.comparison.peers.dump import DUMPERS

        print(DUMPERS[framework].rstrip())
        parser.exit()


def run(arguments: Namespace) -> int:
    """Hold a network against another program; 1 if they diverge."""
    from minicnn.verify import compare
    from minicnn.verify.comparison.inputs import input_for
    from minicnn.verify.comparison.peers import dump
    from minicnn.verify.comparison.peers.registry import as_peer

    files = [file for file in (arguments.save, arguments.html) if file is not None]
    sources = read_images(arguments.images, {"--save": arguments.save, "--html": arguments.html})
    refuse_existing(files, arguments.overwrite)
    net = common.load_network(arguments.net, arguments.loading, arguments.preprocessing, arguments.device)
    if arguments.target is not None:
        common.check_classes(net, [arguments.target])
    peer = as_peer(arguments.peer, net, **common.ends(arguments.loading))

    def compare_at(image: str | None) -> Comparison:
        x = _preprocess(net, image)
        if arguments.save is not None:
            x = input_for(net, peer, x)
            dump.write(arguments.save, x if peer.x is None else peer.x, peer.run(x if peer.x is None else peer.x))
        comparison = compare(net, peer, x, arguments.target, gradient=not arguments.forward)
        if arguments.html is not None:
            comparison.write_page(arguments.html)
        return comparison

    return print_reports(sources, compare_at, lambda c: c.ok, lambda c: c.text(arguments.wide), arguments.json)


def _preprocess(net: Network, image: str | None) -> np.ndarray | None:
    """Return the image as the network preprocesses it; None without an image."""
    if image is None:
        return None
    if net.preprocess is None:
        raise MinicnnError(f"{net.name} does not say how an image becomes its input; give no image")
    return net.preprocess(image)
