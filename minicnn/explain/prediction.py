"""The classes a network sees in an image, and classes by the names that people type."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn._utils.suggest import did_you_mean
from minicnn.errors import MinicnnError
from minicnn.kernels.reference import softmax
from minicnn.network import Network

__all__ = ["Prediction", "class_index", "label_of", "posterior", "predict", "views_of"]


class Prediction(NamedTuple):
    """A class with its label (None without labels), unnormalised score and probability, means over the views."""

    target: int
    label: str | None
    score: float
    probability: float


def predict(net: Network, image, crops: str = "one", top: int = 5) -> list[Prediction]:
    """Most probable classes of an image, best first.

    Parameters
    ----------
    net : Network with a ``preprocess``
    image : path, PIL.Image, or uint8 array of shape (H, W, 3)
    crops : "one" (centre), "ten" (corners and centre, each mirrored too) or "whole" (the picture warped)
        With several views scores and probabilities are averaged, as in Krizhevsky et al. 2012.
    top : how many classes, at least 1

    Returns
    -------
    predictions : list of Prediction

    Raises
    ------
    ImageError
        If the image can't be read.
    MinicnnError
        If the network has no preprocessing, or ``top`` is less than 1.

    """
    if top < 1:
        raise MinicnnError(f"top: expected a number of classes of at least 1, got {top}")
    x, _ = views_of(net, image, crops)
    scores = np.concatenate([net(view[None]) for view in x])
    mean, probability = scores.mean(axis=0), posterior(scores)
    best = np.argsort(-probability, kind="stable")[:top]
    return [Prediction(int(c), label_of(net, c), float(mean[c]), float(probability[c])) for c in best]


def views_of(net: Network, image, crops: str):
    """Return (x of shape (V, C, H, W), views) of an image; MinicnnError if the net does not know how."""
    if net.preprocess is None:
        raise MinicnnError(
            f"{net.name}: this network does not say how an image becomes its input; "
            "set net.preprocess = minicnn.Preprocess(...), or --mean, --scale and so on where you type"
        )
    return net.preprocess.batch(image, crops)


def posterior(scores: np.ndarray) -> np.ndarray:
    """Mean over the views of the softmax probabilities: (V, K) to (K,); MinicnnError if one is no number."""
    if not np.isfinite(scores).all():
        wrong = scores[~np.isfinite(scores)][0]
        raise MinicnnError(
            f"a class score is {wrong}; are the weights whole, and is the input scaled as they were trained for?"
        )
    return softmax(scores).mean(axis=0)


def label_of(net: Network, target: int) -> str | None:
    """Return the class's label, or None if the network has no labels."""
    return None if net.labels is None else net.labels[target]


def class_index(net: Network, target: int | str, classes: int) -> int:
    """Return the class that ``target`` means: a number, in digits too, or a label, whatever its case.

    Raises
    ------
    MinicnnError
        If there is no such class; the range or the nearest labels are in the message.

    """
    labels = {label.casefold(): i for i, label in reversed(list(enumerate(net.labels or [])))}
    if isinstance(target, str) and target.casefold() in labels:
        return labels[target.casefold()]
    if not isinstance(target, str) or target.removeprefix("-").isdecimal():
        if not 0 <= int(target) < classes:
            raise MinicnnError(f"target: class {target} is out of range; {net.name} has 0 to {classes - 1}")
        return int(target)
    hint = did_you_mean(target, net.labels) if net.labels else f"give a number from 0 to {classes - 1}"
    raise MinicnnError(f"target: {net.name} has no class {target!r}; {hint}")
