"""Boxes of a thresholded map: at one level for all pictures, cross-validated, or at each picture's best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicnn.evaluate.dataset import Box
from minicnn.evaluate.iou import box_iou
from minicnn.segmentation.components import bounding_box, largest_component

__all__ = ["LEVELS", "CrossValidated", "cross_validate_level", "threshold_ious"]

HIT = 0.5
# of the range from a map's least value to its largest
LEVELS = (
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.125,
    0.15,
    0.175,
    0.2,
    0.225,
    0.25,
    0.3,
    0.35,
    0.4,
    0.45,
    0.5,
    0.6,
    0.7,
    0.8,
)


class CrossValidated(NamedTuple):
    """Boxes at a level that was chosen without the picture.

    Attributes
    ----------
    hits : bool array of shape (N,)
    levels : floats, one a fold, those that were chosen

    """

    hits: np.ndarray
    levels: tuple[float, ...]


def threshold_ious(map: np.ndarray, boxes: Sequence[Box]) -> list[float]:
    """Intersections over unions of the box around the largest part of a map above each of ``LEVELS``.

    Parameters
    ----------
    map : float array of shape (H, W)
    boxes : the true ones; the nearest counts

    Returns
    -------
    ious : list of floats; all 0 for a map that is the same everywhere

    Examples
    --------
    >>> map = np.zeros((20, 20))
    >>> map[5:10, 5:10] = 1
    >>> set(threshold_ious(map, [(5, 5, 10, 10)]))
    {1.0}

    """
    low, high = float(map.min()), float(map.max())
    if not high > low:
        return [0.0] * len(LEVELS)
    ious = []
    for level in LEVELS:
        around = bounding_box(largest_component(map > low + level * (high - low)))
        ious.append(round(max(box_iou(around, box) for box in boxes), 4))
    return ious


def cross_validate_level(ious: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> CrossValidated:
    """Whether boxes hit at the level that has most hits on the other folds.

    Parameters
    ----------
    ious : array of shape (N, levels)
    groups : int array of shape (N,), 0 to G - 1; a group is never split
    folds : int, at most as many as there are groups are made
    seed : int, of the order of the groups

    Returns
    -------
    cross_validated : CrossValidated; of equally good levels the one of larger mean IoU is chosen

    Examples
    --------
    >>> ious = np.zeros((4, len(LEVELS)))
    >>> ious[:3, 5] = 0.9
    >>> cross_validate_level(ious, np.arange(4), folds=4, seed=0).hits.tolist()
    [True, True, True, False]

    """
    count = int(groups.max()) + 1
    fold = np.empty(count, int)
    fold[np.random.default_rng(seed).permutation(count)] = np.arange(count) * min(folds, count) // count
    of_picture, hits, levels = fold[groups], np.zeros(len(ious), bool), []
    for n in range(fold.max() + 1):
        inside = of_picture == n
        # with one group alone there is nothing else to choose from
        others = ious[~inside] if not inside.all() else ious
        best = max(range(ious.shape[1]), key=lambda k: ((others[:, k] >= HIT).mean(), others[:, k].mean()))
        hits[inside] = ious[inside, best] >= HIT
        levels.append(LEVELS[best])
    return CrossValidated(hits, tuple(levels))
