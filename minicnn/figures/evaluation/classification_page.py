"""The page of a classification: measures, confusions, classes, calibration, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._utils.counted import counted
from minicnn._utils.types import PathLike
from minicnn.evaluate.classification.confusion import most_confused
from minicnn.evaluate.classification.result import Classification
from minicnn.evaluate.datasets.annotation import Skipped
from minicnn.report import Section, write_page
from minicnn.report.html import HeatCell

__all__ = ["write_classification_page"]

CLASSES = 100  # in the table; of more those of lowest F1


def write_classification_page(
    path: PathLike,
    classification: Classification,
    figures: dict[str, Path],
    files: Sequence[PathLike],
    skipped: Sequence[Skipped] = (),
) -> None:
    """Write the page.

    Parameters
    ----------
    path : of the HTML file
    classification : Classification
    figures : "confusion", "reliability" and, unless nothing was wrong, "mistakes", by path
    files : tables that are linked, in the page's folder
    skipped : images that are left out

    Raises
    ------
    ImageError
        If the file can't be written.

    """
    images = classification.answers[classification.best]
    header, rows = classification.summary()
    count = f"{counted(len(images), 'image')} of {counted(len({a.target for a in images}), 'class')}."
    left_out = [f"{len(skipped)} images are left out: {skipped[0].image}: {skipped[0].reason}"] if skipped else []
    links = [(Path(file).name, Path(file).name) for file in files]
    sections = [
        Section("Measures", (count, *left_out), table=(header, rows), links=links),
        Section("Confusions", figures=[_figure(figures, "confusion")], table=_pairs(classification)),
        Section("Classes", _about_classes(classification), table=_classes(classification)),
        Section("Calibration", (CALIBRATION,), figures=[_figure(figures, "reliability")]),
    ]
    if "mistakes" in figures:
        sections.append(Section("Most confident mistakes", figures=[_figure(figures, "mistakes")]))
    write_page(path, f"{classification.net}: classification", sections)


CALIBRATION = (
    "Of answers with a confidence of 90 %, nine in ten are right if a network is calibrated: bars then end on the "
    "diagonal. The expected calibration error is the mean distance from it, over the answers (Guo et al. 2017)."
)
ALTS = {
    "confusion": ("Confusion matrix", "Images of each class by the class that was named."),
    "reliability": ("Reliability diagram", "Accuracy of the answers of each confidence."),
    "mistakes": ("Images that were classified wrongly", "The right class, the named one and its probability."),
}


def _figure(figures: dict[str, Path], kind: str) -> tuple[Path, str, str]:
    return figures[kind], *ALTS[kind]


def _pairs(classification: Classification) -> tuple[Sequence[str], list[list[Any]]]:
    labels = classification.labels
    pairs = most_confused(classification.measures[classification.best].confusion)
    rows = [[labels[p.target], labels[p.predicted], str(p.images), f"{p.share:.1%}"] for p in pairs]
    return ("class", "taken for", "images", "share"), rows


def _about_classes(classification: Classification) -> list[str]:
    count = len(classification.classes())
    return [f"The {CLASSES} of lowest F1, of {count}; classes.csv has all."] if count > CLASSES else []


def _classes(classification: Classification) -> tuple[Sequence[str], list[list[Any]]]:
    classes = classification.classes()
    if len(classes) > CLASSES:
        classes = sorted(classes, key=lambda c: np.nan_to_num(c["f1"], nan=2.0))[:CLASSES]
    rows = [[c["label"], str(c["images"]), *(_cell(c[k]) for k in ("precision", "recall", "f1"))] for c in classes]
    return ("class", "images", "precision", "recall", "F1"), rows


def _cell(share: float) -> HeatCell | str:
    return "-" if np.isnan(share) else HeatCell(f"{share:.1%}", share**4)
