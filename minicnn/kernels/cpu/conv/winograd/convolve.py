"""Convolution with stride 1, by Winograd's F(4x4, 3x3): 36 multiplications for 16 outputs, not 144.

    M[f] = U[f] V[f]    for each of the 36 elements f of a tile: U (K, C) of weights, V (C, T) of inputs, M (K, T)

Tiles are numbered over images, rows and columns of them.  First all threads transform the inputs of some tiles,
one channel at a time; then each takes some output channels: it transforms their weights, and takes their products,
a few tiles at a time, through the last transform, so that these never leave a core's cache.  Where the weights of
many input channels would not fit there, they come in parts, and products are added up.

A larger kernel is cut into blocks of 3x3, filled up with zeros: the sum of their convolutions, each of x moved by
where its block lies, is one convolution of so many times the channels.  A 5x5 kernel takes 144 multiplications
for 16 outputs that way, not 400: as few as F(2x2, 5x5) would take, with transforms that are here already.

The input gradient is the convolution of dy by flipped kernels, channels exchanged, with padding R - 1 - padding.

Source: Lavin, Gray 2015, "Fast Algorithms for Convolutional Neural Networks".
"""

import numpy as np
from numba import boolean, float32, int64, njit

from minicnn.kernels.cpu.conv.winograd.tiles import read_tiles, write_tiles
from minicnn.kernels.cpu.conv.winograd.weights import SPAN, in_blocks, transform_weights
from minicnn.kernels.cpu.dtype import constant, dense
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.thread_pool import num_threads
from minicnn.kernels.cpu.runtime.work_stealing import new_counter, take
from minicnn.kernels.cpu.simd.epilogue import Epilogue, Prologue
from minicnn.kernels.cpu.simd.gemm_micro import (
    ROWS,
    Panel,
    Strided,
    gemm_micro_1,
    gemm_micro_2,
    gemm_micro_3,
    make_gemm_micro,
)
from minicnn.kernels.cpu.simd.vector import LANES, address

__all__ = ["forward", "input_grad", "room", "spread", "tile_inputs", "tiles_of"]

WIDTH = 3 * LANES  # tiles of one product
M_APART = SPAN * WIDTH + LANES  # floats from one element's products to the next's, see ``spread``
LONE = LANES // 4  # tiles beyond whole vectors that are multiplied one by one, not as a vector of their own
LONE_APART = SPAN + LANES
product_of_tile = make_gemm_micro(columns=SPAN // LANES, rows=1)
WEIGHTS = 5 << 15  # floats of transformed weights that stay in a core's cache
PART = 64  # input channels at a time, where the weights of all do not stay there
TASKS = 4  # for each thread, so that none waits long for another's last one
KEPT = 7 << 18  # floats of transformed inputs that are kept at a time: with the rest they fit a shared cache


def forward(x, weight, epilogue, padding):
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


def input_grad(dy, weight, prologue, input_size, padding):
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
    plain = Epilogue(constant(1, c), constant(0, c))
    _convolve(dy, prologue, weight, True, (r - 1 - top, s - 1 - left), plain, dx)
    return dx


def _convolve(x, prologue, weight, flipped, corner, epilogue, y):
    """Fill y; ``corner`` is how far above and left of x its first window begins."""
    source = dense(x), _mask(prologue.mask), prologue.scale, prologue.only_positive
    sink = (
        y,
        _mask(epilogue.mask),
        epilogue.scale,
        epilogue.shift,
        np.float32(epilogue.clip_min),
        np.float32(epilogue.clip_max),
    )
    weight, blocks = in_blocks(dense(weight), flipped)
    grid, c = tiles_of(corner, y.shape), x.shape[1] * blocks[0] * blocks[1]
    tiles, threads = len(y) * int(grid[2] * grid[3]), num_threads()
    most = max(WIDTH, KEPT // (36 * c))
    width, part = room(min(tiles, most)), c if 36 * SPAN * c <= WEIGHTS else PART
    v, u = empty((36, spread(c * width))), empty((threads, 36 * spread(SPAN * part)))
    m = empty((threads, (1 if part == c else -(-width // WIDTH)) * 36 * M_APART + LANES))
    parts = min(-(-TASKS * threads // -(-y.shape[1] // SPAN)), max(1, width // (4 * WIDTH)))
    for first in range(0, tiles, most):
        last = min(tiles, first + most)
        _inputs(new_counter(), *source, *blocks, grid, first, last, v, width)
        _outputs(new_counter(), v, width, weight, flipped, *sink, grid, first, last, part, parts, u, m)


def room(tiles):
    """Floats that a run of tiles takes, which are written LANES at a time from any of them on."""
    return (tiles + LANES - 1) // LANES * LANES + LANES


@njit  # called from Python too
def spread(size):
    """Floats from one of 36 runs to the next: an odd number of vectors, so that no two share a set of a cache."""
    return (size // LANES | 1) * LANES + 2 * LANES


def tiles_of(corner, size):
    """How far above and left of the inputs the first tile begins, and how many tiles lie down and across."""
    return np.array([*corner, -(-size[2] // 4), -(-size[3] // 4)])


def tile_inputs(x, grid, first, last, v, width):
    """Fill v with the transformed tiles from ``first`` to ``last`` of x, C runs of ``width`` for each element."""
    source = dense(x), _mask(None), constant(1, x.shape[1]), False
    _inputs(new_counter(), *source, 1, 1, grid, first, last, v, width)


def _mask(mask):
    return np.empty((1, 1, 1, 0), bool) if mask is None else dense(mask)


@inner
def _multiply(u, apart, v, v_apart, width, count, span, depth, adds, m):
    """M[f, k, t] = sum_c U[f, c, k] V[f, c, t], or M plus it, for ``span`` channels k and ``count`` tiles t."""
    for f in range(36):
        b = Panel(v + 4 * f * v_apart, width)
        for k in range(0, span, ROWS):
            a = Strided(u + 4 * (f * apart + k), 1, SPAN)
            c = Panel(m + 4 * (f * M_APART + k * WIDTH), WIDTH)
            if count > 2 * LANES:
                gemm_micro_3(a, b, c, depth, adds)
            elif count > LANES:
                gemm_micro_2(a, b, c, depth, adds)
            else:
                gemm_micro_1(a, b, c, depth, adds)


@inner
def _multiply_lone(u, apart, v, v_apart, width, depth, adds, m):
    """M[f, k] = sum_c U[f, c, k] V[f, c], or M plus it, for one tile."""
    for f in range(36):
        a, b = Strided(v + 4 * f * v_apart, 0, width), Panel(u + 4 * f * apart, SPAN)
        product_of_tile(a, b, Panel(m + 4 * f * LONE_APART, 0), depth, adds)


@inner
def _some_outputs(v, v_apart, width, weight, flipped, sink, grid, first, last, k, span, part, buffers):
    """Compute ``span`` channels of outputs from k on, in tiles ``first`` to ``last``, from v on."""
    u, m, alone, lines, kernels = buffers
    depth, apart, lines = (weight.shape[0] if flipped else weight.shape[1]), spread(part * SPAN), address(lines)
    lone = (last - first) % LANES
    lone = lone if lone <= LONE else 0
    together = last - first - lone
    vectors = (together + LANES - 1) // LANES
    blocks = (vectors + 2) // 3  # of two or three vectors each, where there are two
    for c in range(0, depth, part):
        end, of = min(depth, c + part), v + 4 * c * width
        transform_weights(weight, flipped, k, span, c, end, address(u), apart, kernels)
        for block in range(blocks):
            at, stop = vectors * block // blocks * LANES, min(vectors * (block + 1) // blocks * LANES, together)
            to = address(m) + (4 * 36 * M_APART * block if part < depth else 0)
            _multiply(address(u), apart, of + 4 * at, v_apart, width, stop - at, span, end - c, c > 0, to)
            if end == depth:
                for j in range(span):
                    tiles = to + 4 * j * WIDTH
                    write_tiles(tiles, M_APART, k + j, first + at, first + stop, sink, grid, lines, 4 * WIDTH)
        for i in range(lone):
            at, to = together + i, address(alone) + 4 * 36 * LONE_APART * i
            _multiply_lone(address(u), apart, of + 4 * at, v_apart, width, end - c, c > 0, to)
            if end == depth:
                for j in range(span):
                    write_tiles(
                        to + 4 * j, LONE_APART, k + j, first + at, first + at + 1, sink, grid, lines, 4 * WIDTH
                    )


@inner
def _outputs_of_one(thread, counter, v, width, weight, flipped, sink, grid, first, last, part, parts, u, m):
    """Do the tasks of one thread: each is some output channels, and one of some parts of the tiles."""
    channels, blocks = sink[0], (last - first + WIDTH - 1) // WIDTH
    alone, lines = np.empty(36 * LONE * LONE_APART + LANES, np.float32), np.empty((4, 4 * WIDTH), np.float32)
    buffers = u[thread], m[thread], alone, lines, np.empty(9 * LANES * LANES, np.float32)
    tasks = (channels + SPAN - 1) // SPAN * parts
    task = take(counter, thread, tasks)
    while task < tasks:
        k, some = task // parts * SPAN, task % parts
        begin = first + blocks * some // parts * WIDTH
        end, span = min(last, first + blocks * (some + 1) // parts * WIDTH), min(SPAN, channels - k)
        of = address(v) + 4 * (begin - first)
        _some_outputs(of, v.shape[1], width, weight, flipped, sink, grid, begin, end, k, span, part, buffers)
        task = take(counter, thread, tasks)


@inner
def _inputs_of_one(thread, counter, x, mask, scale, only_positive, down, across, grid, first, last, v, width):
    """Do the tasks of one thread: each is a channel, moved by a block."""
    channels, counts = x.shape[1], (grid[2], grid[3])
    tasks = channels * down * across
    task = take(counter, thread, tasks)
    while task < tasks:
        block, c = task // channels, task % channels
        top, left = 3 * (block // across) - grid[0], 3 * (block % across) - grid[1]
        source = address(x), x.shape, address(mask) if mask.size else 0, scale[c], only_positive
        read_tiles(source, c, top, left, first, last, counts, address(v) + 4 * task * width, v.shape[1])
        task = take(counter, thread, tasks)


@kernel(
    *(writes(1, int64), reads(4), reads(4, boolean), reads(1), boolean, int64, int64),
    *(reads(1, int64), int64, int64, writes(2), int64),
)
def _inputs(counter, x, mask, scale, only_positive, down, across, grid, first, last, v, width):
    source, tiles = (x, mask, scale, only_positive), (grid, first, last, v, width)
    parallel_for(_inputs_of_one, len(counter), (counter, *source, down, across, *tiles))


@kernel(
    *(writes(1, int64), reads(2), int64, reads(4), boolean),
    *(writes(4), writes(4, boolean), reads(1), reads(1), float32, float32),
    *(reads(1, int64), int64, int64, int64, int64, writes(2), writes(2)),
)
def _outputs(
    counter, v, width, weight, flipped, y, mask, scale, shift, least, most, grid, first, last, part, parts, u, m
):
    counts, flags = (grid[2], grid[3]), address(mask) if mask.size else 0
    sink = *y.shape[1:], address(y), flags, address(scale), address(shift), least, most
    tiles = counts, first, last, part, parts
    parallel_for(_outputs_of_one, len(u), (counter, v, width, weight, flipped, sink, *tiles, u, m))
