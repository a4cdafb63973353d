"""The kinds of figures whose maps can be computed anew from their records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minicnn.figures import (
    attribution,
    class_model,
    class_models,
    localisation,
    rules_table,
    saliency,
    three_rules,
)
from minicnn.figures.common import Recomputed
from minicnn.figures.evaluation import sanity
from minicnn.figures.features import deconvnet, filters
from minicnn.network import Network

__all__ = ["RECOMPUTE"]

# the record's "kind" -> the function that computes what it describes
RECOMPUTE: dict[str, Callable[[Network, Sequence[Path], Mapping[str, Any]], Recomputed]] = {
    "saliency": saliency.recompute,
    "attribution": attribution.recompute,
    "sanity": sanity.recompute,
    "localisation": localisation.recompute,
    "class-model": class_model.recompute,
    "class-models": class_models.recompute,
    "deconvnet": deconvnet.recompute,
    "filters": filters.recompute,
    "rules": rules_table.recompute,
    "three-rules": three_rules.recompute,
}
