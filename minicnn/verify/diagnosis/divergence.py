"""Where a network diverges from its reference, and what the reference answers where the layers agree."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from minicnn.network import Network
from minicnn.verify.comparison.answer import describe_answer
from minicnn.verify.comparison.both import find_answer, our_answers
from minicnn.verify.comparison.distance import readable_as
from minicnn.verify.comparison.result import ANSWER
from minicnn.verify.diagnosis.changes import INPUT, Change
from minicnn.verify.probe import Log, Value

__all__ = ["Candidate", "Divergence", "describe_end"]


class Divergence(NamedTuple):
    """Where a network diverges from the peer first.

    Attributes
    ----------
    name : of the first value that does, or None
    value : the peer's
    tolerance : of its error
    suspects : names of the layers that can be at fault
    log : our values
    x : our input
    agreeing : how many of the peer's values agree before it; -1 where the input does not
    score : error of the scores
    where : the first value that does, in words: what it is made of may be at fault, too
    pairs : the peer's value for each of ours that has a counterpart

    """

    name: str | None
    value: np.ndarray
    tolerance: float
    suspects: set[str]
    log: Log
    x: np.ndarray
    agreeing: int
    score: float
    where: str = ""
    pairs: Mapping[str, Value] = MappingProxyType({})

    @property
    def tensors(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Ours and the peer's value that diverges, where it is a layer's or the input."""
        if self.name in self.log.values:
            return self.log.values[self.name].array, self.value
        return (self.x, self.value) if self.name == INPUT else None

    @property
    def progress(self) -> tuple[bool, int]:
        """How far the network agrees, to be compared."""
        return self.name is None, self.agreeing


class Candidate(NamedTuple):
    """Changes, the network that they make, and where that diverges."""

    changes: list[Change]
    net: Network
    divergence: Divergence


def describe_end(candidate: Candidate, theirs: list[Value]) -> str:
    """Return what the reference answers, where the layers agree and that is another, or not given; else ""."""
    net, (name, *_), log = candidate.net, candidate.divergence, candidate.divergence.log
    if name is None and find_answer(theirs, net, log.values) is None:
        return f"not among its values, which end at {theirs[-1].name}"
    if name != ANSWER:
        return ""
    for what, ours in our_answers(net, log.values).items():
        if words := describe_answer(ours.array, theirs[-1].array, what):
            return words
    (*_, ours), given = our_answers(net, log.values).values(), theirs[-1].array.shape
    if readable_as(given, ours.array.shape) is None:
        return f"of the shape {given}, and ours of {ours.array.shape}"
    return f"{candidate.divergence.score:.2g} away from ours"
