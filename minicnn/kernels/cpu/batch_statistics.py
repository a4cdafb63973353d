"""Batch normalisation by the batch's own statistics, as training uses it.

Schedule: a task a channel, whose values are added in vectors, the pixels of an image first, then the images; then
each value is one multiplication with addition (forward) or two (gradient).
Memory: y or dx.
Gain: NumPy makes a pass over memory for each of some eight steps, and none of its sums is shared among threads.
Reference: ``reference.batch_norm2d_training``, its gradient, and ``reference.batch_norm2d_weight_grad``.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels import reference
from minicnn.kernels.cpu.conv.bias_grad import conv2d_bias_grad
from minicnn.kernels.cpu.dtype import dense, float32_or
from minicnn.kernels.cpu.normalisation import batch_norm2d
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.simd.vector import LANES, address, broadcast, fma, horizontal_sum, load, load_scalar

__all__ = [
    "batch_norm2d_bias_grad",
    "batch_norm2d_training",
    "batch_norm2d_training_bias_grad",
    "batch_norm2d_training_input_grad",
    "batch_norm2d_training_weight_grad",
    "batch_norm2d_weight_grad",
]

# a sum over images and pixels, whatever the layer
batch_norm2d_bias_grad = batch_norm2d_training_bias_grad = conv2d_bias_grad


@float32_or(reference.batch_norm2d_training)
def batch_norm2d_training(
    x: np.ndarray, weight: np.ndarray | None = None, bias: np.ndarray | None = None, *, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Batch normalisation with the batch's statistics, as ``reference.batch_norm2d_training``."""
    values = np.float32(x.size // x.shape[1])
    # the mean first: a variance from sums of squares would lose what the mean is larger than the spread
    mean = conv2d_bias_grad(x) / values
    var = _sum_products(x, mean, x, mean) / values
    return batch_norm2d(x, mean, var, weight, bias, eps=eps), mean, var


@float32_or(reference.batch_norm2d_training_input_grad)
def batch_norm2d_training_input_grad(
    x: np.ndarray,
    dy: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    weight: np.ndarray | None,
    dweight: np.ndarray,
    dbias: np.ndarray,
    *,
    eps: float = 1e-5,
) -> np.ndarray:
    """Gradient with respect to the input, as ``reference``'s, as one dx = slope dy + curve x + shift."""
    # weight / sqrt(var + eps) (dy - (dbias + z dweight) / M), multiplied out in float64, a number a channel
    mean, deviation = mean.astype(np.float64), np.sqrt(var.astype(np.float64) + eps)
    slope = (1.0 if weight is None else weight) / deviation
    curve = -slope * dweight / (deviation * (x.size // x.shape[1]))
    shift = -slope * dbias / (x.size // x.shape[1]) - curve * mean
    dx = empty(x.shape)
    factors = (factor.astype(np.float32) for factor in (slope, curve, shift))
    _combine(_maps(dy), _maps(x), *factors, _maps(dx))
    return dx


@float32_or(reference.batch_norm2d_weight_grad)
def batch_norm2d_weight_grad(
    x: np.ndarray, dy: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray, *, eps: float = 1e-5
) -> np.ndarray:
    """Gradient with respect to the weight, as ``reference.batch_norm2d_weight_grad``."""
    sums = _sum_products(x, running_mean, dy, np.zeros_like(running_mean))
    return (sums / np.sqrt(running_var.astype(np.float64) + eps)).astype(np.float32)


@float32_or(reference.batch_norm2d_training_weight_grad)
def batch_norm2d_training_weight_grad(
    x: np.ndarray, dy: np.ndarray, mean: np.ndarray, var: np.ndarray, *, eps: float = 1e-5
) -> np.ndarray:
    """Gradient with respect to the weight, as ``reference.batch_norm2d_training_weight_grad``."""
    return batch_norm2d_weight_grad(x, dy, mean, var, eps=eps)


def _maps(array):
    """(N, C, H, W) as (N, C, H W)."""
    return dense(array).reshape(*array.shape[:2], -1)


def _sum_products(x, x_shift, y, y_shift):
    """Sum over images and pixels of (x - x_shift) (y - y_shift), of shape (C,)."""
    sums = np.empty(x.shape[1], np.float32)
    _channel_products(_maps(x), dense(x_shift), _maps(y), dense(y_shift), sums)
    return sums


@inner
def _channel_product(c, x, x_shift, y, y_shift, sums):
    """Add in vectors, first the pixels of an image, then images, so that no sum has very many terms."""
    images, channels, pixels = x.shape
    total, tail = broadcast(0), 0.0
    minus_x, minus_y = broadcast(-x_shift[c]), broadcast(-y_shift[c])
    for n in range(images):
        # map c of image n starts at float ``at``
        at, of_image = (n * channels + c) * pixels, broadcast(0)
        for i in range(0, pixels - LANES + 1, LANES):
            a, b = load(address(x), at + i) + minus_x, load(address(y), at + i) + minus_y
            of_image = fma(a, b, of_image)
        # pixels beyond whole vectors: a vector from here on would read into the next map
        for i in range(pixels // LANES * LANES, pixels):
            a, b = load_scalar(address(x), at + i) - x_shift[c], load_scalar(address(y), at + i) - y_shift[c]
            tail += a * b
        total = total + of_image
    sums[c] = tail + horizontal_sum(total)


@kernel(reads(3), reads(1), reads(3), reads(1), writes(1))
def _channel_products(x, x_shift, y, y_shift, sums):
    # one task a channel: its sum has the same order whatever the number of threads
    parallel_for(_channel_product, len(sums), (x, x_shift, y, y_shift, sums))


@inner
def _combine_map(map, dy, x, slope, curve, shift, dx):
    n, c = divmod(map, x.shape[1])
    for i in range(x.shape[2]):
        dx[n, c, i] = dy[n, c, i] * slope[c] + (x[n, c, i] * curve[c] + shift[c])


@kernel(reads(3), reads(3), reads(1), reads(1), reads(1), writes(3))
def _combine(dy, x, slope, curve, shift, dx):
    parallel_for(_combine_map, x.shape[0] * x.shape[1], (dy, x, slope, curve, shift, dx))
