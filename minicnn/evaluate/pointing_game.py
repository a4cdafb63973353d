"""Pointing game: whether a map's largest value lies on the object (Zhang et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn._utils.types import PathLike, Progress
from minicnn.errors import MinicnnError
from minicnn.evaluate.checkpoint import Checkpoint, measure_examples
from minicnn.evaluate.dataset import Example, Skip, read_truth
from minicnn.evaluate.method_comparison import (
    MethodComparison,
    load_examples,
    select_compared_methods,
    summarise,
    true_class,
)
from minicnn.explain.attribution import maps_by_method
from minicnn.explain.methods import Methods
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explain.prediction import load_views
from minicnn.images import average_views, load_image
from minicnn.images.gaussian_blur import gaussian_blur
from minicnn.images.reduced import MOST_DRAWN, reduced_size
from minicnn.network import Network

__all__ = ["evaluate_pointing", "hits_box", "hits_mask", "random_hit_probability"]

TOLERANCE = 15
SMOOTHING = 0.02


def evaluate_pointing(
    net: Network,
    dataset: PathLike | Sequence[Example],
    methods: Methods | None = None,
    *,
    tolerance: float = TOLERANCE,
    smoothing: float = SMOOTHING,
    crops: str = "whole",
    seed: int = 0,
    keep: PathLike | None = None,
    progress: Progress = iter,
    skip: Skip | None = None,
) -> MethodComparison:
    """Shares of pictures whose map of the right class is largest on the object.

    A point hits if it is at most ``tolerance`` pixels away from one of the true boxes (measure "box"), or from the
    mask ("mask", where there are masks).  A map that is the same everywhere points nowhere and misses.  Beside the
    methods stand the picture's centre, and for boxes a point drawn at random, exactly.

    Parameters
    ----------
    net : Network with a ``preprocess`` and an ``input_shape``
    dataset : folder for ``read_dataset``, or its examples
    methods : names of ``minicnn.explain.methods.METHODS``, or {name: settings}; the quick ones unless given
    tolerance : float >= 0, in pixels of the picture; 15 is the publication's
    smoothing : float >= 0
        Gaussian blur of every map before it points, sigma in parts of the picture's longer side; ours.
    crops : "whole", "one" or "ten"; the centre alone can't point beside it
    seed : int, of the intervals: objects are drawn anew, each with all its pictures
    keep : folder, optional; each picture's result is kept there, and the same call goes on from there
    progress : wraps the list of pictures that are left
    skip : called with each picture that can't be measured, and why; None: the error is raised

    Returns
    -------
    comparison : MethodComparison, of shares

    Raises
    ------
    ImageError
        If a picture or a mask can't be read, or a box or mask does not fit its picture.
    MinicnnError
        If there are no pictures, a class or a method is unknown, or a number is out of range.

    References
    ----------
    .. [1] Zhang et al. 2016, "Top-down neural attention by excitation backprop", section 4.1.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> seven = Example(catalogue.folder("images") / "seven.png", classes=(7,), boxes=((80, 60, 200, 220),))
    >>> comparison = evaluate_pointing(minicnn.load("digits"), [seven], ["gradient", "grad-cam"])
    >>> list(comparison.estimates)
    ['gradient', 'grad-cam', 'centre', 'random point']

    """
    if not (0 <= tolerance < np.inf and 0 <= smoothing < 1):
        raise MinicnnError(
            f"pointing: expected tolerance >= 0 and smoothing of 0 to 1, got {tolerance}, {smoothing}"
        )
    net, examples = as_classifier(net), load_examples(dataset, "evaluate_pointing")
    settings = {
        "methods": select_compared_methods(net, methods),
        "tolerance": tolerance,
        "smoothing": smoothing,
        "crops": crops,
    }
    how = Checkpoint(keep, "pointing", progress, skip)
    measured, rows = measure_examples(net, examples, settings, lambda e: _measure(net, e, settings), how)
    title = f"pointing game: the largest value within {tolerance:g} pixels of the object"
    return replace(summarise(title, rows, ("box", "mask"), True, settings, seed), examples=measured)


def hits_box(point: tuple[int, int], boxes: Sequence[Sequence[float]], tolerance: float) -> bool:
    """Return whether a pixel (row, column) is at most ``tolerance`` pixels away from a box's pixels.

    Examples
    --------
    >>> hits_box((5, 12), [(0, 0, 10, 10)], tolerance=2), hits_box((5, 12), [(0, 0, 10, 10)], tolerance=3)
    (False, True)

    """
    row, column = point
    # how far the pixel lies outside of each box along the two axes, 0 inside; right and bottom are exclusive
    gaps = (
        np.hypot(max(left - column, 0, column - (right - 1)), max(top - row, 0, row - (bottom - 1)))
        for left, top, right, bottom in boxes
    )
    return bool(min(gaps) <= tolerance)


def hits_mask(point: tuple[int, int], mask: np.ndarray, tolerance: float) -> bool:
    """Return whether a pixel (row, column) is at most ``tolerance`` pixels away from one of the mask (H, W)."""
    reach = int(min(tolerance, max(mask.shape))) + 1
    top, left = (max(0, p - reach) for p in point)
    # pixels that are further away along an axis are further away
    rows, columns = np.nonzero(mask[top : point[0] + reach + 1, left : point[1] + reach + 1])
    return bool((np.hypot(rows + top - point[0], columns + left - point[1]) <= tolerance).any())


def random_hit_probability(size: tuple[int, int], boxes: Sequence[Sequence[float]], tolerance: float) -> float:
    """Probability that a point drawn at random in a picture (H, W) hits a box.

    Examples
    --------
    >>> random_hit_probability((10, 10), [(0, 0, 5, 10)], tolerance=0)
    0.5

    """
    columns, step = np.arange(size[1])[None], max(1, MOST_DRAWN // size[1])
    hits = 0
    # rows in parts, so that a large picture takes no more memory than a small one
    for start in range(0, size[0], step):
        # (h, 1) and (1, W): the gaps broadcast to (h, W)
        rows = np.arange(start, min(start + step, size[0]))[:, None]
        hit = np.zeros((len(rows), size[1]), bool)
        for left, top, right, bottom in boxes:
            dx = np.maximum(np.maximum(left - columns, columns - (right - 1)), 0)
            dy = np.maximum(np.maximum(top - rows, rows - (bottom - 1)), 0)
            hit |= np.hypot(dx, dy) <= tolerance
        hits += int(hit.sum())
    return hits / (size[0] * size[1])


def _measure(net: Network, example: Example, settings: Mapping[str, Any]) -> dict[str, Any]:
    picture = load_image(example.image)
    # Pillow says (width, height)
    size = picture.size[::-1]
    boxes, truth = read_truth(example, size)
    x, views = load_views(net, picture, settings["crops"])
    target = true_class(net, example, x)
    points: dict[str, Any] = {}
    for method, maps in maps_by_method(net, x, target, settings["methods"]).items():
        map = average_views(maps.map, views, reduced_size(size))
        points[method] = _argmax(map, settings["smoothing"], size)
    points["centre"] = [size[0] // 2, size[1] // 2]
    # a map that is the same everywhere points at no pixel, which counts as a miss
    tolerance = settings["tolerance"]
    box: dict[str, float] = {name: p is not None and hits_box(p, boxes, tolerance) for name, p in points.items()}
    mask: dict[str, bool] = {}
    if truth is not None:
        mask = {name: p is not None and hits_mask(p, truth, tolerance) for name, p in points.items()}
    box["random point"] = random_hit_probability(size, boxes, tolerance)
    facts = {"image": example.image.name, "group": example.group, "target": target, "points": points}
    return {**facts, "box": box, "mask": {name: mask.get(name) for name in box}}


def _argmax(map: np.ndarray, smoothing: float, size: tuple[int, int]) -> list[int] | None:
    """Row and column, in a picture (H, W), of the first largest value of its map, blurred; None of a constant."""
    if map.max() <= map.min():
        return None
    smooth = gaussian_blur(map, smoothing * max(map.shape))
    place = np.unravel_index(smooth.argmax(), smooth.shape)
    # the middle of a pixel of the map, which is the picture's own unless that is large
    return [int((p + 0.5) * full / n) for p, full, n in zip(place, size, map.shape, strict=True)]
