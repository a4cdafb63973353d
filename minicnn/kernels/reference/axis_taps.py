"""A linear map along one axis as a table: which inputs each output reads, and with what weight."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["AxisTaps"]


@dataclass(frozen=True, eq=False)
class AxisTaps:
    """y_p = sum_t weight[p, t] x[index[p, t]] for the P outputs along an axis of n inputs.

    Attributes
    ----------
    index : int array of shape (P, T)
        Places in the input; -1 where an output has fewer than T taps, or none at all, so that it is 0.
    weight : float64 array of shape (P, T)
    size : int
        n.

    Examples
    --------
    Means of two neighbours, and the transposed map, which gives each value back to both of them:

    >>> taps = AxisTaps(np.array([[0, 1], [1, 2]]), np.full((2, 2), 0.5), 3)
    >>> taps.transposed.index.tolist(), taps.transposed.weight.tolist()
    ([[0, -1], [0, 1], [1, -1]], [[0.5, 0.0], [0.5, 0.5], [0.5, 0.0]])

    """

    index: np.ndarray
    weight: np.ndarray
    size: int

    @classmethod
    def select(cls, index: np.ndarray, size: int) -> AxisTaps:
        """Return the map that only moves values: output p is input index[p], or 0 where that is -1."""
        column = np.asarray(index, np.int64).reshape(-1, 1)
        return cls(column, (column >= 0).astype(np.float64), size)

    def __len__(self) -> int:
        """Return the number of outputs."""
        return len(self.index)

    @cached_property
    def _single(self) -> np.ndarray:
        return self.weight.astype(np.float32)

    def weights_like(self, dtype: np.dtype) -> np.ndarray:
        """Return the weights in the dtype of the values that they multiply."""
        return self._single if dtype == np.float32 else self.weight

    @cached_property
    def transposed(self) -> AxisTaps:
        """The transposed map: for each of the n inputs the outputs that read it, in their order."""
        output, tap = np.nonzero(self.index >= 0)
        source = self.index[output, tap]
        order = np.argsort(source, kind="stable")
        # the k-th reader of an input has column k
        counts = np.bincount(source, minlength=self.size)
        column = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (self.size, max(int(counts.max(initial=0)), 1))
        index, weight = np.full(shape, -1, np.int64), np.zeros(shape)
        index[source[order], column] = output[order]
        weight[source[order], column] = self.weight[output, tap][order]
        return AxisTaps(index, weight, len(self))
