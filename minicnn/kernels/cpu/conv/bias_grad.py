"""Gradient with respect to the bias of a convolution: the sum of each channel, over images and pixels."""

import numpy as np

from minicnn.kernels import reference
from minicnn.kernels.cpu.dtype import dense, float32_or
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.simd.vector import LANES, address, broadcast, horizontal_sum, load, load_scalar

__all__ = ["conv2d_bias_grad"]


@float32_or(reference.conv2d_bias_grad)
def conv2d_bias_grad(dy: np.ndarray) -> np.ndarray:
    """Gradient with respect to the bias, as ``reference.conv2d_bias_grad``."""
    n, k, height, width = dy.shape
    dbias = np.empty(k, np.float32)
    # (N, K, P Q): the pixels of a map in one run
    _bias_grad(dense(dy).reshape(n, k, height * width), dbias)
    return dbias


@inner
def _sum_channel(c, dy, dbias):
    """Add in vectors, first the pixels of an image, then images, so that no sum has very many terms."""
    images, channels, pixels = dy.shape
    sums, tail = broadcast(0), 0.0
    for n in range(images):
        # map c of image n starts at float ``at``
        at, image_sums = (n * channels + c) * pixels, broadcast(0)
        for i in range(0, pixels - LANES + 1, LANES):
            image_sums = image_sums + load(address(dy), at + i)
        # pixels beyond whole vectors: a vector from here on would read into the next map
        for i in range(pixels // LANES * LANES, pixels):
            tail += load_scalar(address(dy), at + i)
        sums = sums + image_sums
    dbias[c] = tail + horizontal_sum(sums)


@kernel(reads(3), writes(1))
def _bias_grad(dy, dbias):
    # one task a channel: its sum has the same order whatever the number of threads
    parallel_for(_sum_channel, len(dbias), (dy, dbias))
