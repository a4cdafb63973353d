"""Insertion and deletion: how fast a class comes and goes with a map's pixels (Petsiuk et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.types import PathLike, Progress
from minicnn.errors import MinicnnError, ShapeError
from minicnn.evaluate.checkpoint import Checkpoint, measure_examples
from minicnn.evaluate.dataset import Example, Skip
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
from minicnn.images.gaussian_blur import gaussian_blur
from minicnn.kernels import reference
from minicnn.network import Network

__all__ = ["Curves", "area_under_curve", "evaluate_insertion_deletion", "insertion_deletion_curves"]

BLUR = 5.0  # pixels of an input of 224


class Curves(NamedTuple):
    """Probabilities of a class as pixels go and come.

    Attributes
    ----------
    deletion : float64 array of shape (steps + 1,), from the whole input to the mean image
    insertion : float64 array of shape (steps + 1,), from the blurred input to the whole one

    """

    deletion: np.ndarray
    insertion: np.ndarray


def insertion_deletion_curves(
    net: Network, x: np.ndarray, target: int, map: np.ndarray, *, steps: int = 32, batch: int = 8
) -> Curves:
    """Curves of a class's probability as a map's pixels are deleted, and inserted.

    p_k = softmax(S(x_k))_c,  x_k the input with the k / n most important pixels set to 0, the mean image
    (deletion), or the blurred input with them set to x (insertion).  Equal pixels go in row order.

    Parameters
    ----------
    net : Network
    x : array of shape (1, C, H, W), the network's input
    target : int, the class c
    map : array of shape (H, W), the importance of each pixel
    steps : int >= 1, n
    batch : int >= 1, how many inputs are held at a time

    Returns
    -------
    curves : Curves

    Raises
    ------
    ShapeError
        If the map is not of the input's size.
    MinicnnError
        If ``steps`` or ``batch`` is less than 1.

    Notes
    -----
    The publication blurs by 5 pixels at 224 within a window of 11; here the window is 31, and the blur scales with
    the input.

    References
    ----------
    .. [1] Petsiuk, Das, Saenko 2018, "RISE: randomized input sampling for explanation of black-box models",
       section 4.1.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> net = minicnn.load("digits")
    >>> x = net.preprocess(catalogue.folder("images") / "seven.png")
    >>> curves = insertion_deletion_curves(net, x, 7, abs(net.input_gradient(x, 7))[0, 0], steps=4)
    >>> curves.insertion.shape, round(float(curves.insertion[-1]), 2), round(float(curves.deletion[-1]), 2)
    ((5,), 1.0, 0.11)

    """
    if steps < 1 or batch < 1:
        raise MinicnnError(f"curves: expected steps >= 1 and batch >= 1, got {steps} and {batch}")
    if x.ndim != 4 or len(x) != 1 or map.shape != x.shape[2:]:
        raise ShapeError(f"curves: expected x (1, C, H, W) and a map (H, W), got {x.shape} and {map.shape}")
    # largest first; a stable sort, so that pixels of one value have the same order in each run
    order = np.argsort(-map, axis=None, kind="stable")
    blurred = gaussian_blur(x, BLUR * max(x.shape[2:]) / 224)
    # deletion leads from the picture to zeros, insertion from the blurred picture to the picture
    ends = (x, np.zeros_like(x)), (blurred, x)
    # how many pixels are replaced at each of the steps + 1 points: none at the first, all at the last
    counts = np.linspace(0, order.size, steps + 1).round().astype(int)
    deletion, insertion = (_probabilities(net, pair, order, counts, target, batch) for pair in ends)
    return Curves(deletion, insertion)


def area_under_curve(curve: np.ndarray) -> float:
    """Area under a curve over [0, 1], by the trapezoidal rule.

    Examples
    --------
    >>> import numpy as np
    >>> area_under_curve(np.array([0.0, 1.0, 1.0]))
    0.75

    """
    return float((curve[1:] + curve[:-1]).mean() / 2)


def _probabilities(
    net: Network,
    ends: tuple[np.ndarray, np.ndarray],
    order: np.ndarray,
    counts: np.ndarray,
    target: int,
    batch: int,
) -> np.ndarray:
    """Probabilities of a class as so many pixels of one input are replaced by the other's, in that order."""
    start, end = ends
    probabilities = []
    for first in range(0, len(counts), batch):
        inputs = np.repeat(start, len(counts[first : first + batch]), axis=0)
        # (n, C, H W) and (C, H W): flat is a view of inputs, and a pixel is one of its columns, in all channels
        flat, last = inputs.reshape(*inputs.shape[:2], -1), end.reshape(*end.shape[1:2], -1)
        for n, count in enumerate(counts[first : first + batch]):
            flat[n][:, order[:count]] = last[:, order[:count]]
        scores = net(inputs)
        # the exponentials and their sum in float64
        exact = scores.astype(np.float64)
        probabilities.append(np.asarray(net.posterior.forward(exact, reference)[0])[:, target])
    return np.concatenate(probabilities)


def evaluate_insertion_deletion(
    net: Network,
    dataset: PathLike | Sequence[Example],
    methods: Methods | None = None,
    *,
    steps: int = 32,
    seed: int = 0,
    keep: PathLike | None = None,
    progress: Progress = iter,
    skip: Skip | None = None,
) -> MethodComparison:
    """Areas under deletion and insertion curves of the right class, on the whole picture warped to the input.

    A good map's deletion curve falls fast (small area), and its insertion curve rises fast (large).  Beside the
    methods stand pixels in random order, and from the centre outwards.

    Parameters
    ----------
    steps : int >= 1, of each curve
    net, dataset, methods, seed, keep, progress, skip : as for ``evaluate_pointing``; the seed is of the order too

    Returns
    -------
    comparison : MethodComparison; its rows hold the curves, its estimates the areas

    Raises
    ------
    ImageError
        If a picture can't be read.
    MinicnnError
        If there are no pictures, or a class or a method is unknown, or ``steps`` is less than 1.

    References
    ----------
    .. [1] Petsiuk, Das, Saenko 2018, "RISE: randomized input sampling for explanation of black-box models".

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> seven = Example(catalogue.folder("images") / "seven.png", classes=(7,), boxes=((80, 60, 200, 220),))
    >>> comparison = evaluate_insertion_deletion(minicnn.load("digits"), [seven], ["gradient"], steps=4)
    >>> list(comparison.estimates)
    ['gradient', 'random order', 'centre first']

    """
    net, examples = as_classifier(net), load_examples(dataset, "evaluate_insertion_deletion", needs_boxes=False)
    settings = {"methods": select_compared_methods(net, methods), "steps": steps, "seed": seed}
    # the random order of a picture's pixels follows from its place in the set, and so do its results
    places = {example: n for n, example in enumerate(examples)}
    how = Checkpoint(keep, "curves", progress, skip)

    def measure(example: Example) -> dict[str, Any]:
        return _measure(net, example, settings, (seed, places[example]))

    measured, rows = measure_examples(net, examples, [settings, [e.image.name for e in examples]], measure, how)
    title = f"areas under the curves of the right class's probability, {steps} steps"
    comparison = summarise(title, rows, ("deletion", "insertion"), False, settings, seed)
    return replace(comparison, examples=measured)


def _measure(net: Network, example: Example, settings: Mapping[str, Any], seed: tuple[int, int]) -> dict[str, Any]:
    x, _ = load_views(net, example.image, "whole")
    target = true_class(net, example, x)
    maps = {name: own.map[0] for name, own in maps_by_method(net, x, target, settings["methods"]).items()}
    # the two baselines know nothing of the picture: pixels in random order, and those nearest to the centre first
    rows, columns = (np.abs(np.arange(n) - (n - 1) / 2) for n in x.shape[2:])
    maps["random order"] = np.random.default_rng(seed).random(x.shape[2:])
    maps["centre first"] = -np.hypot(rows[:, None], columns[None])
    curves = {
        name: insertion_deletion_curves(net, x, target, map, steps=settings["steps"]) for name, map in maps.items()
    }
    return {
        "image": example.image.name,
        "group": example.group,
        "target": target,
        "deletion": {name: area_under_curve(c.deletion) for name, c in curves.items()},
        "insertion": {name: area_under_curve(c.insertion) for name, c in curves.items()},
        "curves": {name: [np.round(c, 6).tolist() for c in both] for name, both in curves.items()},
    }
