"""Weights as Winograd's products take them: U[f, c, k], transformed, SPAN output channels k side by side.

Kernels are read as vectors over output channels.  Where these are the first axis of the weights, blocks of them
are transposed; where they are the second, as in an input gradient, each kernel's nine taps are, and flipped.
"""

from numba import njit

from minicnn.kernels.cpu.simd import LANES, address, prefetch, transpose
from minicnn.kernels.cpu.winograd_transforms import nine, weight_tile

__all__ = ["SPAN", "transform_weights"]

SPAN = 32  # output channels that a thread takes at a time
AHEAD = 8  # filters between the one whose kernels are asked of memory and the one that is read


@njit
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


@njit
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


@njit
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


@njit
def _fetch(weight, k, c, span):
    """Ask for the kernels of ``span`` channels from c on of filter k, which lie far from the last filter's."""
    if k < len(weight):
        for i in range(0, 9 * span, 16):
            prefetch(address(weight), 9 * (k * weight.shape[1] + c) + i)
