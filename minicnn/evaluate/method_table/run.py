"""Measures every method of maps on labelled photographs, picture by picture, and goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from minicnn._utils.types import PathLike, Progress
from minicnn.errors import MinicnnError
from minicnn.evaluate.checkpoint import append_row, digest, read_rows
from minicnn.evaluate.dataset import Example, Skip
from minicnn.evaluate.datasets.annotation import Skipped
from minicnn.evaluate.method_comparison import load_examples
from minicnn.evaluate.method_table.baselines import BASELINES
from minicnn.evaluate.method_table.parts import (
    Item,
    Part,
    curve_part,
    grid_part,
    photograph_part,
    random_part,
    truth_part,
)
from minicnn.evaluate.method_table.result import Measured, MethodTable
from minicnn.evaluate.method_table.settings import TableSettings
from minicnn.explain.methods import Method, Methods, complete_settings, get_method, quick_methods
from minicnn.explain.outputs.classifier import as_classifier
from minicnn.network import Network

__all__ = ["evaluate_methods"]

MEASURED_PASSES = 200  # methods of more passes are measured if they are named


class Task(NamedTuple):
    """One measurement: a method with its settings on an item of a part, and where the result is kept."""

    part: Part
    method: Method
    own: dict[str, Any]
    item: Item
    path: Path | None


def evaluate_methods(
    net: Network,
    dataset: PathLike | Sequence[Example],
    methods: Methods | None = None,
    *,
    settings: TableSettings | None = None,
    keep: PathLike | None = None,
    progress: Progress = iter,
    skip: Skip | None = None,
) -> MethodTable:
    """Every method of maps by every measure, beside an edge detector, a random map and the picture's centre.

    On the photographs, for their true class, on the whole picture warped to the input: pointing game; boxes of the
    thresholded map, its level cross-validated or the best for each picture, MaxBoxAccV2; time.  On some of them:
    areas under insertion and deletion curves; with the net randomised, Smooth and Efficient MPRT.  On grids of
    four photographs: the share of the map in the right one.  On tetrominoes in noise and small nets of our own:
    the share of the map on the pixels that are known to matter.

    Parameters
    ----------
    net : Network with a ``preprocess`` and an ``input_shape``
    dataset : folder for ``read_dataset``, or its examples
    methods : names of ``minicnn.explain.methods.METHODS``, or {name: settings}; unless given, all but those of
        more than 200 passes
    settings : TableSettings, optional
    keep : folder, optional; each result is kept there as soon as it is measured, and the same call goes on from
        there, also with other methods or more pictures
    progress : wraps the list of measurements that are left
    skip : called with each picture that can't be measured, and why; they are listed in the table, too

    Returns
    -------
    table : MethodTable; methods that can't be applied to the net are listed in it

    Raises
    ------
    MinicnnError
        If there are no pictures, none can be read, or a method is unknown.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn.io import catalogue
    >>> seven = Example(catalogue.folder("images") / "seven.png", classes=(7,), boxes=((80, 60, 200, 220),))
    >>> few = TableSettings(curve_steps=2, random_pictures=1, noisy_copies=1, truth_pictures=0)
    >>> table = evaluate_methods(minicnn.load("digits"), [seven], ["gradient"], settings=few)
    >>> list(table.estimates), table.estimates["edge detector"]["Smooth MPRT"].value
    (['gradient', 'edge detector', 'random map', 'centre'], 1.0)

    """
    if net.input_shape is None or net.preprocess is None:
        raise MinicnnError(f"{net.name}: does not say its input's shape, or how an image becomes one")
    net, settings = as_classifier(net), settings or TableSettings()
    examples = load_examples(dataset, "evaluate_methods")
    chosen = _choose_methods(methods)
    parts = [photograph_part(net, examples, settings), grid_part(net, examples, settings)]
    parts += [curve_part(net, examples, settings), random_part(net, examples, settings), truth_part(settings)]
    given = dict(methods) if isinstance(methods, Mapping) else {}
    measured = _measure(parts, chosen, given, None if keep is None else Path(keep), progress)
    if skip is not None:
        for image, reason in measured.failed.items():
            skip(Skipped(image, reason))
    if not any(rows for rows in measured.rows["photographs"].values()):
        raise MinicnnError(f"evaluate_methods: no picture could be measured; {_first(measured)}")
    table_settings = {**asdict(settings), "methods": measured.settings}
    groups = {part.name: {item.key: item.group for item in part.items} for part in parts}
    return MethodTable(net.name, len(examples), measured, groups, {m.name: m for m in chosen}, table_settings)


def _choose_methods(methods: Methods | None) -> list[Method]:
    """Return the methods that are measured, and the baselines."""
    names = quick_methods(MEASURED_PASSES) if methods is None else tuple(methods)
    return [get_method(name) for name in names] + list(BASELINES.values())


def _first(measured: Measured) -> str:
    return next(iter([*measured.failed.values(), *measured.unavailable.values()]), "all were left out")


def _measure(
    parts: Sequence[Part],
    methods: Sequence[Method],
    given: Mapping[str, Mapping[str, Any]],
    keep: Path | None,
    progress: Progress,
) -> Measured:
    measured = Measured({part.name: {m.name: {} for m in methods} for part in parts}, {}, {}, {})
    tasks: list[tuple[float, Task]] = []
    for part in parts:
        for method in methods:
            try:
                own = _complete(part, method, given.get(method.name, {}))
            except MinicnnError as error:
                measured.unavailable[f"{method.name}, {part.name}"] = str(error)
                continue
            if part.name == "photographs":
                measured.settings[method.name] = own
            path = None if keep is None else keep / _filename(part, method, own)
            rows = {} if path is None else read_rows(path)
            count = part.count(method)
            for n, item in enumerate(part.items[:count]):
                if item.key in rows:
                    measured.rows[part.name][method.name][item.key] = rows[item.key]
                else:
                    # parts are interleaved evenly, so that the time left can be told from the time taken
                    tasks.append(((n + 0.5) / count, Task(part, method, own, item, path)))
    ordered = [task for _, task in sorted(tasks, key=lambda pair: pair[0])]
    prepared: dict[str, tuple[str, Any]] = {}
    for task in progress(ordered):
        _run(task, measured, prepared)
    return measured


def _run(task: Task, measured: Measured, prepared: dict[str, tuple[str, Any]]) -> None:
    """Measure and keep one result; a broken picture costs that picture, a method's refusal that method."""
    part, method, own, item, path = task
    refused = f"{method.name}, {part.name}"
    if item.name in measured.failed or refused in measured.unavailable:
        return
    # most methods look at an item one after the other, so that the last one prepared is kept
    if prepared.get(part.name, ("", None))[0] != item.key:
        try:
            prepared[part.name] = item.key, part.prepare(item.value)
        except MinicnnError as error:
            measured.failed[item.name] = str(error)
            return
    try:
        values = part.measure(prepared[part.name][1], method, own)
    except MinicnnError as error:
        measured.unavailable[refused] = str(error)
        return
    measured.rows[part.name][method.name][item.key] = values
    if path is not None:
        append_row(path, item.key, values)


def _complete(part: Part, method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's settings for a part's inputs; baselines have none."""
    return {} if method.name in BASELINES else complete_settings(part.net, method.name, part.shape, given)


def _filename(part: Part, method: Method, own: Mapping[str, Any]) -> str:
    key = digest(part.net, [], part.name, method.name, dict(own), dict(part.settings), list(part.shape))
    return f"{part.name}-{method.name}-{key}.jsonl".replace(" ", "-")
