"""The measures of a table of methods: their names, which way is better, and what they mean."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["MEASURES", "RANKED", "Measure"]


class Measure(NamedTuple):
    """A column of the table.

    Attributes
    ----------
    name : str
    part : str, what it is measured on
    field : str, of a result's values
    more_is_better : bool
    per_cent : bool, whether it is shown so
    meaning : str
    ranked : bool, whether methods are ranked by it

    """

    name: str
    part: str
    field: str
    more_is_better: bool
    per_cent: bool
    meaning: str
    ranked: bool = True

    @property
    def sign(self) -> int:
        """1 if more is better, else -1."""
        return 1 if self.more_is_better else -1

    def record(self) -> dict[str, Any]:
        """Return what readers of a record need to know."""
        return {
            "name": self.name,
            "part": self.part,
            "more is better": self.more_is_better,
            "per cent": self.per_cent,
            "meaning": self.meaning,
            "ranked": self.ranked,
        }


MEASURES = (
    Measure(
        "pointing",
        "photographs",
        "pointing",
        True,
        True,
        "share of pictures whose map is largest on the object, or near it (Zhang et al. 2016)",
    ),
    Measure(
        "box at fixed level",
        "photographs",
        "ious",
        True,
        True,
        "share of boxes around the thresholded map with IoU >= 0.5, one level for all pictures, cross-validated",
    ),
    Measure(
        "box at best level",
        "photographs",
        "ious",
        True,
        True,
        "the same with the best level for each picture, which nobody knows: what the map could give",
    ),
    Measure(
        "MaxBoxAccV2",
        "photographs",
        "component ious",
        True,
        True,
        "mean share at IoU .3, .5 and .7, each at its best level for all pictures (Choe et al. 2020); flatters",
    ),
    Measure(
        "insertion",
        "curves",
        "insertion",
        True,
        False,
        "area under the class's probability as the map's pixels come into a blurred picture (Petsiuk et al. 2018)",
    ),
    Measure(
        "deletion",
        "curves",
        "deletion",
        False,
        False,
        "area under the class's probability as the map's pixels are deleted; flatters maps of scattered pixels",
    ),
    Measure(
        "GridPG",
        "grids",
        "share",
        True,
        True,
        "share of the positive map on the right one of four photographs (Rao et al. 2022); by chance 25 %",
    ),
    Measure(
        "known truth",
        "known truth",
        "precisions",
        True,
        True,
        "share of the largest pixels on those that matter, tetrominoes in noise (after Clark et al. 2023)",
    ),
    Measure(
        "Smooth MPRT",
        "randomised nets",
        "smooth",
        False,
        False,
        "rank correlation with the map of the net randomised, over noisy copies (Hedström et al. 2024); 1: same",
    ),
    Measure(
        "Efficient MPRT",
        "randomised nets",
        "efficient",
        True,
        False,
        "relative rise of the map's entropy once the net is random (Hedström et al. 2024)",
    ),
    Measure(
        "CPU seconds",
        "photographs",
        "seconds",
        False,
        False,
        "median processor time of a picture's map, all threads together",
        ranked=False,
    ),
)

RANKED = tuple(measure for measure in MEASURES if measure.ranked)
