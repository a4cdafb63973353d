"""``minicnn evaluate MEASURE DATA``: one function a measure; each returns what it found and how to print it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["localisation"]

Found = tuple[dict[str, Any], Callable[[dict[str, Any]], str]]


def localisation(arguments: Namespace, net: Any, origin: dict[str, Any], with_progress: Callable) -> Found:
    """Boxes and masks by the ILSVRC protocol: figures, ``images.csv`` and a sheet of the worst and the best."""
    from minicnn.evaluate.dataset import read_classes, read_dataset
    from minicnn.evaluate.localisation import evaluate_localisation
    from minicnn.figures.evaluation import write_csv, write_sheet
    from minicnn.report.files import make_folder

    classes = None if arguments.classes is None else read_classes(arguments.classes)
    examples = read_dataset(arguments.data, arguments.convention, classes)[: arguments.images]
    folder = Path(arguments.output)
    make_folder(folder)
    found = evaluate_localisation(
        net,
        examples,
        arguments.method,
        seed=arguments.seed,
        keep=folder,
        progress=lambda items: with_progress(items, "image"),
    )
    write_csv(folder / f"{arguments.method}.csv", found.rows)
    sheet = folder / f"{arguments.method}-worst-best.png"
    write_sheet(sheet, examples, found.rows, origin, arguments.method)
    record = {**found.record(), "net": origin["name"], "table": str(folder / f"{arguments.method}.csv")}
    return {**record, "sheet": str(sheet)}, lambda _: f"{found.text()}\nwrote {record['table']} and {sheet}"
