"""Result of measuring every method: estimates, ranks and a verdict in words on each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from minicnn.evaluate.confidence import Estimate, bootstrap_mean
from minicnn.evaluate.max_box_acc import IOUS, max_box_acc
from minicnn.evaluate.method_table.baselines import BASELINES, EDGES, RANDOM
from minicnn.evaluate.method_table.boxes import HIT, LEVELS, cross_validate_level
from minicnn.evaluate.method_table.measures import MEASURES, RANKED, Measure
from minicnn.explain.methods import Method

__all__ = ["Measured", "MethodTable"]

Rows = dict[str, dict[str, Any]]
SAME = 0.9  # a rank correlation from which on two maps count as the same


class Measured(NamedTuple):
    """What was measured, and what could not be.

    Attributes
    ----------
    rows : {part: {method: {key of the item: values}}}
    settings : {method: every setting}, on photographs
    failed : {picture: what is wrong with it}
    unavailable : {"method, part": why it can't be applied}

    """

    rows: dict[str, dict[str, Rows]]
    settings: dict[str, dict[str, Any]]
    failed: dict[str, str]
    unavailable: dict[str, str]


@dataclass(frozen=True, eq=False)
class MethodTable:
    """Every method by every measure.

    Attributes
    ----------
    net : str, its name
    pictures : int, how many were given
    measured : Measured
    item_groups : {part: {key of the item: group}}
    methods : {name: Method}, the baselines last
    settings : dict, of the table and of every method

    """

    net: str
    pictures: int
    measured: Measured
    item_groups: dict[str, dict[str, str]]
    methods: dict[str, Method]
    settings: dict[str, Any]

    def values(self, method: str, measure: Measure) -> dict[str, float]:
        """Return a measure's value for each item of its part; empty if it was not measured."""
        rows = {key: row for key, row in self.measured.rows[measure.part].get(method, {}).items() if row}
        if not rows:
            return {}
        if measure.part == "known truth":
            return {f"{key} {n}": p for key, row in rows.items() for n, p in enumerate(row["precisions"])}
        if "ious" not in measure.field:
            return {key: float(row[measure.field]) for key, row in rows.items()}
        ious = np.array([row[measure.field] for row in rows.values()])
        if measure.name == "box at fixed level":
            shares = self._cross_validate(ious, list(rows)).hits
        elif measure.name == "box at best level":
            shares = ious.max(axis=1) >= HIT
        else:
            # MaxBoxAccV2 as a mean over the pictures: each IoU at the level that is best for all of them
            hits = [ious >= iou for iou in IOUS]
            shares = np.mean([hit[:, hit.mean(axis=0).argmax()] for hit in hits], axis=0)
        return dict(zip(rows, shares.astype(float).tolist(), strict=True))

    def _cross_validate(self, ious: np.ndarray, keys: list[str]) -> Any:
        groups = self._groups("photographs", keys)
        return cross_validate_level(ious, groups, self.settings["folds"], self.settings["seed"])

    def _groups(self, part: str, keys: list[str]) -> np.ndarray:
        """Return the items' groups as numbers; pictures of known truth are each a group of their own."""
        names = [self.item_groups[part].get(key, key) for key in keys]
        return np.unique(names, return_inverse=True)[1]

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Means with intervals, {method: {measure: Estimate}}; of the time the median, without one."""
        return {name: self._estimate(name) for name in self.methods}

    def _estimate(self, method: str) -> dict[str, Estimate]:
        estimates = {}
        for measure in MEASURES:
            values = self.values(method, measure)
            if not values:
                continue
            array = np.array(list(values.values()))
            groups = self._groups(measure.part, list(values))
            if measure.name == "MaxBoxAccV2":
                ious = [self.measured.rows[measure.part][method][key][measure.field] for key in values]
                estimates[measure.name] = max_box_acc(np.array(ious), groups, self.settings["seed"]).value
            elif measure.ranked:
                estimates[measure.name] = bootstrap_mean(array, groups, self.settings["seed"])
            else:
                # the first of all pictures has to wait for kernels that are compiled; the median does not mind
                estimates[measure.name] = Estimate(float(np.median(array)), np.nan, np.nan)
        return estimates

    @cached_property
    def ranks(self) -> dict[str, float]:
        """Mean rank of each method over the measures that it has, 1 the best, equal ones sharing theirs."""
        ranks: dict[str, list[float]] = {name: [] for name in self.methods}
        for measure in RANKED:
            scores = {
                n: measure.sign * e[measure.name].value for n, e in self.estimates.items() if measure.name in e
            }
            for name, score in scores.items():
                better, equal = (sum(f(s, score) for s in scores.values()) for f in (float.__gt__, float.__eq__))
                ranks[name].append(better + (equal + 1) / 2)
        return {name: float(np.mean(own)) if own else np.inf for name, own in ranks.items()}

    def compare(self, method: str, baseline: str) -> dict[str, str]:
        """Say for each measure that both have whether a method is "better", "worse" or "no different".

        A difference counts if the 95 % interval of the mean difference over the same items leaves out 0.
        """
        words = {}
        for measure in RANKED:
            own, other = self.values(method, measure), self.values(baseline, measure)
            shared = [key for key in own if key in other]
            if len(shared) < 2:
                continue
            gains = np.array([measure.sign * (own[key] - other[key]) for key in shared])
            interval = bootstrap_mean(gains, self._groups(measure.part, shared), self.settings["seed"])
            words[measure.name] = (
                "better" if interval.low > 0 else "worse" if interval.high < 0 else "no different"
            )
        return words

    def verdict(self, method: str) -> list[str]:
        """Return sentences on a method, unwelcome ones too: against the baselines, and with the net randomised."""
        sentences = [
            _compare_in_words(f"{'an' if baseline == EDGES else 'a'} {baseline}", self.compare(method, baseline))
            for baseline in (EDGES, RANDOM)
            if baseline != method
        ]
        smooth = self.estimates[method].get("Smooth MPRT")
        if smooth is not None and min(smooth.value, np.nan_to_num(smooth.low, nan=1.0)) > SAME:
            sentences.append("does not depend on what the net has learnt")
        return [sentence for sentence in sentences if sentence]

    @property
    def levels(self) -> dict[str, list[float]]:
        """Least and largest level that the folds chose, by method."""
        chosen = {}
        for method, rows in self.measured.rows["photographs"].items():
            if rows:
                levels = self._cross_validate(np.array([r["ious"] for r in rows.values()]), list(rows)).levels
                chosen[method] = [min(levels), max(levels)]
        return chosen

    def truth_by_scenario(self) -> list[dict[str, Any]]:
        """Return for each scenario of known truth the net's accuracy and every method's precision."""
        rows = self.measured.rows["known truth"]
        scenarios = dict.fromkeys(key for own in rows.values() for key in own)
        result = []
        for scenario in scenarios:
            own = {method: rows[method][scenario] for method in rows if scenario in rows[method]}
            precision = {}
            for method, row in own.items():
                values = np.array(row["precisions"], np.float64)
                precision[method] = asdict(bootstrap_mean(values, np.arange(len(values)), self.settings["seed"]))
            accuracy = next(iter(own.values()))["accuracy"]
            result.append({"scenario": scenario, "accuracy": accuracy, "precision": precision})
        return result

    def record(self) -> dict[str, Any]:
        """Return everything as values for JSON, methods sorted by their ranks."""
        methods = [
            {
                "name": name,
                "baseline": name in BASELINES,
                "rank": self.ranks[name],
                "estimates": {m: asdict(e) for m, e in self.estimates[name].items()},
                "items": {m.name: len(self.values(name, m)) for m in MEASURES},
                "verdict": self.verdict(name),
            }
            for name in sorted(self.methods, key=self.ranks.__getitem__)
        ]
        groups = {self.item_groups["photographs"][key] for own in self._photographs().values() for key in own}
        return {
            "kind": "methods",
            "net": self.net,
            "pictures": self.pictures,
            "measured": max(len(own) for own in self._photographs().values()),
            "groups": len(groups),
            "measures": [measure.record() for measure in MEASURES],
            "methods": methods,
            "levels": self.levels,
            "tried levels": list(LEVELS),
            "known truth": self.truth_by_scenario(),
            "failed": self.measured.failed,
            "unavailable": self.measured.unavailable,
            "settings": self.settings,
        }

    def _photographs(self) -> Mapping[str, Rows]:
        return self.measured.rows["photographs"]


def _compare_in_words(baseline: str, words: Mapping[str, str]) -> str:
    """Return a sentence: where a method is better than a baseline, and where it is not."""
    named = {w: [m for m, word in words.items() if word == w] for w in ("better", "no different", "worse")}
    if not words:
        return ""
    if not named["better"]:
        sentences = [f"no better than {baseline} in any of {len(words)} measures"]
    elif len(named["better"]) == len(words):
        return f"better than {baseline} in all {len(words)} measures"
    else:
        share = f"{len(named['better'])} of {len(words)} measures"
        sentences = [f"better than {baseline} in {share} ({', '.join(named['better'])})"]
        if named["no different"]:
            sentences.append(f"no better in {', '.join(named['no different'])}")
    return ", ".join(sentences + ([f"worse in {', '.join(named['worse'])}"] if named["worse"] else []))
