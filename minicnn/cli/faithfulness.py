"""``minicnn evaluate pointing DATA`` and ``evaluate curves DATA``: how much maps have to do with their class."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from minicnn._utils.json import nan_to_none

__all__ = ["curves", "pointing"]

Found = tuple[dict[str, Any], Callable[[dict[str, Any]], str]]


def pointing(arguments: Namespace, net: Any, origin: dict[str, Any], with_progress: Callable) -> Found:
    """Pointing game: the table, ``pointing.csv``, and the first pictures with every map's point."""
    from minicnn.evaluate.pointing_game import evaluate_pointing
    from minicnn.figures.method_comparison import write_comparison, write_points

    examples, folder, how = _common(arguments, with_progress)
    sizes = {"tolerance": arguments.tolerance, "smoothing": arguments.smoothing, "crops": arguments.crops}
    found = evaluate_pointing(net, examples, **sizes, **how)
    table, figure = folder / "pointing.csv", folder / "pointing.png"
    write_comparison(table, found, ("box", "mask"))
    write_points(figure, examples, found, _record("pointing", origin, examples, found))
    return _told(found, origin, table, figure)


def curves(arguments: Namespace, net: Any, origin: dict[str, Any], with_progress: Callable) -> Found:
    """Areas under deletion and insertion curves: the table, ``curves.csv``, and a chart."""
    from minicnn.evaluate.insertion_deletion import evaluate_curves
    from minicnn.figures.method_comparison import write_comparison, write_curves

    examples, folder, how = _common(arguments, with_progress)
    found = evaluate_curves(net, examples, steps=arguments.steps, **how)
    table, figure = folder / "curves.csv", folder / "curves.png"
    write_comparison(table, found, ("deletion", "insertion"))
    write_curves(figure, found, _record("curves", origin, examples, found))
    return _told(found, origin, table, figure)


def _common(arguments: Namespace, with_progress: Callable) -> tuple[list[Any], Path, dict[str, Any]]:
    """Return examples, folder and what both measures are told."""
    from minicnn.evaluate.dataset import read_classes, read_dataset
    from minicnn.report.files import make_folder

    classes = None if arguments.classes is None else read_classes(arguments.classes)
    examples = read_dataset(arguments.data, arguments.convention, classes)[: arguments.images]
    folder = Path(arguments.output)
    make_folder(folder)

    def progress(items: list[Any]) -> Iterable[Any]:
        return with_progress(items, "image")

    methods = None if arguments.methods is None else arguments.methods.split(",")
    return examples, folder, {"methods": methods, "seed": arguments.seed, "keep": folder, "progress": progress}


def _record(kind: str, origin: dict[str, Any], examples: list[Any], found: Any) -> dict[str, Any]:
    """Return where a figure comes from; it shows no map that could be computed again."""
    from minicnn.figures import provenance

    figures, images = found.record()["figures"], [str(example.image) for example in examples]
    return provenance.record(kind, origin, images, None, found.settings, {}, figures=nan_to_none(figures))


def _told(found: Any, origin: dict[str, Any], table: Path, figure: Path) -> Found:
    record = {**found.record(), "net": origin["name"], "table": str(table), "figure": str(figure)}
    return record, lambda _: f"{found.text()}\nwrote {table} and {figure}"
