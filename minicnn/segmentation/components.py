"""Connected components of a mask and the box around one."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from minicnn.errors import ShapeError

__all__ = ["bounding_box", "component_boxes", "largest_component"]

ROWS_OF = 1 << 20  # pixels that are searched at a time

Side: TypeAlias = Literal["left", "right"]


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Largest 8-connected component of a mask; of equal ones the first in row order.

    The paper says: the largest connected component.  It is silent on the connectivity; we chose that of the cut.

    Parameters
    ----------
    mask : array of shape (H, W), bool

    Returns
    -------
    largest : array of shape (H, W), bool; empty if the mask is

    See Also
    --------
    skimage.measure.label : all components

    Examples
    --------
    >>> mask = np.array([[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]], bool)
    >>> largest_component(mask).astype(int).tolist()
    [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]

    """
    mask = _check_mask(mask)
    row, start, end = _find_runs(mask)
    if len(row) == 0:
        return mask.copy()
    label = _label_runs(len(row), *_adjacent_runs(row, start, end, mask.shape[1]))
    # pixels of each label; argmax takes the smallest of equal labels, the first in row order
    largest = label == np.bincount(label, weights=end - start).argmax()
    # +1 where a run starts, -1 behind its end: the cumulative sum along the row is 1 on the run
    edges = np.zeros((mask.shape[0], mask.shape[1] + 1), np.int8)
    edges[row[largest], start[largest]] += 1
    edges[row[largest], end[largest]] -= 1
    return np.cumsum(edges, axis=1, out=edges)[:, :-1] > 0


def component_boxes(mask: np.ndarray, corners: bool = True) -> np.ndarray:
    """Boxes of all connected components of a mask, those of the first pixels in row order first.

    Parameters
    ----------
    mask : array of shape (H, W), bool
    corners : bool, whether pixels that share a corner are connected (8-connected) or not (4-connected)

    Returns
    -------
    boxes : int array of shape (N, 4): xmin, ymin, xmax, ymax in pixels, the last two exclusive

    Examples
    --------
    >>> mask = np.array([[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]], bool)
    >>> component_boxes(mask).tolist()
    [[0, 0, 2, 1], [3, 1, 4, 3]]

    """
    mask = _check_mask(mask)
    row, start, end = _find_runs(mask)
    if len(row) == 0:
        return np.zeros((0, 4), int)
    label = _label_runs(len(row), *_adjacent_runs(row, start, end, mask.shape[1], corners))
    # runs by component; reduceat reduces from each component's first run to the next one's
    order = np.argsort(label, kind="stable")
    first = np.flatnonzero(np.diff(label[order], prepend=-1))
    row, start, end = row[order], start[order], end[order]
    sides = [np.minimum.reduceat(start, first), np.minimum.reduceat(row, first)]
    return np.stack([*sides, np.maximum.reduceat(end, first), np.maximum.reduceat(row, first) + 1], axis=1)


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
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

    Examples
    --------
    >>> bounding_box(np.array([[0, 0, 0], [0, 1, 1]], bool))
    (1, 1, 3, 2)

    """
    mask = _check_mask(mask)
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        raise ShapeError("bounding_box: the mask is empty, so there is no box; check mask.any() first")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _check_mask(mask: np.ndarray) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype != bool:
        raise ShapeError(f"expected a mask of shape (H, W) and dtype bool, got {mask.dtype} of shape {mask.shape}")
    return mask


def _find_runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, start and end (exclusive) of every horizontal run of true pixels, in row order."""
    parts, step = [], max(1, ROWS_OF // max(1, mask.shape[1]))
    # some rows at a time, so that a large mask takes little memory beside itself
    for top in range(0, max(1, mask.shape[0]), step):
        rows = mask[top : top + step]
        # a column of zeros on both sides, so that every run starts and ends inside
        padded = np.zeros((rows.shape[0], rows.shape[1] + 2), np.int8)
        padded[:, 1:-1] = rows
        change = np.diff(padded, axis=1)
        # both lists are in row order, so the k-th start belongs to the k-th end
        row, start = np.nonzero(change == 1)
        parts.append((row + top, start, np.nonzero(change == -1)[1]))
    row, start, end = (np.concatenate(of_parts) for of_parts in zip(*parts, strict=True))
    return row, start, end


def _adjacent_runs(
    row: np.ndarray, start: np.ndarray, end: np.ndarray, width: int, corners: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs (above, below) of runs in neighbouring rows that share a side, or a corner if ``corners``."""
    # row pitch + column is one sorted key for all runs; columns go to ``width``, so rows do not mix
    pitch = width + 2
    # run j of the next row touches run i if end_j >= start_i and start_j <= end_i (< and > without corners):
    # an interval of runs, from the first that ends late enough to the last that starts early enough
    sides: tuple[Side, Side] = ("left", "right") if corners else ("right", "left")
    first = np.searchsorted(row * pitch + end, (row + 1) * pitch + start, side=sides[0])
    last = np.searchsorted(row * pitch + start, (row + 1) * pitch + end, side=sides[1])
    count = np.maximum(last - first, 0)
    above = np.repeat(np.arange(len(row)), count)
    # below counts up from first[i] within the pairs of each run i
    return above, np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)


def _label_runs(count: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Label each of ``count`` runs with the smallest index in its component; runs a[i] and b[i] are adjacent."""
    label = np.arange(count)
    while True:
        # the higher label of each pair points at the lower; then every label follows its pointers to the end
        merged = label.copy()
        np.minimum.at(merged, np.maximum(label[a], label[b]), np.minimum(label[a], label[b]))
        # each turn halves the chains of pointers; a label never points higher, so there is no cycle
        while (merged != merged[merged]).any():
            merged = merged[merged]
        merged = merged[label]
        if (merged == label).all():
            return label
        label = merged
