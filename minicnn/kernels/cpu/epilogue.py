"""What a convolution does to its values while they are at hand: after the sums, and before those of its adjoint.

    forward    y = min(max(scale[k] v + shift[k], least), most),    mask = whether the clamp lets y move
    backward   v = scale[k] dy [mask] [dy > 0]

so that scale, bias and rectifier cost no pass over memory of their own.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

__all__ = ["Epilogue", "Prologue", "finish", "prepare"]


class Epilogue(NamedTuple):
    """After a forward's sums: scale and shift of shape (K,), the ends of the clamp, a mask to fill or None."""

    scale: np.ndarray
    shift: np.ndarray
    least: float = -np.inf
    most: float = np.inf
    mask: np.ndarray | None = None


class Prologue(NamedTuple):
    """Before the sums of an adjoint: scale of shape (K,), the forward's mask or None, and the deconvnet's rule."""

    scale: np.ndarray
    mask: np.ndarray | None = None
    only_positive: bool = False


@njit
def finish(row, scale, shift, least, most, y, mask):
    """Finish one row of sums: y from ``row``, and its mask, where that is not empty."""
    least, most = np.float32(least), np.float32(most)
    for i in range(len(y)):
        v = row[i] * scale + shift
        y[i] = least if v <= least else most if v >= most else v  # NaN stays NaN
    if len(mask):
        for i in range(len(y)):
            v = row[i] * scale + shift
            mask[i] = (v > least) & ((v < most) | (most == np.inf))


@njit
def prepare(dy, scale, mask, only_positive, row):
    """Prepare one row of cotangents: ``row`` from dy, through the mask, where that is not empty."""
    if len(mask):
        for i in range(len(dy)):
            passed = mask[i] & ((dy[i] > 0) | (not only_positive))
            row[i] = dy[i] * scale if passed else np.float32(0)
    elif only_positive:
        for i in range(len(dy)):
            row[i] = dy[i] * scale if dy[i] > 0 else np.float32(0)
    else:
        for i in range(len(dy)):
            row[i] = dy[i] * scale
