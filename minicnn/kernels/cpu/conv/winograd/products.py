"""Winograd's products, M[f] = U[f] V[f] for each of the 36 elements of a tile, and outputs of them.

Each thread takes some output channels and some tiles: it transforms the weights of these channels to U, and
multiplies them with V, three vectors of tiles at a time, whose sums stay in registers.  The products M go through
the last transform and the epilogue at once, and never leave the core's cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import boolean, int64, types

from minicnn.kernels.cpu.conv.winograd.tiles import TILES, Tiles, element_stride, some_tiles, write_tiles
from minicnn.kernels.cpu.conv.winograd.weights import SPAN, transform_weights
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.work_stealing import take
from minicnn.kernels.cpu.simd.epilogue import EPILOGUE, EpilogueView, view_epilogue
from minicnn.kernels.cpu.simd.gemm_micro import (
    ROWS,
    Panel,
    Strided,
    gemm_micro_1,
    gemm_micro_2,
    gemm_micro_3,
    make_gemm_micro,
)
from minicnn.kernels.cpu.simd.pointers import Maps, keep_alive, offset, view_maps
from minicnn.kernels.cpu.simd.vector import LANES, address

__all__ = ["M_STRIDE", "WIDTH", "multiply_outputs"]

WIDTH = 3 * LANES  # tiles of one product
TAIL = LANES // 4  # tiles beyond whole vectors that are multiplied one by one, not as a vector of their own
M_STRIDE = SPAN * WIDTH + LANES  # floats from one element's products to the next's, see ``element_stride``
TAIL_STRIDE = SPAN + LANES  # the same for one tile's products

_gemm_tile = make_gemm_micro(columns=SPAN // LANES, rows=1)  # one tile by SPAN output channels


class _Cut(NamedTuple):
    """How products are cut: input channels at a time, and parts that tiles are divided into."""

    channels: int
    tile_parts: int


CUT = types.UniTuple(int64, len(_Cut._fields))
BUFFERS = types.Tuple([reads(2), writes(2), writes(2)])  # v, u and m


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
            # A (ROWS, C) is U[f] from output channel k on: channels k lie side by side, input channels SPAN apart
            a = Strided(offset(operands.u, f * operands.u_stride + k), 1, SPAN)
            c = Panel(offset(m, f * M_STRIDE + k * WIDTH), WIDTH)
            # as many vectors as hold the tiles; lanes beyond them are computed and never written to y
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
        # U takes the place of B: for one tile output channels fill the vectors
        a = Strided(offset(operands.v, f * operands.v_stride), 0, operands.run)
        b, c = Panel(offset(operands.u, f * operands.u_stride), SPAN), Panel(offset(m, f * TAIL_STRIDE), 0)
        _gemm_tile(a, b, c, operands.depth, operands.accumulate)


class _Call(NamedTuple):
    """What all threads compute: y of x, transformed to v, and weights.

    Attributes
    ----------
    flipped : whether kernels are flipped, and their second axis is that of the output channels
    depth : input channels
    tiles, cut, epilogue : ``Tiles``, ``_Cut``, ``EpilogueView``
    v : ``Panel``: a row for each element
    y : ``Maps``

    """

    flipped: bool
    depth: int
    tiles: Tiles
    cut: _Cut
    epilogue: EpilogueView
    v: Panel
    y: Maps


class _Work(NamedTuple):
    """Addresses of the buffers of one thread.

    Attributes
    ----------
    u, m : transformed weights, and products of whole vectors of tiles
    tail : products of tiles that are multiplied one by one
    lines : ``Panel`` of 4 rows of outputs of a product's tiles

    """

    u: int
    m: int
    tail: int
    lines: Panel


@inner
def _operands(call, work, inputs, tile):
    """Return the operands for input channels ``inputs``, first and last, and tiles from ``tile`` on."""
    begin, end = inputs
    # V[0, begin, tile]
    v = offset(call.v.address, begin * call.tiles.run + tile - call.tiles.first)
    u_stride = element_stride(call.cut.channels * SPAN)
    return _Operands(work.u, v, u_stride, call.v.leading_dim, call.tiles.run, end - begin, begin > 0)


@inner
def _write_outputs(call, work, outputs, tiles, products, strides):
    """Transform products to tiles of some output channels.

    outputs : first output channel, and how many
    tiles : first and last
    strides : floats from one element's products to the next's, and from one channel's
    """
    (k, span), (run_stride, channel_stride) = outputs, strides
    some = some_tiles(call.tiles, tiles[0], tiles[1])
    for j in range(span):
        channel = offset(products, j * channel_stride)
        write_tiles(channel, run_stride, k + j, some, call.epilogue, call.y, work.lines)


@inner
def _compute_outputs(call, work, weight, kernels, outputs, tiles):
    """Compute some output channels, first and how many, of some tiles, first and last; ``kernels`` is for work."""
    part, depth, stride = call.cut.channels, call.depth, element_stride(call.cut.channels * SPAN)
    span, (first, last) = outputs[1], tiles
    # a few tiles beyond whole vectors go one by one; more of them are worth a vector
    tail = (last - first) % LANES
    tail = tail if tail <= TAIL else 0
    whole = last - first - tail
    vectors = (whole + LANES - 1) // LANES
    blocks = (vectors + 2) // 3  # of two or three vectors each, where there are two
    # each round has the U of some input channels, and M adds up over the rounds
    for c in range(0, depth, part):
        end = min(depth, c + part)
        # weight transform: done again for each part of the tiles, by whichever thread takes it
        transform_weights(weight, call.flipped, outputs, (c, end), work.u, stride, kernels)
        for block in range(blocks):
            at, stop = vectors * block // blocks * LANES, min(vectors * (block + 1) // blocks * LANES, whole)
            # where input channels come in parts, the products of all blocks wait for the last part
            m = offset(work.m, 36 * M_STRIDE * block if part < depth else 0)
            # products M[f] = U[f] V[f] for this block of tiles
            _multiply_tiles(_operands(call, work, (c, end), first + at), span, stop - at, m)
            # the sums are whole: output transform and epilogue, while M is in the cache
            if end == depth:
                _write_outputs(call, work, outputs, (first + at, first + stop), m, (M_STRIDE, WIDTH))
        # one tile's M has output channels side by side
        for i in range(tail):
            tile, m = first + whole + i, offset(work.tail, 36 * TAIL_STRIDE * i)
            _multiply_tile(_operands(call, work, (c, end), tile), m)
            if end == depth:
                _write_outputs(call, work, outputs, (tile, tile + 1), m, (TAIL_STRIDE, 1))


@inner
def _multiply_outputs_thread(thread, counter, call, weight, u, m):
    """Do the tasks of one thread: each is some output channels, and one of some parts of the tiles."""
    channels, tiles, parts = call.y.channels, call.tiles, call.cut.tile_parts
    tail, lines = np.empty(36 * TAIL * TAIL_STRIDE + LANES, np.float32), np.empty(16 * WIDTH, np.float32)
    kernels = np.empty(9 * LANES * LANES, np.float32)
    work = _Work(address(u[thread]), address(m[thread]), address(tail), Panel(address(lines), 4 * WIDTH))
    blocks, tasks = (tiles.last - tiles.first + WIDTH - 1) // WIDTH, (channels + SPAN - 1) // SPAN * parts
    task = take(counter, thread, tasks)
    while task < tasks:
        k, part = task // parts * SPAN, task % parts
        # parts consist of whole products, so that only the last has vectors that are not full
        first = tiles.first + blocks * part // parts * WIDTH
        last = min(tiles.last, tiles.first + blocks * (part + 1) // parts * WIDTH)
        _compute_outputs(call, work, weight, kernels, (k, min(SPAN, channels - k)), (first, last))
        task = take(counter, thread, tasks)
    keep_alive((tail, lines))


@kernel(writes(1, int64), reads(4), boolean, TILES, CUT, BUFFERS, EPILOGUE, writes(4))
def multiply_outputs(counter, weight, flipped, tiles, cut, buffers, epilogue, y):
    """Fill some tiles of y from transformed inputs v, a channel's run behind the other's; u and m are for work."""
    v, u, m = buffers
    # flipped weights have the input channels, those of dy, as their first axis
    tiles, cut, depth = Tiles(*tiles), _Cut(*cut), weight.shape[0] if flipped else weight.shape[1]
    transformed = Panel(address(v), v.shape[1])
    call = _Call(flipped, depth, tiles, cut, view_epilogue(epilogue), transformed, view_maps(y))
    parallel_for(_multiply_outputs_thread, len(u), (counter, call, weight, u, m))
