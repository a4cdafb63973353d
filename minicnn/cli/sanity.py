"""``minicnn evaluate sanity NET IMAGE...``: whether maps depend on what the net has learnt."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

__all__ = ["sanity"]

SHOWN, COLUMNS = 3, 6  # pictures of a figure, and of each so many maps besides the trained net's


def sanity(
    arguments: Namespace, net: Any, origin: dict[str, Any], with_progress: Callable
) -> tuple[dict, Callable]:
    """Sanity checks: the table, ``sanity.csv``, a chart, and a figure with its verdict for each method."""
    from minicnn.evaluate.sanity_checks import sanity_check
    from minicnn.figures import provenance
    from minicnn.figures.sanity import write_cascade_chart, write_similarities
    from minicnn.report.files import make_folder

    methods = None if arguments.methods is None else arguments.methods.split(",")
    images = files(arguments.images)
    folder = Path(arguments.output)
    make_folder(folder)

    def progress(items: list[Any]) -> Iterable[Any]:
        return with_progress(items, "image")

    check = sanity_check(net, images, methods, seed=arguments.seed, keep=folder, progress=progress)
    table, chart = folder / "sanity.csv", folder / "sanity.png"
    write_similarities(table, check)
    settings = {"methods": check.methods, "seed": check.seed}
    verdicts = check.verdicts()
    record = provenance.record("sanity-chart", origin, images, None, settings, {}, verdicts=verdicts)
    write_cascade_chart(chart, check, record)
    figures = _sheets(net, origin, images[:SHOWN], check, folder)
    paths = {"table": str(table), "chart": str(chart), "figures": [str(path) for path in figures]}
    wrote = f"wrote {table}, {chart} and {', '.join(path.name for path in figures)}"
    return {**check.record(), "net": origin["name"], **paths}, lambda _: f"{check.text()}\n{wrote}"


def files(given: list[str]) -> list[str]:
    """Return image files, those of folders in the place of the folders."""
    from minicnn.images.folder import images_of

    return [str(path) for name in given for path in (images_of(name) if Path(name).is_dir() else [name])]


def _sheets(net: Any, origin: dict[str, Any], images: list[str], check: Any, folder: Path) -> list[Path]:
    """Write each method's figure."""
    import numpy as np

    from minicnn.evaluate.sanity_checks import cascade_maps
    from minicnn.explain.prediction import views_of
    from minicnn.figures import provenance
    from minicnn.figures.sanity import write_cascade_sheet

    last = len(check.stages)
    counts = sorted({0, 1, *np.linspace(1, last, COLUMNS).round().astype(int).tolist()})
    names = ["as trained", *(f"to {check.stages[count - 1]}" for count in counts[1:])]
    maps = [cascade_maps(net, image, check.methods, counts, check.seed) for image in images]
    seen = [net.preprocess.to_image(views_of(net, image, "one")[0][0]) for image in images]
    paths = []
    for method, settings in check.methods.items():
        path = folder / f"sanity-{method}.png"
        rows = [(picture, found[method]) for picture, found in zip(seen, maps, strict=True)]
        how = {"method": method, **settings, "seed": check.seed, "stages": counts}
        arrays = {f"map {n + 1}.{k}": m for n, (_, row) in enumerate(rows) for k, (m, _) in enumerate(row)}
        record = provenance.record("sanity", origin, images, None, how, arrays)
        title, words = (
            f"{method}: {check.verdict(method)}",
            "layers shuffled from the scores down; rank correlations",
        )
        write_cascade_sheet(path, rows, names, title, f"{net.name}; {words}", record)
        paths.append(path)
    return paths
