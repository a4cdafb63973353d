"""Methods compared as files: a table of all pictures, where maps point, and curves."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._utils.json import nan_to_none
from minicnn.figures import provenance
from minicnn.images import load_image
from minicnn.report.chart import COLOURS, chart
from minicnn.report.contact_sheet import contact_sheet
from minicnn.report.files import write_whole
from minicnn.report.panels import draw_box, panels, save_png

__all__ = ["write_comparison", "write_curves", "write_points"]

NAMES = ("vermilion", "blue", "green", "pink", "orange", "light blue", "grey")  # of COLOURS


def write_comparison(path: str | Path, found: Any, measures: Sequence[str]) -> None:
    """Write one line for each picture and method of a ``Comparison``: image, group, target and the measures.

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("image", "group", "target", "map", *measures))
    for row in found.rows:
        for name in found.figures:
            values = (row[measure].get(name) for measure in measures)
            cells = ("" if value is None else f"{value:.4f}" for value in values)
            table.writerow((row["image"], row["group"], row["target"], name, *cells))
    write_whole(path, text.getvalue().encode(), "write_comparison")


def write_curves(path: str | Path, examples: Sequence[Any], found: Any, origin: Mapping[str, Any]) -> None:
    """Write the curves of ``evaluate_insertion_deletion``, means over the pictures.

    Parameters
    ----------
    path : of the PNG file
    examples : of ``Comparison``'s pictures
    found : ``Comparison``
    origin : which network, as ``minicnn.io.digest.digest_network`` says it

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    shown = []
    for n, (measure, left) in enumerate((("deletion", "whole picture"), ("insertion", "blurred picture"))):
        means = {name: np.mean([row["curves"][name][n] for row in found.rows], axis=0) for name in found.figures}
        right = "nothing left" if measure == "deletion" else "whole picture"
        high = np.ceil(20 * max(mean.max() for mean in means.values())) / 20
        shown.append(
            (chart(means, left, right, high=max(0.05, float(high))), f"{measure}: probability of the right class")
        )
    title = f"Deletion and insertion on {origin['name']}"
    record = _record("curves", examples, found, origin)
    figure = panels(shown, title, f"means over {len(found.rows)} pictures; pixels by their rank in each map")
    save_png(figure, path, provenance.metadata(record, figure))


def write_points(
    path: str | Path, examples: Sequence[Any], found: Any, origin: Mapping[str, Any], count: int = 12
) -> None:
    """Write the first pictures of a pointing game: each map's point in its colour, the true boxes.

    Parameters
    ----------
    path : of the PNG file
    examples : of ``Comparison``'s pictures
    found : ``Comparison``
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    count : int, how many pictures

    Raises
    ------
    ImageError
        If a picture can't be read or the file can't be written; nothing is left behind.

    """
    names = list(found.rows[0]["points"])
    words = ", ".join(f"{name} {NAMES[n % len(NAMES)]}" for n, name in enumerate(names))
    cells = [_pointed(example, row) for example, row in zip(examples[:count], found.rows, strict=False)]
    title = f"Pointing game on {origin['name']}"
    record = _record("pointing", examples, found, origin)
    sheet = contact_sheet([cells[i : i + 4] for i in range(0, len(cells), 4)], (), title, words, cell=240)
    save_png(sheet, path, provenance.metadata(record, sheet))


def _record(kind: str, examples: Sequence[Any], found: Any, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a figure comes from; it shows no map that could be computed again."""
    figures, images = found.record()["figures"], [str(example.image) for example in examples]
    return provenance.record(kind, origin, images, None, found.settings, {}, figures=nan_to_none(figures))


def _pointed(example: Any, row: dict[str, Any]) -> tuple[Any, str]:
    from PIL import Image, ImageDraw

    pixels = np.asarray(load_image(example.image))
    for box in example.boxes:
        pixels = draw_box(pixels, box, (255, 255, 255))
    picture = Image.fromarray(pixels)
    draw, radius = ImageDraw.Draw(picture), max(2, round(max(picture.size) / 70))
    for n, point in enumerate(row["points"].values()):
        if point is not None:
            y, x = point
            around = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse(
                around, fill=COLOURS[n % len(COLOURS)], outline=(255, 255, 255), width=max(1, radius // 3)
            )
    hits = sum(bool(row["box"][name]) for name in row["points"])
    return picture, f"{row['group']}: {hits} of {len(row['points'])} on the box"
