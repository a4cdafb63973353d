"""The result of a comparison: one compared value after another, a table, the first that diverges."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minicnn._utils.json import nan_to_none
from minicnn.verify.gradcheck.report import format_table

__all__ = [
    "ComparedValue",
    "Comparison",
    "largest_ulps",
    "relative_distance",
    "relative_error",
    "ulps_histogram",
]

BINS = (0, 1, 4, 16, 64, 256, 4096)  # units in the last place; one more bin for what is beyond


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

    @property
    def ok(self) -> bool:
        """Whether rounding explains the difference."""
        return self.error <= self.tolerance

    @property
    def arises_here(self) -> bool:
        """Whether the difference arises here: it is there for the peer's own input too."""
        # not <=, rather than >, so that NaN counts as beyond the tolerance
        return not self.ok and self.caused is not None and not self.caused <= self.tolerance

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
    values : list of ComparedValue, forward, in order
    gradients : list of ComparedValue, of the class score's gradient at each layer's output and at the input, from
        the scores back; empty where the peer has none
    gradient_dtype : in which precision they were computed
    target : the class
    unmatched : names of our layers without a counterpart
    kinks : how many units lie within rounding of a kink, where the gradient is in float32

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

    @property
    def ok(self) -> bool:
        """Whether rounding explains every difference."""
        return bool(self.values) and all(value.ok for value in [*self.values, *self.gradients])

    @property
    def first(self) -> ComparedValue | None:
        """The first value that diverges, in the order of the computation: forward, then back."""
        return next((value for value in [*self.values, *self.gradients] if not value.ok), None)

    @property
    def causes(self) -> list[ComparedValue]:
        """Values whose difference arises in their layer and is not passed on from an earlier one."""
        return [value for value in self.values if value.arises_here]

    def verdict(self) -> str:
        """One sentence."""
        first = self.first
        if first is None:
            back = f" and {len(self.gradients)} gradients" if self.gradients else ""
            return f"agree: {len(self.values)} values{back}, every difference within rounding"
        if first not in self.values:
            size = f"{first.error:.2g} ({_explain_size(first)})"
            return f"DIVERGE: forward agrees, gradient at {self._locate_gradient(first)} differs by {size}"
        others = [value.name for value in self.causes if value is not first]
        more = f"; differences arise in {', '.join(others[:5])} as well" if others else ""
        return (
            f"DIVERGE: first at {first.name} ({first.kind}), by {first.error:.2g} ({_explain_size(first)}){more}"
        )

    def _locate_gradient(self, first: ComparedValue) -> str:
        """Say where a gradient is, and where it was right before."""
        i = self.gradients.index(first)
        return first.name + (f", come back from {self.gradients[i - 1].name}," if i else "")

    def notes(self) -> list[str]:
        """Return what a reader needs to weigh the table."""
        lines = [
            f"{self.subject} on {self.device} with {self.peer}; float32, errors relative to the largest value.",
            "Tolerance 4 sqrt(n1 + n2 + ...) u: an output is a sum of n rounded products whose errors, of either "
            "sign, grow like sqrt(n) u, and those of layer after layer add up like independent ones; u = 2^-24. "
            "Where the reference's own float32 is farther from float64 than that, four times its distance.",
        ]
        if self.gradients:
            lines.append(f"Gradients of class {self.target}'s score in {self.gradient_dtype}.")
        if self.kinks and self.gradient_dtype == "float32":
            lines.append(
                f"{self.kinks} units lie within rounding of a kink, where the two sides may differ "
                "in the gradient and both be right: its error is |a - b| / |b| and its tolerance allows for them."
            )
        if self.unmatched:
            lines.append(f"Without a counterpart: {', '.join(self.unmatched)}.")
        return lines

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and cells."""
        header = ["value", "kind", "theirs", "shape", "error", "tolerance", "given theirs", "nearer", "ulps"]
        header += ["0", *(f"<={b}" for b in BINS[1:]), "more", ""]
        rows = [_cells(value) for value in self.values]
        return header, rows + [_cells(value, "gradient at ") for value in self.gradients]

    def text(self) -> str:
        """Return notes, table and verdict for people."""
        return format_table(self.notes(), *self.table(), self.verdict())

    def record(self) -> dict[str, Any]:
        """Return everything as JSON can hold it, None for what is not finite."""
        return {
            "subject": self.subject,
            "peer": self.peer,
            "device": self.device,
            "target": self.target,
            "gradient_dtype": self.gradient_dtype,
            "ok": self.ok,
            "verdict": self.verdict(),
            "unmatched": self.unmatched,
            "kinks": self.kinks,
            "first": None if self.first is None else self.first.name,
            "ulps_bins": [*BINS, None],
            "steps": [_to_dict(value) for value in self.values],
            "gradients": [_to_dict(value) for value in self.gradients],
        }


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference over the largest value, entries in row order; infinity where one is NaN."""
    if a.size != b.size or a.size == 0:
        return float("inf")
    a, b = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
    scale = max(np.abs(a).max(), np.abs(b).max())
    with np.errstate(invalid="ignore"):
        difference = np.abs(a - b).max()
        # equal arrays of zeros have no error, rather than 0 / 0
        error = float(difference / scale) if difference else 0.0
    return error if np.isfinite(error) else float("inf")


def relative_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return |a - b| / |b|, Euclidean lengths, which a few units across their kink change little."""
    if a.size != b.size:
        return float("inf")
    b = b.reshape(-1).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.linalg.norm(a.reshape(-1) - b)
        error = float(difference / np.linalg.norm(b)) if difference else 0.0
    return error if np.isfinite(error) else float("inf")


def _ulps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.size != b.size:
        return np.full(1, np.inf)
    # in the coarser precision of the two
    dtype = np.float64 if a.dtype == b.dtype == np.float64 else np.float32
    a, b = a.reshape(-1).astype(dtype), b.reshape(-1).astype(dtype)
    with np.errstate(invalid="ignore"):
        # spacing() is the distance to the next number, one unit in the last place
        units = np.abs(a.astype(np.float64) - b) / np.spacing(np.maximum(np.abs(a), np.abs(b))).astype(np.float64)
    return np.where(np.isnan(units), np.inf, units)


def largest_ulps(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference in units in the last place of the larger entry."""
    return float(_ulps(a, b).max(initial=0.0))


def ulps_histogram(a: np.ndarray, b: np.ndarray) -> tuple[int, ...]:
    """Return how many entries fall into each bin of units in the last place."""
    places = np.searchsorted(BINS, _ulps(a, b))
    return tuple(int(n) for n in np.bincount(places, minlength=len(BINS) + 1))


def _explain_size(value: ComparedValue) -> str:
    if value.error == float("inf") and np.prod(value.shape) != np.prod(value.peer_shape):
        return f"shape {value.shape}, theirs {value.peer_shape}"
    if value.error == float("inf"):
        return "not all are finite numbers"
    return f"tolerance {value.tolerance:.1g}"


def _cells(value: ComparedValue, prefix: str = "") -> list[str]:
    total = sum(value.histogram)
    shares = [f"{100 * n / total:.0f}%" if n else "" for n in value.histogram]
    caused = "" if value.caused is None else f"{value.caused:.1e}"
    shape = "x".join(map(str, value.shape[1:]))
    verdict = "ok" if value.ok else "ARISES HERE" if value.arises_here else "differs"
    numbers = [f"{value.error:.1e}", f"{value.tolerance:.1e}", caused, value.nearer, f"{value.ulps:.3g}"]
    return [prefix + value.name, value.kind, value.peer, shape, *numbers, *shares, verdict]


def _to_dict(value: ComparedValue) -> dict[str, Any]:
    extra = {"ok": value.ok, "arises_here": value.arises_here, "nearer": value.nearer}
    return nan_to_none(asdict(value) | extra)
