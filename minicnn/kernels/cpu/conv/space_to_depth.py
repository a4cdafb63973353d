"""Convolution with a stride as one without: s x s pixels that lie side by side become s^2 channels of one place.

    x'[c s^2 + a s + b, i, j] = x[c, s i + a - top, s j + b - left]
    w'[k, c s^2 + a s + b, i, j] = w[k, c, s i + a, s j + b]    and 0 where there is no such weight
    y = x' * w'    with stride 1 and no padding

It is ONNX's SpaceToDepth, with padding.  The sum has the same terms, and some zeros; but Winograd's algorithm can
do it: 36 C multiplications an output, not 121 C, for AlexNet's first layer of 11 x 11 with stride 4.  The input
gradient goes the same way back.

Memory: a copy of x, and one of the weights.
Reference: ``reference.conv2d`` and ``reference.conv2d_input_grad``.
"""

from __future__ import annotations

import numpy as np
from numba import int64

from minicnn.kernels.cpu.conv.winograd import convolve
from minicnn.kernels.cpu.dtype import dense
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.recorder import record_call
from minicnn.kernels.cpu.simd.epilogue import Epilogue, Prologue
from minicnn.shapes import Sides

__all__ = ["forward", "input_grad"]

NO_PADDING = ((0, 0), (0, 0))


def forward(
    x: np.ndarray, weight: np.ndarray, epilogue: Epilogue, stride: int, padding: Sides, size: tuple[int, int]
) -> np.ndarray:
    """Convolution (N, K, P, Q) of ``size`` (P, Q) with its epilogue; others as in ``winograd.convolve``."""
    (top, _), (left, _) = padding
    # (N, C s^2, P + ceil(R / s) - 1, Q + ceil(S / s) - 1), the padding included
    gathered = empty((len(x), x.shape[1] * stride**2, *_gathered_size(weight, stride, size)))
    _gather(x, stride, top, left, gathered)
    return convolve.forward(gathered, _arrange_weights(weight, stride), epilogue, NO_PADDING)


def input_grad(
    dy: np.ndarray,
    weight: np.ndarray,
    prologue: Prologue,
    input_size: tuple[int, int],
    stride: int,
    padding: Sides,
) -> np.ndarray:
    """Gradient (N, C, H, W) with respect to the input; arguments as in ``winograd.convolve``."""
    (top, _), (left, _) = padding
    size = _gathered_size(weight, stride, dy.shape[2:])
    # the adjoint in reverse order: first the gradient of the gathered maps, then their pixels go back
    gathered = convolve.input_grad(dy, _arrange_weights(weight, stride), prologue, size, NO_PADDING)
    dx = empty((len(dy), weight.shape[1], *input_size))
    _scatter(gathered, stride, top, left, dx)
    return dx


def _gathered_size(weight, stride, size):
    """Height and width of the gathered maps."""
    # what P outputs need of a convolution without padding by ceil(R / s) taps
    return tuple(p + -(-r // stride) - 1 for p, r in zip(size, weight.shape[2:], strict=True))


def _arrange_weights(weight, stride):
    """Return the weights of the convolution without a stride."""
    k, c, r, s = weight.shape
    rows, columns = -(-r // stride), -(-s // stride)
    # kernels filled up with zeros to a multiple of the stride; recorded, so that a replay sees new weights
    whole = empty((k, c, rows * stride, columns * stride))
    record_call(whole.fill, 0)
    record_call(np.copyto, whole[:, :, :r, :s], weight)
    # (K, C, rows, s, columns, s) to (K, C, s, s, rows, columns): the phase becomes part of the channel
    phases = whole.reshape(k, c, rows, stride, columns, stride).transpose(0, 1, 3, 5, 2, 4)
    return dense(phases).reshape(k, c * stride**2, rows, columns)


@inner
def _inside(begin, stride, size, count):
    """Return the first and last of ``count`` steps from ``begin`` on that are inside of a row of ``size``."""
    # begin + j stride >= 0 from j = ceil(-begin / stride) on
    low = min(count, max(0, (stride - 1 - begin) // stride))
    return low, max(low, min(count, (size - begin + stride - 1) // stride))


@inner
def _gather_map(x, stride, top, left, to):
    """Fill a map with every ``stride``-th pixel of x (H, W), from above and left of it on; 0 outside of it."""
    low, high = _inside(-left, stride, x.shape[1], to.shape[1])
    for i in range(to.shape[0]):
        h = stride * i - top
        # pixels outside of x are its padding
        to[i] = 0
        if 0 <= h < x.shape[0]:
            for j in range(low, high):
                to[i, j] = x[h, stride * j - left]


@inner
def _scatter_rows(gathered, stride, top, left, x):
    """Fill every ``stride``-th row of x (H, W), from ``top`` above it on, from ``stride`` maps; 0 beyond them."""
    # the rows that ``_gather_map`` reads: (h + top) % stride == 0, row (h + top) // stride of the maps
    for h in range(-top % stride, x.shape[0], stride):
        i = (h + top) // stride
        # pixels that no window reaches have no gradient
        x[h] = 0
        # the maps end with the last window: rows below it have no source
        for b in range(stride if i < gathered.shape[1] else 0):
            low, high = _inside(b - left, stride, x.shape[1], gathered.shape[2])
            for j in range(low, high):
                x[h, b - left + stride * j] = gathered[b, i, j]


@inner
def _gather_task(task, x, stride, top, left, gathered):
    channels, phases = gathered.shape[1], stride * stride
    # map c s^2 + a s + b of image n, with phase a s + b: the corner of x moves down by a and right by b
    n, c, phase = task // channels, task % channels // phases, task % phases
    _gather_map(x[n, c], stride, top - phase // stride, left - phase % stride, gathered[n, task % channels])


@kernel(reads(4), int64, int64, int64, writes(4))
def _gather(x, stride, top, left, gathered):
    parallel_for(_gather_task, len(x) * gathered.shape[1], (x, stride, top, left, gathered))


@inner
def _scatter_task(task, gathered, stride, top, left, x):
    # row c s + a: rows of channel c with one remainder a, whose sources are s maps side by side, one for each b;
    # no pixel belongs to two tasks
    n, row = divmod(task, x.shape[1] * stride)
    maps = gathered[n, row * stride : (row + 1) * stride]
    _scatter_rows(maps, stride, top - row % stride, left, x[n, row // stride])


@kernel(reads(4), int64, int64, int64, writes(4))
def _scatter(gathered, stride, top, left, x):
    parallel_for(_scatter_task, len(x) * x.shape[1] * stride, (gathered, stride, top, left, x))
