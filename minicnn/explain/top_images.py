"""Top stimuli: the images of a set that a unit answers to most (Le et al. 2012; Zeiler, Fergus 2013)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import ImageError, MinicnnError
from minicnn.explain.prediction import views_of
from minicnn.images import load_image
from minicnn.network import Network
from minicnn.network.targets import unit_cotangent

__all__ = ["TopImage", "strongest", "top_images"]

Unread = Callable[[ImageError], None]


class TopImage(NamedTuple):
    """An image, the unit's value there, and what the network saw of it, uint8 of shape (h, w, 3)."""

    image: Any
    value: float
    seen: np.ndarray


def top_images(
    net: Network,
    images: Iterable[Any],
    layer: str | None,
    unit: int | tuple[int, ...],
    count: int = 9,
    unread: Unread | None = None,
) -> list[TopImage]:
    """Images in which a unit's value is largest, best first: what ``maximise`` climbs, over a set of pictures.

    Parameters
    ----------
    net : Network with a ``preprocess``
    images : paths, PIL.Images or uint8 arrays, of which ``count`` and one more are held at a time
    layer : str, a layer's name; None for the scores
    unit : (channel, row, column), or a channel alone: a score, or the sum over its map
    count : int, at least 1
    unread : called with the error of an image that can't be read, which is then left out; raised unless given

    Returns
    -------
    stimuli : list of Stimulus

    Raises
    ------
    MinicnnError
        If there is no image, no such layer, or no such unit.

    """

    def value(image: Any) -> float:
        y = net.forward(views_of(net, image, "one")[0], upto=layer)
        return float(y[unit_cotangent(y, unit) != 0].sum())

    return [TopImage(i, v, _seen(net, i)) for i, v in strongest(images, value, count, unread)]


def strongest(
    images: Iterable[Any], value: Callable[[Any], float], count: int, unread: Unread | None = None
) -> list[tuple[Any, float]]:
    """Return the images of largest value with it, best first, of equal ones the earlier; no others are kept.

    Raises
    ------
    MinicnnError
        If there is no image that can be read, or ``count`` is less than 1.

    """

    def valued() -> Iterable[tuple[Any, float]]:
        for image in images:
            try:
                yield image, value(image)
            except ImageError as error:
                if unread is None:
                    raise
                unread(error)

    if count < 1:
        raise MinicnnError(f"top: expected at least 1 image, got {count}")
    found = heapq.nlargest(count, valued(), key=lambda pair: pair[1])
    if not found:
        raise MinicnnError("no images were given, or none of them can be read")
    return found


def _seen(net: Network, image: Any) -> np.ndarray:
    picture = load_image(image)
    _, (view,) = views_of(net, picture, "one")
    xmin, ymin, xmax, ymax = (round(edge) for edge in view.box)
    return np.asarray(picture.crop((xmin, ymin, max(xmax, xmin + 1), max(ymax, ymin + 1))))
