"""Deconvnet: what in an image activates a feature map (Zeiler, Fergus 2013; paper, section 4).

All activations of a layer but one are set to zero, and that one is carried back to the pixels by the deconvnet's
rule: convolutions by the flipped kernels, max-pools by their switches, ReLU by keeping what is positive on the way
back.  The gradient differs at ReLU and nowhere else.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn._utils.types import ImageLike
from minicnn.errors import ShapeError
from minicnn.explain.prediction import load_views
from minicnn.explain.receptive_field import Box, receptive_field
from minicnn.explain.top_images import OnUnreadable, largest_values
from minicnn.images import View, load_image
from minicnn.images.reduced import reduce_picture
from minicnn.network import Network
from minicnn.rules import Rule, as_rule

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Reconstruction", "deconvnet", "most_active_channel", "top_activations"]


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """One activation, carried back to the pixels.

    Attributes
    ----------
    x : float32 array of shape (C, H, W), in the network's input coordinates
    value : float, the activation
    layer, channel, position : whose it is; position is (row, column), None for layers of features
    receptive_field : Box in pixels of the network's input
    box : (xmin, ymin, xmax, ymax) of the receptive field in the original image's coordinates, floats
    patch : uint8 array of shape (h, w, 3), the image inside of ``box``, reduced to 2^20 pixels if it has more
    rule : str

    See Also
    --------
    minicnn.explain.deconvnet : what returns it, with an example

    """

    x: np.ndarray
    value: float
    layer: str
    channel: int
    position: tuple[int, int] | None
    receptive_field: Box
    box: tuple[float, float, float, float]
    patch: np.ndarray
    rule: str

    @property
    def cut(self) -> np.ndarray:
        """The reconstruction inside of its receptive field, (C, h, w)."""
        box = self.receptive_field
        return self.x[:, box.ymin : box.ymax, box.xmin : box.xmax]


def deconvnet(
    net: Network,
    image: ImageLike,
    layer: str,
    channel: int,
    position: tuple[int, int] | None = None,
    rule: str | Rule = "deconvnet",
) -> Reconstruction:
    """Reconstruction of one activation of one feature map.

    Parameters
    ----------
    net : Network with a ``preprocess`` and an ``input_shape``
    image : path, PIL.Image, or uint8 array of shape (H, W, 3); its centre view is looked at
    layer : str, a layer's name; a dotted name reaches into blocks
    channel : int
    position : (row, column), optional; the map's largest activation unless given
    rule : "deconvnet", "gradient", "guided", or a ``minicnn.rules.Rule`` of your own

    Returns
    -------
    reconstruction : Reconstruction

    Raises
    ------
    MinicnnError
        If the layer or the rule is unknown.
    ShapeError
        If the channel or the position is outside of the layer's output.

    Warns
    -----
    UserWarning
        If the activation is zero, or nothing of it reaches the pixels: the reconstruction is zero everywhere.

    See Also
    --------
    top_activations : the images of a set that activate the feature map most
    minicnn.explain.saliency : the gradient of a class score by the same rules

    References
    ----------
    .. [1] Zeiler, Fergus 2013, "Visualizing and understanding convolutional networks", section 2.1.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> seven = catalogue.folder("images") / "seven.png"
    >>> reconstruction = deconvnet(minicnn.load("digits"), seven, "conv_layers.3", channel=5)
    >>> reconstruction.x.shape, reconstruction.cut.shape
    ((1, 28, 28), (1, 8, 8))

    """
    picture = load_image(image)
    x, (view,) = load_views(net, picture, "one")
    y, tape = net.trace(x, upto=layer)
    index = _index(y, layer, channel, position)
    # all activations are zero but the one, which starts with its own value and not with 1
    dy = np.zeros_like(y)
    dy[index] = y[index]
    place = None if y.ndim == 2 else (int(index[2]), int(index[3]))
    field = receptive_field(net, layer, *(place or ()))
    box = _to_image_box(field, view)
    dx = net.backward(tape, dy, rule)[0]
    if not dx.any():
        warnings.warn(
            f"channel {channel} of {layer} is not active: its activation is {y[index]:.3g}, and by the rule "
            f"{as_rule(rule).name!r} its reconstruction is zero everywhere",
            stacklevel=2,
        )
    return Reconstruction(
        x=dx,
        value=float(y[index]),
        layer=layer,
        channel=channel,
        position=place,
        receptive_field=field,
        box=box,
        patch=_patch(picture, box),
        rule=as_rule(rule).name,
    )


def top_activations(
    net: Network,
    images: Iterable[Any],
    layer: str,
    channel: int,
    count: int = 9,
    on_unreadable: OnUnreadable | None = None,
    position: tuple[int, int] | None = None,
) -> list[tuple[Any, float]]:
    """Images that activate a feature map most, best first, with its activation there.

    Parameters
    ----------
    net, layer, channel, position : as for ``deconvnet``
    images : paths, PIL.Images or uint8 arrays, of which ``count`` and one more are held at a time
    count : int, at least 1
    on_unreadable : called with the error of an image that can't be read, which is left out; raised unless given

    Raises
    ------
    MinicnnError
        If there is no image, or no such layer.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> seven = catalogue.folder("images") / "seven.png"
    >>> net = minicnn.load("digits")
    >>> [(image, value)] = top_activations(net, [seven], "conv_layers.3", channel=5)
    >>> image == seven and value > 0
    True

    """

    def largest(image: Any) -> float:
        y = net.forward(load_views(net, image, "one")[0], upto=layer)
        return float(y[_index(y, layer, channel, position)])

    return largest_values(images, largest, count, on_unreadable)


def most_active_channel(net: Network, image: Any, layer: str) -> int:
    """Return the channel of a layer that holds its largest activation in an image's centre view."""
    y = net.forward(load_views(net, image, "one")[0], upto=layer)[0]
    return int(y.reshape(len(y), -1).max(axis=1).argmax())


def _index(y: np.ndarray, layer: str, channel: int, position: tuple[int, int] | None) -> tuple[int, ...]:
    """Place of the activation in y of shape (1, K) or (1, K, P, Q)."""
    if not 0 <= channel < y.shape[1]:
        raise ShapeError(f"channel {channel} is out of range; {layer!r} has channels 0 to {y.shape[1] - 1}")
    if y.ndim == 2:
        return 0, channel
    if position is None:
        # without a position, where the map is largest
        position = np.unravel_index(y[0, channel].argmax(), y.shape[2:])
    if not all(0 <= p < n for p, n in zip(position, y.shape[2:], strict=True)):
        raise ShapeError(
            f"position {position} is outside of the maps of {layer!r}, which are {y.shape[2]} x {y.shape[3]}"
        )
    return 0, channel, int(position[0]), int(position[1])


def _to_image_box(field: Box, view: View) -> tuple[float, float, float, float]:
    """Return a box of the network's input in the original picture's coordinates."""
    xmin, ymin, xmax, ymax = view.box
    # pixels of the original for each one of the network's input, which shows the view's box alone
    scale_x, scale_y = (xmax - xmin) / view.size[1], (ymax - ymin) / view.size[0]
    return (
        xmin + field.xmin * scale_x,
        ymin + field.ymin * scale_y,
        xmin + field.xmax * scale_x,
        ymin + field.ymax * scale_y,
    )


def _patch(picture: Image, box: tuple[float, float, float, float]) -> np.ndarray:
    """Cut the whole pixels that a box touches out of a picture."""
    xmin, ymin, xmax, ymax = box
    right, bottom = min(int(np.ceil(xmax)), picture.width), min(int(np.ceil(ymax)), picture.height)
    return np.array(reduce_picture(picture.crop((int(xmin), int(ymin), right, bottom))))
