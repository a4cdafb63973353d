"""What a gradient starts from: classes or a cotangent, checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from minicnn.errors import MinicnnError, ShapeError
from minicnn.kernels import send
from minicnn.layers.base import Keep, Kernels, Layer

__all__ = ["Target", "as_cotangent", "check_classes", "cotangent", "unit_cotangent"]

Target: TypeAlias = "int | np.ndarray | Callable[[np.ndarray], int | np.ndarray]"


def cotangent(
    y: np.ndarray, target: Target, of: str, kernels: Kernels, device: str, posterior: Layer
) -> np.ndarray:
    """Gradient of the chosen scalars with respect to the output y, which may lie on the device.

    Parameters
    ----------
    y : array of shape (N, K), or of any shape if the target is a cotangent
    target : int, ints of shape (N,), a float array of the shape of y, or a function of y that gives one of these
    of : "score" or "probability"
        "probability" goes on from y through ``posterior``.
    kernels, device : where that is computed
    posterior : the layer that makes probabilities of scores

    Raises
    ------
    ShapeError
        If y has no classes, or a cotangent another shape.
    MinicnnError
        If a class is out of range, or ``of`` is unknown.

    """
    if of not in ("score", "probability"):
        raise MinicnnError(f"of: expected 'score' or 'probability', got {of!r}")
    dy = as_cotangent(y, target)
    if of == "probability":
        if y.ndim != 2:
            raise ShapeError(f"of='probability': expected scores of shape (N, K), got {y.shape}")
        # scores that stayed on the device need a cotangent there
        dy = dy if isinstance(y, np.ndarray) else send(dy, device)
        # the chain rule through the softmax: from the gradient of a probability to that with respect to the scores
        _, saved = posterior.forward(y, kernels, Keep.MASKS)
        dy, _ = posterior.backward(dy, saved, kernels)
    return dy


def as_cotangent(y: np.ndarray, target: Target) -> np.ndarray:
    """Return the gradient, with respect to the output y, of the scalars that ``target`` means.

    Parameters
    ----------
    y : array of shape (N, K), or of any shape if the target is a cotangent
    target : int, ints of shape (N,), a float array of the shape of y, or a function of y that gives one of these

    Raises
    ------
    ShapeError
        If a cotangent has another shape, or classes meet an output that has none.
    MinicnnError
        If a class is out of range.

    Examples
    --------
    >>> as_cotangent(np.zeros((2, 3)), np.array([0, 2])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]

    """
    # what a function of the output gives is meant
    target = np.asarray(target(np.asarray(y)) if callable(target) else target)
    # floats are a cotangent, taken as it is; integers are classes
    if target.dtype.kind == "f":
        if target.shape != y.shape:
            raise ShapeError(f"target: a cotangent must have the output's shape {y.shape}, got {target.shape}")
        return target.astype(y.dtype)
    if y.ndim != 2:
        raise ShapeError(
            f"target: a class needs scores of shape (N, K), this layer gives {y.shape}; pass a float array of "
            "that shape, such as one that is 1 at the unit and 0 elsewhere"
        )
    # one class for all images, or one for each
    classes = check_classes(np.full(len(y), target) if target.ndim == 0 else target, y)
    dy = np.zeros(y.shape, y.dtype)
    dy[np.arange(len(y)), classes] = 1
    return dy


def check_classes(classes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return classes as an int array of shape (N,); raise unless they are classes of scores (N, K)."""
    classes, (n, k) = np.asarray(classes), scores.shape
    if classes.dtype.kind not in "iu" or classes.shape != (n,):
        raise ShapeError(
            f"target: expected an int or {n} ints, one an image, got {classes.dtype} of shape {classes.shape}"
        )
    if classes.size and not (classes.min() >= 0 and classes.max() < k):
        wrong = classes[(classes < 0) | (classes >= k)][0]
        raise MinicnnError(f"target: class {wrong} is out of range; this network has classes 0 to {k - 1}")
    return classes


def unit_cotangent(y: np.ndarray, unit: int | tuple[int, ...]) -> np.ndarray:
    """Return the gradient, with respect to a layer's output y, of one unit of each image.

    Parameters
    ----------
    y : array of shape (N, K) or (N, K, P, Q)
    unit : int or tuple
        (channel, row, column); or a channel alone, which for maps means the sum over its map.

    Raises
    ------
    ShapeError
        If there is no such unit.

    Examples
    --------
    >>> unit_cotangent(np.zeros((1, 2, 1, 2)), (1, 0, 1)).tolist()
    [[[[0.0, 0.0]], [[0.0, 1.0]]]]
    >>> unit_cotangent(np.zeros((1, 2, 1, 2)), 1).tolist()
    [[[[0.0, 0.0]], [[1.0, 1.0]]]]

    """
    index = np.atleast_1d(unit)
    if index.dtype.kind not in "iu" or index.ndim != 1 or not 1 <= index.size <= y.ndim - 1:
        raise ShapeError(f"unit: expected whole numbers, a channel or a place in {y.shape[1:]}, got {unit!r:.80}")
    if not all(0 <= i < n for i, n in zip(index, y.shape[1:], strict=False)):
        raise ShapeError(f"unit {unit} is outside of the layer's output {y.shape[1:]}")
    dy = np.zeros_like(y)
    # an index shorter than the output's axes selects a whole map or row of it
    of_each_image = slice(None), *index
    dy[of_each_image] = 1
    return dy
