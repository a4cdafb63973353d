"""Comparison and diagnosis as pages: the verdict, the tensors that differ first drawn side by side, the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.report import Section, colour_map, contact_sheet, write_page

if TYPE_CHECKING:
    from PIL.Image import Image

    from minicnn.verify.comparison.result import Comparison
    from minicnn.verify.diagnosis.result import Diagnosis

__all__ = ["draw_tensors", "write_comparison", "write_diagnosis"]

CHANNELS = 6  # drawn of a tensor: those that differ most
ENTRIES = 10  # listed
CELL = 200  # pixels
COLOURS = (
    "Orange is positive, blue negative, white zero; ours and theirs share one scale, the difference, ours less "
    "theirs, has its own. Drawn are the channels that differ most."
)


def write_comparison(path: PathLike, comparison: Comparison) -> None:
    """Write a comparison as one HTML file; ImageError where it can't be written."""
    good = True if comparison.ok else False if comparison.first is not None else None
    sections = [Section("Result", comparison.notes(), verdict=(good, comparison.verdict()))]
    if comparison.first is not None and comparison.tensors is not None:
        sections.append(_first_difference(comparison.first.name, *comparison.tensors))
    sections.append(Section("Every value", table=comparison.table()))
    write_page(path, f"{comparison.subject} beside {comparison.peer}", sections, embed=True)


def write_diagnosis(path: PathLike, diagnosis: Diagnosis) -> None:
    """Write a diagnosis as one HTML file; ImageError where it can't be written."""
    good = diagnosis.sound or (None if diagnosis.healed and diagnosis.weak else diagnosis.healed)
    lines = [line for line in diagnosis.text().splitlines() if line != diagnosis.verdict()]
    changes = [("change", change) for change in diagnosis.changes]
    changes += [("explains as much", change) for change in diagnosis.equivalent]
    rows = [(role, c.convention, c.what, ", ".join(c.layers)) for role, c in changes]
    table = (("", "convention", "what", "layers"), rows) if rows else None
    sections = [Section("Result", lines, table=table, verdict=(good, diagnosis.verdict()))]
    if diagnosis.first is not None and diagnosis.tensors is not None:
        sections.append(_first_difference(f"{diagnosis.first}, before any change", *diagnosis.tensors))
    write_page(path, f"{diagnosis.subject} against {diagnosis.reference}", sections, embed=True)


def _first_difference(name: str, ours: np.ndarray, theirs: np.ndarray) -> Section:
    title = f"The first difference: {name}"
    if ours.shape != theirs.shape:
        return Section(title, (f"Ours has the shape {ours.shape}, theirs {theirs.shape}.",))
    difference = np.abs(_finite(ours) - _finite(theirs))
    order = np.argsort(-difference, axis=None)[:ENTRIES]
    places = [tuple(map(int, np.unravel_index(i, ours.shape))) for i in order]
    rows = [
        (str(place), *(f"{v:.6g}" for v in (ours[place], theirs[place], ours[place] - theirs[place])))
        for place in places
    ]
    figure: Any = draw_tensors(ours, theirs)
    return Section(
        title,
        (COLOURS,),
        figures=[(figure, f"Values of {name}", "")],
        table=(("entry", "ours", "theirs", "difference"), rows),
    )


def draw_tensors(ours: np.ndarray, theirs: np.ndarray) -> Image:
    """Return the channels of two tensors of one shape (N, ...) that differ most: ours, theirs, the difference.

    Examples
    --------
    >>> x = np.zeros((1, 3, 5, 5))
    >>> draw_tensors(x, x + 1).mode
    'RGB'

    """
    a, b = _finite(ours), _finite(theirs)
    n = int(np.abs(a - b).reshape(len(a), -1).max(axis=1).argmax())
    a, b = _maps(a[n]), _maps(b[n])
    sizes = np.abs(a - b).reshape(len(a), -1).max(axis=1)
    channels = np.argsort(-sizes, kind="stable")[:CHANNELS]
    scale, largest = max(np.abs(a).max(), np.abs(b).max()) or 1.0, sizes.max() or 1.0
    rows = [[(_draw(side[c] / scale), f"channel {c}" if len(a) > 1 else "") for c in channels] for side in (a, b)]
    rows.append([(_draw((a[c] - b[c]) / largest), f"channel {c}, up to {sizes[c]:.3g}") for c in channels])
    return contact_sheet(rows, (f"ours, ±{scale:.3g}", "theirs", f"difference, ±{largest:.3g}"), cell=CELL)


def _finite(x: np.ndarray) -> np.ndarray:
    return np.nan_to_num(x.astype(np.float64), posinf=0.0, neginf=0.0)


def _maps(x: np.ndarray) -> np.ndarray:
    """Return one image's values as maps (C, H, W); rows of numbers become lines of one map."""
    if x.ndim == 3:
        return x
    if x.ndim == 2:
        return x[None]
    x = x.reshape(-1)
    width = int(np.ceil(np.sqrt(x.size)))
    return np.pad(x, (0, -x.size % width)).reshape(1, -1, width)


def _draw(values: np.ndarray) -> np.ndarray:
    """Return the colours of values in -1..1, small maps enlarged by whole pixels."""
    side = max(1, CELL // max(values.shape))
    return colour_map(values, "signed").repeat(side, 0).repeat(side, 1)
