"""Which class a network of maps, such as a segmentation, sees at each pixel of an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn._utils.types import ImageLike
from minicnn.errors import MinicnnError
from minicnn.explain.outputs.classifier import both_labels, describe_outputs, score_layers
from minicnn.explain.prediction import load_views
from minicnn.images import View
from minicnn.images.reduced import scale_boxes
from minicnn.network import Network

__all__ = ["ClassMap", "Share", "class_map", "gives_maps"]


class Share(NamedTuple):
    """How much of what the network sees a class takes: ``share`` of the cells of its map, 0 to 1."""

    target: int
    label: str | None
    share: float


class ClassMap(NamedTuple):
    """The class at each pixel of an image.

    Attributes
    ----------
    cells : int array of shape (P, Q), the class of each cell of the network's maps
    view : View, where in the image they lie
    shares : list of Share, of the classes that occur, largest first

    """

    cells: np.ndarray
    view: View
    shares: list[Share]

    @property
    def classes(self) -> np.ndarray:
        """Class at each pixel of the image, int (H, W); -1 where the network's view does not reach."""
        return self.at(self.view.image_size)

    def at(self, size: tuple[int, int]) -> np.ndarray:
        """Return ``classes`` of the image brought to another size (H, W)."""
        return _at_pixels(self.cells, self.view, size)


def gives_maps(net: Network) -> bool:
    """Return whether a network gives a map for each class, of more than one cell."""
    outputs = describe_outputs(net)
    return outputs is not None and len(outputs.places) == 2 and outputs.places != (1, 1)


def class_map(net: Network, image: ImageLike, crops: str = "one") -> ClassMap:
    """Class with the largest score in each cell of a network's maps, at the pixels that the cell covers.

    Of a network with one map it is the positive class, 1, where the score is above 0.

    Parameters
    ----------
    net : Network with a ``preprocess``, that gives maps
    image : path, PIL.Image, or uint8 array of shape (H, W, 3)
    crops : "one" (the centre) or "whole" (the picture warped)

    Raises
    ------
    ImageError
        If the image can't be read.
    MinicnnError
        If the network gives no maps, or there are several views.

    Examples
    --------
    >>> from minicnn import Preprocess
    >>> from minicnn.layers import Conv2d
    >>> weight = np.array([[1, 0, 0], [0, 1, 0]]).reshape(2, 3, 1, 1)
    >>> net = Network([Conv2d(3, 2, 1, bias=False, weight=weight)], (3, 1, 2), Preprocess((1, 2)))
    >>> picture = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    >>> class_map(net, picture).classes.tolist()
    [[0, 1]]

    """
    if not gives_maps(net):
        raise MinicnnError(f"{net.name}: gives no map for each class; a class map is that of a segmentation")
    x, views = load_views(net, image, crops)
    if len(views) > 1:
        raise MinicnnError(f"crops: {len(views)} views have {len(views)} class maps; choose 'whole' or 'one'")
    maps = Network(score_layers(net), net.input_shape, device=net.device)(x)[0]
    labels = net.labels if len(maps) > 1 else both_labels(net.labels)
    cells = maps.argmax(axis=0) if len(maps) > 1 else (maps[0] > 0).astype(np.intp)
    counts = np.bincount(cells.ravel(), minlength=len(maps))
    shares = [
        Share(int(c), None if labels is None else labels[c], counts[c] / cells.size)
        for c in np.argsort(-counts, kind="stable")
        if counts[c]
    ]
    return ClassMap(cells, views[0], shares)


def _at_pixels(cells: np.ndarray, view: View, size: tuple[int, int]) -> np.ndarray:
    """Return the cell (P, Q) that covers the middle of each of a picture's pixels (H, W), -1 outside."""
    ((left, top, right, bottom),) = scale_boxes([view.box], view.image_size, size)
    rows = _covering(size[0], top, bottom, cells.shape[0])
    columns = _covering(size[1], left, right, cells.shape[1])
    # a row and a column of -1 behind the last stand for what is outside
    padded = np.pad(cells[:, ::-1] if view.mirrored else cells, ((0, 1), (0, 1)), constant_values=-1)
    return padded[rows[:, None], columns]


def _covering(pixels: int, start: float, end: float, count: int) -> np.ndarray:
    cell = np.floor((np.arange(pixels) + 0.5 - start) / (end - start) * count).astype(np.intp)
    return np.where((cell >= 0) & (cell < count), cell, -1)
