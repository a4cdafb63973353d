"""Figures "sanity", a method's maps along the cascade, and "sanity-chart", all methods'; and the table of all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.evaluate.sanity_checks import cascade_maps
from minicnn.evaluate.sanity_result import SanityCheck
from minicnn.explain.prediction import load_views
from minicnn.figures import provenance
from minicnn.figures.common import Recomputed
from minicnn.network import Network
from minicnn.report import colour_map, contact_sheet, normalise, panels
from minicnn.report.chart import chart
from minicnn.report.files import write_atomically

__all__ = ["recompute", "write_cascade_chart", "write_cascade_sheets", "write_similarities_csv"]

COLUMNS = 6  # of a sheet, besides the trained net's


def write_similarities_csv(path: PathLike, check: SanityCheck) -> None:
    """Write one line for each picture, method, check and layer of a SanityCheck: the three similarities.

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("image", "target", "method", "check", "layer", "absolute", "signed", "ssim"))
    for row in check.rows:
        for method, similarity in row["similarity"].items():
            lines = [
                (kind, stage, values)
                for kind in ("cascade", "independent")
                for stage, values in zip(check.stages, similarity[kind], strict=True)
            ]
            lines += [
                (kind, "", similarity[kind]) for kind in ("another class", "permuted labels") if similarity[kind]
            ]
            for kind, stage, values in lines:
                table.writerow((row["image"], row["target"], method, kind, stage, *(f"{v:.4f}" for v in values)))
    write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"), "write_similarities_csv")


def write_cascade_chart(
    path: PathLike, check: SanityCheck, images: Sequence[Any], origin: Mapping[str, Any]
) -> None:
    """Write a chart: similarity to the trained net's map, of each method, after each layer of both checks.

    Parameters
    ----------
    path : of the PNG file
    check : SanityCheck
    images : that were checked
    origin : which network, as ``minicnn.io.digest.digest_network`` says it

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.

    """
    charts = []
    for kind in ("cascade", "independent"):
        curves = {
            # each curve begins with the trained net, whose map correlates with itself by 1
            method: [1.0] + [check.stage_estimate(method, kind, n).value for n in range(len(check.stages))]
            for method in check.methods
        }
        words = "each layer added to those before" if kind == "cascade" else "one layer at a time"
        picture = chart(curves, "as trained, then " + check.stages[0], check.stages[-1], name="rank correlation")
        charts.append((picture, f"{kind}: {words}"))
    title = f"Sanity checks of {origin['name']}"
    subtitle = (
        f"Spearman's rank correlation of |map| with the trained net's, mean over {len(check.rows)} pictures; "
        "layers are shuffled from the scores down to the input"
    )
    figure = panels(charts, title, subtitle)
    settings = {"methods": check.methods, "seed": check.seed}
    verdicts = check.verdicts()
    record = provenance.make_record("sanity-chart", origin, images, None, settings, {}, verdicts=verdicts)
    provenance.save(figure, path, record)


def write_cascade_sheets(
    folder: PathLike, net: Network, images: Sequence[Any], check: SanityCheck, origin: Mapping[str, Any]
) -> list[Path]:
    """Write a figure of each method, ``sanity-<method>.png``: its maps of some images along the cascade.

    Parameters
    ----------
    folder : of the PNG files
    net : Network, as trained
    images : to show
    check : SanityCheck, whose verdicts head the figures
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
    # 0 is the trained net, 1 the last layer alone; the others are spread evenly up to all layers
    counts = sorted({0, 1, *np.linspace(1, last, COLUMNS).round().astype(int).tolist()})
    names = ["as trained", *(f"to {check.stages[count - 1]}" for count in counts[1:])]
    maps = [cascade_maps(net, image, check.methods, counts, check.seed) for image in images]
    assert net.preprocess is not None  # or cascade_maps would have raised
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
        record = provenance.make_record("sanity", origin, images, None, settings, _name_maps(rows))
        paths.append(Path(folder) / f"sanity-{method}.png")
        provenance.save(sheet, paths[-1], record)
    return paths


def recompute(net: Network, images: Sequence[Path], record: Mapping[str, Any]) -> Recomputed:
    """Compute the maps of one method that a record describes."""
    settings = dict(record["settings"])
    # the rest are the settings of the method itself
    method, seed, counts = (settings.pop(key) for key in ("method", "seed", "stages"))
    rows = [cascade_maps(net, image, {method: settings}, counts, seed)[method] for image in images]
    return Recomputed(_name_maps(rows), {})


def _draw_row(
    picture: np.ndarray, row: Sequence[tuple[np.ndarray, float]], names: Sequence[str]
) -> list[tuple[np.ndarray, str]]:
    tiles = [(colour_map(normalise(m)), f"{name}: {rho:.2f}") for (m, rho), name in zip(row, names, strict=True)]
    return [(picture, "what the net sees"), *tiles]


def _name_maps(rows: Sequence[Sequence[tuple[np.ndarray, float]]]) -> dict[str, np.ndarray]:
    """Return the maps of each image along the cascade, by image and stage."""
    return {f"map {n + 1}.{k}": m for n, row in enumerate(rows) for k, (m, _) in enumerate(row)}
