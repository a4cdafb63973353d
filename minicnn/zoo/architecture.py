"""What an architecture is: layers, the input they expect, how an image becomes it, how its weights are drawn."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minicnn.images import Preprocess
from minicnn.layers import Layer

__all__ = ["Architecture", "Draw"]

Draw = Callable[[str, Layer, np.random.Generator], dict[str, np.ndarray]]


class Architecture(NamedTuple):
    """A network without its weights.

    Attributes
    ----------
    layers : (name, layer) pairs, the names those of the published state dictionaries
    input_shape : (C, H, W)
    preprocess : Preprocess
    draw : the published random initialisation, see ``minicnn.zoo.initialisation``; None for torch's
    unused : names of layers that published state dictionaries hold and this network leaves out

    """

    layers: list
    input_shape: tuple[int, int, int]
    preprocess: Preprocess
    draw: Draw | None = None
    unused: tuple[str, ...] = ()
