"""MaxBoxAccV2 (Choe et al. 2020): how good a map is for boxes, at the level that suits the whole set.

A map is scaled to 0..1.  At each level the pixels above it fall into connected components; the picture is right
at that level if the box of any component has the IoU asked for with any true box.  The accuracy at the best level,
one for all pictures, is MaxBoxAcc; its mean over IoU 0.3, 0.5 and 0.7, each with its own best level, MaxBoxAccV2.

So that figures compare, the published code's way is followed to the pixel: maps are scaled to 224 x 224 and have
256 steps; levels are 0.001 apart, of which 255 differ; contours are boxed, so that holes have boxes too; and sides
are whole numbers of which the last counts, which adds a pixel to each.  Maps are resized by Pillow.
``benchmarks/max_box_acc.py`` holds it against OpenCV's contours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.evaluate.confidence import Estimate, bootstrap_statistic
from minicnn.evaluate.datasets.annotation import Box
from minicnn.evaluate.iou import box_ious
from minicnn.segmentation.components import component_boxes

__all__ = ["IOUS", "LEVELS", "SIDE", "MaxBoxAcc", "best_ious", "max_box_acc", "quantise"]

IOUS = (0.3, 0.5, 0.7)
LEVELS = 255
SIDE = 224
LAST_COUNTS = np.array([0, 0, 1, 1])  # what makes boxes whose last pixel counts exclusive
GROWN = np.array([-1, -1, 1, 1])  # by the pixels around a hole


@dataclass(frozen=True)
class MaxBoxAcc:
    """MaxBoxAccV2, and what it is the mean of.

    Attributes
    ----------
    value : Estimate, a share of the pictures
    accuracies : {IoU: Estimate}, MaxBoxAcc at each
    levels : {IoU: float}, the best level of each, in parts of a map's range

    """

    value: Estimate
    accuracies: dict[float, Estimate]
    levels: dict[float, float]

    def text(self) -> str:
        """Return it in a line."""
        parts = ", ".join(
            f"{estimate.value:.1%} at IoU {iou} (level {self.levels[iou]:.2f})"
            for iou, estimate in self.accuracies.items()
        )
        return f"MaxBoxAccV2 of the maps: {self.value.text(per_cent=True)}: {parts}"


def best_ious(map: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """Best IoU of a component's box with a true box, at each level of a map.

    Parameters
    ----------
    map : array of shape (H, W), finite
    boxes : true boxes in the map's pixels

    Returns
    -------
    ious : float array of shape (255,); 0 for a map that is the same everywhere

    Examples
    --------
    >>> map = np.zeros((224, 224))
    >>> map[:112], map[:56] = 0.5, 1.0
    >>> best_ious(map, [(0, 0, 224, 56)])[[0, 126, 127, 254]].round(2).tolist()
    [0.5, 0.5, 1.0, 1.0]

    """
    steps = quantise(map)
    scale = np.array([SIDE / map.shape[1], SIDE / map.shape[0]] * 2)
    truth = np.floor(np.array(boxes, np.float64) * scale) + LAST_COUNTS
    ious, previous = np.zeros(LEVELS), None
    for level in range(LEVELS):
        above = steps > level
        # a level that no pixel has leaves the components as they were
        if previous is not None and above.sum() == previous:
            ious[level] = ious[level - 1]
        elif above.any():
            ious[level] = box_ious(_contour_boxes(above) + LAST_COUNTS, truth).max()
        previous = above.sum()
    return ious


def max_box_acc(ious: np.ndarray, groups: np.ndarray, seed: int = 0) -> MaxBoxAcc:
    """MaxBoxAccV2 of pictures, from what ``best_ious`` says of each.

    Parameters
    ----------
    ious : array of shape (N, 255)
    groups : ints of shape (N,), which pictures share an object
    seed : int, of the intervals; the best levels are chosen anew in each draw

    References
    ----------
    .. [1] Choe et al. 2020, "Evaluating weakly supervised object localization methods right", section 4.1, and
       "Evaluation for weakly supervised object localization: protocol, metrics, and datasets", section 4.2 (V2).

    Examples
    --------
    >>> ious = np.zeros((2, 255))
    >>> ious[0, :100], ious[1, 50:200] = 0.6, 0.4
    >>> result = max_box_acc(ious, np.arange(2))
    >>> {iou: accuracy.value for iou, accuracy in result.accuracies.items()}
    {0.3: 1.0, 0.5: 0.5, 0.7: 0.0}
    >>> result.value.value
    0.5

    """
    hits = np.stack([ious >= iou for iou in IOUS], axis=1)

    def accuracy_at(n: int) -> Estimate:
        return bootstrap_statistic(hits[:, n], groups, lambda means: float(means.max()), seed)

    accuracies = {iou: accuracy_at(n) for n, iou in enumerate(IOUS)}
    levels = {iou: int(hits[:, n].mean(axis=0).argmax()) / LEVELS for n, iou in enumerate(IOUS)}
    flat = hits.reshape(len(hits), -1)
    value = bootstrap_statistic(
        flat, groups, lambda means: float(means.reshape(len(IOUS), LEVELS).max(axis=1).mean()), seed
    )
    return MaxBoxAcc(value, accuracies, levels)


def _contour_boxes(mask: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) around the contours of a mask (224, 224): outer ones, and those that surround holes."""
    holes = component_boxes(~mask, corners=False)
    # what reaches the border is the ground
    holes = holes[(holes[:, :2] > 0).all(axis=1) & (holes[:, 2:] < SIDE).all(axis=1)]
    boxes = np.concatenate([component_boxes(mask), holes + GROWN])
    boxes[:, 2:] = np.minimum(boxes[:, 2:], SIDE - 1)
    return boxes


def quantise(map: np.ndarray) -> np.ndarray:
    """Return a map scaled to 224 x 224 pixels of 0 to 255; zeros for one that is the same everywhere."""
    from PIL import Image

    picture = Image.fromarray(np.asarray(map, np.float32))
    scaled = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float64)
    low, high = scaled.min(), scaled.max()
    if high <= low:
        return np.zeros((SIDE, SIDE), np.uint8)
    return ((scaled - low) / (high - low) * 255).astype(np.uint8)
