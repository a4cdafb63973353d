"""What sanity checks found: similarities, a table of them, and a verdict on each map."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minicnn.evaluate.confidence import Estimate, bootstrap_mean

__all__ = ["SIMILARITY_MEASURES", "THRESHOLDS", "SanityCheck"]

SIMILARITY_MEASURES = ("absolute", "signed", "ssim")
# rank correlations: above the first two maps count as the same, below the second as others
SAME, OTHER = 0.9, 0.5
THRESHOLDS = (
    f"a map fails if its interval is above {SAME:g} with the last layer shuffled, or above {OTHER:g} with the "
    "upper half of them, and passes if it is below both; the thresholds are ours, the publication has none"
)
READING = (
    "rank correlation of |map| with the trained net's, and its 95 % interval over pictures: 1 is the same map, 0 "
    "another"
)


@dataclass(frozen=True, eq=False)
class SanityCheck:
    """What was measured: how alike each map is to the one of the net as it was.

    Attributes
    ----------
    stages : names of what was randomised at a time, from the scores down to the input
    methods : {name: settings}
    rows : list of dict, one a picture: image, target, and by method {"cascade", "independent": for each stage,
        "another class", "permuted labels": one, the last None where it can't be done} of the
        three ``SIMILARITY_MEASURES``
    labels : str, how well the last layer's fits to labels went, or why there are none
    seed : int

    """

    stages: list[str]
    methods: dict[str, dict[str, Any]]
    rows: list[dict[str, Any]]
    labels: str
    seed: int

    def figure(
        self, method: str, check: str, stage: int | None = None, measure: str = "absolute"
    ) -> Estimate | None:
        """Mean over the pictures of one measure, with its interval; None for a check that was not done."""
        found = [row["similarity"][method][check] for row in self.rows]
        if any(one is None for one in found):
            return None
        place = SIMILARITY_MEASURES.index(measure)
        values = [(one if stage is None else one[stage])[place] for one in found]
        return bootstrap_mean(np.array(values, np.float64), np.arange(len(values)), self.seed)

    @property
    def half(self) -> int:
        """The stage of the cascade with which the upper half of them is randomised."""
        return (len(self.stages) - 1) // 2

    def verdict(self, method: str) -> str:
        """Return "passes", "fails" or "undecided" with the two numbers that say so, see ``THRESHOLDS``."""
        last, upper = (self.figure(method, "cascade", stage) for stage in (0, self.half))
        (last_low, last_high), (low, high) = _ends(last), _ends(upper)
        if last_low > SAME or low > OTHER:
            word = "fails"
        else:
            word = "passes" if last_high < SAME and high < OTHER else "undecided"
        return (
            f"{word}: {last.value:.2f} with the last layer shuffled, {upper.value:.2f} with the upper half of them"
        )

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the header and the rows of what is known about each method."""
        columns: dict[str, tuple] = {
            "last layer": ("cascade", 0),
            "upper half": ("cascade", self.half),
            "all layers": ("cascade", len(self.stages) - 1),
            "upper half, signed": ("cascade", self.half, "signed"),
            "upper half, SSIM": ("cascade", self.half, "ssim"),
            "one layer, least": ("independent",),
            "another class": ("another class",),
            "permuted labels": ("permuted labels",),
        }
        rows = [(name, *(self._cell(name, *where) for where in columns.values())) for name in self.methods]
        return ("map", *columns), rows

    def _cell(self, method: str, check: str, *where: Any) -> str:
        if check == "independent":
            found = [self.figure(method, check, stage) for stage in range(len(self.stages))]
            least = min(range(len(found)), key=lambda n: found[n].value)
            return f"{found[least].value:.2f} at {self.stages[least]}"
        figure = self.figure(method, check, *where)
        if figure is None:
            return "-"
        bounds = f" [{figure.low:.2f}, {figure.high:.2f}]" if figure.low <= figure.high else ""
        return f"{figure.value:.2f}{bounds}"

    def text(self) -> str:
        """Return the table and the verdicts."""
        header, rows = self.table()
        widths = [max(len(row[i]) for row in (header, *rows)) + 2 for i in range(len(header))]
        lines = [f"{len(self.rows)} pictures, {len(self.stages)} layers or blocks; {READING}"]
        lines += ["".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in (header, *rows)]
        return "\n".join([*lines, f"permuted labels: {self.labels}", *self.verdicts(), THRESHOLDS])

    def verdicts(self) -> list[str]:
        """Return one line a method."""
        return [f"{method}: {self.verdict(method)}" for method in self.methods]

    def record(self) -> dict[str, Any]:
        """Return all figures as plain values for JSON."""
        figures: dict[str, Any] = {}
        for method in self.methods:
            figures[method] = {"verdict": self.verdict(method)}
            for check in ("cascade", "independent"):
                figures[method][check] = [
                    {m: asdict(self.figure(method, check, n, m)) for m in SIMILARITY_MEASURES}
                    for n in range(len(self.stages))
                ]
            for check in ("another class", "permuted labels"):
                found = {m: self.figure(method, check, None, m) for m in SIMILARITY_MEASURES}
                figures[method][check] = {m: f and asdict(f) for m, f in found.items()}
        facts = {"stages": self.stages, "settings": self.methods, "labels": self.labels, "seed": self.seed}
        return {"images": len(self.rows), "thresholds": THRESHOLDS, **facts, "maps": figures}


def _ends(figure: Estimate) -> tuple[float, float]:
    """Return the ends of the interval; of one picture, which has none, its value."""
    return (figure.low, figure.high) if figure.low <= figure.high else (figure.value, figure.value)
