"""What an architecture is: layers, the input they expect, how an image becomes it, how its weights are drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np

from minicnn.images import Preprocess
from minicnn.layers import Conv2d, Linear
from minicnn.layers.sequence import NamedLayers

__all__ = ["Architecture", "Draw"]

# of a layer's name, the layer and a generator: the parameters
Draw: TypeAlias = "Callable[[str, Conv2d | Linear, np.random.Generator], dict[str, np.ndarray]]"


class Architecture(NamedTuple):
    """A network without its weights.

    Attributes
    ----------
    layers : (name, layer) pairs, the names those of the published state dictionaries
    input_shape : (C, H, W)
    preprocess : Preprocess
    draw : the published random initialisation, see ``minicnn.zoo.initialisation``; None for torch's
    unused : names of layers that published state dictionaries hold and this network leaves out
    renamed : (pattern, replacement) pairs that turn the names of older state dictionaries into today's

    See Also
    --------
    minicnn.zoo.architecture : one by its name

    """

    layers: NamedLayers
    input_shape: tuple[int, int, int]
    preprocess: Preprocess | None
    draw: Draw | None = None
    unused: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def select(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return what this network takes of a published state dictionary, under today's names."""
        kept = {key: array for key, array in state.items() if key.rpartition(".")[0] not in self.unused}
        for pattern, replacement in self.renamed:
            kept = {re.sub(pattern, replacement, key): array for key, array in kept.items()}
        return kept
