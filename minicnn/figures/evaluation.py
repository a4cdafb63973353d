"""An evaluation as files: a table of all pictures, and a sheet of those where it went worst and best."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.figures import provenance
from minicnn.images import load_image
from minicnn.report.contact_sheet import contact_sheet
from minicnn.report.files import write_whole
from minicnn.report.panels import draw_box, save_png

__all__ = ["write_csv", "write_sheet"]

TRUE, FOUND = (0, 114, 255), (255, 140, 0)
FIELDS = ("image", "group", "target", "top1", "top5", "located1", "located5", "iou", "mask_iou", "box", "seconds")


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
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
        box = "" if row["box"] is None else " ".join(map(str, row["box"]))
        table.writerow({**row, "box": box, "seconds": f"{sum(row['seconds'].values()):.3f}"})
    write_whole(path, text.getvalue().encode(), "write_csv")


def write_sheet(
    path: str | Path,
    examples: Sequence[Any],
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
    order = np.argsort([row["iou"] for row in rows], kind="stable")
    parts = [order[:count], order[::-1][:count]]
    cells = [[_cell(examples[n], rows[n]) for n in part] for part in parts]
    title = f"{origin['name']}, method {method}"
    sheet = contact_sheet(cells, ("worst", "best"), title, "found in orange, truth in blue; IoU of the boxes")
    shown = [int(n) for part in parts for n in part]
    said = {"ious": [float(rows[n]["iou"]) for n in shown], "boxes": [rows[n]["box"] for n in shown]}
    settings = {"method": method, "targets": [rows[n]["target"] for n in shown], "searched": len(rows)}
    images = [examples[n].image for n in shown]
    record = provenance.record("worst-best", origin, images, None, settings, {}, **said)
    save_png(sheet, path, provenance.metadata(record, sheet))


def _cell(example: Any, row: Mapping[str, Any]) -> tuple[np.ndarray, str]:
    picture = np.asarray(load_image(example.image))
    for box in example.boxes:
        picture = draw_box(picture, box, TRUE)
    if row["box"] is not None:
        picture = draw_box(picture, row["box"], FOUND)
    return picture, f"{row['group']}: {row['iou']:.2f}"
