"""The result of a search for the wrong convention."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn._utils.json import nan_to_none
from minicnn._utils.types import PathLike
from minicnn.network import Network
from minicnn.verify.diagnosis.changes import Change

__all__ = ["Diagnosis"]


@dataclass(frozen=True)
class Diagnosis:
    """The changes that heal a network, and how well, as ``minicnn.verify.diagnose`` returns them.

    Attributes
    ----------
    subject, reference : what was compared with what
    evidence : what the reference gave, in words
    first : the value that diverged first, or None
    where : where the difference comes about, in words: layers before ``first`` may make it as well that the
        reference does not show
    changes : list of Change, in the order of the layers; empty where there is no fault or none was found
    before, after : error of the scores relative to the largest, or minus the logarithm of the class's probability
    healed : whether rounding explains what is left; for a photograph, whether its class is on top
    tried : how many changed networks were run
    equivalent : changes that explain as much
    net : the healed network
    weak : why the evidence does not prove it, or ""
    answer : what the reference answers, in words, where that is not what the healed network's last layer gives
    tensors : ours and the reference's of the first value that diverges, or None

    See Also
    --------
    minicnn.verify.diagnose : what returns it, with an example

    """

    subject: str
    reference: str
    evidence: str
    first: str | None
    changes: list[Change]
    before: float
    after: float
    healed: bool
    tried: int
    equivalent: list[Change]
    net: Network = field(repr=False)
    weak: str = ""
    answer: str = ""
    where: str = ""
    tensors: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False, compare=False)

    @property
    def sound(self) -> bool:
        """Whether there was nothing to heal."""
        return self.first is None and not self.answer

    def verdict(self) -> str:
        """One sentence."""
        if self.sound:
            return f"no fault: {self.subject} agrees with {self.reference} ({self.evidence})"
        if not self.changes and self.answer:
            return (
                f"DIFFERS AT THE END: no layer does, but what {self.reference} answers is {self.answer}; "
                f"no change of {self.subject} explains it"
            )
        if not self.changes:
            place = self.where or f"first at {self.first}"
            return f"NOT FOUND: differs {place}; none of {self.tried} known changes explains it"
        what = " and ".join(map(str, self.changes))
        size = f"{self.before:.3g} -> {self.after:.3g}"
        answer = f"; what {self.reference} answers is {self.answer}" if self.answer else ""
        word = "FOUND" if self.healed else "BETTER, NOT HEALED"
        return f"{word}: {what}; {size}, of {self.tried} changes tried{answer}"

    def text(self) -> str:
        """Return the verdict and what a reader needs to weigh it."""
        lines = [f"{self.subject} against {self.reference}: {self.evidence}."]
        if self.first is not None:
            lines.append(f"They differ {self.where}." if self.where else f"First difference: {self.first}.")
        lines.append(self.verdict())
        if self.equivalent:
            lines.append(f"Explains as much: {'; '.join(map(str, self.equivalent))}.")
        return "\n".join([*lines, *([self.weak] if self.weak else [])])

    def write_page(self, path: PathLike) -> None:
        """Write the verdict, the changes and the tensors that differ first as one HTML page."""
        from minicnn.verify.page import write_diagnosis

        write_diagnosis(path, self)

    def record(self) -> dict[str, Any]:
        """Return everything as JSON can hold it, None for what is not finite."""
        return {
            "subject": self.subject,
            "reference": self.reference,
            "evidence": self.evidence,
            "first": self.first,
            "where": self.where,
            "weak": self.weak,
            "answer": self.answer,
            "no_fault": self.sound,
            "healed": self.healed,
            "tried": self.tried,
            "verdict": self.verdict(),
            "before": nan_to_none(self.before),
            "after": nan_to_none(self.after),
            "changes": [_to_dict(change) for change in self.changes],
            "rivals": [_to_dict(change) for change in self.equivalent],
        }


def _to_dict(change: Change) -> dict[str, Any]:
    return {"convention": change.convention, "what": change.what, "layers": list(change.layers)}
