"""The scalar that a pass backwards starts from: a score, a probability, a difference of two classes, any unit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network import Network

__all__ = ["KINDS", "Start", "parse_start"]

KINDS = ("score", "probability", "difference", "unit")


class Start(NamedTuple):
    """What is differentiated.

    Attributes
    ----------
    kind : str, of `KINDS`
    classes : the class, or the two whose scores are subtracted
    layer : str of a unit's layer; None for the scores
    cell : int, the unit's place in the layer's output, counted in row order

    """

    kind: str
    classes: tuple[int, ...] = ()
    layer: str | None = None
    cell: int = 0

    def cotangent(self, net: Network, y: np.ndarray) -> np.ndarray:
        """Return the gradient of the scalar with respect to the output y of shape (1, ...).

        Raises
        ------
        MinicnnError
            If there is no such class or unit.

        Examples
        --------
        >>> import minicnn
        >>> net = minicnn.load("digits")
        >>> parse_start("difference:7-1").cotangent(net, np.zeros((1, 10), np.float32)).tolist()
        [[0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]]

        """
        if self.kind != "unit":
            of = "probability" if self.kind == "probability" else "score"
            dy = net.cotangent(y, self.classes[0], of)
            return dy - net.cotangent(y, self.classes[1]) if self.kind == "difference" else dy
        dy = np.zeros(y.shape, y.dtype)
        if not 0 <= self.cell < dy.size:
            raise MinicnnError(f"unit {self.cell} is out of range; {self.layer!r} has {dy.size:,}")
        dy.reshape(-1)[self.cell] = 1
        return dy


def parse_start(text: str) -> Start:
    """Return what "score:7", "probability:7", "difference:7-1" or "unit:LAYER@CELL" means.

    Raises
    ------
    MinicnnError
        If it means nothing.

    Examples
    --------
    >>> parse_start("score:7")
    Start(kind='score', classes=(7,), layer=None, cell=0)
    >>> parse_start("unit:conv1@12")[2:]
    ('conv1', 12)

    """
    kind, _, rest = text.partition(":")
    layer, _, cell = rest.rpartition("@")
    if kind == "unit" and layer and _is_number(cell):
        return Start("unit", layer=layer, cell=int(cell))
    classes = rest.split("-")
    if kind in KINDS[:3] and len(classes) == (2 if kind == "difference" else 1) and all(map(_is_number, classes)):
        return Start(kind, tuple(map(int, classes)))
    raise MinicnnError(
        "start: expected score:CLASS, probability:CLASS, difference:CLASS-CLASS or unit:LAYER@CELL, got "
        f"{text[:60]!r}"
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
