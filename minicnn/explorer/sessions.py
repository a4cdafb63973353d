"""Pictures that pages look at: kept in memory under names that nobody can guess, the least used ones let go."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.evaluate.randomise import redraw_parameters, replace_parameters
from minicnn.explain.prediction import get_preprocess
from minicnn.explorer.faults import with_fault
from minicnn.explorer.passes import Pass
from minicnn.images import View
from minicnn.network import Network
from minicnn.service.pictures import open_picture
from minicnn.service.refusals import Refusal

__all__ = ["Session", "Sessions", "randomise"]

PASSES = 3  # of one picture, through the network and through others with layers drawn anew
BYTES = 2**30


class Session:
    """A picture, and its ways through the network.

    Parameters
    ----------
    data : bytes of the picture's file
    pixels : int, the most that it may have

    Raises
    ------
    Refusal
        If it can't be read, or has more.

    Attributes
    ----------
    x, view : the network's input of shape (1, C, H, W), and where in the picture it lies

    """

    def __init__(self, net: Network, data: bytes, pixels: int):
        self.net, self.data, self.pixels = net, data, pixels
        try:
            self.x, views = get_preprocess(net).batch(open_picture(data, pixels), "one")
        except MinicnnError as error:
            raise Refusal("picture", str(error)) from None
        self.view: View = views[0]
        self.passes: OrderedDict[str, Pass] = OrderedDict()
        self.maps: Any = None  # what the cut keeps

    @property
    def size(self) -> int:
        """Bytes that it holds, about."""
        return len(self.data) + sum(run.size for run in self.passes.values())

    def ten_views(self) -> tuple[np.ndarray, list[View]]:
        """Return the ten crops as inputs, and where they lie."""
        return get_preprocess(self.net).batch(open_picture(self.data, self.pixels), "ten")

    def run(self, drawn: str = "", stop: threading.Event | None = None) -> Pass:
        """Return the picture's pass through the network, some of whose layers, by comma, are drawn anew."""
        if drawn not in self.passes:
            self.passes[drawn] = Pass(randomise(self.net, drawn), self.x, stop)
            while len(self.passes) > PASSES:
                self.passes.popitem(last=False)
        self.passes.move_to_end(drawn)
        return self.passes[drawn]


def randomise(net: Network, drawn: str) -> Network:
    """Return the network with the parameters of some layers, named with commas between, drawn anew.

    A name "fault:pool" among them is a fault, of ``minicnn.explorer.faults``.

    Examples
    --------
    >>> import minicnn
    >>> net = minicnn.load("digits")
    >>> other = randomise(net, "fc_layers.2")
    >>> [bool((other.state_dict()[name] == net.state_dict()[name]).all()) for name in list(net.state_dict())[-4:]]
    [True, True, False, False]

    """
    if not drawn:
        return net
    names = drawn.split(",")
    for name in names:
        if name.startswith("fault:"):
            net = with_fault(net, name.removeprefix("fault:"))
    layers = [name for name in names if not name.startswith("fault:")]
    if not layers:
        return net
    parameters = {
        n: a for n, a in redraw_parameters(net).items() if any(n.startswith(f"{name}.") for name in layers)
    }
    if not parameters:
        raise MinicnnError(f"{drawn[:80]!r}: no layer of that name has parameters")
    return replace_parameters(net, parameters)


class Sessions:
    """The pictures that are kept.

    Examples
    --------
    >>> Sessions().get("nothing")
    Traceback (most recent call last):
    ...
    minicnn.service.refusals.Refusal: this picture is not kept any more; choose it again

    """

    def __init__(self, count: int = 8):
        self.count, self._kept = count, OrderedDict[str, Session]()

    def add(self, session: Session) -> str:
        """Keep a picture; return its name."""
        name = secrets.token_urlsafe(12)
        self._kept[name] = session
        while len(self._kept) > 1 and (
            len(self._kept) > self.count or sum(each.size for each in self._kept.values()) > BYTES
        ):
            self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> Session:
        """Return a picture by its name; Refusal if there is none."""
        if name not in self._kept:
            raise Refusal("session", "this picture is not kept any more; choose it again")
        self._kept.move_to_end(name)
        return self._kept[name]
