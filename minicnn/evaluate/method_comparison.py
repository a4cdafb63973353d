"""Methods compared on labelled pictures: what a table of them holds, with intervals over the pictures' objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.evaluate.confidence import Estimate, bootstrap_mean
from minicnn.evaluate.dataset import Example, read_dataset
from minicnn.evaluate.localisation import CAUTION
from minicnn.explain.methods import Methods, select_methods
from minicnn.explain.prediction import mean_probabilities
from minicnn.network import Network

__all__ = ["MethodComparison", "load_examples", "select_compared_methods", "summarise", "true_class"]

COMPARED_PASSES = 16  # methods of more passes are compared if they are named


@dataclass(frozen=True, eq=False)
class MethodComparison:
    """What was measured of several methods and baselines.

    Attributes
    ----------
    title : str, what was measured and how
    rows : list of dict, one a picture
    figures : {name of the method or baseline: {measure: Figure}}
    shares : whether the figures are shares, to be shown in per cent
    settings : dict, every parameter

    """

    title: str
    rows: list[dict[str, Any]]
    figures: dict[str, dict[str, Estimate]]
    shares: bool
    settings: dict[str, Any]

    @property
    def groups(self) -> int:
        """How many groups the pictures are of."""
        return len({row["group"] for row in self.rows})

    def record(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON."""
        figures = {name: {m: asdict(f) for m, f in found.items()} for name, found in self.figures.items()}
        facts = {"images": len(self.rows), "groups": self.groups, "caution": CAUTION, "settings": self.settings}
        return {"title": self.title, **facts, "figures": figures}

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the header and the rows of the figures."""
        measures = list(dict.fromkeys(m for found in self.figures.values() for m in found))
        rows = [
            (name, *(found[m].text(self.shares) if m in found else "-" for m in measures))
            for name, found in self.figures.items()
        ]
        return ("map", *measures), rows

    def text(self) -> str:
        """Return the figures as a table, with what they do not say."""
        header, rows = self.table()
        widths = [max(len(row[i]) for row in (header, *rows)) + 2 for i in range(len(header))]
        lines = ["".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in (header, *rows)]
        over = f"{len(self.rows)} pictures of {self.groups} objects; 95 % intervals by drawing objects anew"
        return "\n".join([self.title, over, *lines, CAUTION])


def summarise(
    title: str,
    rows: list[dict[str, Any]],
    measures: Sequence[str],
    shares: bool,
    settings: Mapping[str, Any],
    seed: int,
) -> MethodComparison:
    """Return a comparison of rows that hold {measure: {name: value}}; a value None leaves the measure out."""
    groups = np.unique([row["group"] for row in rows], return_inverse=True)[1]
    figures: dict[str, dict[str, Estimate]] = {}
    for measure in measures:
        for name in rows[0][measure]:
            values = [row[measure][name] for row in rows]
            figures.setdefault(name, {})
            if all(value is not None for value in values):
                figures[name][measure] = bootstrap_mean(np.array(values, np.float64), groups, seed)
    return MethodComparison(title, rows, figures, shares, dict(settings))


def load_examples(dataset: str | Path | Sequence[Example], where: str) -> list[Example]:
    """Return the examples of a folder, or those given; MinicnnError if there are none."""
    examples = list(read_dataset(dataset) if isinstance(dataset, str | Path) else dataset)
    if not examples:
        raise MinicnnError(f"{where}: expected at least one picture, got none")
    return examples


def select_compared_methods(net: Network, methods: Methods | None) -> dict[str, dict[str, Any]]:
    """Return {name: complete settings} of methods given by name, or with settings; the quick ones for None."""
    if net.input_shape is None:
        raise MinicnnError(f"{net.name}: does not say the shape of its input, so that maps can't be compared")
    return select_methods(net, net.input_shape, methods, COMPARED_PASSES)


def true_class(net: Network, example: Example, x: np.ndarray) -> int:
    """Return the picture's class, the most probable of several over its views x (V, C, H, W)."""
    probability = mean_probabilities(np.concatenate([net(view[None]) for view in x]))
    if max(example.classes) >= len(probability):
        raise MinicnnError(f"{example.image}: class {max(example.classes)}, but {net.name} has {len(probability)}")
    return max(example.classes, key=lambda c: probability[c])
