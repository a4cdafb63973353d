"""Figures "confusion", "reliability" and "mistakes" of a classification, and its tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.evaluate.classification.answers import Answer
from minicnn.evaluate.classification.confusion import most_confused
from minicnn.evaluate.classification.result import Classification
from minicnn.figures import provenance
from minicnn.figures.common import draw_photograph
from minicnn.report import contact_sheet
from minicnn.report.diagrams.frame import frame
from minicnn.report.diagrams.matrix import draw_matrix
from minicnn.report.diagrams.reliability import draw_reliability
from minicnn.report.files import write_atomically
from minicnn.training.data.dataset import Dataset

__all__ = ["most_confident_mistakes", "write_classes", "write_confusion", "write_mistakes", "write_reliability"]

DRAWN = 20  # classes of a matrix
COLUMNS = 6  # of mistakes
MISTAKES = 24


def write_classes(folder: PathLike, classification: Classification) -> tuple[Path, Path]:
    """Write ``classes.csv``, a line a class, and ``confusion.csv``, the whole matrix; return their paths.

    Raises
    ------
    ImageError
        If a file can't be written; nothing is left behind.

    """
    classes, labels = classification.classes(), classification.labels
    matrix = classification.measures[classification.best].confusion
    own = [
        [c["class"], c["label"], c["images"], *(f"{c[k]:.4f}" for k in ("precision", "recall", "f1"))]
        for c in classes
    ]
    tables = {
        "classes.csv": [["class", "label", "images", "precision", "recall", "f1"], *own],
        # right classes in rows, those that were named in columns
        "confusion.csv": [
            ["class", *labels],
            *([label, *row] for label, row in zip(labels, matrix.tolist(), strict=True)),
        ],
    }
    paths = []
    for name, rows in tables.items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        paths.append(Path(folder) / name)
        write_atomically(paths[-1], text.getvalue().encode("utf-8", "surrogateescape"), "write_classes")
    return paths[0], paths[1]


def write_confusion(path: PathLike, classification: Classification, origin: Mapping[str, Any]) -> None:
    """Write the confusion matrix as a PNG; of many classes those of the largest confusions.

    Parameters
    ----------
    path : of the PNG file
    classification : Classification
    origin : which network, as ``minicnn.io.digest.digest_network`` says it

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    matrix = classification.measures[classification.best].confusion
    present = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1)).tolist()
    shown = present if len(present) <= DRAWN else _classes_of_confusions(matrix)
    some = "" if shown == present else f"the {len(shown)} classes of the largest confusions, of {len(present)}; "
    part, totals = matrix[np.ix_(shown, shown)], matrix.sum(axis=1)[shown]
    diagram = draw_matrix(part, [classification.labels[k] for k in shown], shown, totals)
    subtitle = f"{some}images of each class (row) by the class that was named (column)"
    figure = frame([(diagram, "")], f"Confusions of {origin['name']}", subtitle)
    _save(figure, path, "confusion", origin, classification)


def write_reliability(path: PathLike, classification: Classification, origin: Mapping[str, Any]) -> None:
    """Write reliability diagrams of each kind of views as one PNG; parameters and errors as `write_confusion`."""
    header, _ = classification.summary()
    items = []
    for name, measures in zip(header[1:], classification.columns.values(), strict=True):
        agreement = measures.reliability
        caption = f"{name}: expected calibration error {agreement.ece:.1%}, maximum {agreement.mce:.1%}"
        items.append((draw_reliability(agreement.bins), caption))
    figure = frame(items, f"Calibration of {origin['name']}", "accuracy of the answers of each confidence")
    _save(figure, path, "reliability", origin, classification)


def write_mistakes(
    path: PathLike, dataset: Dataset, classification: Classification, origin: Mapping[str, Any]
) -> bool:
    """Write the most confident mistakes as a contact sheet, each with both classes; nothing where there are none.

    Parameters
    ----------
    path : of the PNG file
    dataset : Dataset that was classified
    classification, origin : as for `write_confusion`

    Returns
    -------
    written : whether there was a mistake

    Raises
    ------
    ImageError
        If an image can't be read or the file can't be written; nothing is left behind.

    """
    labels, mistakes = classification.labels, most_confident_mistakes(classification)
    if not mistakes:
        return False
    cells = []
    for a in mistakes:
        picture = draw_photograph(dataset.source(a.number))
        cells.append((picture, f"{labels[a.target]}, named {labels[a.predicted]} ({a.probability:.0%})"))
    rows = [cells[i : i + COLUMNS] for i in range(0, len(cells), COLUMNS)]
    sheet = contact_sheet(
        rows, (), f"Most confident mistakes of {origin['name']}", "right class, named class, probability"
    )
    _save(sheet, path, "mistakes", origin, classification, shown=[a.image for a in mistakes])
    return True


def most_confident_mistakes(classification: Classification, limit: int = MISTAKES) -> list[Answer]:
    """Return the answers that were wrong, the most probable first."""
    wrong = [a for a in classification.answers[classification.best] if a.rank > 1]
    return sorted(wrong, key=lambda a: (-a.probability, a.number))[:limit]


def _classes_of_confusions(matrix: np.ndarray) -> list[int]:
    shown: list[int] = []
    for pair in most_confused(matrix, DRAWN**2):
        shown += [k for k in (pair.target, pair.predicted) if k not in shown]
        if len(shown) >= DRAWN:
            break
    return sorted(shown[:DRAWN])


def _save(
    figure: Any,
    path: PathLike,
    kind: str,
    origin: Mapping[str, Any],
    classification: Classification,
    **result: Any,
) -> None:
    answers = classification.answers
    settings = {"crops": list(answers), "images": len(answers[classification.best])}
    record = provenance.make_record(kind, origin, (), None, settings, {}, **result)
    provenance.save(figure, path, record)
