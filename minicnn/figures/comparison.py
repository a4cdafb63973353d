"""Figures "pointing" and "curves": methods compared over a data set; and the table of all pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn._utils.json import nan_to_none
from minicnn._utils.types import PathLike
from minicnn.evaluate.dataset import Example
from minicnn.evaluate.method_comparison import MethodComparison
from minicnn.figures import provenance
from minicnn.figures.common import draw_boxes
from minicnn.report import contact_sheet, panels
from minicnn.report.chart import COLOURS, chart
from minicnn.report.files import write_atomically

__all__ = ["write_comparison_csv", "write_curves", "write_points"]

COLOUR_NAMES = ("vermilion", "blue", "green", "pink", "orange", "light blue", "grey")  # of COLOURS


def write_comparison_csv(path: PathLike, comparison: MethodComparison, measures: Sequence[str]) -> None:
    """Write one line for each picture and method of a comparison: image, group, target and the measures.

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("image", "group", "target", "map", *measures))
    for row in comparison.rows:
        for name in comparison.estimates:
            values = (row[measure].get(name) for measure in measures)
            cells = ("" if value is None else f"{value:.4f}" for value in values)
            table.writerow((row["image"], row["group"], row["target"], name, *cells))
    write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"), "write_comparison_csv")


def write_curves(
    path: PathLike, examples: Sequence[Example], comparison: MethodComparison, origin: Mapping[str, Any]
) -> None:
    """Write the curves of ``evaluate_insertion_deletion``, means over the pictures.

    Parameters
    ----------
    path : of the PNG file
    examples : the pictures
    comparison : MethodComparison of them
    origin : which network, as ``minicnn.io.digest.digest_network`` says it

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    charts = []
    # a row's curves are pairs: deletion, insertion
    for n, (measure, left) in enumerate((("deletion", "whole picture"), ("insertion", "blurred picture"))):
        means = {
            name: np.mean([row["curves"][name][n] for row in comparison.rows], axis=0)
            for name in comparison.estimates
        }
        right = "nothing left" if measure == "deletion" else "whole picture"
        # the next multiple of 0.05 above the largest mean, so that low curves fill the chart too
        high = np.ceil(20 * max(mean.max() for mean in means.values())) / 20
        charts.append(
            (
                chart(means, left, right, high=max(0.05, float(high)), name="probability of the right class"),
                measure,
            )
        )
    title = f"Deletion and insertion on {origin['name']}"
    record = _record("curves", examples, comparison, origin)
    figure = panels(charts, title, f"means over {len(comparison.rows)} pictures; pixels by their rank in each map")
    provenance.save(figure, path, record)


def write_points(
    path: PathLike,
    examples: Sequence[Example],
    comparison: MethodComparison,
    origin: Mapping[str, Any],
    count: int = 12,
) -> None:
    """Write the first pictures of a pointing game: each map's point in its colour, the true boxes.

    Parameters
    ----------
    path : of the PNG file
    examples : the pictures
    comparison : MethodComparison of them
    origin : which network, as ``minicnn.io.digest.digest_network`` says it
    count : int, how many pictures

    Raises
    ------
    ImageError
        If a picture can't be read or the file can't be written; nothing is left behind.

    """
    shown = comparison.rows[:count]
    # methods without a point in these pictures have no colour here
    legend = ", ".join(
        f"{name} {'square ' if n >= len(COLOURS) else ''}{COLOUR_NAMES[n % len(COLOURS)]}"
        for n, name in enumerate(shown[0]["points"])
        if any(row["points"][name] is not None for row in shown)
    )
    cells = [_draw_points(example, row) for example, row in zip(examples[:count], comparison.rows, strict=False)]
    title = f"Pointing game on {origin['name']}"
    record = _record("pointing", examples, comparison, origin)
    sheet = contact_sheet([cells[i : i + 4] for i in range(0, len(cells), 4)], (), title, legend, cell=240)
    provenance.save(sheet, path, record)


def _record(
    kind: str, examples: Sequence[Example], comparison: MethodComparison, origin: Mapping[str, Any]
) -> dict[str, Any]:
    """Return where a figure comes from; it shows no map that could be computed again."""
    figures, images = comparison.record()["figures"], [str(example.image) for example in examples]
    return provenance.make_record(
        kind, origin, images, None, comparison.settings, {}, figures=nan_to_none(figures)
    )


def _draw_points(example: Example, row: dict[str, Any]) -> tuple[Any, str]:
    from PIL import Image, ImageDraw

    pixels, scale = draw_boxes(example.image, [(box, (255, 255, 255)) for box in example.boxes])
    picture = Image.fromarray(pixels)
    draw, radius = ImageDraw.Draw(picture), max(2, round(max(picture.size) / 70))
    for n, point in enumerate(row["points"].values()):
        if point is not None:
            y, x = (p * scale for p in point)
            # points are (row, column), Pillow's boxes (x, y, x, y)
            around = (x - radius, y - radius, x + radius, y + radius)
            shape = draw.ellipse if n < len(COLOURS) else draw.rectangle
            shape(around, fill=COLOURS[n % len(COLOURS)], outline=(255, 255, 255), width=max(1, radius // 3))
    hits = sum(bool(row["box"][name]) for name in row["points"])
    return picture, f"{row['group']}: {hits} of {len(row['points'])} on the box"
