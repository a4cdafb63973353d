"""The result of a comparison: one compared value after another, a table, the first that diverges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from minicnn._utils.counted import counted
from minicnn._utils.json import nan_to_none
from minicnn._utils.table import WIDTH, format_table
from minicnn._utils.types import PathLike
from minicnn.layers.graph import INPUT
from minicnn.verify.comparison.distance import (
    BINS,
    largest_ulps,
    read_as,
    readable_as,
    relative_error,
    ulps_histogram,
)
from minicnn.verify.probe import Value

__all__ = ["ANSWER", "OF_GRADIENTS", "ComparedValue", "Comparison", "compare_value", "locate"]

OF_GRADIENTS = "the gradients' tolerance"  # begins an obstacle that is of gradients alone
ANSWER = "answer"  # the name of what a peer answers, where that is no layer's value of ours


@dataclass(frozen=True)
class ComparedValue:
    """One value, or one gradient, of both sides.

    Attributes
    ----------
    name, kind : of our layer
    peer : the peer's name for it
    shape, peer_shape : of the arrays
    error : largest difference over the largest value; infinity for shapes that can't be compared; of a gradient in
        float32 beside kinks, the length of the difference over that of the gradient
    tolerance : what rounding explains of it
    ulps : largest difference in units in the last place of the larger of both
    histogram : how many entries differ by 0, at most 1, 4, 16, 64, 256, 4096, and by more such units
    ours, theirs : error of each side against our float64; theirs says nothing where the two diverge
    caused : error where the layers before it take the peer's values; None where it is not known
    peer_kind : the peer's word for its kind of layer
    since : names of our layers whose values the peer does not have, between this one and those before that are
        compared, and which may be at fault as well; "input" among them where no value before it is compared

    """

    name: str
    kind: str
    peer: str
    shape: tuple[int, ...]
    peer_shape: tuple[int, ...]
    error: float
    tolerance: float
    ulps: float
    histogram: tuple[int, ...]
    ours: float
    theirs: float
    caused: float | None = None
    peer_kind: str = ""
    since: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether rounding explains the difference."""
        return self.error <= self.tolerance

    @property
    def arises(self) -> bool:
        """Whether the difference is there for the peer's own values before it too."""
        # not <=, rather than >, so that NaN counts as beyond the tolerance
        return not self.ok and self.caused is not None and not self.caused <= self.tolerance

    @property
    def arises_here(self) -> bool:
        """Whether the difference arises in this layer: what it reads is compared, too."""
        return self.arises and not set(self.since) - {INPUT}

    @property
    def where(self) -> str:
        """Where a difference comes about: at this value, or since those before it that are compared."""
        return locate(self.name, self.since)

    @property
    def nearer(self) -> str:
        """Which side is nearer to float64: "ours", "theirs", or "" where they are as near or diverge."""
        if not self.ok or self.ours == self.theirs:
            return ""
        return "ours" if self.ours < self.theirs else "theirs"


@dataclass(frozen=True)
class Comparison:
    """The result of ``minicnn.verify.compare``.

    Attributes
    ----------
    subject, peer, device : what was compared with what; where ours ran
    values : list of ComparedValue, forward, in order; of "answer" where what the peer answers is no layer of ours
    gradients : list of ComparedValue, of the class score's gradient at each layer's output and at the input, from
        the scores back; empty where the peer has none
    gradient_dtype : in which precision they were computed
    target : the class
    unmatched : names of our layers without a counterpart
    kinks : how many units lie within rounding of a kink, where the gradient is in float32
    dtype : the precision that the tolerances of the values are of, the coarser side's
    answer : how the peer's answer is made of ours, in words, where it is another and a simple rule makes it
    obstacle : what keeps agreeing values from meaning that the programs agree, or ""
    remarks : what somebody who relies on an agreement should know
    merged : names of our values that are compared with a normalisation that only one side has folded
    tensors : ours and the peer's of the first value that diverges, or None

    See Also
    --------
    minicnn.verify.compare : what returns it, with an example

    """

    subject: str
    peer: str
    device: str
    values: list[ComparedValue]
    gradients: list[ComparedValue]
    gradient_dtype: str
    target: int
    unmatched: list[str]
    kinks: int
    dtype: str = "float32"
    answer: str = ""
    obstacle: str = ""
    remarks: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    tensors: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the peer's answer was compared and rounding explains every difference."""
        return not self.obstacle and bool(self.values) and self.first is None

    @property
    def first(self) -> ComparedValue | None:
        """The first value that diverges, in the order of the computation: forward, then back."""
        return next((value for value in [*self.values, *self.gradients] if not value.ok), None)

    @property
    def causes(self) -> list[ComparedValue]:
        """Values whose difference is not passed on from an earlier one: it arises in their layer, or ``since``."""
        return [value for value in self.values if value.arises]

    def verdict(self) -> str:
        """One sentence."""
        if self.first is None and self.obstacle:
            # what was compared forwards is not called in question by gradients that can't be
            word = "NO AGREEMENT:"
            if self.obstacle.startswith(OF_GRADIENTS):
                word = f"GRADIENTS UNDECIDED: {counted(len(self.values), 'value')} agree within rounding, but"
            return "; ".join([f"{word} {self.obstacle}", *self.remarks])
        return "; ".join(filter(None, [self._verdict(), self.obstacle, *self.remarks]))

    def _verdict(self) -> str:
        first = self.first
        if first is None:
            back = f" and {len(self.gradients)} gradients" if self.gradients else ""
            precision = "" if self.dtype == "float32" else f" of {self.dtype} ({self.values[-1].tolerance:.1g})"
            return (
                f"agree: {counted(len(self.values), 'value')}{back}, every difference within rounding{precision}"
            )
        if first not in self.values:
            size = f"{first.error:.2g} ({_explain_size(first)})"
            return f"DIVERGE: forward agrees, gradient at {self._locate_gradient(first)} differs by {size}"
        if first.name == ANSWER:
            count = len(self.values) - 1
            layers = f"all {count} layers agree, but " if count > 1 else "one layer agrees, but " if count else ""
            return f"DIVERGE: {layers}the peer's answer {self._describe_answer(first)}"
        others = [value.where.removeprefix("first ") for value in self.causes if value is not first]
        more = f"; differences arise {', '.join(others[:5])} as well" if others else ""
        answer = f"; the peer's answer is {self.answer}" if self.answer else ""
        size = f"{first.error:.2g} ({_explain_size(first)})"
        return f"DIVERGE: {first.where} ({self._describe_kind(first)}), by {size}{more}{answer}"

    def _describe_kind(self, value: ComparedValue) -> str:
        theirs = (
            f"; theirs is {', '.join(filter(None, (value.peer, value.peer_kind)))}"
            if value.name in self.merged
            else ""
        )
        return f"{value.kind}{theirs}"

    def _describe_answer(self, answer: ComparedValue) -> str:
        source = f"({answer.peer}) " if answer.peer else ""
        unlike = readable_as(answer.peer_shape, answer.shape) is None
        shapes = f"the shape {answer.peer_shape}, and ours {answer.shape}"
        if self.answer:
            return f"{source}is {self.answer}" + (f"; it has {shapes}" if unlike else "")
        if unlike:
            return f"{source}has {shapes}"
        return f"{source}differs from ours by {answer.error:.2g} ({_explain_size(answer)})"

    def _locate_gradient(self, first: ComparedValue) -> str:
        """Say where a gradient is, and where it was right before."""
        i = self.gradients.index(first)
        return first.name + (f", come back from {self.gradients[i - 1].name}," if i else "")

    def notes(self) -> list[str]:
        """Return what a reader needs to weigh the table."""
        lines = [
            f"{self.subject} on {self.device} with {self.peer}; {self.dtype}, errors relative to the largest.",
            "Tolerance 4 sqrt(n1 + n2 + ...) u: an output is a sum of n rounded products whose errors, of either "
            "sign, grow like sqrt(n) u, and those of layer after layer add up like independent ones; u = 2^-24. "
            "Where the reference's own float32 is farther from float64 than that, four times its distance.",
        ]
        if self.dtype not in ("float32", "float64"):
            lines.append(f"Theirs are rounded to {self.dtype} after each layer, and the tolerance is of that.")
        if self.gradients:
            lines.append(f"Gradients of class {self.target}'s score in {self.gradient_dtype}.")
        if self.kinks and self.gradient_dtype == "float32":
            lines.append(
                f"{self.kinks} units lie within rounding of a kink, where the two sides may differ "
                "in the gradient and both be right: its error is |a - b| / |b| and its tolerance allows for them."
            )
        lines += [
            f"{v.name}: theirs of shape {v.peer_shape} is read as {v.shape}."
            for v in self.values
            if v.peer_shape != v.shape and readable_as(v.peer_shape, v.shape)
        ]
        if self.merged:
            count = "one place" if len(self.merged) == 1 else f"{len(self.merged)} places"
            lines.append(
                f"At {count} one side has folded a normalisation into its convolution: compared behind it."
            )
        if self.unmatched:
            lines.append(f"Without a counterpart: {', '.join(self.unmatched)}.")
        return lines

    def table(self, wide: bool = True) -> tuple[list[str], list[list[str]]]:
        """Header and cells; narrow, without the columns from which a difference is understood once it is seen."""
        header = ["value", "kind", "theirs", "shape", "error", "tolerance", "", "given theirs", "nearer", "ulps"]
        header += ["0", *(f"<={b}" for b in BINS[1:]), "more"]
        rows = [_cells(value) for value in self.values]
        rows += [_cells(value, "gradient at ") for value in self.gradients]
        columns = len(header) if wide else header.index("") + 1
        return header[:columns], [row[:columns] for row in rows]

    def text(self, wide: bool = False) -> str:
        """Return verdict, table and notes for people, in 100 columns or, wide, with all that is known."""
        return format_table(self.verdict(), *self.table(wide), self.notes(), None if wide else WIDTH)

    def write_page(self, path: PathLike) -> None:
        """Write the verdict, the table and the tensors that differ first as one HTML page."""
        from minicnn.verify.page import write_comparison

        write_comparison(path, self)

    def record(self) -> dict[str, Any]:
        """Return everything as JSON can hold it, None for what is not finite."""
        return {
            "subject": self.subject,
            "peer": self.peer,
            "device": self.device,
            "target": self.target,
            "gradient_dtype": self.gradient_dtype,
            "dtype": self.dtype,
            "ok": self.ok,
            "verdict": self.verdict(),
            "answer": self.answer,
            "remarks": list(self.remarks),
            "unmatched": self.unmatched,
            "merged": list(self.merged),
            "kinks": self.kinks,
            "first": None if self.first is None else self.first.name,
            "ulps_bins": [*BINS, None],
            "steps": [_to_dict(value) for value in self.values],
            "gradients": [_to_dict(value) for value in self.gradients],
        }


def locate(name: str, since: Sequence[str]) -> str:
    """Return where the first difference comes about, in words.

    Parameters
    ----------
    name : of the value
    since : what it is made of since the values that agree; "input" among it where there are none

    Examples
    --------
    >>> locate("fc", []), locate("fc", ["input", "conv"]), locate("relu", ["conv", "norm"])
    ('first at fc', 'somewhere up to fc', 'first from conv to relu')

    """
    layers = [value for value in since if value != INPUT]
    if not layers:
        return f"first at {name}"
    return f"somewhere up to {name}" if INPUT in since else f"first from {layers[0]} to {name}"


def compare_value(ours: Value, theirs: Value, exact: np.ndarray, tolerance: float) -> ComparedValue:
    """Return a value of ours compared with the peer's, with ours in float64 as the judge."""
    theirs = read_as(theirs, ours.array.shape)
    return ComparedValue(
        name=ours.name,
        kind=ours.kind,
        peer=theirs.name,
        peer_kind=theirs.kind,
        shape=ours.array.shape,
        peer_shape=theirs.given or theirs.array.shape,
        error=relative_error(ours.array, theirs.array),
        tolerance=tolerance,
        ulps=largest_ulps(ours.array, theirs.array),
        histogram=ulps_histogram(ours.array, theirs.array),
        ours=relative_error(ours.array, exact),
        theirs=relative_error(theirs.array, exact),
    )


def _explain_size(value: ComparedValue) -> str:
    if value.error == float("inf") and readable_as(value.peer_shape, value.shape) is None:
        return f"shape {value.shape}, theirs {value.peer_shape}"
    if value.error == float("inf"):
        return "not all are finite numbers"
    return f"tolerance {value.tolerance:.1g}"


def _cells(value: ComparedValue, prefix: str = "") -> list[str]:
    total = sum(value.histogram)
    shares = [f"{100 * n / total:.0f}%" if n else "" for n in value.histogram]
    caused = "" if value.caused is None else f"{value.caused:.1e}"
    shape = "x".join(map(str, value.shape[1:]))
    verdict = "ok" if value.ok else "ARISES HERE" if value.arises_here else "ARISES" if value.arises else "differs"
    numbers = [f"{value.error:.1e}", f"{value.tolerance:.1e}", verdict, caused, value.nearer, f"{value.ulps:.3g}"]
    return [prefix + value.name, value.kind, value.peer, shape, *numbers, *shares]


def _to_dict(value: ComparedValue) -> dict[str, Any]:
    extra = {"ok": value.ok, "arises_here": value.arises_here, "nearer": value.nearer}
    return nan_to_none(asdict(value) | extra)
