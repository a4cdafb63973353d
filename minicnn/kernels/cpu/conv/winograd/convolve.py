"""Convolution with stride 1, by Winograd's F(4x4, 3x3): 36 multiplications for 16 outputs, not 144.

    M[f] = U[f] V[f]    for each of the 36 elements f of a tile: U (K, C) of weights, V (C, T) of inputs, M (K, T)

Schedule: tiles are numbered over images, rows and columns of them.  First all threads transform the inputs of some
tiles, one channel at a time.  Then each takes some output channels and some tiles: it transforms the weights of
these channels, and takes their products, a few tiles at a time, through the last transform and the epilogue.

Memory: V of 1.8 million floats at most, which all threads share; for each thread U, and M of a few tiles, which
never leave a core's cache.  Where the U of many input channels would not fit there, they come in parts, and
products are added up.

A larger kernel is cut into blocks of 3x3, filled up with zeros: the sum of their convolutions, each of x moved by
where its block lies, is one convolution of so many times the channels.  A 5x5 kernel takes 144 multiplications
for 16 outputs that way, not 400: as few as F(2x2, 5x5) would take, with transforms that are here already.

The input gradient is the convolution of dy by flipped kernels, channels exchanged, with padding R - 1 - padding.

Reference: ``reference.conv2d`` and ``reference.conv2d_input_grad``.
Source: Lavin, Gray 2015, "Fast Algorithms for Convolutional Neural Networks".
"""

from __future__ import annotations

import numpy as np
from numba import int64

from minicnn.kernels.cpu.conv.winograd.products import M_STRIDE, WIDTH, multiply_outputs
from minicnn.kernels.cpu.conv.winograd.tiles import (
    TILES,
    Tiles,
    element_stride,
    plan_tiles,
    read_tiles,
    source_maps,
)
from minicnn.kernels.cpu.conv.winograd.weights import SPAN, cut_into_blocks
from minicnn.kernels.cpu.dtype import constant, dense
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.thread_pool import num_threads
from minicnn.kernels.cpu.runtime.work_stealing import new_counter, take
from minicnn.kernels.cpu.simd.epilogue import PROLOGUE, Epilogue, Prologue, view_prologue
from minicnn.kernels.cpu.simd.pointers import float_pointer
from minicnn.kernels.cpu.simd.vector import LANES
from minicnn.shapes import Sides

__all__ = ["forward", "input_grad", "transform_inputs"]

WEIGHTS = 5 << 15  # floats of transformed weights that stay in a core's cache
PART = 64  # input channels at a time, where the weights of all do not stay there
TASKS = 4  # for each thread, so that none waits long for another's last one
KEPT = 7 << 18  # floats of transformed inputs that are kept at a time: with the rest they fit a shared cache


def forward(x: np.ndarray, weight: np.ndarray, epilogue: Epilogue, padding: Sides) -> np.ndarray:
    """Convolution with its epilogue.

    Parameters
    ----------
    x : float32 array of shape (N, C, H, W)
    weight : float32 array of shape (K, C, R, S)
    epilogue : ``Epilogue``; its mask, where there is one, is filled
    padding : ((top, bottom), (left, right))

    Returns
    -------
    y : array of shape (N, K, H + top + bottom - R + 1, W + left + right - S + 1)

    """
    (top, bottom), (left, right) = padding
    n, c, height, width = x.shape
    k, _, r, s = weight.shape
    y = empty((n, k, height + top + bottom - r + 1, width + left + right - s + 1))
    _convolve(x, Prologue(constant(1, c)), weight, False, (top, left), epilogue, y)
    return y


def input_grad(
    dy: np.ndarray, weight: np.ndarray, prologue: Prologue, input_size: tuple[int, int], padding: Sides
) -> np.ndarray:
    """Gradient with respect to the input: dx[c] = sum_k dy[k] * flip(weight[k, c]), dy through the prologue.

    Parameters
    ----------
    dy : float32 array of shape (N, K, P, Q)
    weight : float32 array of shape (K, C, R, S)
    prologue : ``Prologue``
    input_size : (H, W)
    padding : ((top, bottom), (left, right)), of the forward

    Returns
    -------
    dx : array of shape (N, C, H, W)

    """
    (top, _), (left, _) = padding
    _, c, r, s = weight.shape
    dx = empty((len(dy), c, *input_size))
    # the padding of the adjoint: how far its first window lies above and left of dy
    corner = r - 1 - top, s - 1 - left
    _convolve(dy, prologue, weight, True, corner, Epilogue(constant(1, c), constant(0, c)), dx)
    return dx


def _convolve(x, prologue, weight, flipped, corner, epilogue, y):
    """Fill y; ``corner`` is how far above and left of x its first window begins."""
    x, prologue, epilogue = dense(x), prologue.as_arguments(), epilogue.as_arguments()
    weight, blocks = cut_into_blocks(dense(weight), flipped)
    # a block counts as C input channels of its own
    c, threads = x.shape[1] * blocks[0] * blocks[1], num_threads()
    # V has 36 floats for each tile and channel
    max_tiles = max(WIDTH, KEPT // (36 * c))
    tiles = plan_tiles(corner, y.shape, blocks, max_tiles)
    count, run = tiles.last, tiles.run
    # U of all input channels for SPAN output channels, where a core's cache holds it
    channels = c if 36 * SPAN * c <= WEIGHTS else PART
    # V (36, C, run), shared; U (36, channels, SPAN) for each thread
    v, u = empty((36, element_stride(c * run))), empty((threads, 36 * element_stride(SPAN * channels)))
    # M (36, SPAN, WIDTH): of one product, or of all where input channels come in parts, whose sums must wait
    m = empty((threads, (1 if channels == c else -(-run // WIDTH)) * 36 * M_STRIDE + LANES))
    # tasks are SPAN output channels and a part of the tiles, of four products or more where there are so many
    parts = min(-(-TASKS * threads // -(-y.shape[1] // SPAN)), max(1, run // (4 * WIDTH)))
    # V is whole before the first product: each product reads all input channels
    for first in range(0, count, max_tiles):
        some = tuple(tiles._replace(first=first, last=min(count, first + max_tiles)))
        _transform_inputs(new_counter(), x, prologue, some, v)
        arguments = weight, flipped, some, (channels, parts), (v, u, m), epilogue, y
        multiply_outputs(new_counter(), *arguments)


def transform_inputs(x: np.ndarray, tiles: Tiles, v: np.ndarray) -> None:
    """Fill v with some transformed tiles of x, C runs for each element."""
    _transform_inputs(new_counter(), dense(x), Prologue(constant(1, x.shape[1])).as_arguments(), tuple(tiles), v)


@inner
def _transform_inputs_thread(thread, counter, x, prologue, tiles, v):
    """Do the tasks of one thread: each is a channel, moved by a block."""
    channels, run_stride = x.shape[1], v.shape[1]
    tasks = channels * tiles.blocks_h * tiles.blocks_w
    task = take(counter, thread, tasks)
    while task < tasks:
        block, c = task // channels, task % channels
        # block (i, j) of a kernel reads x three rows and columns further for each block above and left of it
        corner = (
            3 * (block // tiles.blocks_w) - tiles.padding_top,
            3 * (block % tiles.blocks_w) - tiles.padding_left,
        )
        # ``task`` numbers the channels of all blocks, as the weights' blocks do
        read_tiles(source_maps(x, prologue, c), corner, tiles, float_pointer(v, task * tiles.run), run_stride)
        task = take(counter, thread, tasks)


@kernel(writes(1, int64), reads(4), PROLOGUE, TILES, writes(2))
def _transform_inputs(counter, x, prologue, tiles, v):
    arguments = counter, x, view_prologue(prologue), Tiles(*tiles), v
    parallel_for(_transform_inputs_thread, len(counter), arguments)
