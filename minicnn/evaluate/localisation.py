"""How good boxes and masks are: the ILSVRC protocol, baselines beside it, intervals over objects."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn._utils.types import PathLike, Progress
from minicnn.errors import MinicnnError
from minicnn.evaluate.checkpoint import digest, map_with_checkpoint
from minicnn.evaluate.confidence import Estimate, bootstrap_mean
from minicnn.evaluate.dataset import Box, Example, read_dataset, read_valid_mask
from minicnn.evaluate.iou import box_iou, mask_iou
from minicnn.explain.localise import LocalisationMethod, get_localisation_method, object_mask, smooth_map
from minicnn.explain.saliency import saliencies
from minicnn.images import load_image
from minicnn.io.digest import digest_image
from minicnn.network import Network
from minicnn.segmentation.components import bounding_box, largest_component

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["CAUTION", "Evaluation", "evaluate_localisation"]

CAUTION = (
    "Figures of a set of composites, or of any other set than ILSVRC's own, are not comparable with published "
    "ILSVRC figures."
)
HIT = 0.5  # the intersection over union from which a box counts as right
SHARES = tuple(n / 20 for n in range(6, 20))  # of the picture's sides, of centre boxes
QUANTILES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)  # that maps are thresholded at
LOCALISATION_MEASURES = ("IoU >= 0.5", "box IoU", "mask IoU", "top-1 error", "top-5 error")
PER_CENT = ("IoU >= 0.5", "top-1 error", "top-5 error")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    Attributes
    ----------
    method : str
    rows : list of dict, one a picture
    estimates : {name of the method or baseline: {measure: Estimate}}; the measures are "IoU >= 0.5" (the share of
        boxes of the right class), "box IoU", "mask IoU" (where there are masks; means), "top-1 error" and
        "top-5 error" (of localisation)
    classification : {"top-1 error", "top-5 error": Estimate}
    seconds : of the map and of the cut, means a picture

    """

    method: str
    rows: list[dict[str, Any]]
    estimates: dict[str, dict[str, Estimate]]
    classification: dict[str, Estimate]
    seconds: dict[str, float]

    @property
    def groups(self) -> int:
        """How many groups the pictures are of."""
        return len({row["group"] for row in self.rows})

    def record(self) -> dict[str, Any]:
        """Return the estimates as values for JSON."""
        return {
            "method": self.method,
            "images": len(self.rows),
            "groups": self.groups,
            "caution": CAUTION,
            "localisation": {k: {m: asdict(f) for m, f in v.items()} for k, v in self.estimates.items()},
            "classification": {name: asdict(estimate) for name, estimate in self.classification.items()},
            "seconds": self.seconds,
        }

    def text(self) -> str:
        """Return the estimates as a table, with what they do not say."""
        lines = [f"{len(self.rows)} pictures of {self.groups} objects; 95 % intervals by drawing objects anew"]
        lines.append(f"{'':<30}" + "".join(f"{name:>24}" for name in LOCALISATION_MEASURES))
        for name, estimates in self.estimates.items():
            cells = (estimates[m].text(m in PER_CENT) if m in estimates else "-" for m in LOCALISATION_MEASURES)
            lines.append(f"{name:<30}" + "".join(f"{cell:>24}" for cell in cells))
        errors = ", ".join(f"{name} {f.text(per_cent=True)}" for name, f in self.classification.items())
        lines.append(f"classification: {errors}")
        lines.append("; ".join(f"{name}: {s:.2f} s a picture" for name, s in self.seconds.items()))
        return "\n".join([*lines, CAUTION])


def evaluate_localisation(
    net: Network,
    dataset: PathLike | Sequence[Example],
    method: str | LocalisationMethod = "paper",
    *,
    seed: int = 0,
    keep: PathLike | None = None,
    progress: Progress = iter,
) -> Evaluation:
    """Localisation by the ILSVRC protocol (paper, section 3.2), with three baselines beside it.

    A picture is right in its top five if one of the five most probable classes is right and that class's box has
    an intersection over union of at least 0.5 with one of the true boxes; top one likewise.  The boxes of wrong
    classes can't be right, so they are not computed.  "IoU >= 0.5", "box IoU" and "mask IoU" are of the right
    class, the most probable of several, whether the net sees it or not.

    The baselines answer with the same classes and other boxes: the whole picture; the centre box, and the largest
    part of the map above a quantile.  The share of the sides and the quantile are those that do best on this very
    set, which flatters them.

    Parameters
    ----------
    net : Network with a ``preprocess``
    dataset : folder for ``read_dataset``, or its examples
    method : name of a method of ``localise``, or a Method
    seed : int, of the intervals: objects are drawn anew, each with all its pictures, 2,000 times
    keep : folder, optional
        Each picture's result is kept there as soon as it is measured; the same net, pictures and method go on
        from there.
    progress : wraps the list of pictures that are left

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
    examples = list(read_dataset(dataset) if isinstance(dataset, str | Path) else dataset)
    if not examples:
        raise MinicnnError("evaluate_localisation: expected at least one picture, got none")
    name = method if isinstance(method, str) else "method"
    chosen = get_localisation_method(method) if isinstance(method, str) else method
    path = None if keep is None else Path(keep) / f"{name}-{_key(net, examples, chosen)}.jsonl"
    rows = map_with_checkpoint(path, len(examples), lambda n: _measure(net, examples[n], chosen), progress)
    return _summarise(name, rows, seed)


# one picture


class IoUs(NamedTuple):
    """Intersections over unions: of a box with the nearest true one; of a mask, None without a true one."""

    box: float
    mask: float | None


def _measure(net: Network, example: Example, method: LocalisationMethod) -> dict[str, Any]:
    picture = load_image(example.image)
    size = picture.size[::-1]
    truth = read_valid_mask(example, size)
    order: list[int] = []

    def choose_true_classes(probability: np.ndarray) -> list[int]:
        # kept outside of the function too, for the top-1 and top-5 errors below
        order[:] = [int(c) for c in np.argsort(-probability, kind="stable")]
        if max(example.classes) >= len(order):
            raise MinicnnError(f"{example.image}: class {max(example.classes)}, but {net.name} has {len(order)}")
        # true classes among the top five may count as hits; without any, the likeliest true class is localised
        by_probability = [c for c in order if c in example.classes]
        return [c for c in by_probability if c in order[:5]] or by_probability[:1]

    start = time.perf_counter()
    maps = saliencies(net, picture, choose_true_classes, method.map_settings)
    mapped = time.perf_counter()
    masks = [_mask(picture, saliency.map, method) for saliency in maps]
    seconds = {"map": mapped - start, "cut": time.perf_counter() - mapped}
    # top-5 takes the best box of all true classes in the top five, every other figure that of the first one
    box_ious = [_compare_mask(mask, example.boxes, None).box for mask in masks]
    ious = _compare_mask(masks[0], example.boxes, truth)
    top1, top5 = order[0] in example.classes, bool(set(order[:5]) & set(example.classes))
    return {
        "image": str(example.image.name),
        "group": example.group,
        "target": maps[0].target,
        "top1": top1,
        "top5": top5,
        "iou": ious.box,
        "mask_iou": ious.mask,
        "located1": top1 and ious.box >= HIT,
        "located5": top5 and max(box_ious) >= HIT,
        "box": None if masks[0] is None else list(bounding_box(masks[0])),
        "seconds": seconds,
        "thresholded map": _threshold(maps[0].map, method, example.boxes, truth),
        "centre box": [_compare_mask(_centre_box(size, share), example.boxes, truth) for share in SHARES],
        "whole picture": [_compare_mask(np.ones(size, bool), example.boxes, truth)],
    }


def _mask(picture: Image, map: np.ndarray, method: LocalisationMethod) -> np.ndarray | None:
    """Mask of a map's object, or None for a map that marks nothing, which counts as a miss."""
    return object_mask(picture, map, method.settings) if map.min() < map.max() else None


def _threshold(
    map: np.ndarray, method: LocalisationMethod, boxes: Sequence[Box], truth: np.ndarray | None
) -> list[IoUs]:
    """Compare the largest part of the map above each quantile."""
    smooth = smooth_map(map, method.settings)
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


# all pictures


def _summarise(name: str, rows: list[dict[str, Any]], seed: int) -> Evaluation:
    # groups are numbered from 0, as the bootstrap wants them
    groups = np.unique([row["group"] for row in rows], return_inverse=True)[1]

    def estimate(values: Sequence[Any]) -> Estimate:
        return bootstrap_mean(np.array(values, np.float64), groups, seed)

    def summarise(ious: list[IoUs], located1: list[bool], located5: list[bool]) -> dict[str, Estimate]:
        estimates = {
            "IoU >= 0.5": estimate([iou.box >= HIT for iou in ious]),
            "box IoU": estimate([iou.box for iou in ious]),
        }
        # with masks for some of the pictures alone the mean would be one over another set than the rest
        if all(iou.mask is not None for iou in ious):
            estimates["mask IoU"] = estimate([iou.mask for iou in ious])
        estimates["top-1 error"] = estimate([not located for located in located1])
        estimates["top-5 error"] = estimate([not located for located in located5])
        return estimates

    def summarise_baseline(ious: list[IoUs]) -> dict[str, Estimate]:
        pairs = list(zip(rows, ious, strict=True))
        located1, located5 = ([row[top] and iou.box >= HIT for row, iou in pairs] for top in ("top1", "top5"))
        return summarise(ious, located1, located5)

    own = [IoUs(row["iou"], row["mask_iou"]) for row in rows]
    estimates = {name: summarise(own, [row["located1"] for row in rows], [row["located5"] for row in rows])}
    baselines: tuple[tuple[str, tuple[float | None, ...]], ...] = (
        ("thresholded map", QUANTILES),
        ("centre box", SHARES),
        ("whole picture", (None,)),
    )
    for kind, choices in baselines:
        # rows that were kept by an earlier run come from JSON as lists
        ious = [[IoUs(*row[kind][n]) for row in rows] for n in range(len(choices))]
        # the setting that does best on these very pictures, which flatters the baseline and not the method
        best = max(range(len(choices)), key=lambda n: _rank([iou.box for iou in ious[n]]))
        label = kind if choices[best] is None else f"{kind}, best at {choices[best]:g}"
        estimates[label] = summarise_baseline(ious[best])
    errors = {f"top-{n} error": estimate([not row[f"top{n}"] for row in rows]) for n in (1, 5)}
    seconds = {part: float(np.mean([row["seconds"][part] for row in rows])) for part in ("map", "cut")}
    return Evaluation(name, rows, estimates, errors, seconds)


def _rank(ious: list[float]) -> tuple[float, float]:
    # hits first; of settings with as many hits the one of larger mean
    return float(np.mean([iou >= HIT for iou in ious])), float(np.mean(ious))


def _key(net: Network, examples: list[Example], method: LocalisationMethod) -> str:
    """Return a digest of all that decides the results."""
    masks = [e.mask and digest_image(e.mask)["sha256"] for e in examples]
    truths = [(example.classes, example.boxes, example.group) for example in examples]
    return digest(net, [example.image for example in examples], masks, truths, asdict(method))
