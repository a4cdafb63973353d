"""Feature maps: what the channels of a layer give for an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn._utils.types import ImageLike
from minicnn.errors import ShapeError
from minicnn.explain.prediction import load_views
from minicnn.images import View
from minicnn.network import Network

__all__ = ["FeatureMaps", "feature_maps"]


class FeatureMaps(NamedTuple):
    """The maps of a layer.

    Attributes
    ----------
    layer : str
    maps : array of shape (K, P, Q), one map a channel
    view : View, the part of the image that was looked at

    See Also
    --------
    minicnn.explain.feature_maps : what returns it, with an example

    """

    layer: str
    maps: np.ndarray
    view: View


def feature_maps(net: Network, image: ImageLike, layer: str) -> FeatureMaps:
    """Return the maps that a layer gives for an image's centre view.

    Parameters
    ----------
    net : Network with a ``preprocess``
    image : path, PIL.Image, or uint8 array of shape (H, W, 3)
    layer : str, any layer whose output is maps; a dotted name reaches into blocks

    Returns
    -------
    maps : FeatureMaps

    Raises
    ------
    ImageError
        If the image can't be read.
    MinicnnError
        If there is no such layer.
    ShapeError
        If its output is no maps.

    See Also
    --------
    filters : what the layer looks for
    top_activations : the images that activate one of the maps most

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> seven = catalogue.folder("images") / "seven.png"
    >>> feature_maps(minicnn.load("digits"), seven, "conv_layers.0").maps.shape
    (32, 28, 28)

    """
    x, (view,) = load_views(net, image, "one")
    (maps,) = net.forward(x, upto=layer)
    if maps.ndim != 3:
        raise ShapeError(
            f"{layer}: gives {' x '.join(map(str, maps.shape))} values for an image; expected maps, K x P x Q, "
            "as convolutions and pools give"
        )
    return FeatureMaps(layer, maps, view)
