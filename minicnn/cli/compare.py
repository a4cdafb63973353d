"""``minicnn compare``: a network beside another program, layer by layer."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError

__all__ = ["compared", "dumper", "input_of"]


def compared(arguments: Namespace, net: Any) -> Any:
    """Return the comparison; write the peer's values where ``--save`` says so."""
    from minicnn.verify import compare
    from minicnn.verify.comparison.compare import input_for
    from minicnn.verify.comparison.peers import dump
    from minicnn.verify.comparison.peers.registry import as_peer

    peer, x = as_peer(arguments.peer, net), input_of(arguments, net)
    if arguments.save is not None:
        x = input_for(net, peer, x)
        values = peer.values(x)
        dump.write(arguments.save, x if peer.x is None else peer.x, values)
        peer = replace(peer, values=lambda _: values)  # it need not run twice
    return compare(net, peer, x, arguments.target, gradient=not arguments.forward)


def input_of(arguments: Namespace, net: Any) -> np.ndarray | None:
    """Return the image as the network preprocesses it; None without an image."""
    if arguments.image is None:
        return None
    if net.preprocess is None:
        raise MinicnnError(f"{net.name} does not say how an image becomes its input; give no image")
    return net.preprocess(arguments.image)


def dumper(which: str) -> str:
    """Return the lines that write a dump with nothing but a framework installed."""
    from minicnn.verify.comparison.peers.dump import DUMPERS

    return DUMPERS[which].rstrip()
