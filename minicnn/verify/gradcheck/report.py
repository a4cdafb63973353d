"""The result of a check of gradients: one row a gradient, a table, a verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any, NamedTuple

from minicnn._utils.json import nan_to_none
from minicnn._utils.table import format_table

__all__ = ["EXTRAPOLATED", "UNDECIDED", "Report", "Row", "RowLabel"]

UNDECIDED = "on a kink in every direction"
EXTRAPOLATED = "Richardson"


class RowLabel(NamedTuple):
    """The first four fields of a Row: which gradient is checked, and how."""

    layer: str
    kind: str
    what: str
    how: str


@dataclass(frozen=True)
class Row:
    """One gradient compared with what the forward pass says.

    Attributes
    ----------
    layer, kind : dotted name and class; "(whole net)" for all layers together
    what : "input", the name of a parameter, "loss", or "convention"
    how : "difference quotient", "adjoint identity", "complex step", "Richardson", or "by construction"
    probes : how many directions, unit vectors included
    every_entry : whether each entry had a unit vector of its own
    error, tolerance : of the probe where error / tolerance is largest
    ulps : that error in units in the last place of the directional derivative
    where : an entry's index, or the number of the random direction
    sees : tolerance / |gradient|: how small a relative error would be noticed

    """

    layer: str
    kind: str
    what: str
    how: str
    probes: int
    every_entry: bool
    error: float
    tolerance: float
    ulps: float
    where: str
    sees: float = 0.0

    @property
    def ratio(self) -> float:
        """Error in units of the tolerance; infinity for NaN."""
        if self.error == 0:
            return 0.0
        ratio = self.error / self.tolerance if self.tolerance > 0 else inf
        # NaN is the only number that differs from itself
        return ratio if ratio == ratio else inf

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.ratio <= 1 and isfinite(self.tolerance)


@dataclass(frozen=True)
class Report:
    """All rows of one check, as ``minicnn.verify.gradients`` returns it.

    Attributes
    ----------
    subject : what was checked
    device, dtype : whose gradients they are
    seed : with which the directions can be drawn again
    directions : Gaussian directions for each gradient
    rows : list of Row
    seconds : how long it took

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.layers import ReLU
    >>> from minicnn.verify import gradients
    >>> report = gradients(ReLU(), np.array([[-1.0, 0.5, 2.0]]))
    >>> report.ok, report.failures
    (True, [])
    >>> [(row.what, row.how) for row in report.rows]
    [('input', 'difference quotient'), ('convention', 'by construction')]
    >>> report.verdict()
    'passed: 2 gradients, 12 checks, every error within its rounding tolerance'

    """

    subject: str
    device: str
    dtype: str
    seed: int
    directions: int
    rows: list[Row]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every row is within its tolerance."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    @property
    def failures(self) -> list[Row]:
        """Rows beyond their tolerance, worst first."""
        return sorted((row for row in self.rows if not row.ok), key=lambda row: -row.ratio)

    def missed(self, tolerances: float = 1000.0) -> float:
        """Probability at most that an error of so many tolerances passes unseen where directions are random.

        A Gaussian direction v turns an error e of the gradient, whatever its shape, into <e, v> ~ N(0, |e|^2);
        it is missed if that is within two tolerances of 0: at most 4 / (sqrt(2 pi) |e| / tolerance).
        """
        # 4 / sqrt(2 pi) = 1.596, for each direction by itself
        return min(1.0, 1.596 / tolerances) ** self.directions

    def worst_by_layer(self) -> list[Row]:
        """For each layer, in order, the row with the largest error in units of its tolerance."""
        worst: dict[str, Row] = {}
        for row in self.rows:
            if row.layer not in worst or row.ratio > worst[row.layer].ratio:
                worst[row.layer] = row
        return list(worst.values())

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and cells: the worst row of each layer, and every failure."""
        header = [
            "layer",
            "kind",
            "checks",
            "worst",
            "how",
            "error/tol",
            "ulps",
            "error",
            "tolerance",
            "where",
            "",
        ]
        worst = self.worst_by_layer()
        shown = [row for row in self.rows if not row.ok or row in worst]
        counts = {row.layer: sum(r.probes for r in self.rows if r.layer == row.layer) for row in shown}
        return header, [[row.layer, row.kind, str(counts[row.layer]), *_cells(row)] for row in shown]

    def verdict(self) -> str:
        """One sentence."""
        checks = sum(row.probes for row in self.rows)
        if self.ok:
            return (
                f"passed: {len(self.rows)} gradients, {checks} checks, every error within its rounding tolerance"
            )
        worst = self.failures[0]
        # what could not be compared has no error, but a reason
        by = f"by {worst.ratio:.3g} tolerances at {worst.where}" if worst.probes else worst.where
        return (
            f"FAILED: {len(self.failures)} of {len(self.rows)} gradients; worst: {worst.layer}, {worst.what}, {by}"
        )

    def notes(self) -> list[str]:
        """Return what a reader needs to weigh the table."""
        notes = [
            f"{self.subject}: gradients of device {self.device} in {self.dtype}, against the reference's forward "
            f"pass in float64; seed {self.seed}, {self.seconds:.1f} s.",
            "Tolerances are derived from the rounding of the operations, none is chosen: "
            "8 u sqrt(sum of n A^2), see minicnn/verify/rounding.py.",
            f"{self.directions} Gaussian directions for each gradient: an error of 1000 tolerances, in one entry "
            f"or spread, is missed with probability below {self.missed():.0e}; small tensors go by entry too.",
        ]
        own = [row for row in self.rows if row.how.startswith(EXTRAPOLATED) and row.probes and row.what != "loss"]
        if own:
            kinds = ", ".join(dict.fromkeys(row.kind for row in own))
            notes.append(
                f"Richardson ({kinds}): nothing is known of code of one's own, so that its derivatives are "
                "differences at many steps, extrapolated. The tolerance adds what that leaves open, here up to "
                f"{max(row.sees for row in own):.0e} of a gradient. Outputs on a kink are checked beside x."
            )
        return notes

    def text(self) -> str:
        """Return verdict, table and notes for people."""
        return format_table(self.verdict(), *self.table(), self.notes())

    def record(self) -> dict[str, Any]:
        """Return everything as JSON can hold it, None for what is not finite."""
        rows = [asdict(row) | {"ratio": row.ratio, "ok": row.ok} for row in self.rows]
        return {
            "subject": self.subject,
            "device": self.device,
            "dtype": self.dtype,
            "seed": self.seed,
            "directions": self.directions,
            "seconds": round(self.seconds, 3),
            "ok": self.ok,
            "verdict": self.verdict(),
            "missed_at_1000_tolerances": self.missed(),
            "rows": nan_to_none(rows),
        }


def _cells(row: Row) -> list[str]:
    numbers = [f"{row.ratio:.2g}", f"{row.ulps:.3g}", f"{row.error:.2e}", f"{row.tolerance:.2e}"]
    return [row.what, row.how, *numbers, row.where, "ok" if row.ok else "FAILED"]
