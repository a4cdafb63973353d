"""Another last layer: a network that knows some classes learns others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minicnn._utils.types import Shape
from minicnn.errors import MinicnnError, ShapeError
from minicnn.layers import Conv2d, Linear, sequence
from minicnn.network import Network

__all__ = ["replace_head"]


def replace_head(net: Network, labels: Sequence[str], seed: int = 0) -> Network:
    """Return the network with its last layer that has weights drawn anew, for other classes; all else as it is.

    That is a full layer, or a convolution with a filter for each class, of whose maps the means are the scores.

    Parameters
    ----------
    net : Network
    labels : the new classes
    seed : int, of the new weights

    Raises
    ------
    MinicnnError
        If the scores come from neither.

    Examples
    --------
    >>> import minicnn
    >>> net = replace_head(minicnn.load("digits"), ["even", "odd"])
    >>> net.layers[-1], net.labels
    (Linear(in_features=256, out_features=2, bias=True), ['even', 'odd'])

    """
    layers = sequence.before_softmax(net.named_layers)
    at = max((i for i, pair in enumerate(layers) if sequence.parameter_shapes([pair])), default=-1)
    name, last = layers[at]
    with_bias = "bias" in last.parameter_shapes()
    rng = np.random.default_rng(seed)
    new: Linear | Conv2d
    if isinstance(last, Linear):
        new = replace(last, out_features=len(labels), weight=None, bias=with_bias).initialise(rng)
    elif isinstance(last, Conv2d) and last.groups == 1:
        new = replace(last, out_channels=len(labels), weight=None, bias=with_bias).initialise(rng)
    else:
        raise _refuse(net, name, type(last).__name__)
    layers = [*layers[:at], (name, new), *layers[at + 1 :]]
    if net.input_shape is not None and not _gives(layers, net.input_shape, len(labels)):
        raise _refuse(net, name, type(last).__name__)
    return Network(layers, net.input_shape, net.preprocess, labels, device=net.device, name=net.name)


def _gives(layers: sequence.NamedLayers, input_shape: Shape, num_classes: int) -> bool:
    try:
        return sequence.output_shape(layers, input_shape) == (num_classes,)
    except ShapeError:
        return False  # what reads the last weights' output wants as many values as there were


def _refuse(net: Network, name: str, kind: str) -> MinicnnError:
    return MinicnnError(
        f"{net.name}: its last weights are those of {name}, {kind}; only a Linear layer, or a Conv2d with a "
        "filter for each class, is replaced: build the network with another last layer, and load the other weights"
    )
