"""How good boxes and masks are: the ILSVRC protocol, baselines beside it, intervals over objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from minicnn._utils.types import PathLike, Progress
from minicnn.errors import MinicnnError
from minicnn.evaluate.checkpoint import Checkpoint, measure_examples
from minicnn.evaluate.dataset import Box, Example, Skip, read_dataset, read_truth
from minicnn.evaluate.iou import box_iou, mask_iou
from minicnn.evaluate.localisation_result import (
    HIT,
    QUANTILES,
    SHARES,
    Evaluation,
    IoUs,
    summarise_localisation,
)
from minicnn.evaluate.max_box_acc import best_ious
from minicnn.explain.localise import (
    DEFAULT_METHOD,
    ConsensusMethod,
    LocalisationMethod,
    MaskSettings,
    get_localisation_method,
)
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.explain.prediction import class_label
from minicnn.explain.saliency import ChooseClasses, Saliency
from minicnn.images import load_image
from minicnn.images.reduced import reduced_size, scale_boxes
from minicnn.network import Network
from minicnn.segmentation.components import bounding_box, largest_component
from minicnn.segmentation.graph_cut import resize_mask

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Answer", "Drawing", "evaluate_localisation"]

ROWS = 2  # changes with what a row holds, so that rows of before are not read


class Answer(NamedTuple):
    """What a method says of a class in a picture.

    Attributes
    ----------
    saliency : Saliency, its map
    smooth : array of shape (H, W), the map as it is thresholded, of a large picture smaller
    mask : bool array of shape (H, W), or None for a map that marks nothing, which counts as a miss
    box : (xmin, ymin, xmax, ymax) around the mask, or None
    settings : of the seeds; None for a method that has none
    candidates : boxes of all cuts, of a method that compares several
    confidence : float in [0, 1], how often such a box is right; None for a method that does not say

    """

    saliency: Saliency
    smooth: np.ndarray
    mask: np.ndarray | None
    box: tuple[int, int, int, int] | None
    settings: MaskSettings | None
    candidates: Sequence[Sequence[float]] = ()
    confidence: float | None = None


class Drawing(NamedTuple):
    """An answer with its picture, for whoever draws it.

    Attributes
    ----------
    example : Example, with its boxes in the picture's pixels
    picture : PIL.Image
    answer : Answer, of the right class

    """

    example: Example
    picture: Image
    answer: Answer


Draw: TypeAlias = Callable[[Drawing], None]
Method: TypeAlias = LocalisationMethod | ConsensusMethod


def evaluate_localisation(
    net: Network,
    dataset: PathLike | Sequence[Example],
    method: str | Method = DEFAULT_METHOD,
    *,
    seed: int = 0,
    keep: PathLike | None = None,
    progress: Progress = iter,
    skip: Skip | None = None,
    draw: Draw | None = None,
) -> Evaluation:
    """Localisation by the ILSVRC protocol (paper, section 3.2), with three baselines beside it.

    A picture is right in its top five if one of the five most probable classes is right and that class's box has
    an intersection over union of at least 0.5 with one of the true boxes; top one likewise.  The boxes of wrong
    classes can't be right, so they are not computed.  "IoU >= 0.5", "box IoU" and "mask IoU" are of the right
    class, the most probable of several, whether the net sees it or not.

    The baselines answer with the same classes and other boxes: the whole picture; the centre box, and the largest
    part of the map above a quantile.  The share of the sides and the quantile are those that do best on this very
    set, which flatters them.  Of the maps alone, MaxBoxAccV2 is measured (``minicnn.evaluate.max_box_acc``).

    Parameters
    ----------
    net : Network with a ``preprocess``
    dataset : folder for ``read_dataset``, or its examples
    method : name of a method of ``localise``, or a Method
    seed : int, of the intervals: objects are drawn anew, each with all its pictures, 2,000 times
    keep : folder, optional
        Each picture's result is kept there as soon as it is measured; the same net and method go on from there.
    progress : wraps the list of pictures that are left
    skip : called with each picture that can't be measured, and why; None: the error is raised
    draw : called with each answer, before its result is kept

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    ImageError
        If a picture or a mask can't be read, or a box or mask does not fit its picture.
    MinicnnError
        If there are no pictures, or a class is unknown to the net.

    References
    ----------
    .. [1] Russakovsky et al. 2015, "ImageNet large scale visual recognition challenge", section 4.2.
    .. [2] Choe et al. 2020, "Evaluating weakly supervised object localization methods right".

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.explain.localise import MaskSettings
    >>> from minicnn.io import catalogue
    >>> seven = Example(catalogue.folder("images") / "seven.png", classes=(7,), boxes=((80, 60, 200, 220),))
    >>> quick = LocalisationMethod(MaskSettings(working_size=40, components=1))
    >>> evaluation = evaluate_localisation(minicnn.load("digits"), [seven], quick)
    >>> evaluation.classification["top-1 error"].value
    0.0

    """
    net = as_classifier(net)
    examples = list(read_dataset(dataset) if isinstance(dataset, str | Path) else dataset)
    if not examples:
        raise MinicnnError("evaluate_localisation: expected at least one picture, got none")
    name = method if isinstance(method, str) else "method"
    chosen = get_localisation_method(method) if isinstance(method, str) else method
    how = Checkpoint(keep, name, progress, skip)

    def measure(example: Example) -> dict[str, Any]:
        return _measure(net, example, chosen, draw)

    measured, rows = measure_examples(net, examples, [ROWS, asdict(chosen)], measure, how)
    return summarise_localisation(name, measured, rows, seed)


def _measure(net: Network, example: Example, method: Method, draw: Draw | None = None) -> dict[str, Any]:
    picture = load_image(example.image)
    size = picture.size[::-1]
    boxes, truth = read_truth(example, size)
    order: list[int] = []

    def choose_true_classes(probability: np.ndarray) -> list[int]:
        # kept outside of the function too, for the top-1 and top-5 errors below
        order[:] = [int(c) for c in np.argsort(-probability, kind="stable")]
        if max(example.classes) >= len(order):
            raise MinicnnError(f"{example.image}: class {max(example.classes)}, but {net.name} has {len(order)}")
        # true classes among the top five may count as hits; without any, the likeliest true class is localised
        by_probability = [c for c in order if c in example.classes]
        return [c for c in by_probability if c in order[:5]] or by_probability[:1]

    answers, seconds = _answer(net, picture, choose_true_classes, method)
    # top-5 takes the best box of all true classes in the top five, every other figure that of the first one
    box_ious = [_compare_mask(answer.mask, boxes, None).box for answer in answers]
    answer = answers[0]
    ious = _compare_mask(answer.mask, boxes, truth)
    if draw is not None:
        draw(Drawing(replace(example, boxes=boxes), picture, answer))
    # the map of a large picture is thresholded at a smaller size
    near = boxes if answer.smooth.shape == size else scale_boxes(boxes, size, answer.smooth.shape)
    small = None if truth is None else resize_mask(truth, answer.smooth.shape)
    top1, top5 = order[0] in example.classes, bool(set(order[:5]) & set(example.classes))
    return {
        "image": str(example.image.name),
        "group": example.group,
        "target": answer.saliency.target,
        "label": class_label(net, answer.saliency.target),
        "views": answer.saliency.view_count,
        "top1": top1,
        "top5": top5,
        "iou": ious.box,
        "mask_iou": ious.mask,
        "located1": top1 and ious.box >= HIT,
        "located5": top5 and max(box_ious) >= HIT,
        "box": None if answer.box is None else list(answer.box),
        "confidence": answer.confidence,
        "seconds": seconds,
        # rounded down, so that a hit at a level of 0.3, 0.5 or 0.7 stays what it is
        "iou_by_level": (best_ious(answer.smooth, near) * 1000).astype(int).tolist(),
        "thresholded map": _threshold(answer.smooth, near, small),
        "centre box": [_compare_mask(_centre_box(size, share), boxes, truth) for share in SHARES],
        "whole picture": [_compare_mask(np.ones(size, bool), boxes, truth)],
    }


def _answer(
    net: Network, picture: Image, choose: ChooseClasses, method: Method
) -> tuple[list[Answer], dict[str, float]]:
    """Return a method's answers for the classes that are chosen, and the seconds that they took."""
    start = time.perf_counter()
    detections = method.detect(net, picture, choose, "method")
    seconds = {"map and cut": time.perf_counter() - start}
    answers = []
    for detection in detections:
        placed = detection.saliency.placed
        smooth = method.smooth(placed.at(reduced_size(placed.image_size)))
        marked = detection.mask.any()
        mask, box = (detection.mask, detection.box) if marked else (None, None)
        settings = method.settings if isinstance(method.settings, MaskSettings) else None
        answers.append(
            Answer(detection.saliency, smooth, mask, box, settings, detection.candidates, detection.confidence)
        )
    return answers, seconds


def _threshold(smooth: np.ndarray, boxes: Sequence[Box], truth: np.ndarray | None) -> list[IoUs]:
    """Compare the largest part of a map above each quantile."""
    # a quantile that is the map's maximum leaves nothing above it, which is a miss
    parts = (smooth > q for q in np.quantile(smooth, QUANTILES))
    return [_compare_mask(largest_component(part) if part.any() else None, boxes, truth) for part in parts]


def _centre_box(size: tuple[int, int], share: float) -> np.ndarray:
    mask = np.zeros(size, bool)
    (top, left) = (round(n * (1 - share) / 2) for n in size)
    mask[top : size[0] - top, left : size[1] - left] = True
    return mask


def _compare_mask(mask: np.ndarray | None, boxes: Sequence[Box], truth: np.ndarray | None) -> IoUs:
    """Compare a mask, and the box around it, with the true ones."""
    if mask is None:
        return IoUs(0.0, None if truth is None else 0.0)
    around = bounding_box(mask)
    return IoUs(max(box_iou(around, box) for box in boxes), None if truth is None else mask_iou(mask, truth))
