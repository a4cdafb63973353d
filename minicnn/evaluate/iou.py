"""Intersection over union: how well two boxes, or two masks, agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["box_iou", "box_ious", "mask_iou"]


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (xmin, ymin, xmax, ymax), the last two exclusive.

    Examples
    --------
    >>> box_iou((0, 0, 2, 2), (1, 0, 3, 2))
    0.3333333333333333

    """
    # negative along an axis on which the boxes lie apart
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(width, 0) * max(height, 0)
    return float(intersection / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection))


def box_ious(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of each of N boxes with each of M: arrays (N, 4) and (M, 4) to (N, M).

    Examples
    --------
    >>> import numpy as np
    >>> box_ious(np.array([[0, 0, 2, 2], [2, 0, 4, 2]]), np.array([[0, 0, 2, 2.0]])).tolist()
    [[1.0], [0.0]]

    """
    a, b = a[:, None], b[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.maximum(sides, 0).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (a, b)]
    return np.asarray(intersection / (areas[0] + areas[1] - intersection))


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks (H, W), bool; 0 where both are empty.

    Examples
    --------
    >>> import numpy as np
    >>> mask_iou(np.array([[True, True, False]]), np.array([[False, True, True]]))
    0.3333333333333333

    """
    # where the union is empty so is the intersection, and 0 / 1 is the 0 that is promised
    return float((a & b).sum() / max(1, (a | b).sum()))
