"""Sanity checks as files: a table of all pictures, a chart of the cascade, and a sheet of maps for each method."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.figures import provenance
from minicnn.report.chart import chart
from minicnn.report.colour_map import colour_map, normalise
from minicnn.report.contact_sheet import contact_sheet
from minicnn.report.files import write_whole
from minicnn.report.panels import panels, save_png

__all__ = ["write_cascade_chart", "write_cascade_sheet", "write_similarities"]


def write_similarities(path: str | Path, check: Any) -> None:
    """Write one line for each picture, method, check and layer of a ``SanityCheck``: the three similarities.

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("image", "target", "method", "check", "layer", "absolute", "signed", "ssim"))
    for row in check.rows:
        for method, found in row["similarity"].items():
            lines = [
                (kind, check.stages[n], one)
                for kind in ("cascade", "independent")
                for n, one in enumerate(found[kind])
            ]
            lines += [(kind, "", found[kind]) for kind in ("another class", "permuted labels") if found[kind]]
            for kind, stage, values in lines:
                table.writerow((row["image"], row["target"], method, kind, stage, *(f"{v:.4f}" for v in values)))
    write_whole(path, text.getvalue().encode(), "write_similarities")


def write_cascade_chart(path: str | Path, check: Any, record: Mapping[str, Any]) -> None:
    """Write a chart: similarity to the trained net's map, of each method, after each layer of both checks.

    Parameters
    ----------
    path : of the PNG file
    check : ``SanityCheck``
    record : where the figure comes from, as ``minicnn.figures.provenance.record`` gives it

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    shown = []
    for kind in ("cascade", "independent"):
        curves = {
            method: [1.0] + [check.figure(method, kind, n).value for n in range(len(check.stages))]
            for method in check.methods
        }
        words = "each layer added to those before" if kind == "cascade" else "one layer at a time"
        shown.append((chart(curves, "as trained, then " + check.stages[0], check.stages[-1]), f"{kind}: {words}"))
    title = f"Sanity checks of {record['net']['name']}"
    subtitle = (
        f"Spearman's rank correlation of |map| with the trained net's, mean over {len(check.rows)} pictures; "
        "layers are shuffled from the scores down to the input"
    )
    figure = panels(shown, title, subtitle)
    save_png(figure, path, provenance.metadata(record, figure))


def write_cascade_sheet(
    path: str | Path,
    rows: Sequence[tuple[np.ndarray, Sequence[tuple[np.ndarray, float]]]],
    names: Sequence[str],
    title: str,
    subtitle: str,
    record: Mapping[str, Any],
) -> None:
    """Write one method's maps of some pictures along the cascade.

    Parameters
    ----------
    path : of the PNG file
    rows : for each picture what the net saw, (H, W, 3) uint8, and its (map, rank correlation with the first)
    names : of what each column's map was made with
    title, subtitle : str, the verdict among it
    record : where the figure comes from, as ``minicnn.figures.provenance.record`` gives it

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    cells = []
    for picture, maps in rows:
        tiles = [
            (colour_map(normalise(m)), f"{name}: {rho:.2f}") for (m, rho), name in zip(maps, names, strict=True)
        ]
        cells.append([(picture, "what the net sees"), *tiles])
    sheet = contact_sheet(cells, (), title, subtitle, cell=150)
    save_png(sheet, path, provenance.metadata(record, sheet))
