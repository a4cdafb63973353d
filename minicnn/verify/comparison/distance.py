"""How far two arrays are apart, and when arrays of different shapes hold the same numbers."""

from __future__ import annotations

from math import prod

import numpy as np

from minicnn._utils.types import Shape
from minicnn.verify.probe import Value

__all__ = [
    "BINS",
    "distance",
    "largest_ulps",
    "read_as",
    "readable_as",
    "relative_distance",
    "relative_error",
    "ulps_histogram",
]

BINS = (0, 1, 4, 16, 64, 256, 4096)  # units in the last place; one more bin for what is beyond


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference over the largest value; infinity where one is NaN, or the shapes differ.

    Examples
    --------
    >>> relative_error(np.array([1.0, 4.0]), np.array([1.0, 3.0]))
    0.25

    Shapes that merely broadcast are not equal.

    >>> relative_error(np.ones((2, 3)), np.ones((1, 3)))
    inf

    """
    if a.shape != b.shape or a.size == 0:
        return float("inf")
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        scale, difference = max(np.abs(a).max(), np.abs(b).max()), np.abs(a - b).max()
        # equal arrays of zeros have no error, rather than 0 / 0
        error = float(difference / scale) if difference else 0.0
    return error if np.isfinite(error) else float("inf")


def relative_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return |a - b| / |b|, Euclidean lengths, which a few units across their kink change little."""
    if a.shape != b.shape or a.size == 0:
        return float("inf")
    a, b = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.linalg.norm(a - b)
        error = float(difference / np.linalg.norm(b)) if difference else 0.0
    return error if np.isfinite(error) else float("inf")


def _ulps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.shape != b.shape:
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


def readable_as(theirs: Shape, ours: Shape) -> str | None:
    """Return how values of one shape are read in another: "" as they are, "rows", "channels last"; None if not.

    Each image keeps its own values: a row of them and maps are the same in row order, N x H x W x C and
    N x C x H x W but for their layout.  Nothing is broadcast, and no axis of the batch made up.

    Examples
    --------
    >>> readable_as((2, 10, 1, 1), (2, 10)), readable_as((2, 4, 4, 3), (2, 3, 4, 4)), readable_as((10,), (1, 10))
    ('rows', 'channels last', None)

    """
    if theirs == ours:
        return ""
    if min(len(theirs), len(ours)) < 2 or theirs[0] != ours[0] or prod(theirs) != prod(ours):
        return None
    if len(theirs) == 2 or len(ours) == 2 or _strip_trailing_ones(theirs) == _strip_trailing_ones(ours):
        return "rows"
    last = len(theirs) == len(ours) > 2 and (theirs[0], theirs[-1], *theirs[1:-1]) == ours
    return "channels last" if last else None


def read_as(theirs: Value, ours: Shape) -> Value:
    """Return a peer's value in the shape of ours, the given shape beside it; as it is where it can't be."""
    how, array = readable_as(theirs.array.shape, ours), theirs.array
    if not how:
        return theirs
    array = np.moveaxis(array, -1, 1) if how == "channels last" else array
    return theirs._replace(array=array.reshape(ours), given=theirs.array.shape)


def distance(ours: np.ndarray, theirs: Value) -> float:
    """Return the relative error of a peer's value, read in our shape."""
    return relative_error(ours, read_as(theirs, ours.shape).array)


def _strip_trailing_ones(shape: Shape) -> Shape:
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
