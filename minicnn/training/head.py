"""Another last layer: a network that knows some classes learns others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.layers import Linear, sequence
from minicnn.network import Network

__all__ = ["replace_head"]


def replace_head(net: Network, labels: Sequence[str], seed: int = 0) -> Network:
    """Return the network with its last layer drawn anew, for other classes; all else as it is.

    Parameters
    ----------
    net : Network
    labels : the new classes
    seed : int, of the new weights

    Raises
    ------
    MinicnnError
        If the scores come from no fully connected layer.

    Examples
    --------
    >>> import minicnn
    >>> net = replace_head(minicnn.load("digits"), ["even", "odd"])
    >>> net.layers[-1], net.labels
    (Linear(in_features=256, out_features=2, bias=True), ['even', 'odd'])

    """
    layers = sequence.before_softmax(net.named_layers)
    name, last = layers[-1]
    if not isinstance(last, Linear):
        raise MinicnnError(
            f"{net.name}: its scores come from {name}, {type(last).__name__}; only a Linear layer is replaced"
        )
    bias = "bias" in last.parameter_shapes()
    new = replace(last, out_features=len(labels), weight=None, bias=bias)
    layers = [*layers[:-1], (name, new.initialise(np.random.default_rng(seed)))]
    return Network(layers, net.input_shape, net.preprocess, labels, device=net.device, name=net.name)
