"""Weights as Winograd's products take them: U[f, c, k], transformed, SPAN output channels k side by side.

Kernels are read as vectors over output channels.  Where these are the first axis of the weights, blocks of them
are transposed; where they are the second, as in an input gradient, each kernel's nine taps are, and flipped.

Weights are transformed in each pass, by the thread that multiplies with them: kept, they would take four times
the memory, and reading them would cost what transforming them does.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, int64

from minicnn.kernels.cpu.conv.winograd.transforms import load_9, transform_kernels
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.simd.pointers import offset
from minicnn.kernels.cpu.simd.vector import LANES, address, load_scalar, prefetch, store_scalar, transpose

__all__ = ["SPAN", "cut_into_blocks", "transform_weights"]

SPAN = 32  # output channels that a thread takes at a time
PREFETCHED = 8  # filters between the one whose kernels are prefetched and the one that is read


def cut_into_blocks(weight: np.ndarray, flipped: bool) -> tuple[np.ndarray, tuple[int, int]]:
    """Cut kernels into blocks of 3x3; return weights of so many times the input channels, and (rows, columns).

    The input channels of the first block come first.  Where kernels are ``flipped`` afterwards, and the input
    channels are the first axis, blocks are cut from the flipped kernels.
    """
    k, c, r, s = weight.shape
    blocks_h, blocks_w = -(-r // 3), -(-s // 3)
    if (r, s) == (3, 3):
        return weight, (blocks_h, blocks_w)
    blocks = blocks_h * blocks_w
    # blocks multiply the axis of the input channels, which is the first one if kernels are flipped
    cut = empty((blocks * k, c, 3, 3) if flipped else (k, blocks * c, 3, 3))
    _cut(weight, flipped, cut.reshape(blocks, k, c, 9) if flipped else cut.reshape(k, blocks, c, 9), blocks_w)
    return cut, (blocks_h, blocks_w)


@inner
def _cut_kernels(kernels, top, left, taps):
    """Write the 3x3 taps from ``top`` and ``left`` on of some kernels (C, R, S), 0 where there are none.

    Nine times the same question for each kernel is faster than loops over the taps that there are: the compiler
    makes one run of it, and the processor predicts the answers.
    """
    channels, height, width = kernels.shape
    source, target = address(kernels), address(taps)
    for c in range(channels):
        # tap (top, left) of kernel c; for a block that begins outside of the kernel, not a tap of it
        at = (c * height + top) * width + left
        for r in range(3):
            for s in range(3):
                inside = 0 <= top + r < height and 0 <= left + s < width
                tap = load_scalar(source, at + r * width + s) if inside else np.float32(0)
                store_scalar(target, 9 * c + 3 * r + s, tap)


@inner
def _cut_filter(k, weight, flipped, cut, blocks_w):
    for block in range(cut.shape[0] if flipped else cut.shape[1]):
        top, left = 3 * (block // blocks_w), 3 * (block % blocks_w)
        # taps are flipped later: the flipped kernel's first block is the last three rows and columns of this one
        if flipped:
            top, left = weight.shape[2] - 3 - top, weight.shape[3] - 3 - left
        _cut_kernels(weight[k], top, left, cut[block, k] if flipped else cut[k, block])


@kernel(reads(4), boolean, writes(4), int64)
def _cut(weight, flipped, cut, blocks_w):
    parallel_for(_cut_filter, len(weight), (weight, flipped, cut, blocks_w))


@inner
def transform_weights(weight, flipped, outputs, inputs, u, stride, buffer):
    """Transform the kernels of some output and input channels, U[f, c, k], from the address u on.

    outputs : first output channel, and how many
    inputs : first and last input channel
    stride : floats from one element f to the next
    buffer : array of 9 LANES^2 floats
    """
    (k, span), (begin, end), taps = outputs, inputs, address(buffer)
    # unflipped, LANES input channels are transposed at once; flipped, a filter is one input channel
    for c in range(begin, end, 1 if flipped else LANES):
        if flipped:
            _prefetch_kernels(weight, c + PREFETCHED, k, span)
        for first in range(k, k + span, LANES):
            # U[0, c - begin, first - k]
            tile = offset(u, SPAN * (c - begin) + first - k)
            if flipped:
                _read_flipped(weight, c, first, buffer)
                # from the ninth tap to the first: the kernel flipped
                transform_kernels(load_9(taps, 8 * LANES, -LANES), tile, stride)
            else:
                _read_kernels(weight, first, c, buffer)
                # taps 9 j to 9 j + 8 of the transposed block are input channel c + j
                for j in range(min(LANES, end - c)):
                    transform_kernels(load_9(taps, 9 * LANES * j, LANES), offset(tile, SPAN * j), stride)


@inner
def _read_kernels(weight, k, c, buffer):
    """Read LANES kernels from k on, of LANES channels from c on: the nine taps of a channel as vectors over k."""
    filters, channels = weight.shape[:2]
    # kernels (K, C, 9): filter k's run of LANES channels starts here, the next filter's 9 C floats further
    at = 9 * (k * channels + c)
    if k + LANES <= filters and c + LANES <= channels:
        # (LANES filters, 9 LANES taps) becomes (9 LANES taps, LANES filters), a square at a time
        for i in range(0, 9 * LANES, LANES):
            transpose(address(weight), at + i, 9 * channels, address(buffer), LANES * i)
    else:
        # the last filters or channels fill no whole square; lanes that stay unset give outputs that nobody reads
        for i in range(min(LANES, filters - k)):
            for j in range(9 * min(LANES, channels - c)):
                buffer[LANES * j + i] = weight.reshape(-1)[at + 9 * channels * i + j]


@inner
def _read_flipped(weight, k, c, buffer):
    """Read LANES kernels of filter k from channel c on: the nine taps as vectors over c."""
    channels = weight.shape[1]
    # nine taps in whole vectors: those behind the ninth are read, too, and not used
    at, whole = 9 * (k * channels + c), (9 + LANES - 1) // LANES * LANES
    if at + 9 * (LANES - 1) + whole <= weight.size:
        for tap in range(0, whole, LANES):
            transpose(address(weight), at + tap, 9, address(buffer), LANES * tap)
    else:  # too near to the end of memory to read whole vectors
        for i in range(min(LANES, channels - c)):
            for tap in range(9):
                buffer[LANES * tap + i] = weight.reshape(-1)[at + 9 * i + tap]


@inner
def _prefetch_kernels(weight, k, c, span):
    """Prefetch the kernels of ``span`` channels from c on of filter k, which lie far from the last filter's."""
    if k < len(weight):
        # 16 floats are a cache line
        for i in range(0, 9 * span, 16):
            prefetch(address(weight), 9 * (k * weight.shape[1] + c) + i)
