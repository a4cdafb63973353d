"""The loss: cross-entropy between what the network says and how the classes are wanted to share one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn._utils.suggest import did_you_mean
from minicnn.errors import MinicnnError

__all__ = ["class_weights", "cross_entropy", "make_targets"]


def make_targets(classes: np.ndarray, weights: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """Return what is wanted of each image: each class's share of one, times the weight of the image's own.

    Parameters
    ----------
    classes : ints of shape (N,)
    weights : floats of shape (K,)
        How much an image of each class counts; their mean over the batch is divided out.
        torch.nn.CrossEntropyLoss does so too, but for what smoothing spreads, which it weights by class.
    smoothing : float
        The share that is spread over all classes alike; label smoothing.

    Returns
    -------
    targets : float64 array of shape (N, K), of sum N

    References
    ----------
    Szegedy et al. 2016, section 7 (label smoothing).

    Examples
    --------
    >>> make_targets(np.array([1]), np.ones(2), smoothing=0.2).tolist()
    [[0.1, 0.9]]

    """
    num_classes, own = len(weights), weights[classes]
    targets = np.full((len(classes), num_classes), smoothing / num_classes)
    targets[np.arange(len(classes)), classes] += 1 - smoothing
    return targets * (own / (own.mean() or 1.0))[:, None]


def class_weights(
    kind: str | Sequence[float] | Mapping[str, float], classes: np.ndarray, labels: Sequence[str], num_classes: int
) -> np.ndarray:
    """Return how much an image of each class counts, as a recipe says it.

    Parameters
    ----------
    kind : "none", "balanced", a number for each label, or {label: number}
    classes : ints of shape (N,), of the images that are learnt
    labels : sequence of str
    num_classes : int, scores that the network gives; those without a label count as ``kind`` says of the others

    Returns
    -------
    weights : float64 array of shape (num_classes,)

    Raises
    ------
    MinicnnError
        If a label is unknown, there are more or fewer numbers than labels, or no image counts.

    References
    ----------
    King, Zeng 2001, section 4.2 ("balanced": N / (K N_k), also scikit-learn's); torch.nn.CrossEntropyLoss.

    Examples
    --------
    >>> class_weights("balanced", np.array([0, 0, 0, 1]), ["cat", "owl"], 2).round(3).tolist()
    [0.667, 2.0]
    >>> class_weights({"owl": 3}, np.array([0, 1]), ["cat", "owl"], 2).tolist()
    [1.0, 3.0]

    """
    weights = np.ones(num_classes)
    if kind == "balanced":
        counts = np.bincount(classes, minlength=num_classes)
        # a class without images has no say
        return np.divide(len(classes), num_classes * counts, out=np.zeros(num_classes), where=counts > 0)
    if isinstance(kind, Mapping):
        for name, weight in kind.items():
            if name not in labels:
                raise MinicnnError(f"recipe: loss.class_weights: no class {name!r}; {did_you_mean(name, labels)}")
            weights[labels.index(name)] = weight
    elif not isinstance(kind, str):
        if len(kind) != len(labels):
            raise MinicnnError(
                f"recipe: loss.class_weights: expected a number for each of {len(labels)} classes, got {len(kind)}"
            )
        weights[: len(labels)] = kind
    if not weights[classes].any():
        raise MinicnnError("recipe: loss.class_weights: all images count 0; expected a class that counts")
    return weights


def cross_entropy(scores: np.ndarray, targets: np.ndarray, kernels: Any) -> tuple[float, np.ndarray]:
    """Mean over the images of -sum_k target_k log softmax(scores)_k, and its gradient with respect to the scores.

    Parameters
    ----------
    scores : array of shape (N, K), on the device of ``kernels``
    targets : array of shape (N, K)
    kernels : the device's operations

    Returns
    -------
    loss : float
    dy : array of shape (N, K), of the scores' dtype: (softmax(scores) sum_k target_k - target) / N

    Examples
    --------
    >>> from minicnn.kernels import reference
    >>> loss, dy = cross_entropy(np.zeros((1, 2)), np.array([[0.0, 1.0]]), reference)
    >>> round(loss, 4), dy.tolist()
    (0.6931, [[0.5, -0.5]])

    """
    logarithms = np.asarray(kernels.log_softmax(scores))
    loss = -float((targets * logarithms).sum()) / len(targets)
    dy = (np.exp(logarithms) * targets.sum(axis=1, keepdims=True) - targets) / len(targets)
    return loss, dy.astype(logarithms.dtype)
