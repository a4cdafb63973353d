"""Weights as Winograd's products take them: U[f, c, k], transformed, SPAN output channels k side by side.

Kernels are read as vectors over output channels.  Where these are the first axis of the weights, blocks of them
are transposed; where they are the second, as in an input gradient, each kernel's nine taps are, and flipped.
"""

import numpy as np
from numba import boolean, int64

from minicnn.kernels.cpu.conv.winograd.transforms import nine, weight_tile
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.simd.vector import LANES, address, load_scalar, prefetch, store_scalar, transpose

__all__ = ["SPAN", "in_blocks", "transform_weights"]

SPAN = 32  # output channels that a thread takes at a time
AHEAD = 8  # filters between the one whose kernels are asked of memory and the one that is read


def in_blocks(weight, flipped):
    """Cut kernels into blocks of 3x3; return weights of so many times the input channels, and (down, across).

    The input channels of the first block come first.  Where kernels are ``flipped`` afterwards, and the input
    channels are the first axis, blocks are cut from the flipped kernels.
    """
    k, c, r, s = weight.shape
    down, across = -(-r // 3), -(-s // 3)
    if (r, s) == (3, 3):
        return weight, (down, across)
    parts = down * across
    cut = empty((parts * k, c, 3, 3) if flipped else (k, parts * c, 3, 3))
    _cut(weight, flipped, cut.reshape(parts, k, c, 9) if flipped else cut.reshape(k, parts, c, 9), across)
    return cut, (down, across)


@inner
def _cut_kernels(kernels, top, left, taps):
    """Write the 3x3 taps from ``top`` and ``left`` on of some kernels (C, R, S), 0 where there are none.

    Nine times the same question for each kernel is faster than loops over the taps that there are: the compiler
    makes one run of it, and the processor knows the answers.
    """
    channels, height, width = kernels.shape
    of, to = address(kernels), address(taps)
    for c in range(channels):
        at = (c * height + top) * width + left
        for r in range(3):
            for s in range(3):
                inside = 0 <= top + r < height and 0 <= left + s < width
                store_scalar(
                    to, 9 * c + 3 * r + s, load_scalar(of, at + r * width + s) if inside else np.float32(0)
                )


@inner
def _cut_filter(k, weight, flipped, cut, across):
    for block in range(cut.shape[0] if flipped else cut.shape[1]):
        top, left = 3 * (block // across), 3 * (block % across)
        if flipped:
            top, left = weight.shape[2] - 3 - top, weight.shape[3] - 3 - left
        _cut_kernels(weight[k], top, left, cut[block, k] if flipped else cut[k, block])


@kernel(reads(4), boolean, writes(4), int64)
def _cut(weight, flipped, cut, across):
    parallel_for(_cut_filter, len(weight), (weight, flipped, cut, across))


@inner
def transform_weights(weight, flipped, k, span, begin, end, u, apart, buffer):
    """Transform the kernels of ``span`` output channels from k on and of some input channels: U[f, c, k]."""
    taps = address(buffer)
    for c in range(begin, end, 1 if flipped else LANES):
        if flipped:
            _fetch(weight, c + AHEAD, k, span)
        for first in range(k, k + span, LANES):
            tile = u + 4 * (SPAN * (c - begin) + first - k)
            if flipped:
                _read_flipped(weight, c, first, buffer)
                weight_tile(nine(taps, 8 * LANES, -LANES), tile, apart)
            else:
                _read_kernels(weight, first, c, buffer)
                for j in range(min(LANES, end - c)):
                    weight_tile(nine(taps, 9 * LANES * j, LANES), tile + 4 * SPAN * j, apart)


@inner
def _read_kernels(weight, k, c, buffer):
    """Read LANES kernels from k on, of LANES channels from c on: the nine taps of a channel as vectors over k."""
    filters, channels = weight.shape[:2]
    at = 9 * (k * channels + c)
    if k + LANES <= filters and c + LANES <= channels:
        for i in range(0, 9 * LANES, LANES):
            transpose(address(weight), at + i, 9 * channels, address(buffer), LANES * i)
    else:
        for i in range(min(LANES, filters - k)):
            for j in range(9 * min(LANES, channels - c)):
                buffer[LANES * j + i] = weight.reshape(-1)[at + 9 * channels * i + j]


@inner
def _read_flipped(weight, k, c, buffer):
    """Read LANES kernels of filter k from channel c on: the nine taps as vectors over c."""
    channels = weight.shape[1]
    at, whole = 9 * (k * channels + c), (9 + LANES - 1) // LANES * LANES
    if at + 9 * (LANES - 1) + whole <= weight.size:
        for tap in range(0, whole, LANES):
            transpose(address(weight), at + tap, 9, address(buffer), LANES * tap)
    else:  # too near to the end of memory to read whole vectors
        for i in range(min(LANES, channels - c)):
            for tap in range(9):
                buffer[LANES * tap + i] = weight.reshape(-1)[at + 9 * i + tap]


@inner
def _fetch(weight, k, c, span):
    """Ask for the kernels of ``span`` channels from c on of filter k, which lie far from the last filter's."""
    if k < len(weight):
        for i in range(0, 9 * span, 16):
            prefetch(address(weight), 9 * (k * weight.shape[1] + c) + i)
