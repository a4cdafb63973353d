"""The classes a network sees in an image, and classes by the names that people type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicnn._utils.suggest import did_you_mean
from minicnn._utils.types import ImageLike
from minicnn.errors import MinicnnError
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explain.outputs.end import find_hidden_posterior
from minicnn.images import Preprocess, View
from minicnn.kernels import reference
from minicnn.network import Network

__all__ = [
    "Prediction",
    "class_index",
    "class_label",
    "find_classes",
    "get_preprocess",
    "load_views",
    "mean_probabilities",
    "predict",
]


SHOWN = 8  # labels in a message

SUM_TOLERANCE = 2e-3


class Prediction(NamedTuple):
    """A class that a network sees in an image.

    Attributes
    ----------
    target : int, the class
    label : str, or None if the network has no labels
    score : float, the unnormalised class score, mean over the views
    probability : float, the class's softmax probability, mean over the views
    view_count : int, over how many views these are means

    See Also
    --------
    minicnn.explain.predict : what returns it, with an example

    """

    target: int
    label: str | None
    score: float
    probability: float
    view_count: int = 1


def predict(net: Network, image: ImageLike, crops: str = "one", top: int = 5) -> list[Prediction]:
    """Most probable classes of an image, best first; of outputs of any shape, as ``as_classifier`` says.

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

    References
    ----------
    .. [1] Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks",
       section 4.1: the mean over ten views.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> best, second = predict(minicnn.load("digits"), catalogue.folder("images") / "seven.png", top=2)
    >>> best.label, round(best.probability, 2)
    ('7', 1.0)

    """
    if top < 1:
        raise MinicnnError(f"top: expected a number of classes of at least 1, got {top}")
    net = as_classifier(net)
    x, _ = load_views(net, image, crops)
    scores = np.concatenate([net(view[None]) for view in x])
    mean, probability = scores.mean(axis=0), mean_probabilities(net, scores)
    # stable, so that of equally probable classes the lower number comes first
    best = np.argsort(-probability, kind="stable")[:top]
    return [Prediction(int(c), class_label(net, c), float(mean[c]), float(probability[c]), len(x)) for c in best]


def load_views(net: Network, image: ImageLike, crops: str) -> tuple[np.ndarray, list[View]]:
    """Return the views of an image as the network's input.

    Parameters
    ----------
    net : Network with a ``preprocess``
    image : path, PIL.Image, or uint8 array of shape (H, W, 3)
    crops : "one", "ten", "whole", ..., as for ``Preprocess.views``

    Returns
    -------
    x : float32 array of shape (V, C, H, W)
    views : list of V ``View``, where in the image each lies

    Raises
    ------
    ImageError
        If the image can't be read.
    MinicnnError
        If the network has no preprocessing, or the crops are unknown.

    """
    return get_preprocess(net).batch(image, crops)


def get_preprocess(net: Network) -> Preprocess:
    """Return how an image becomes the network's input; MinicnnError if the network does not say."""
    if net.preprocess is None:
        depth = 3 if net.input_shape is None or len(net.input_shape) != 3 else net.input_shape[0]
        if depth not in (1, 3):
            also = f" Pictures with transparency have {depth} too: --scale 1/255." if depth in (2, 4) else ""
            raise MinicnnError(
                f"{net.name}: takes {depth} channels and does not say what they are; give NumPy files (.npy) of "
                f"H x W x {depth} numbers, and set net.preprocess = minicnn.Preprocess(..., channels={depth}), or "
                f"--scale and so on where you type.{also}"
            )
        raise MinicnnError(
            f"{net.name}: this network does not say how an image becomes its input; "
            "set net.preprocess = minicnn.Preprocess(...), or --mean, --scale and so on where you type"
        )
    return net.preprocess


def mean_probabilities(net: Network, scores: np.ndarray) -> np.ndarray:
    """Mean over the views of the probabilities, by softmax or sigmoid: scores (V, K) to (K,).

    Scores of several classes that are probabilities already, such as the mean of several softmaxes, are taken as
    they are.

    Raises
    ------
    MinicnnError
        If a score is infinite or NaN.

    Examples
    --------
    >>> from minicnn.layers import Linear
    >>> net = Network([Linear(4, 2)])
    >>> mean_probabilities(net, np.array([[0.0, 0.0], [0.0, np.log(3.0)]])).round(3).tolist()
    [0.375, 0.625]

    """
    if not np.isfinite(scores).all():
        wrong = scores[~np.isfinite(scores)][0]
        raise MinicnnError(
            f"a class score is {wrong}; are the weights whole, and is the input scaled as they were trained for?"
        )
    if _are_probabilities(net, scores):
        return scores.mean(axis=0)
    return np.asarray(net.posterior.forward(scores, reference)[0]).mean(axis=0)


def _are_probabilities(net: Network, scores: np.ndarray) -> bool:
    """Return whether a network without a posterior at its end gives what is one: of sum 1, or made of one."""
    if not net.names or net.layers[-1].is_posterior or scores.ndim != 2 or scores.shape[1] < 2 or scores.min() < 0:
        return False
    if scores.max() <= 1 and find_hidden_posterior(net.named_layers):
        return True
    # as far as probabilities in float16 are off
    return bool(np.abs(scores.sum(axis=1, dtype=np.float64) - 1).max() < SUM_TOLERANCE)


def class_label(net: Network, target: int) -> str | None:
    """Return the class's label, or None if the network has no labels."""
    return None if net.labels is None else net.labels[target]


def _parts(label: str) -> list[str]:
    """Return the names of which a label is made: WordNet id, all the rest, the first synonym."""
    wordnet_id, _, rest = label.partition(" ")
    if not (wordnet_id[:1] == "n" and wordnet_id[1:].isdecimal()):
        return [label.split(",")[0]]
    return [wordnet_id, rest, rest.split(",")[0]]


def class_index(net: Network, target: int | str, classes: int) -> int:
    """Return the class that ``target`` means: a number, in digits too, or a label, whatever its case.

    Of a label such as "n01440764 tench, Tinca tinca" its parts will do: "tench", "n01440764".

    Raises
    ------
    MinicnnError
        If there is no such class; the range is in the message, or labels that hold the word, or the nearest.

    Examples
    --------
    >>> import minicnn
    >>> class_index(minicnn.load("digits"), "7", classes=10)
    7

    """
    # built from the last class to the first, so that of equal labels the first class is meant
    named = [(label.casefold(), i) for i, label in reversed(list(enumerate(net.labels or [])))]
    labels = {part: i for label, i in named for part in _parts(label)} | dict(named)
    if isinstance(target, str) and target.casefold() in labels:
        return labels[target.casefold()]
    # digits that are no label are a number; with a minus too, for an error that says the range
    if not isinstance(target, str) or target.removeprefix("-").isdecimal():
        if not 0 <= int(target) < classes:
            raise MinicnnError(f"target: class {target} is out of range; {net.name} has 0 to {classes - 1}")
        return int(target)
    raise MinicnnError(f"target: {net.name} has no class {target!r}; {_hint(net.labels, target, classes)}")


def _hint(labels: list[str] | None, word: str, classes: int) -> str:
    """Return what may have been meant."""
    if not labels:
        return f"give a number from 0 to {classes - 1}"
    near = [f"{labels[c]!r} ({c})" for c in find_classes(labels, word)]
    if not near:
        return did_you_mean(word, labels)
    return f"did you mean {', '.join(near[:SHOWN])}{', ...' if len(near) > SHOWN else ''}?"


def find_classes(labels: Sequence[str], word: str) -> list[int]:
    """Return the classes whose labels contain a word, whatever its case; first those where it stands by itself.

    Examples
    --------
    >>> find_classes(["catamaran", "tiger cat", "dog"], "Cat")
    [1, 0]

    """
    alone = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
    classes = [c for c, label in enumerate(labels) if word.casefold() in label.casefold()]
    return sorted(classes, key=lambda c: alone.search(labels[c]) is None)
