"""Kinds of failure of the paper's localisation: the maps of a dataset, and what is measured on each picture."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from two_objects import counted

from minicnn.evaluate.checkpoint import digest
from minicnn.evaluate.dataset import Example
from minicnn.evaluate.iou import box_iou
from minicnn.evaluate.localisation import HIT
from minicnn.explain.localise import MaskSettings, object_pixels, saliency_seeds
from minicnn.explain.saliency import MapSettings, saliencies
from minicnn.images import load_image
from minicnn.images.lab import rgb_to_lab
from minicnn.network import Network
from minicnn.segmentation import colour_model
from minicnn.segmentation.components import bounding_box, largest_component

BEFORE = MaskSettings(
    smoothing=1 / 43,
    foreground_smoothing=1 / 43,
    gamma=300.0,
    working_size=341,
    components=5,
    background_components=5,
    variance_floor=1.0,
)
AFTER = MaskSettings()
KINDS = {
    "seeds off the object": "less than half of the object's seeds lie in a true box",
    "another component": "the cut has a part that would be right, but not the largest one",
    "leak": "the box has more than twice the true area",
    "background seeds on the object": "less than half of the true area, and the background's seeds cover more "
    "than a fifth of the true boxes",
    "part": "less than half of the true area, for no such reason",
    "displaced": "of about the true size, elsewhere",
}

Box = Sequence[float]
Measure = Callable[[Example, np.ndarray, MaskSettings], dict[str, Any]]


def read_maps(net: Network, examples: list[Example], folder: Path) -> list[np.ndarray]:
    """Ten-crop maps (H, W) of each picture's class, from their files where an earlier run wrote them."""
    maps = []
    for example in counted(examples):
        path = folder / f"map-{digest(net, [example.image], example.classes)}.npz"
        if not path.exists():
            beside = path.with_suffix(".part.npz")
            np.savez(beside, map=true_class_map(net, example))
            beside.rename(path)
        maps.append(np.load(path)["map"])
    return maps


def true_class_map(net: Network, example: Example) -> np.ndarray:
    """Paper's map of the likeliest of the true classes."""

    def choose(probabilities: np.ndarray) -> list[int]:
        return [max(example.classes, key=lambda c: probabilities[c])]

    return saliencies(net, example.image, choose, MapSettings())[0].map


def best_iou(box: Box, truths: Sequence[Box]) -> float:
    """Intersection over union with the nearest true box."""
    return max(box_iou(box, truth) for truth in truths)


def measure(example: Example, map: np.ndarray, settings: MaskSettings) -> dict[str, Any]:
    """Measure a picture's overlap, seeds and colour models; tell the kind of failure if it is one."""
    pixels = cut(example, map, settings)
    mask = largest_component(pixels)
    box, inside = bounding_box(mask), boxes_mask(example.boxes, map.shape)
    truth = max(example.boxes, key=lambda true: box_iou(box, true))
    foreground, background = saliency_seeds(map, settings)
    row = {
        "iou": box_iou(box, truth),
        "foreground in box": float(inside[foreground].mean()),
        "background in box": float(inside[background].mean()),
        "box seeded as background": float(background[inside].mean()),
        "colours apart": separation(example, (foreground, background), inside, settings),
        "area": area(box) / area(truth),
        "true area": area(truth) / map.size,
        "other": other_component_is_right(pixels & ~mask, example.boxes),
    }
    return {**row, "kind": None if row["iou"] >= HIT else kind_of_failure(row)}


def cut(example: Example, map: np.ndarray, settings: MaskSettings) -> np.ndarray:
    """Pixels of the object; where there are none the seeds stand in for them, which needs no warning here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return object_pixels(example.image, map, settings)


def overlap(example: Example, map: np.ndarray, settings: MaskSettings) -> dict[str, Any]:
    """Measure the overlap alone."""
    box = bounding_box(largest_component(cut(example, map, settings)))
    return {"iou": best_iou(box, example.boxes)}


def other_component_is_right(rest: np.ndarray, truths: Sequence[Box], tries: int = 5) -> bool:
    """Whether one of the next largest components has a right box."""
    for _ in range(tries):
        if not rest.any():
            return False
        part = largest_component(rest)
        if best_iou(bounding_box(part), truths) >= HIT:
            return True
        rest = rest & ~part
    return False


def separation(
    example: Example, seeds: tuple[np.ndarray, np.ndarray], inside: np.ndarray, settings: MaskSettings
) -> float | None:
    """Probability that a pixel in a box looks more like the object than one outside; None without either."""
    picture = load_image(example.image)
    step = max(1, max(inside.shape) // settings.working_size)
    colours = rgb_to_lab(np.asarray(picture))[::step, ::step]
    small, marks = inside[::step, ::step], [side[::step, ::step] for side in seeds]
    if small.all() or not small.any() or not all(mark.any() for mark in marks):
        return None
    counts = settings.components, settings.background_components
    models = [
        colour_model.fit(colours[mark][:: len(colours[mark]) // 3000 + 1], count, floor=settings.variance_floor)
        for mark, count in zip(marks, counts, strict=True)
    ]
    ratio = models[0].log_density(colours) - models[1].log_density(colours)
    # the area under the ROC curve is the rank sum of Mann and Whitney; equal ratios are too rare to matter
    ranks = np.empty(ratio.size)
    ranks[np.argsort(ratio, axis=None, kind="stable")] = np.arange(ratio.size)
    positive = int(small.sum())
    total = ranks[small.ravel()].sum() - positive * (positive - 1) / 2
    return float(total / (positive * (small.size - positive)))


def area(box: Box) -> float:
    """Area of a box in pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


def boxes_mask(boxes: Sequence[Box], size: tuple[int, ...]) -> np.ndarray:
    """Pixels of (H, W) in any of the boxes."""
    mask = np.zeros(size, bool)
    for xmin, ymin, xmax, ymax in boxes:
        mask[round(ymin) : round(ymax), round(xmin) : round(xmax)] = True
    return mask


def kind_of_failure(row: dict[str, Any]) -> str:
    """First of the kinds whose condition holds."""
    if row["foreground in box"] < 0.5:
        return "seeds off the object"
    if row["other"]:
        return "another component"
    if row["area"] > 2:
        return "leak"
    if row["area"] < 0.5:
        return "background seeds on the object" if row["box seeded as background"] > 0.2 else "part"
    return "displaced"


def kind_of(example: Example, map: np.ndarray, settings: MaskSettings) -> str:
    """Overlap and kind of failure in words."""
    row = measure(example, map, settings)
    return f"IoU {row['iou']:.2f}, {row['kind'] or 'right'}"
