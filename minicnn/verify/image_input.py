"""What a network is checked at: an array as it is, an image by the network's preprocessing."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.network import Network

__all__ = ["as_input", "is_input"]


def is_input(x: Any) -> bool:
    """Return whether x is a network's input already, and no image: an array that is not of uint8 pixels."""
    return isinstance(x, np.ndarray) and not (x.dtype == np.uint8 and x.ndim in (2, 3))


def as_input(net: Network, x: Any, where: str) -> Any:
    """Return a float array as it is, and of a path, a picture or uint8 pixels the network's input.

    Raises
    ------
    MinicnnError
        In the name of ``where``, if the network does not say how an image becomes its input.

    Examples
    --------
    >>> import minicnn
    >>> as_input(minicnn.load("digits"), np.zeros((30, 20, 3), np.uint8), "gradients").shape
    (1, 1, 28, 28)

    """
    if is_input(x):
        return x
    if net.preprocess is None:
        raise MinicnnError(
            f"{where}: {net.name} does not say how an image becomes its input; give the array of its input, "
            "or the network a preprocess"
        )
    return net.preprocess(x)
