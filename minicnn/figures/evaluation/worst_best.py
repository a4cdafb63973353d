"""Figure "worst-best": the pictures with the worst and the best boxes of an evaluation; and the table of all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.evaluate.dataset import Example
from minicnn.figures import provenance
from minicnn.figures.common import draw_boxes
from minicnn.report import contact_sheet
from minicnn.report.files import write_atomically

__all__ = ["write_localisation_csv", "write_worst_best"]

TRUTH, DETECTION = (0, 114, 255), (255, 140, 0)
CLASS_FIELDS = ("image", "group", "target", "label", "top1", "top5", "located1", "located5")
FIELDS = (*CLASS_FIELDS, "iou", "mask_iou", "box", "confidence", "seconds")


def write_localisation_csv(path: PathLike, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one line a picture: what was found, and how well; boxes as four numbers with spaces between them.

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    text = io.StringIO()
    table = csv.DictWriter(text, FIELDS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for row in rows:
        # no box was found where the map marks nothing
        box = "" if row["box"] is None else " ".join(map(str, row["box"]))
        table.writerow({**row, "box": box, "seconds": f"{sum(row['seconds'].values()):.3f}"})
    write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"), "write_localisation_csv")


def write_worst_best(
    path: PathLike,
    examples: Sequence[Example],
    rows: Sequence[Mapping[str, Any]],
    origin: Mapping[str, Any],
    method: str,
    count: int = 6,
) -> None:
    """Write the pictures with the worst and the best boxes: what was found in orange, the truth in blue.

    Parameters
    ----------
    path : of the PNG file
    examples, rows : of the same pictures
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    method : str, which found the boxes
    count : int, how many of each

    Raises
    ------
    ImageError
        If a picture can't be read or the file can't be written.

    """
    # a stable sort, so that pictures with equal boxes come in the same order each time
    order = np.argsort([row["iou"] for row in rows], kind="stable")
    groups = [order[:count], order[::-1][:count]]
    cells = [[_draw_cell(examples[n], rows[n]) for n in group] for group in groups]
    title = f"{origin['name']}, method {method}"
    shown = [int(n) for group in groups for n in group]
    colours = [("found in orange", any(rows[n]["box"] is not None for n in shown))]
    colours.append(("truth in blue", any(len(examples[n].boxes) for n in shown)))
    legend = ", ".join(words for words, is_there in colours if is_there)
    sheet = contact_sheet(cells, ("worst", "best"), title, f"{legend}; IoU of the boxes")
    facts = {"ious": [float(rows[n]["iou"]) for n in shown], "boxes": [rows[n]["box"] for n in shown]}
    settings = {"method": method, "targets": [rows[n]["target"] for n in shown], "searched": len(rows)}
    images = [examples[n].image for n in shown]
    record = provenance.make_record("worst-best", origin, images, None, settings, {}, **facts)
    provenance.save(sheet, path, record)


def _draw_cell(example: Example, row: Mapping[str, Any]) -> tuple[np.ndarray, str]:
    answer = [] if row["box"] is None else [(row["box"], DETECTION)]
    picture, _ = draw_boxes(example.image, [*((box, TRUTH) for box in example.boxes), *answer])
    return picture, f"{row['group']}: {row['iou']:.2f}"
