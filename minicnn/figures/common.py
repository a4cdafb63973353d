"""What kinds of figures share: the name of a class, and what comes of computing a figure anew."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["Recomputed", "class_name"]


class Recomputed(NamedTuple):
    """What a record describes, computed anew.

    Attributes
    ----------
    arrays : the maps that the figure shows, by their names in the record
    facts : what the figure says in words, by the names in the record's "result"; "label" is the class's

    """

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def class_name(explanation: Any) -> str:
    """Return the label of the class that is explained, or its number where the network has no labels.

    Parameters
    ----------
    explanation : has ``target`` and ``label``, such as a Saliency or a Detection

    """
    return f"class {explanation.target}" if explanation.label is None else explanation.label
