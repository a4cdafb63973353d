"""What becomes of a convolution's sum before it is written: scale, shift, clip, and the rectifier's mask."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from minicnn.kernels.cuda.arrays import DeviceArray, empty
from minicnn.kernels.cuda.launch import OptionalArray, optional, scalar_like

__all__ = ["Epilogue", "clip_with_mask", "make_epilogue"]


class Epilogue(NamedTuple):
    """Affine map and rectifier behind a convolution, y[k] = min(max(scale[k] sum + shift[k], 0), clip_max).

    Attributes
    ----------
    scale, shift : of shape (K,)
    mask : of y's shape, bool; written, and y clipped, where it is given
    clip_max : scalar of y's dtype

    """

    scale: OptionalArray
    shift: OptionalArray
    mask: OptionalArray
    clip_max: Any


def make_epilogue(
    like: DeviceArray,
    scale: DeviceArray | None = None,
    shift: DeviceArray | None = None,
    mask: DeviceArray | None = None,
    clip_max: float = np.inf,
) -> Epilogue:
    """Return the epilogue for sums of the dtype of ``like``; what is None is left out."""
    # a stand-in of the mask's dtype: the kernel is compiled for an array of bools either way
    no_mask = empty((1,), np.bool_)
    return Epilogue(
        optional(scale, like), optional(shift, like), optional(mask, no_mask), scalar_like(like, clip_max)
    )


@cuda.jit(device=True)
def clip_with_mask(value, zero, at, epilogue):
    """Return min(max(value, 0), clip_max), and note in the mask at ``at`` whether the value lies between."""
    epilogue.mask.values[at] = value > zero and value < epilogue.clip_max
    # comparisons, so that a NaN passes through: min and max may drop it
    return zero if value < zero else (epilogue.clip_max if value > epilogue.clip_max else value)
