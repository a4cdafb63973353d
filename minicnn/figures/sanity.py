"""Sanity checks as files: a table of all pictures, a chart of the cascade, and a sheet of maps for each method."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.evaluate.sanity_checks import cascade_maps
from minicnn.explain.prediction import load_views
from minicnn.figures import provenance
from minicnn.network import Network
from minicnn.report.chart import chart
from minicnn.report.colour_map import colour_map, normalise
from minicnn.report.contact_sheet import contact_sheet
from minicnn.report.files import write_whole
from minicnn.report.panels import panels, save_png

__all__ = ["write_cascade_chart", "write_cascade_sheets", "write_similarities"]

COLUMNS = 6  # of a sheet, besides the trained net's


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


def write_cascade_chart(path: str | Path, check: Any, images: Sequence[Any], origin: Mapping[str, Any]) -> None:
    """Write a chart: similarity to the trained net's map, of each method, after each layer of both checks.

    Parameters
    ----------
    path : of the PNG file
    check : ``SanityCheck``
    images : that were checked
    origin : which network, as ``minicnn.io.digest.digest_network`` says it

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
    title = f"Sanity checks of {origin['name']}"
    subtitle = (
        f"Spearman's rank correlation of |map| with the trained net's, mean over {len(check.rows)} pictures; "
        "layers are shuffled from the scores down to the input"
    )
    figure = panels(shown, title, subtitle)
    settings = {"methods": check.methods, "seed": check.seed}
    verdicts = check.verdicts()
    record = provenance.record("sanity-chart", origin, images, None, settings, {}, verdicts=verdicts)
    save_png(figure, path, provenance.metadata(record, figure))


def write_cascade_sheets(
    folder: Path, net: Network, images: Sequence[Any], check: Any, origin: Mapping[str, Any]
) -> list[Path]:
    """Write a figure of each method, ``sanity-<method>.png``: its maps of some images along the cascade.

    Parameters
    ----------
    folder : of the PNG files
    net : Network, as trained
    images : to show
    check : ``SanityCheck``, whose verdicts head the figures
    origin : which network, as ``minicnn.io.digest.digest_network`` says it

    Returns
    -------
    paths : of the files

    Raises
    ------
    ImageError
        If a file can't be written.

    """
    last = len(check.stages)
    counts = sorted({0, 1, *np.linspace(1, last, COLUMNS).round().astype(int).tolist()})
    names = ["as trained", *(f"to {check.stages[count - 1]}" for count in counts[1:])]
    maps = [cascade_maps(net, image, check.methods, counts, check.seed) for image in images]
    pictures = [net.preprocess.to_image(load_views(net, image, "one")[0][0]) for image in images]
    paths = []
    for method, options in check.methods.items():
        rows = [by_method[method] for by_method in maps]
        sheet = contact_sheet(
            [_draw_row(picture, row, names) for picture, row in zip(pictures, rows, strict=True)],
            (),
            f"{method}: {check.verdict(method)}",
            f"{net.name}; layers shuffled from the scores down; rank correlations",
            cell=150,
        )
        settings = {"method": method, **options, "seed": check.seed, "stages": counts}
        record = provenance.record("sanity", origin, images, None, settings, _name_maps(rows))
        paths.append(folder / f"sanity-{method}.png")
        save_png(sheet, paths[-1], provenance.metadata(record, sheet))
    return paths


def _draw_row(
    picture: np.ndarray, row: Sequence[tuple[np.ndarray, float]], names: Sequence[str]
) -> list[tuple[np.ndarray, str]]:
    tiles = [(colour_map(normalise(m)), f"{name}: {rho:.2f}") for (m, rho), name in zip(row, names, strict=True)]
    return [(picture, "what the net sees"), *tiles]


def _name_maps(rows: Sequence[Sequence[tuple[np.ndarray, float]]]) -> dict[str, np.ndarray]:
    """Return the maps of each image along the cascade, by image and stage."""
    return {f"map {n + 1}.{k}": m for n, row in enumerate(rows) for k, (m, _) in enumerate(row)}
