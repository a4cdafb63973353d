"""The loss: cross-entropy between what the network says and how the classes are wanted to share one."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["cross_entropy", "make_targets"]


def make_targets(classes: np.ndarray, weights: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """Return what is wanted of each image: each class's share of one, times the weight of the image's own.

    Parameters
    ----------
    classes : ints of shape (N,)
    weights : floats of shape (K,)
        How much an image of each class counts; their mean over the batch is divided out.
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
    return targets * (own / own.mean())[:, None]


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
