"""Linear maps along single axes: interpolation, padding by copies, slices, adaptive averages, sums over axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn.kernels.reference.axis_taps import AxisTaps

__all__ = ["resample", "resample_input_grad"]


def resample(x: np.ndarray, taps: Sequence[AxisTaps | None]) -> np.ndarray:
    """Linear map along each axis of the images, one after the other.

    y[.., p, ..] = sum_t weight[p, t] x[.., index[p, t], ..]

    Parameters
    ----------
    x : array of shape (N, n_1, n_2, ...)
    taps : an ``AxisTaps`` for each axis but the batch's, or None for one that stays as it is

    Returns
    -------
    y : array of shape (N, P_1, P_2, ...)

    See Also
    --------
    resample_input_grad : its gradient

    Examples
    --------
    >>> mirrored = AxisTaps.select(np.array([1, 0, 1]), 2)
    >>> resample(np.array([[[1.0, 2.0]]]), (None, mirrored)).tolist()
    [[[2.0, 1.0, 2.0]]]

    """
    y = x
    for axis, along in enumerate(taps, start=1):
        if along is not None:
            y = _map_axis(y, along, axis)
    return y.copy() if y is x else y


def resample_input_grad(dy: np.ndarray, taps: Sequence[AxisTaps | None]) -> np.ndarray:
    """Gradient with respect to the input of ``resample``: the transposed maps, which gather too.

    Examples
    --------
    >>> mirrored = AxisTaps.select(np.array([1, 0, 1]), 2)
    >>> resample_input_grad(np.array([[[1.0, 2.0, 4.0]]]), (None, mirrored)).tolist()
    [[[2.0, 5.0]]]

    """
    return resample(dy, [None if along is None else along.transposed for along in taps])


def _map_axis(x: np.ndarray, taps: AxisTaps, axis: int) -> np.ndarray:
    y = _read_tap(x, taps, axis, 0)
    for t in range(1, taps.index.shape[1]):
        y += _read_tap(x, taps, axis, t)
    return y


def _read_tap(x: np.ndarray, taps: AxisTaps, axis: int, t: int) -> np.ndarray:
    """Return tap t of all outputs along an axis, weighted."""
    index, weight = taps.index[:, t], taps.weights_like(x.dtype)[:, t]
    part = np.take(x, np.maximum(index, 0), axis)
    # set, not multiplied by 0: an infinite value times 0 is NaN
    if (index < 0).any():
        part[(slice(None),) * axis + (index < 0,)] = 0
    if not (weight == 1).all():
        part *= weight.reshape(-1, *[1] * (x.ndim - axis - 1))
    return part
