"""Filters: the weights of a layer as small pictures, one for each of its channels."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from minicnn.errors import MinicnnError, WeightsError
from minicnn.layers import Conv2d, ConvTranspose2d, Flatten, Linear, sequence
from minicnn.network import Network

__all__ = ["Filters", "filters", "layers_with_filters"]

LISTED = 5  # names in a message


class Filters(NamedTuple):
    """The filters of a layer.

    Attributes
    ----------
    layer : str
    weights : array of shape (K, C, R, S), the layer's own dtype: filter k over its C input channels
    in_colour : bool, whether the three input channels are a picture's, then in the order R, G, B

    See Also
    --------
    minicnn.explain.filters : what returns it, with an example

    """

    layer: str
    weights: np.ndarray
    in_colour: bool


def filters(net: Network, layer: str | None = None) -> Filters:
    """Return the filters of a layer.

    Parameters
    ----------
    net : Network
    layer : str, optional
        A convolution, a transposed one, or a linear layer that reads flattened maps, whose rows are filters as
        large as these; a dotted name reaches into blocks. The first of the network unless given.

    Returns
    -------
    filters : Filters
        Of grouped convolutions C is the channels of a group.

    Raises
    ------
    MinicnnError
        If there is no such layer.
    WeightsError
        If it has no filters.

    See Also
    --------
    feature_maps : what they give for an image

    References
    ----------
    .. [1] Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks", figure 3.

    Examples
    --------
    >>> import minicnn
    >>> first = filters(minicnn.load("digits"))
    >>> first.layer, first.weights.shape, first.in_colour
    ('conv_layers.0', (32, 1, 3, 3), False)

    """
    names = layers_with_filters(net)
    if layer is None and names:
        layer = names[0]
    if layer is None:
        raise WeightsError(f"{net.name}: has no layer with filters; expected a convolution")
    # which layers there are is said here
    owner = net[layer]
    if layer not in names:
        inner = [name for name in names if name.startswith(f"{layer}.")] or names
        more = f" and {len(inner) - LISTED} more" if len(inner) > LISTED else ""
        known = f"; layers with filters: {', '.join(inner[:LISTED])}{more}" if inner else ""
        raise WeightsError(f"{layer}: {type(owner).__name__} has no filters{known}")
    weights = net.state_dict()[f"{layer}.weight"]
    if isinstance(owner, ConvTranspose2d):
        weights = _transposed(weights, owner.groups)
    elif isinstance(owner, Linear):
        weights = weights.reshape(-1, *_flattened_maps(net)[layer])
    channels = "RGB" if net.preprocess is None else net.preprocess.channels
    # the first layer of a network of pictures sees colours
    first = layer == names[0] and getattr(owner, "groups", 1) == 1
    in_colour = first and weights.shape[1] == 3 and channels in ("RGB", "BGR")
    return Filters(layer, weights[:, ::-1] if in_colour and channels == "BGR" else weights, in_colour)


def layers_with_filters(net: Network) -> list[str]:
    """Return the names of the layers that `filters` reads, in order.

    Examples
    --------
    >>> import minicnn
    >>> layers_with_filters(minicnn.load("digits"))[-1]
    'fc_layers.0'

    """
    flattened = _flattened_maps(net)
    convolutions = (Conv2d, ConvTranspose2d)
    return [n for n, own in sequence.walk(net.named_layers) if isinstance(own, convolutions) or n in flattened]


def _transposed(weights: np.ndarray, groups: int) -> np.ndarray:
    """Return (C, K / groups, R, S) as (K, C / groups, R, S)."""
    split = weights.reshape(groups, -1, *weights.shape[1:])
    return split.swapaxes(1, 2).reshape(-1, split.shape[1], *weights.shape[2:])


def _flattened_maps(net: Network) -> dict[str, tuple[int, ...]]:
    """Return the linear layers that read maps (C, R, S) of more than a pixel, flattened, and the maps' shapes."""
    if net.input_shape is None:
        return {}
    result, before_flatten = {}, None
    try:
        for name, layer, before, _ in sequence.shapes(net.named_layers, net.input_shape):
            if isinstance(layer, Linear) and before_flatten and prod(before_flatten) == layer.in_features:
                result[name] = before_flatten
            before_flatten = before if isinstance(layer, Flatten) and len(before) == 3 else None
    except MinicnnError:
        return {}  # of inputs that the layers don't fit, about which the forward pass has more to say
    return {name: maps for name, maps in result.items() if prod(maps[1:]) > 1}
