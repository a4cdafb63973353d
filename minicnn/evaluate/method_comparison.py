"""Comparisons of methods on labelled pictures: a table with intervals over the pictures' objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import MinicnnError
from minicnn.evaluate.confidence import Estimate, bootstrap_mean
from minicnn.evaluate.dataset import Example, read_dataset
from minicnn.evaluate.localisation_result import CAUTION
from minicnn.explain.methods import Methods, select_methods
from minicnn.explain.prediction import mean_probabilities
from minicnn.network import Network

__all__ = ["MethodComparison", "load_examples", "select_compared_methods", "summarise", "true_class"]

COMPARED_PASSES = 16  # methods of more passes are compared if they are named


@dataclass(frozen=True, eq=False)
class MethodComparison:
    """Measurements of several methods and baselines.

    Attributes
    ----------
    title : str, what was measured and how
    rows : list of dict, one a picture
    estimates : {name of the method or baseline: {measure: Estimate}}
    per_cent : bool, whether the estimates are shares, shown in per cent
    settings : dict, every parameter
    examples : the pictures of the rows, where some were left out

    """

    title: str
    rows: list[dict[str, Any]]
    estimates: dict[str, dict[str, Estimate]]
    per_cent: bool
    settings: dict[str, Any]
    examples: Sequence[Example] = ()

    @property
    def groups(self) -> int:
        """How many groups the pictures are of."""
        return len({row["group"] for row in self.rows})

    def record(self) -> dict[str, Any]:
        """Return the estimates as values for JSON."""
        estimates = {name: {m: asdict(e) for m, e in own.items()} for name, own in self.estimates.items()}
        facts = {"images": len(self.rows), "groups": self.groups, "caution": CAUTION, "settings": self.settings}
        return {"title": self.title, **facts, "figures": estimates}

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the header and the rows of a table."""
        measures = list(dict.fromkeys(measure for own in self.estimates.values() for measure in own))
        rows = [
            (name, *(own[m].text(self.per_cent) if m in own else "-" for m in measures))
            for name, own in self.estimates.items()
        ]
        return ("map", *measures), rows

    def text(self) -> str:
        """Return the table, with what it does not say."""
        header, rows = self.table()
        widths = [max(len(row[i]) for row in (header, *rows)) + 2 for i in range(len(header))]
        lines = ["".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in (header, *rows)]
        over = f"{len(self.rows)} pictures of {self.groups} objects; 95 % intervals by drawing objects anew"
        return "\n".join([self.title, over, *lines, CAUTION])


def summarise(
    title: str,
    rows: list[dict[str, Any]],
    measures: Sequence[str],
    per_cent: bool,
    settings: Mapping[str, Any],
    seed: int,
) -> MethodComparison:
    """Return a comparison of rows that hold {measure: {name: value}}; a value None leaves the measure out."""
    groups = np.unique([row["group"] for row in rows], return_inverse=True)[1]
    estimates: dict[str, dict[str, Estimate]] = {}
    for measure in measures:
        for name in rows[0][measure]:
            values = [row[measure][name] for row in rows]
            estimates.setdefault(name, {})
            # a mean over some of the pictures can't be compared with means over all of them
            if all(value is not None for value in values):
                estimates[name][measure] = bootstrap_mean(np.array(values, np.float64), groups, seed)
    return MethodComparison(title, rows, estimates, per_cent, dict(settings))


def load_examples(dataset: PathLike | Sequence[Example], where: str, needs_boxes: bool = True) -> list[Example]:
    """Return the examples of a folder, or those given; MinicnnError if there are none."""
    examples = list(read_dataset(dataset, needs_boxes=needs_boxes) if isinstance(dataset, PathLike) else dataset)
    if not examples:
        raise MinicnnError(f"{where}: expected at least one picture, got none")
    return examples


def select_compared_methods(net: Network, methods: Methods | None) -> dict[str, dict[str, Any]]:
    """Return {name: complete settings} of methods given by name, or with settings; the quick ones for None."""
    if net.input_shape is None:
        raise MinicnnError(f"{net.name}: does not say the shape of its input, so that maps can't be compared")
    return select_methods(net, net.input_shape, methods, COMPARED_PASSES)


def true_class(net: Network, example: Example, x: np.ndarray) -> int:
    """Return the picture's true class, of several the most probable one over its views x (V, C, H, W)."""
    probability = mean_probabilities(net, np.concatenate([net(view[None]) for view in x]))
    if max(example.classes) >= len(probability):
        raise MinicnnError(f"{example.image}: class {max(example.classes)}, but {net.name} has {len(probability)}")
    # a picture may have several right answers; the maps are of the one that the network is surest of
    return max(example.classes, key=lambda c: probability[c])
