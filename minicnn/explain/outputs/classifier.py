"""One score a class, whatever a network gives: what "the score of a class" means for outputs of each shape.

| output for one image | scores that are explained | probability |
|---|---|---|
| K scores | these | softmax, or sigmoid where the network ends in one |
| one score s | (-s, s): the negation and the positive class | sigmoid |
| K maps P x Q | the mean of each map, or its mean over a region | of these means |
| T steps of K scores | the mean of each class over the steps | of these means |

Nothing but a linear layer is added behind the scores, so that gradients are exact.  A softmax or sigmoid at the
end stays outside of the scores.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.types import ImageLike, Shape
from minicnn.errors import MinicnnError
from minicnn.explain.outputs.end import find_hidden_posterior, with_classes_first
from minicnn.images import View, load_image
from minicnn.layers import Conv2d, Flatten, Linear, Permute, Reshape, Softmax, sequence
from minicnn.layers.sequence import NamedLayers
from minicnn.network import Network

__all__ = [
    "ADDED",
    "Outputs",
    "Region",
    "as_classifier",
    "both_labels",
    "classifier_of_region",
    "describe_outputs",
    "score_layers",
]

ADDED = "class_scores"  # how the names of the layers that are added begin
CLASSES_FIRST, CLASSES_LAST = "first", "last"

Region = tuple[float, ...]  # (x, y), or (xmin, ymin, xmax, ymax), in pixels of the picture


class Outputs(NamedTuple):
    """What a network gives for one image.

    Attributes
    ----------
    classes : int
    places : (P, Q), rows and columns of the maps; (T,) for T steps; () for plain scores
    steps_first : bool, whether the steps come before the classes

    """

    classes: int
    places: Shape
    steps_first: bool = False


def score_layers(net: Network) -> NamedLayers:
    """Return the layers up to the scores, with the classes on the first axis."""
    return sequence.before_softmax(with_classes_first(net.named_layers))


def describe_outputs(net: Network) -> Outputs | None:
    """Return what a network gives for one image; None if it does not say the size of its input.

    Raises
    ------
    MinicnnError
        If its output has no classes.

    """
    shape = net.input_shape
    if shape is None:
        return None
    shape = sequence.output_shape(score_layers(net), shape)
    if len(shape) == 3:
        return Outputs(shape[0], shape[1:])
    if len(shape) == 2:
        first = _are_classes_first(net, shape)
        return Outputs(shape[0 if first else 1], (shape[1 if first else 0],), steps_first=not first)
    if len(shape) != 1:
        raise MinicnnError(
            f"{net.name}: gives values of shape {shape} for each image; expected K scores, K maps or T steps of K"
        )
    return Outputs(shape[0], ())


def _are_classes_first(net: Network, shape: Shape) -> bool:
    """Return whether K x T values are maps of a row rather than T steps of K scores."""
    if net.labels is not None and shape[0] != shape[1] and len(net.labels) in shape:
        return len(net.labels) == shape[0]
    *before, (_, last) = with_classes_first(net.named_layers)
    if isinstance(last, Softmax):  # which goes over the first axis
        return True
    # maps of K classes in a row, not turned to have them last
    turned = bool(before) and isinstance(before[-1][1], Permute)
    if not isinstance(last, Reshape) or last.inputs or turned or net.input_shape is None:
        return False
    maps = sequence.output_shape(before, net.input_shape)
    return len(maps) == 3 and maps[0] == shape[0]


def as_classifier(net: Network, cells: np.ndarray | None = None) -> Network:
    """Return the network with one score a class; itself if it is one.

    Parameters
    ----------
    net : Network
    cells : bool array of shape (P, Q), optional
        Of maps, those whose mean is the score; all unless given.

    Raises
    ------
    MinicnnError
        If its output has no classes, or no places where some are asked for.

    Warns
    -----
    UserWarning
        If the network gives one score, and does not say that it is a probability's logit; or a sequence, and does
        not name its classes.

    Examples
    --------
    >>> from minicnn.layers import Conv2d, Sigmoid
    >>> net = as_classifier(Network([Conv2d(3, 1, 1), Sigmoid()], (3, 8, 8)))
    >>> net.labels, net(np.zeros((1, 3, 8, 8), np.float32)).shape
    (['negative', 'positive'], (1, 2))

    """
    outputs = describe_outputs(net)
    if cells is not None and outputs is None and net.input_shape is None:
        raise MinicnnError(
            f"region: {net.name} leaves the size of its input open, and so that of its maps; load it with "
            "input_size=(H, W) (--input-size H,W)"
        )
    if cells is not None and (outputs is None or len(outputs.places) != 2):
        raise MinicnnError(f"region: {net.name} gives no maps, so that its scores are of no place")
    layers = net.named_layers
    ended = with_classes_first(layers)
    if hidden := find_hidden_posterior(ended):
        warnings.warn(
            f"{net.name}: ends in {hidden[0]!r} and then {hidden[1]!r}: what it makes of the probabilities is "
            "explained as it is",
            stacklevel=2,
        )
    if outputs is None or (not outputs.places and outputs.classes > 1):
        return net if ended is layers else net.with_layers(ended)
    if len(outputs.places) == 1 and net.labels is None:
        ((steps,), classes) = outputs.places, outputs.classes
        warnings.warn(
            f"{net.name}: its {classes * steps} values are taken as {steps} steps of {classes} classes; "
            "names of the classes (--labels) would decide",
            stacklevel=2,
        )
    from minicnn.layers import Sigmoid  # here, since most networks give plain scores, and it takes a while

    is_sigmoid, labels = isinstance(ended[-1][1], Sigmoid), net.labels
    added: list[Any] = _pool(outputs, cells)
    if outputs.classes == 1:
        if not is_sigmoid:
            warnings.warn(
                f"{net.name}: its one score is taken as the logit of a positive class; of a regressor the "
                "probabilities mean nothing",
                stacklevel=2,
            )
        added.append(Linear(1, 2, bias=False, weight=np.array([[-1], [1]], np.float32)))
        labels = both_labels(labels)
    # outside of the scores, it says what a probability is
    added += [Sigmoid()] if is_sigmoid or outputs.classes == 1 else []
    named = [(f"{ADDED}_{i}" if i else ADDED, layer) for i, layer in enumerate(added)]
    return Network(
        [*score_layers(net), *named], net.input_shape, net.preprocess, labels, device=net.device, name=net.name
    )


def both_labels(labels: list[str] | None) -> list[str]:
    """Return the labels of the negation and of the positive class."""
    if labels is None:
        return ["negative", "positive"]
    return labels if len(labels) == 2 else [f"not {labels[0]}", labels[0]]


def _pool(outputs: Outputs, cells: np.ndarray | None) -> list[Any]:
    """Return layers that take the mean of each class's map over some cells: a convolution over the whole map."""
    if not outputs.places:
        return []
    classes, steps = outputs.classes, len(outputs.places) == 1
    places = (*outputs.places, 1) if steps else outputs.places
    weight = np.ones(places, np.float32) if cells is None else cells.astype(np.float32)
    if weight.shape != places or not weight.any():
        raise MinicnnError(f"region: expected some of {places} cells, got an array of shape {weight.shape}")
    kernel = np.broadcast_to(weight / weight.sum(), (classes, 1, *places)).copy()
    mean = Conv2d(classes, classes, places, groups=classes, bias=False, weight=kernel)
    turn = [Permute((1, 0))] if outputs.steps_first else []
    return [*turn, *([Reshape((classes, *places))] if steps else []), mean, Flatten()]


# a region of a picture


def classifier_of_region(net: Network, image: ImageLike, crops: str, region: Region | None) -> Network:
    """Return `as_classifier` of the cells that show a region of a picture, in its one view.

    Parameters
    ----------
    net, image, crops : as for ``minicnn.explain.saliency``
    region : (x, y), a pixel, or (xmin, ymin, xmax, ymax), a box; None: the whole

    Raises
    ------
    MinicnnError
        If the region leaves the picture or the view, or there are several views.

    """
    if region is None:
        return as_classifier(net)
    outputs = describe_outputs(net)
    if outputs is None or len(outputs.places) != 2 or net.preprocess is None:
        return as_classifier(net, np.ones((1, 1), bool))
    width, height = load_image(image).size
    views = net.preprocess.views((height, width), crops)
    if len(views) > 1:
        raise MinicnnError(f"region: {len(views)} views show different places; choose crops 'whole' or 'one'")
    return as_classifier(net, _cells_of_region(region, views[0], outputs.places))


def _cells_of_region(region: Region, view: View, places: Shape) -> np.ndarray:
    """Return which cells (P, Q) of a map show a region: those with their centre in it, or the one around it."""
    if len(region) not in (2, 4) or not np.isfinite(region).all():
        raise MinicnnError(f"region: expected X,Y or XMIN,YMIN,XMAX,YMAX in pixels, got {region!r:.80}")
    # a pixel's centre; a box has exclusive ends
    xmin, ymin, xmax, ymax = region if len(region) == 4 else (*region, region[0] + 1, region[1] + 1)
    left, top, right, bottom = view.box
    if not (left <= xmin < xmax <= right and top <= ymin < ymax <= bottom):
        raise MinicnnError(
            f"region: {', '.join(f'{v:g}' for v in region)} is not inside of what the network sees, "
            f"({left:g}, {top:g}) to ({right:g}, {bottom:g})"
        )
    rows = _inside(ymin, ymax, top, bottom, places[0])
    columns = _inside(xmin, xmax, left, right, places[1])
    return rows[:, None] & (columns[::-1] if view.mirrored else columns)


def _inside(first: float, last: float, start: float, end: float, count: int) -> np.ndarray:
    size = (end - start) / count
    centres = start + size * (np.arange(count) + 0.5)
    inside = (first <= centres) & (centres < last)
    # smaller than a cell: the one that its middle lies in
    return inside if inside.any() else np.arange(count) == int(((first + last) / 2 - start) / size)
