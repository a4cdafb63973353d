"""Result of sanity checks: similarities, a table of them, and a verdict on each map."""

from __future__ import annotations

from collections.abc import Sequence
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
    """How alike each map is to that of the trained network.

    Attributes
    ----------
    stages : names of what was randomised at a time, from the scores down to the input
    methods : {name: settings}
    rows : list of dict, one a picture: image, target, and by method {"cascade", "independent": for each stage,
        "another class", "permuted labels": one, the last None where it can't be done} of the
        three ``SIMILARITY_MEASURES``
    labels : str, how well the last layer's fits to labels went, or why there are none
    seed : int
    images : the pictures of the rows, as they were given

    """

    stages: list[str]
    methods: dict[str, dict[str, Any]]
    rows: list[dict[str, Any]]
    labels: str
    seed: int
    images: Sequence[Any] = ()

    def estimate(
        self, method: str, check: str, stage: int | None = None, measure: str = "absolute"
    ) -> Estimate | None:
        """Mean over the pictures of one measure, with its interval; None for a check that was not done."""
        similarities = [row["similarity"][method][check] for row in self.rows]
        if any(similarity is None for similarity in similarities):
            return None
        index = SIMILARITY_MEASURES.index(measure)
        values = [(similarity if stage is None else similarity[stage])[index] for similarity in similarities]
        # each picture is a group by itself
        return bootstrap_mean(np.array(values, np.float64), np.arange(len(values)), self.seed)

    def stage_estimate(self, method: str, check: str, stage: int, measure: str = "absolute") -> Estimate:
        """Return the estimate of a stage of "cascade" or "independent", which are always done."""
        estimate = self.estimate(method, check, stage, measure)
        assert estimate is not None
        return estimate

    @property
    def upper_half(self) -> int:
        """The stage of the cascade with which the upper half of them is randomised."""
        # stages are counted from 0: at this one half of them, rounded up, are randomised
        return (len(self.stages) - 1) // 2

    def verdict(self, method: str) -> str:
        """Return "passes", "fails" or "undecided" with the two numbers that say so, see ``THRESHOLDS``."""
        last, upper = (self.stage_estimate(method, "cascade", stage) for stage in (0, self.upper_half))
        (last_low, last_high), (low, high) = _bounds(last), _bounds(upper)
        # a whole interval has to lie on one side of its threshold; where one is inside, the pictures do not decide
        if last_low > SAME or low > OTHER:
            word = "fails"
        else:
            word = "passes" if last_high < SAME and high < OTHER else "undecided"
        return (
            f"{word}: {last.value:.2f} with the last layer shuffled, {upper.value:.2f} with the upper half of them"
        )

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the header and the rows of what is known about each method."""
        # each column's arguments of ``estimate``: check, stage, measure
        columns: dict[str, tuple[Any, ...]] = {
            "last layer": ("cascade", 0),
            "upper half": ("cascade", self.upper_half),
            "all layers": ("cascade", len(self.stages) - 1),
            "upper half, signed": ("cascade", self.upper_half, "signed"),
            "upper half, SSIM": ("cascade", self.upper_half, "ssim"),
            "one layer, least": ("independent",),
            "another class": ("another class",),
            "permuted labels": ("permuted labels",),
        }
        rows = [(name, *(self._cell(name, *column) for column in columns.values())) for name in self.methods]
        return ("map", *columns), rows

    def _cell(self, method: str, check: str, *stage_and_measure: Any) -> str:
        if check == "independent":
            values = [self.stage_estimate(method, check, stage).value for stage in range(len(self.stages))]
            lowest = min(range(len(values)), key=values.__getitem__)
            return f"{values[lowest]:.2f} at {self.stages[lowest]}"
        estimate = self.estimate(method, check, *stage_and_measure)
        if estimate is None:
            return "-"
        bounds = f" [{estimate.low:.2f}, {estimate.high:.2f}]" if estimate.low <= estimate.high else ""
        return f"{estimate.value:.2f}{bounds}"

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
        """Return all estimates as values for JSON."""
        maps: dict[str, Any] = {}
        for method in self.methods:
            maps[method] = {"verdict": self.verdict(method)}
            for check in ("cascade", "independent"):
                maps[method][check] = [
                    {m: asdict(self.stage_estimate(method, check, n, m)) for m in SIMILARITY_MEASURES}
                    for n in range(len(self.stages))
                ]
            for check in ("another class", "permuted labels"):
                estimates = {m: self.estimate(method, check, None, m) for m in SIMILARITY_MEASURES}
                maps[method][check] = {m: None if e is None else asdict(e) for m, e in estimates.items()}
        facts = {"stages": self.stages, "settings": self.methods, "labels": self.labels, "seed": self.seed}
        return {"images": len(self.rows), "thresholds": THRESHOLDS, **facts, "maps": maps}


def _bounds(estimate: Estimate) -> tuple[float, float]:
    """Return the ends of the interval; of one picture, which has none, its value."""
    if estimate.low <= estimate.high:
        return estimate.low, estimate.high
    return estimate.value, estimate.value
