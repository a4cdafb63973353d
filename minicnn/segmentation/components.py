"""Connected parts of a mask and the box around one."""

import numpy as np

from minicnn.errors import ShapeError

__all__ = ["bounding_box", "largest_component"]


def largest_component(mask):
    """Largest 8-connected part of a mask; of equal ones the first in row order.

    The paper says: the largest connected component.  It is silent on the connectivity; we chose that of the cut.

    Parameters
    ----------
    mask : array of shape (H, W), bool

    Returns
    -------
    largest : array of shape (H, W), bool; empty if the mask is

    """
    mask = _checked(mask)
    row, start, end = _runs(mask)
    if len(row) == 0:
        return mask.copy()
    label = _joined(len(row), *_touching(row, start, end, mask.shape[1]))
    largest = label == np.bincount(label, weights=end - start).argmax()
    edges = np.zeros((mask.shape[0], mask.shape[1] + 1), np.int8)
    edges[row[largest], start[largest]] += 1
    edges[row[largest], end[largest]] -= 1
    return edges.cumsum(axis=1)[:, :-1] > 0


def bounding_box(mask):
    """Box around a mask.

    Parameters
    ----------
    mask : array of shape (H, W), bool

    Returns
    -------
    box : (xmin, ymin, xmax, ymax), ints, in pixels, xmax and ymax exclusive

    Raises
    ------
    ShapeError
        If the mask is empty.

    """
    mask = _checked(mask)
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        raise ShapeError("bounding_box: the mask is empty, so there is no box; check mask.any() first")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _checked(mask):
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype != bool:
        raise ShapeError(f"expected a mask of shape (H, W) and dtype bool, got {mask.dtype} of shape {mask.shape}")
    return mask


def _runs(mask):
    """Return row, start and end (exclusive) of every horizontal run of true pixels, in row order."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)
    row, start = np.nonzero(change == 1)
    return row, start, np.nonzero(change == -1)[1]


def _touching(row, start, end, width):
    """Return pairs (above, below) of runs in neighbouring rows that share a side or a corner."""
    pitch = width + 2
    first = np.searchsorted(row * pitch + end, (row + 1) * pitch + start)
    last = np.searchsorted(row * pitch + start, (row + 1) * pitch + end, side="right")
    count = np.maximum(last - first, 0)
    above = np.repeat(np.arange(len(row)), count)
    return above, np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)


def _joined(count, a, b):
    """Label of each of ``count`` runs, the least number in its part, where pairs (a, b) belong together."""
    label = np.arange(count)
    while True:
        # the higher label of each pair points at the lower; then every label follows its pointers to the end
        joined = label.copy()
        np.minimum.at(joined, np.maximum(label[a], label[b]), np.minimum(label[a], label[b]))
        while (joined != joined[joined]).any():
            joined = joined[joined]
        joined = joined[label]
        if (joined == label).all():
            return label
        label = joined
