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

from typing import NamedTuple

import numpy as np
from numba import boolean, int64, njit, types

from minicnn.kernels.cpu.conv.winograd.tiles import TILES, Tiles, read_tiles, source_maps, write_tiles
from minicnn.kernels.cpu.conv.winograd.weights import SPAN, cut_into_blocks, transform_weights
from minicnn.kernels.cpu.dtype import constant, dense
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.thread_pool import num_threads
from minicnn.kernels.cpu.runtime.work_stealing import new_counter, take
from minicnn.kernels.cpu.simd.epilogue import EPILOGUE, PROLOGUE, Epilogue, Prologue
from minicnn.kernels.cpu.simd.gemm_micro import (
    ROWS,
    Panel,
    Strided,
    gemm_micro_1,
    gemm_micro_2,
    gemm_micro_3,
    make_gemm_micro,
)
from minicnn.kernels.cpu.simd.pointers import float_pointer, keep_alive, offset
from minicnn.kernels.cpu.simd.vector import LANES, address
from minicnn.shapes import Sides

__all__ = ["element_stride", "forward", "input_grad", "plan_tiles", "run_length", "transform_inputs"]

WIDTH = 3 * LANES  # tiles of one product
TAIL = LANES // 4  # tiles beyond whole vectors that are multiplied one by one, not as a vector of their own
M_STRIDE = SPAN * WIDTH + LANES  # floats from one element's products to the next's, see ``element_stride``
TAIL_STRIDE = SPAN + LANES  # the same for one tile's products
WEIGHTS = 5 << 15  # floats of transformed weights that stay in a core's cache
PART = 64  # input channels at a time, where the weights of all do not stay there
TASKS = 4  # for each thread, so that none waits long for another's last one
KEPT = 7 << 18  # floats of transformed inputs that are kept at a time: with the rest they fit a shared cache

_gemm_tile = make_gemm_micro(columns=SPAN // LANES, rows=1)  # one tile by SPAN output channels


class _Cut(NamedTuple):
    """How products are cut: input channels at a time, and parts that tiles are divided into."""

    channels: int
    tile_parts: int


class _Buffers(NamedTuple):
    """What lies between the transforms.

    Attributes
    ----------
    v : array (36, ...): transformed inputs, a run of tiles for each channel
    u : array (threads, ...): transformed weights
    m : array (threads, ...): products

    """

    v: np.ndarray
    u: np.ndarray
    m: np.ndarray


CUT = types.UniTuple(int64, len(_Cut._fields))
BUFFERS = types.Tuple([reads(2), writes(2), writes(2)])


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
    c, threads = x.shape[1] * blocks[0] * blocks[1], num_threads()
    max_tiles = max(WIDTH, KEPT // (36 * c))
    tiles = plan_tiles(corner, y.shape, blocks, max_tiles)
    count, run = tiles.last, tiles.run
    channels = c if 36 * SPAN * c <= WEIGHTS else PART
    v, u = empty((36, element_stride(c * run))), empty((threads, 36 * element_stride(SPAN * channels)))
    m = empty((threads, (1 if channels == c else -(-run // WIDTH)) * 36 * M_STRIDE + LANES))
    parts = min(-(-TASKS * threads // -(-y.shape[1] // SPAN)), max(1, run // (4 * WIDTH)))
    for first in range(0, count, max_tiles):
        some = tuple(tiles._replace(first=first, last=min(count, first + max_tiles)))
        _transform_inputs(new_counter(), x, prologue, some, v)
        arguments = weight, flipped, some, (channels, parts), (v, u, m), epilogue, y
        _multiply_outputs(new_counter(), *arguments)


def plan_tiles(
    corner: tuple[int, int], y_shape: tuple[int, ...], blocks: tuple[int, int], max_tiles: int
) -> Tiles:
    """Return all tiles of maps of ``y_shape`` (N, K, P, Q), in runs of ``max_tiles`` or fewer.

    corner : how far above and left of the inputs the first tile begins
    blocks : of 3x3, down and across a kernel
    """
    rows, columns = -(-y_shape[2] // 4), -(-y_shape[3] // 4)
    count = y_shape[0] * rows * columns
    return Tiles(*corner, rows, columns, *blocks, 0, count, run_length(min(count, max_tiles)))


def run_length(tiles: int) -> int:
    """Floats that a run of tiles takes, which are written LANES at a time from any of them on."""
    return -(-tiles // LANES) * LANES + LANES


@njit  # called from Python too
def element_stride(size):
    """Floats from one of 36 elements' runs to the next's: an odd number of vectors.

    At a multiple of 4 KB all 36 would share one set of a cache, which has room for 8 or 12 lines.
    """
    return (size // LANES | 1) * LANES + 2 * LANES


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
        corner = (
            3 * (block // tiles.blocks_w) - tiles.padding_top,
            3 * (block % tiles.blocks_w) - tiles.padding_left,
        )
        read_tiles(source_maps(x, prologue, c), corner, tiles, float_pointer(v, task * tiles.run), run_stride)
        task = take(counter, thread, tasks)


@kernel(writes(1, int64), reads(4), PROLOGUE, TILES, writes(2))
def _transform_inputs(counter, x, prologue, tiles, v):
    arguments = counter, x, Prologue(*prologue), Tiles(*tiles), v
    parallel_for(_transform_inputs_thread, len(counter), arguments)


class _Operands(NamedTuple):
    """36 products of U and V, over some input channels.

    Attributes
    ----------
    u, v : addresses of the first element of both
    u_stride, v_stride : floats from one element to the next
    run : floats from one channel of V to the next
    depth : input channels
    accumulate : whether products are added to those of earlier input channels

    """

    u: int
    v: int
    u_stride: int
    v_stride: int
    run: int
    depth: int
    accumulate: bool


@inner
def _multiply_tiles(operands, span, count, m):
    """M[f, k, t] = sum_c U[f, c, k] V[f, c, t], or M plus it, for ``span`` channels k and ``count`` tiles t."""
    depth, accumulate = operands.depth, operands.accumulate
    for f in range(36):
        b = Panel(offset(operands.v, f * operands.v_stride), operands.run)
        for k in range(0, span, ROWS):
            a = Strided(offset(operands.u, f * operands.u_stride + k), 1, SPAN)
            c = Panel(offset(m, f * M_STRIDE + k * WIDTH), WIDTH)
            if count > 2 * LANES:
                gemm_micro_3(a, b, c, depth, accumulate)
            elif count > LANES:
                gemm_micro_2(a, b, c, depth, accumulate)
            else:
                gemm_micro_1(a, b, c, depth, accumulate)


@inner
def _multiply_tile(operands, m):
    """M[f, k] = sum_c U[f, c, k] V[f, c], or M plus it, for one tile."""
    for f in range(36):
        a = Strided(offset(operands.v, f * operands.v_stride), 0, operands.run)
        b, c = Panel(offset(operands.u, f * operands.u_stride), SPAN), Panel(offset(m, f * TAIL_STRIDE), 0)
        _gemm_tile(a, b, c, operands.depth, operands.accumulate)


class _Call(NamedTuple):
    """What all threads compute: y of x, transformed to v, and weights."""

    weight: np.ndarray
    flipped: bool
    tiles: Tiles
    cut: _Cut
    v: np.ndarray
    epilogue: Epilogue
    y: np.ndarray


class _Work(NamedTuple):
    """Buffers of one thread.

    Attributes
    ----------
    u, m : arrays of transformed weights, and of products of whole vectors of tiles
    tail : array of products of tiles that are multiplied one by one
    lines : array (4, 4 WIDTH) of outputs of a product's tiles
    kernels : array of kernels as vectors

    """

    u: np.ndarray
    m: np.ndarray
    tail: np.ndarray
    lines: np.ndarray
    kernels: np.ndarray


@inner
def _some_tiles(tiles, first, last):
    """Tiles ``first`` to ``last`` of the same maps."""
    return Tiles(
        tiles.padding_top,
        tiles.padding_left,
        tiles.rows,
        tiles.columns,
        tiles.blocks_h,
        tiles.blocks_w,
        first,
        last,
        tiles.run,
    )


@inner
def _compute_outputs(call, work, k, span, first, last):
    """Compute ``span`` channels of outputs from k on, in tiles ``first`` to ``last``."""
    weight, v, tiles, part = call.weight, call.v, call.tiles, call.cut.channels
    depth, stride = weight.shape[0] if call.flipped else weight.shape[1], element_stride(part * SPAN)
    tail = (last - first) % LANES
    tail = tail if tail <= TAIL else 0
    whole = last - first - tail
    vectors = (whole + LANES - 1) // LANES
    blocks = (vectors + 2) // 3  # of two or three vectors each, where there are two
    for c in range(0, depth, part):
        end = min(depth, c + part)
        transform_weights(weight, call.flipped, (k, span), (c, end), address(work.u), stride, work.kernels)
        runs = float_pointer(v, c * tiles.run + first - tiles.first)
        for block in range(blocks):
            at, stop = vectors * block // blocks * LANES, min(vectors * (block + 1) // blocks * LANES, whole)
            # where input channels come in parts, the products of all blocks wait for the last part
            m = float_pointer(work.m, 36 * M_STRIDE * block if part < depth else 0)
            operands = _Operands(address(work.u), offset(runs, at), stride, v.shape[1], tiles.run, end - c, c > 0)
            _multiply_tiles(operands, span, stop - at, m)
            if end == depth:
                some = _some_tiles(tiles, first + at, first + stop)
                for j in range(span):
                    products = offset(m, j * WIDTH)
                    write_tiles(products, M_STRIDE, k + j, some, call.epilogue, call.y, work.lines)
        for i in range(tail):
            at, m = whole + i, float_pointer(work.tail, 36 * TAIL_STRIDE * i)
            operands = _Operands(address(work.u), offset(runs, at), stride, v.shape[1], tiles.run, end - c, c > 0)
            _multiply_tile(operands, m)
            if end == depth:
                some = _some_tiles(tiles, first + at, first + at + 1)
                for j in range(span):
                    products = offset(m, j)
                    write_tiles(products, TAIL_STRIDE, k + j, some, call.epilogue, call.y, work.lines)


@inner
def _multiply_outputs_thread(thread, counter, call, u, m):
    """Do the tasks of one thread: each is some output channels, and one of some parts of the tiles."""
    channels, tiles, parts = call.y.shape[1], call.tiles, call.cut.tile_parts
    tail, lines = np.empty(36 * TAIL * TAIL_STRIDE + LANES, np.float32), np.empty((4, 4 * WIDTH), np.float32)
    work = _Work(u[thread], m[thread], tail, lines, np.empty(9 * LANES * LANES, np.float32))
    blocks, tasks = (tiles.last - tiles.first + WIDTH - 1) // WIDTH, (channels + SPAN - 1) // SPAN * parts
    task = take(counter, thread, tasks)
    while task < tasks:
        k, part = task // parts * SPAN, task % parts
        first = tiles.first + blocks * part // parts * WIDTH
        last = min(tiles.last, tiles.first + blocks * (part + 1) // parts * WIDTH)
        _compute_outputs(call, work, k, min(SPAN, channels - k), first, last)
        task = take(counter, thread, tasks)
    keep_alive(work)


@kernel(writes(1, int64), reads(4), boolean, TILES, CUT, BUFFERS, EPILOGUE, writes(4))
def _multiply_outputs(counter, weight, flipped, tiles, cut, buffers, epilogue, y):
    v, u, m = buffers
    call = _Call(weight, flipped, Tiles(*tiles), _Cut(*cut), v, Epilogue(*epilogue), y)
    parallel_for(_multiply_outputs_thread, len(u), (counter, call, u, m))
