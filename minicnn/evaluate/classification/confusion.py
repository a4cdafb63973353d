"""Confusion matrices, and what follows from them for each class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.errors import ShapeError

__all__ = ["Confused", "PerClass", "confusion_matrix", "most_confused", "per_class"]


class PerClass(NamedTuple):
    """How each class fares, arrays of shape (K,); NaN where a share is of nothing.

    Attributes
    ----------
    images : ints, the class's
    precision : of the images that are called so, the share that is right
    recall : of the class's images, the share that is called so
    f1 : harmonic mean of both, 2 TP / (2 TP + FP + FN)

    """

    images: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


class Confused(NamedTuple):
    """A class that is taken for another.

    Attributes
    ----------
    target, predicted : ints, the right class and the one that was named
    images : int, how many of its own
    share : float, of its own

    """

    target: int
    predicted: int
    images: int
    share: float


def confusion_matrix(targets: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the images of each class (row) for which each class was named (column), int64 (K, K).

    Parameters
    ----------
    targets, predicted : ints of shape (N,), 0 to K - 1
    num_classes : int, K

    Raises
    ------
    ShapeError
        If these are not of one length, or a class is out of range.

    See Also
    --------
    sklearn.metrics.confusion_matrix : has rows and columns alike

    Examples
    --------
    >>> confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 2]), 3).tolist()
    [[1, 0, 1], [0, 1, 0], [0, 0, 1]]

    """
    both = np.stack([np.asarray(targets, np.int64), np.asarray(predicted, np.int64)])
    if both.ndim != 2 or (both.size and not 0 <= both.min() <= both.max() < num_classes):
        raise ShapeError(f"confusion_matrix: expected two rows of classes 0 to {num_classes - 1}")
    cells = both[0] * num_classes + both[1]
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def per_class(matrix: np.ndarray) -> PerClass:
    """Return precision, recall and F1 of each class of a confusion matrix (K, K).

    Examples
    --------
    >>> classes = per_class(np.array([[3, 1], [2, 4]]))
    >>> classes.precision.tolist(), classes.recall.round(3).tolist(), classes.f1.round(3).tolist()
    ([0.6, 0.8], [0.75, 0.667], [0.667, 0.727])

    """
    right, count, named = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    # 0 / 0 is NaN: nothing is known of a class that was never named, or has no images
    with np.errstate(invalid="ignore"):
        return PerClass(count, right / named, right / count, 2 * right / (named + count))


def most_confused(matrix: np.ndarray, limit: int = 20) -> list[Confused]:
    """Return the largest counts beside the diagonal of a confusion matrix (K, K), largest first.

    Of equal counts the larger share comes first, then the lower class.

    Examples
    --------
    >>> most_confused(np.array([[3, 1], [2, 4]]), 1)
    [Confused(target=1, predicted=0, images=2, share=0.333...)]

    """
    wrong = matrix - np.diag(np.diag(matrix))
    targets, predicted = np.nonzero(wrong)
    counts = wrong[targets, predicted]
    shares = counts / matrix.sum(axis=1)[targets]
    # the last key sorts first; lexsort is stable
    order = np.lexsort((-shares, -counts))[:limit]
    return [Confused(int(targets[n]), int(predicted[n]), int(counts[n]), float(shares[n])) for n in order]
