"""Linear maps along single axes, one thread an output; see ``minicnn.kernels.reference.resampling``."""

from __future__ import annotations

import math

from numba import cuda

from minicnn.kernels.cuda.arrays import DeviceArray, empty, on_device, upload_once
from minicnn.kernels.cuda.launch import divmod_u32, launch_per_value

__all__ = ["resample", "resample_input_grad"]


@cuda.jit
def _map_axis(x, y, index, weight, shape, size):
    """y[o, p, i] = sum_t weight[p, t] x[o, index[p, t], i]; ``shape`` is (n, P, T, length of i)."""
    at = cuda.grid(1)
    if at < size:
        n, outputs, taps, inner = shape
        rest, i = divmod_u32(at, inner)
        outer, p = divmod_u32(rest, outputs)
        total = x.dtype.type(0)
        for t in range(taps):
            place = index[p * taps + t]
            if place >= 0:
                total += weight[p * taps + t] * x[(outer * n + place) * inner + i]
        y[at] = total


@on_device
def resample(x, taps):
    """Linear map along each axis of the images: ``reference.resample``."""
    for axis, along in enumerate(taps, start=1):
        if along is not None:
            x = _resample_axis(x, along, axis)
    return x


def _resample_axis(x: DeviceArray, taps, axis: int) -> DeviceArray:
    y = empty((*x.shape[:axis], len(taps), *x.shape[axis + 1 :]), x.dtype)
    shape = x.shape[axis], *taps.index.shape, math.prod(x.shape[axis + 1 :])
    # a layer keeps its tables, so that they are sent once; whole numbers too, which on_device would send each time
    index, weight = upload_once(taps.index), upload_once(taps.weights_like(x.dtype))
    launch_per_value(_map_axis, y.size, x.memory, y.memory, index.memory, weight.memory, shape)
    return y


def resample_input_grad(dy, taps):
    """Gradient with respect to the input of ``resample``: ``reference.resample_input_grad``."""
    return resample(dy, [None if along is None else along.transposed for along in taps])
