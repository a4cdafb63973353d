"""Occlusion: by how much a score falls when a window of the input is covered (Zeiler, Fergus 2014)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn._utils.types import Progress, Shape
from minicnn.errors import MinicnnError
from minicnn.explain.attribution_maps import AttributionMaps
from minicnn.network import Network

__all__ = ["choose_window", "occlusion", "occlusion_maps", "occlusion_sizes"]


def occlusion(
    net: Network,
    x: np.ndarray,
    target: int,
    *,
    window: int | None = None,
    stride: int | None = None,
    fill: float = 0.0,
    batch: int = 8,
    progress: Progress = iter,
) -> np.ndarray:
    """Fall of a class score under a sliding window.

    d_w = S_c(x) - S_c(x with the window w set to ``fill``); each pixel gets the mean of d_w over the windows that
    cover it.  Windows start at every ``stride``-th pixel and, so that all pixels are covered, at the far border.

    Parameters
    ----------
    net : Network
    x : array of shape (V, C, H, W), the network's input
    target : int, the class
    window : int, optional, side of the square in pixels; a seventh of the shorter side unless given
    stride : int, optional, step in pixels, at most ``window``; half of it unless given
    fill : float, in units of the input; 0, the training data's mean, is the grey of the publication
    batch : int >= 1, how many covered copies are held at a time
    progress : wraps the sequence of the batches' first windows

    Returns
    -------
    fall : array of shape (V, H, W), dtype of x; signed

    Raises
    ------
    MinicnnError
        If the class is unknown, or a size is out of range.

    References
    ----------
    .. [1] Zeiler, Fergus 2014, "Visualizing and understanding convolutional networks", section 4.2; they colour
       each place of the window by the class's probability.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> net = minicnn.load("digits")
    >>> x = net.preprocess(catalogue.folder("images") / "seven.png")
    >>> occlusion(net, x, 7, window=8, stride=8).shape
    (1, 28, 28)

    """
    window, stride = occlusion_sizes(x.shape[2:], window, stride)
    if batch < 1 or not np.isfinite(fill):
        raise MinicnnError(f"occlusion: expected batch >= 1 and a finite fill, got {batch} and {fill}")
    corners = _corners(x.shape[2:], window, stride)
    # covered counts the windows over each pixel; the windows at the border make it uneven
    total, covered = np.zeros((len(x), *x.shape[2:])), np.zeros(x.shape[2:])
    for top, left in corners:
        covered[top : top + window, left : left + window] += 1
    uncovered = np.concatenate([net(view[None]) for view in x])[:, target].astype(np.float64)
    for start in progress(range(0, len(x) * len(corners), batch)):
        # views and windows are counted in one row, so that a batch is full even where two views meet in it
        windows = [divmod(n, len(corners)) for n in range(start, min(start + batch, len(x) * len(corners)))]
        boxes = [(v, _box(corners[n], window)) for v, n in windows]
        scores = net(_cover(x, boxes, fill))[:, target]
        for (v, box), score in zip(boxes, scores, strict=True):
            # each pixel of the window is given the whole fall; the mean over its windows is taken at the end
            total[v][box] += uncovered[v] - score
    return (total / covered).astype(x.dtype)


def occlusion_maps(net: Network, x: np.ndarray, target: int, **settings: Any) -> AttributionMaps:
    """Return the maps of ``occlusion``, whose parameters ``settings`` are, and their positive part."""
    return AttributionMaps.from_positive_part(occlusion(net, x, target, **settings))


def choose_window(net: Network, shape: Shape, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with the window and the stride for inputs of ``shape`` (C, H, W) where they are None."""
    window, stride = occlusion_sizes((shape[1], shape[2]), settings["window"], settings["stride"])
    return {**settings, "window": window, "stride": stride}


def occlusion_sizes(size: tuple[int, int], window: int | None, stride: int | None) -> tuple[int, int]:
    """Side and step of the window for inputs of (H, W), the defaults filled in; MinicnnError if out of range."""
    window = max(1, round(min(size) / 7)) if window is None else window
    stride = max(1, window // 2) if stride is None else stride
    if not 1 <= stride <= window <= min(size):
        raise MinicnnError(
            f"occlusion: expected 1 <= stride <= window <= {min(size)}, the input's shorter side, got stride "
            f"{stride} and window {window}"
        )
    return window, stride


def _corners(size: tuple[int, int], window: int, stride: int) -> list[tuple[int, int]]:
    # the last window ends at the border, whatever the stride, so that no pixel is left uncovered
    rows, columns = (sorted({*range(0, n - window + 1, stride), n - window}) for n in size)
    return [(top, left) for top in rows for left in columns]


def _box(corner: tuple[int, int], window: int) -> tuple[slice, slice]:
    return slice(corner[0], corner[0] + window), slice(corner[1], corner[1] + window)


def _cover(x: np.ndarray, boxes: list[tuple[int, tuple[slice, slice]]], fill: float) -> np.ndarray:
    # indexing by a list copies, so that x itself stays whole
    copies = x[[v for v, _ in boxes]]
    for copy, (_, box) in zip(copies, boxes, strict=True):
        copy[:, box[0], box[1]] = fill
    return copies
