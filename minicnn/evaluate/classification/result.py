"""What ``evaluate_classification`` returns: measures with intervals, from one answer an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._utils.counted import counted
from minicnn._utils.table import format_table
from minicnn.evaluate.classification.answers import Answer
from minicnn.evaluate.classification.confusion import Confused, confusion_matrix, most_confused, per_class
from minicnn.evaluate.classification.reliability import BINS, Reliability, reliability
from minicnn.evaluate.confidence import Estimate, bootstrap_mean, wilson

__all__ = ["Classification", "Measures", "measure_answers"]

TOP = 5
SHOWN = 20  # classes in the text
CONFUSED = 5  # pairs in the text
VIEWS = {"one": "one view", "ten": "ten views", "whole": "whole picture"}


@dataclass(frozen=True, eq=False)
class Measures:
    """How good the answers of one kind of views are.

    Attributes
    ----------
    top1, top5 : Estimate, the shares of images whose class is the most probable, among the five most probable
    loss : Estimate, mean negative logarithm of the right class's probability (negative log-likelihood, in nats)
    confusion : ints of shape (K, K), images of each class (row) for which each class was named (column)
    reliability : Reliability, calibration errors and their bins
    views : (fewest, most) views of an image, of which probabilities are means

    """

    top1: Estimate
    top5: Estimate
    loss: Estimate
    confusion: np.ndarray
    reliability: Reliability
    views: tuple[int, int]

    def record(self) -> dict[str, Any]:
        """Return the measures as values for JSON, the confusion matrix by its largest errors."""
        return {
            "top1": asdict(self.top1),
            "top5": asdict(self.top5),
            "loss": asdict(self.loss),
            "ece": self.reliability.ece,
            "mce": self.reliability.mce,
            "bins": [one._asdict() for one in self.reliability.bins],
            "views": list(self.views),
            "most_confused": [pair._asdict() for pair in most_confused(self.confusion)],
        }


@dataclass(frozen=True, eq=False)
class Classification:
    """How well a network classifies a data set.

    Attributes
    ----------
    net : str, its name
    labels : list of K str, its classes
    measures : {"one", "ten" or "whole": Measures}
    answers : {the same: list of Answer}, in the order of the data set
    path : of the CSV that holds the answers, or None

    """

    net: str
    labels: list[str]
    measures: dict[str, Measures]
    answers: dict[str, list[Answer]]
    path: Path | None = None

    @property
    def best(self) -> str:
        """The views with most crops, whose classes and errors are shown."""
        return list(self.measures)[-1]

    def describe(self, pair: Confused) -> str:
        """Return in words which class is taken for which.

        Examples
        --------
        >>> classification = Classification("net", ["cat", "dog"], {}, {})
        >>> classification.describe(Confused(0, 1, 12, 0.06))
        'cat taken for dog: 12 (6.0 %)'

        """
        names = f"{self.labels[pair.target]} taken for {self.labels[pair.predicted]}"
        return f"{names}: {pair.images} ({100 * pair.share:.1f} %)"

    @property
    def columns(self) -> dict[str, Measures]:
        """The measures that are shown: "ten" views of a network that takes no crops are the one again."""
        return {crops: m for crops, m in self.measures.items() if (crops, m.views) != ("ten", (1, 1))}

    def summary(self) -> tuple[list[str], list[list[str]]]:
        """Return the measures as a table: (header, rows), a column for each kind of views."""
        kinds = list(self.columns.values())
        rows = [["top-1 accuracy", *(m.top1.text(per_cent=True) for m in kinds)]]
        if len(self.labels) > TOP:
            rows.append(["top-5 accuracy", *(m.top5.text(per_cent=True) for m in kinds)])
        rows += [
            ["mean loss", *(m.loss.text() for m in kinds)],
            [f"expected calibration error, {BINS} bins", *(f"{m.reliability.ece:.1%}" for m in kinds)],
            ["maximum calibration error", *(f"{m.reliability.mce:.1%}" for m in kinds)],
        ]
        return ["", *(_name_views(crops, m) for crops, m in self.columns.items())], rows

    def classes(self) -> list[dict[str, Any]]:
        """Return for each class that has images or was named: class, label, images, precision, recall and f1."""
        matrix = self.measures[self.best].confusion
        columns = per_class(matrix)
        present = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
        return [
            {
                "class": int(k),
                "label": self.labels[k],
                "images": int(columns.images[k]),
                **{name: float(getattr(columns, name)[k]) for name in ("precision", "recall", "f1")},
            }
            for k in present
        ]

    def record(self) -> dict[str, Any]:
        """Return the measures as values for JSON."""
        return {
            "net": self.net,
            "images": len(self.answers[self.best]),
            "answers": None if self.path is None else str(self.path),
            **{crops: measures.record() for crops, measures in self.measures.items()},
            "classes": self.classes(),
        }

    def text(self) -> str:
        """Return measures, classes and largest confusions as tables; of many classes those of lowest F1."""
        images = self.answers[self.best]
        header, rows = self.summary()
        verdict = f"{self.net}: {counted(len(images), 'image')} of {len({a.target for a in images})} classes"
        lines = [format_table(verdict, header, rows)]
        classes = self.classes()
        if few := len(classes) > SHOWN:
            classes = sorted(classes, key=lambda c: np.nan_to_num(c["f1"], nan=2.0))[:SHOWN]
        which = f"the {SHOWN} classes of lowest F1" if few else "classes"
        cells = [
            [c["label"], str(c["images"]), *map(_share, (c["precision"], c["recall"], c["f1"]))] for c in classes
        ]
        lines.append(format_table(which, ["class", "images", "precision", "recall", "F1"], cells))
        pairs = most_confused(self.measures[self.best].confusion, CONFUSED)
        lines += ["\n".join(["most confused", "", *map(self.describe, pairs)])] if pairs else []
        return "\n\n".join(
            [*lines, "Intervals of 95 %: Wilson's for accuracies, bootstrapped over images for the loss."]
        )


def measure_answers(answers: Sequence[Answer], num_classes: int, seed: int = 0) -> Measures:
    """Return the measures of one answer or more, all of one kind of views; ``seed`` is of the loss's interval."""
    targets, predicted = (np.array([getattr(a, name) for a in answers]) for name in ("target", "predicted"))
    ranks, hits = np.array([a.rank for a in answers]), np.array([a.rank == 1 for a in answers])
    losses, views = np.array([a.loss for a in answers]), [a.views for a in answers]
    return Measures(
        wilson(int(hits.sum()), len(hits)),
        wilson(int((ranks <= TOP).sum()), len(ranks)),
        bootstrap_mean(losses, np.arange(len(losses)), seed),
        confusion_matrix(targets, predicted, num_classes),
        reliability(np.array([a.probability for a in answers]), hits),
        (min(views), max(views)),
    )


def _name_views(crops: str, measures: Measures) -> str:
    """Return what a kind of views is called; crops that coincide are one view, so that ten may be fewer."""
    low, high = measures.views
    if crops != "ten" or (low, high) == (10, 10):
        return VIEWS[crops]
    return counted(high, "view") if low == high else f"{low} to {high} views"


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"
