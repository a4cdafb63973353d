"""Parts of maps along an axis: slices, selected places, repetition of a single one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.kernels.reference.axis_taps import AxisTaps
from minicnn.layers.base import Shape
from minicnn.layers.resampling.base import Resample, Taps, check_length

__all__ = ["Expand", "IndexSelect", "Slice", "image_axis"]


def image_axis(layer: str, dim: Any, rank: int) -> int:
    """Return which axis of an image ``dim`` means, 0 the first; ``dim`` counts the batch, or from the end."""
    if not isinstance(dim, int) or not (0 < dim <= rank or -rank <= dim < 0):
        raise ShapeError(f"{layer}: dim {dim!r}: expected an axis behind the batch's of {rank + 1}")
    return dim - 1 if dim > 0 else dim + rank


@dataclass(frozen=True, eq=False, repr=False)
class Slice(Resample, capturable=True):
    """Places start, start + step, ... before ``stop`` along one axis, as Python slices a list.

    Parameters
    ----------
    dim : int
        The axis; 1 is that of the channels, negative numbers count from the last.
    start, stop : int, optional
        From the first and to the last unless given; negative numbers count from the end.
    step : int
        Not 0; below 0 it runs backwards.

    Raises
    ------
    ShapeError
        If ``step`` is 0, there is no such axis, or nothing is left.

    See Also
    --------
    torch.narrow, torch.chunk : the same in PyTorch, with step 1

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Slice(-1, 1, None, 2)])(np.array([[[[1.0, 2.0, 3.0, 4.0]]]])).tolist()
    [[[[2.0, 4.0]]]]

    """

    dim: int
    start: int | None = None
    stop: int | None = None
    step: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.step, int) or not self.step:
            raise ShapeError(f"Slice: step: expected a whole number other than 0, got {self.step!r}")
        if not all(n is None or isinstance(n, int) for n in (self.start, self.stop)):
            raise ShapeError(f"Slice: expected whole numbers, got {self.start!r} and {self.stop!r}")

    def taps(self, shape: Shape) -> Taps:
        axis = image_axis("Slice", self.dim, len(shape))
        kept = range(shape[axis])[self.start : self.stop : self.step]
        if not kept:
            raise ShapeError(f"Slice: {self.start} to {self.stop} of axis {self.dim} leaves nothing of {shape}")
        return _along(axis, len(shape), None if kept == range(shape[axis]) else _selected(kept, shape[axis]))


@dataclass(frozen=True, eq=False, repr=False)
class IndexSelect(Resample, capturable=True):
    """Places of one axis by their numbers, in any order, more than once if wanted.

    Parameters
    ----------
    dim : int
        The axis; 1 is that of the channels, negative numbers count from the last.
    index : tuple of int
        Negative ones count from the end.

    Raises
    ------
    ShapeError
        If there is no such axis or no such place.

    See Also
    --------
    torch.index_select : the same in PyTorch

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.IndexSelect(1, (2, 0))])(np.array([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 1.0]]

    """

    dim: int
    index: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.index, tuple | list) or not all(isinstance(i, int) for i in self.index):
            raise ShapeError(f"IndexSelect: index: expected whole numbers, got {self.index!r}")
        object.__setattr__(self, "index", tuple(self.index))

    def taps(self, shape: Shape) -> Taps:
        axis = image_axis("IndexSelect", self.dim, len(shape))
        size = shape[axis]
        if not self.index or min(self.index) < -size or max(self.index) >= size:
            raise ShapeError(f"IndexSelect: expected places of an axis of {size}, got {self.index}")
        return _along(axis, len(shape), _selected(tuple(i % size for i in self.index), size))


@dataclass(frozen=True, eq=False, repr=False)
class Expand(Resample, capturable=True):
    """Axes of length 1 repeated: to ``shape``, or to what is there where that says -1.

    Parameters
    ----------
    shape : tuple of int
        Of an image, without the batch axis.

    Raises
    ------
    ShapeError
        If an axis of another length would have to grow.

    See Also
    --------
    torch.Tensor.expand : the same in PyTorch, which counts the batch axis

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Expand((1, 2, -1))])(np.array([[[[1.0, 2.0]]]])).tolist()
    [[[[1.0, 2.0], [1.0, 2.0]]]]

    """

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        valid = isinstance(self.shape, tuple | list) and all(isinstance(n, int) for n in self.shape)
        if not valid or not all(n == -1 or n >= 1 for n in self.shape):
            raise ShapeError(f"Expand: shape: expected whole numbers >= 1, or -1, got {self.shape!r}")
        check_length(max(self.shape, default=1))  # before as many places are listed
        object.__setattr__(self, "shape", tuple(self.shape))

    def taps(self, shape: Shape) -> Taps:
        if len(shape) != len(self.shape) or any(n not in (-1, old) and old != 1 for n, old in _both(self, shape)):
            raise ShapeError(f"Expand: {shape} can't be repeated to {self.shape}")
        return tuple(_selected((0,) * new, 1) if old == 1 and new > 1 else None for new, old in _both(self, shape))


def _both(layer: Expand, shape: Shape) -> list[tuple[int, int]]:
    return list(zip(layer.shape, shape, strict=True))


def _along(axis: int, rank: int, taps: AxisTaps | None) -> Taps:
    return tuple(taps if i == axis else None for i in range(rank))


@lru_cache(256)
def _selected(places: tuple[int, ...] | range, size: int) -> AxisTaps:
    check_length(len(places))
    return AxisTaps.select(np.array(places), size)
