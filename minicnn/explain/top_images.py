"""Top images: those of a set that activate a unit most (Le et al. 2012; Zeiler, Fergus 2013)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import ImageError, MinicnnError
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explain.prediction import load_views
from minicnn.images import load_image
from minicnn.images.reduced import reduce_picture
from minicnn.network import Network
from minicnn.network.targets import unit_cotangent

__all__ = ["TopImage", "largest_values", "top_images"]

OnUnreadable = Callable[[ImageError], None]


class TopImage(NamedTuple):
    """An image that activates a unit.

    Attributes
    ----------
    image : as it was given
    value : float, the unit's
    view : uint8 array of shape (h, w, 3), the part of the image that the network sees, at most 2^20 pixels

    See Also
    --------
    minicnn.explain.top_images : what returns it, with an example

    """

    image: Any
    value: float
    view: np.ndarray


def top_images(
    net: Network,
    images: Iterable[Any],
    layer: str | None,
    unit: int | tuple[int, ...],
    count: int = 9,
    on_unreadable: OnUnreadable | None = None,
) -> list[TopImage]:
    """Images in which a unit's value is largest, best first: what ``maximise`` ascends, over a set of pictures.

    Parameters
    ----------
    net : Network with a ``preprocess``
    images : paths, PIL.Images or uint8 arrays, of which ``count`` and one more are held at a time
    layer : str, a layer's name; None for the scores
    unit : (channel, row, column), or a channel alone: a score, or the sum over its map
    count : int, at least 1
    on_unreadable : called with the error of an image that can't be read, which is left out; raised unless given

    Returns
    -------
    top : list of TopImage

    Raises
    ------
    MinicnnError
        If there is no image, no such layer, or no such unit.

    See Also
    --------
    minicnn.explain.maximise : the image that maximises the same unit

    References
    ----------
    .. [1] Le et al. 2012, "Building high-level features using large scale unsupervised learning", section 4.2.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.images import list_images
    >>> from minicnn.io import catalogue
    >>> net, images = minicnn.load("digits"), list_images(catalogue.folder("images"))
    >>> (top,) = top_images(net, images, None, unit=7, count=1)
    >>> top.image.name
    'seven.png'

    """
    net = as_classifier(net) if layer is None else net

    def value(image: Any) -> float:
        y = net.forward(load_views(net, image, "one")[0], upto=layer)
        # a channel without a place is the sum over its map, as in ``maximise``
        return float(y[unit_cotangent(y, unit) != 0].sum())

    return [TopImage(i, v, _crop(net, i)) for i, v in largest_values(images, value, count, on_unreadable)]


def largest_values(
    images: Iterable[Any], value: Callable[[Any], float], count: int, on_unreadable: OnUnreadable | None = None
) -> list[tuple[Any, float]]:
    """Return the images of largest value with it, best first, of equal ones the earlier; no others are kept.

    Raises
    ------
    MinicnnError
        If there is no image that can be read, or ``count`` is less than 1.

    """

    def pairs() -> Iterable[tuple[Any, float]]:
        for image in images:
            try:
                yield image, value(image)
            except ImageError as error:
                if on_unreadable is None:
                    raise
                on_unreadable(error)

    if count < 1:
        raise MinicnnError(f"top: expected at least 1 image, got {count}")
    # pairs are made as they are asked for: no more than ``count`` images are held
    top = heapq.nlargest(count, pairs(), key=lambda pair: pair[1])
    if not top:
        raise MinicnnError("no images were given, or none of them can be read")
    return top


def _crop(net: Network, image: Any) -> np.ndarray:
    """Return the part of an image that its centre view shows."""
    picture = load_image(image)
    _, (view,) = load_views(net, picture, "one")
    xmin, ymin, xmax, ymax = (round(edge) for edge in view.box)
    # rounding may leave nothing of a view narrower than a pixel: one is kept at least
    part = picture.crop((xmin, ymin, max(xmax, xmin + 1), max(ymax, ymin + 1)))
    return np.asarray(reduce_picture(part))
