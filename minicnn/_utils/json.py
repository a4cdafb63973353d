"""Results as JSON can hold them."""

from __future__ import annotations

from math import isfinite
from typing import Any

__all__ = ["nan_to_none"]


def nan_to_none(value: Any) -> Any:
    """Return nested lists and dictionaries with None for NaN and infinity, which JSON does not have.

    Examples
    --------
    >>> nan_to_none({"loss": [0.5, float("nan")], "epochs": (1, 2)})
    {'loss': [0.5, None], 'epochs': [1, 2]}

    """
    if isinstance(value, dict):
        return {key: nan_to_none(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [nan_to_none(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value
