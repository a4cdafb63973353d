"""What ``evaluate_localisation`` returns: estimates with intervals, from one row a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from minicnn._utils.counted import counted
from minicnn.evaluate.confidence import Calibration, Estimate, bootstrap_mean, calibration
from minicnn.evaluate.dataset import Example
from minicnn.evaluate.max_box_acc import IOUS, MaxBoxAcc, max_box_acc

__all__ = [
    "CAUTION",
    "HIT",
    "LOCALISATION_MEASURES",
    "PER_CENT",
    "QUANTILES",
    "SHARES",
    "Evaluation",
    "IoUs",
    "summarise_localisation",
]

CAUTION = (
    "Figures of a set of composites, or of any other set than ILSVRC's own, are not comparable with published "
    "ILSVRC figures."
)
HIT = 0.5  # the intersection over union from which a box counts as right
SHARES = tuple(n / 20 for n in range(6, 20))  # of the picture's sides, of centre boxes
QUANTILES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)  # that maps are thresholded at
LOCALISATION_MEASURES = ("IoU >= 0.5", "BoxAccV2", "box IoU", "mask IoU", "top-1 error", "top-5 error")
PER_CENT = ("IoU >= 0.5", "BoxAccV2", "top-1 error", "top-5 error")


class IoUs(NamedTuple):
    """Intersections over unions: of a box with the nearest true one; of a mask, None without a true one."""

    box: float
    mask: float | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    Attributes
    ----------
    method : str
    examples : list of Example, those that could be measured
    rows : list of dict, one each
    estimates : {name of the method or baseline: {measure: Estimate}}; the measures are "IoU >= 0.5" (the share of
        boxes of the right class: localisation accuracy with the class known), "BoxAccV2" (the mean of that share
        and those at 0.3 and 0.7), "box IoU", "mask IoU" (where there are masks; means), "top-1 error" and
        "top-5 error" (of localisation)
    map_accuracy : MaxBoxAcc, of the method's maps alone
    classification : {"top-1 error", "top-5 error": Estimate}
    calibration : Calibration of a method's confidences; None for a method without
    seconds : of the map and its cut, mean a picture

    """

    method: str
    examples: list[Example]
    rows: list[dict[str, Any]]
    estimates: dict[str, dict[str, Estimate]]
    map_accuracy: MaxBoxAcc
    classification: dict[str, Estimate]
    calibration: Calibration | None
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
            "max_box_acc_v2": asdict(self.map_accuracy),
            "views": self.view_count,
            "classification": {name: asdict(estimate) for name, estimate in self.classification.items()},
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "seconds": self.seconds,
        }

    @property
    def view_count(self) -> int | None:
        """Over how many views probabilities are means; None where pictures had different numbers of them."""
        # rows that were kept by an earlier version don't say
        counts = {row.get("views") for row in self.rows}
        return counts.pop() if len(counts) == 1 else None

    def text(self) -> str:
        """Return the estimates as a table, with what they do not say."""
        lines = [f"{len(self.rows)} pictures of {self.groups} objects; 95 % intervals by drawing objects anew"]
        measures = [m for m in LOCALISATION_MEASURES if any(m in own for own in self.estimates.values())]
        lines.append(f"{'':<30}" + "".join(f"{name:>24}" for name in measures))
        for name, estimates in self.estimates.items():
            cells = (estimates[m].text(m in PER_CENT) if m in estimates else "-" for m in measures)
            lines.append(f"{name:<30}" + "".join(f"{cell:>24}" for cell in cells))
        lines.append(self.map_accuracy.text())
        errors = ", ".join(f"{name} {f.text(per_cent=True)}" for name, f in self.classification.items())
        views = "" if self.view_count is None else f" by the mean of {counted(self.view_count, 'view')}"
        lines.append(f"classification{views}: {errors}")
        lines += [] if self.calibration is None else [self.calibration.text()]
        lines.append("; ".join(f"{name}: {s:.2f} s a picture" for name, s in self.seconds.items()))
        return "\n".join([*lines, CAUTION])


def summarise_localisation(
    name: str, examples: list[Example], rows: list[dict[str, Any]], seed: int
) -> Evaluation:
    """Return the evaluation of a method, from what was measured of each example."""
    # groups are numbered from 0, as the bootstrap wants them
    groups = np.unique([row["group"] for row in rows], return_inverse=True)[1]

    def estimate(values: Sequence[Any]) -> Estimate:
        return bootstrap_mean(np.array(values, np.float64), groups, seed)

    def summarise(ious: list[IoUs], located1: list[bool], located5: list[bool]) -> dict[str, Estimate]:
        estimates = {
            "IoU >= 0.5": estimate([iou.box >= HIT for iou in ious]),
            "BoxAccV2": estimate([np.mean([iou.box >= level for level in IOUS]) for iou in ious]),
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
    levels = np.array([row["iou_by_level"] for row in rows]) / 1000
    errors = {f"top-{n} error": estimate([not row[f"top{n}"] for row in rows]) for n in (1, 5)}
    seconds = {part: float(np.mean([row["seconds"][part] for row in rows])) for part in rows[0]["seconds"]}
    agreement = None
    if all(row["confidence"] is not None for row in rows):
        confidences = np.array([row["confidence"] for row in rows], np.float64)
        agreement = calibration(confidences, np.array([iou.box >= HIT for iou in own]))
    accuracy = max_box_acc(levels, groups, seed)
    return Evaluation(name, examples, rows, estimates, accuracy, errors, agreement, seconds)


def _rank(ious: list[float]) -> tuple[float, float]:
    # hits first; of settings with as many hits the one of larger mean
    return float(np.mean([iou >= HIT for iou in ious])), float(np.mean(ious))
