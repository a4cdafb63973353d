"""The fully connected layer for several images: its weight is read once, at the rate of memory.

    y[n, o] = sum_i weight[o, i] x[n, i],    dx[n, i] = sum_o dy[n, o] weight[o, i]

Schedule: threads take bands of rows of the weight (forward) or of columns (gradient); each number of the weight
is used for all images while the next ones are prefetched, and sums stay in registers or in the L2 cache.
Memory: the images' inputs once more, interleaved, and the sums of a band a thread.
Gain: BLAS packs the weight into an order of its own, and waits for memory meanwhile: for 2 to 8 images it takes
twice the time of reading the weight.  It was not found faster for any number of images up to 256 either.
Reference: ``reference.linear`` without its bias, and ``reference.linear_input_grad``.
"""

from __future__ import annotations

import numpy as np
from numba import int64

from minicnn.kernels.cpu.runtime.allocator import CACHE_LINE, empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.work_stealing import new_counter, take
from minicnn.kernels.cpu.simd.dot_micro import DOT_COLUMNS, DOT_ROWS, Interleaved, PartialSums, Rows, dot_micro
from minicnn.kernels.cpu.simd.gemm_micro import ROWS, Panel, Strided, gemm_micro_1, gemm_micro_2, gemm_micro_3
from minicnn.kernels.cpu.simd.pointers import float_pointer, keep_alive, offset
from minicnn.kernels.cpu.simd.vector import LANES, address, broadcast, horizontal_sum, load, prefetch, store

__all__ = ["forward", "input_grad", "is_applicable"]

MAX_IMAGES = 64  # that share a reading of the weight: their sums stay in the L2 cache
# forward
BAND = 16 * DOT_ROWS  # rows of the weight that a thread takes at a time: their sums stay in the L2 cache,
CHUNK = 512  # and columns: DOT_COLUMNS images' inputs of these stay in the L1 cache for all rows of the band
# input gradient
PARTS = 8  # of the columns, each read by one thread: memory likes long runs
DEPTH = 8  # rows of the weight at a time; often all lie in the same lines of a cache, which has 8 to 12 for each
VECTORS = 3  # of columns at a time: with ROWS images their sums fill the registers
AHEAD = 4 * VECTORS  # vectors from those that are read to those that are prefetched
LINE_FLOATS = CACHE_LINE // 4


def is_applicable(features: int) -> bool:
    """Whether a row of the weight has a whole vector."""
    return features >= LANES


def forward(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return y (N, out), without the bias."""
    y = empty((len(x), len(weight)))
    for n in range(0, len(x), MAX_IMAGES):
        images = x[n : n + MAX_IMAGES]
        # (groups of DOT_COLUMNS images, whole vectors of an image, DOT_COLUMNS, LANES)
        inputs = empty((-(-len(images) // DOT_COLUMNS), x.shape[1] // LANES, DOT_COLUMNS, LANES))
        _forward(new_counter(), images, weight, inputs, y[n : n + MAX_IMAGES])
    return y


def input_grad(dy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return dx (N, in)."""
    dx = empty((len(dy), weight.shape[1]))
    for n in range(0, len(dy), MAX_IMAGES):
        images = _pad_images(dy[n : n + MAX_IMAGES])
        _input_grad(new_counter(), images, weight, dx[n : n + MAX_IMAGES])
    return dx


def _pad_images(dy):
    """Return dy with zeros for as many images as it lacks to a multiple of ROWS."""
    lacking = -len(dy) % ROWS
    return np.concatenate([dy, np.zeros((lacking, dy.shape[1]), np.float32)]) if lacking else dy


@inner
def _interleave(v, x, inputs):
    """Copy the v-th vector of each image to where DOT_COLUMNS images have theirs together, or 0."""
    for group in range(len(inputs)):
        for j in range(DOT_COLUMNS):
            n = group * DOT_COLUMNS + j
            # the last group is filled up with images of zeros, so that each group has the same kernel
            value = load(address(x), n * x.shape[1] + v * LANES) if n < len(x) else broadcast(np.float32(0))
            # inputs[group, v, j]
            store(address(inputs), ((group * inputs.shape[1] + v) * DOT_COLUMNS + j) * LANES, value)


@inner
def _add_chunk(weight, begin, end, i, inputs, sums):
    """Add the terms of one chunk of columns, from i on, to the sums of rows ``begin`` to ``end``.

    The next chunk, or the next band's first, is prefetched meanwhile, by all groups of images in turns.
    """
    features, groups, whole = weight.shape[1], len(inputs), inputs.shape[1] * LANES
    # the last chunk of a row may be shorter; a row of ``sums`` holds LANES partial sums for each image
    depth, row_floats = min(CHUNK, whole - i), sums.shape[1] * LANES
    # floats from an element to the one that is prefetched for it: the same row in the next chunk or,
    # after the last chunk, the first column of the row BAND further down
    ahead = CHUNK if i + CHUNK < whole else BAND * features - i
    # images outside, rows inside: a group's part of the chunk stays in the L1 cache for the whole band
    for group in range(groups):
        columns = Interleaved(float_pointer(inputs, (group * whole + i) * DOT_COLUMNS))
        for o in range(begin, end, DOT_ROWS):
            # a row is read once for each group, but prefetched once: the groups take turns
            prefetched = ahead if o // DOT_ROWS % groups == group else 0
            rows = Rows(float_pointer(weight, o * features + i), features, end - o - 1, prefetched)
            to = float_pointer(sums, (o - begin) * row_floats + group * DOT_COLUMNS * LANES)
            # the first chunk sets the sums, so that they need not be zeroed
            dot_micro(rows, columns, PartialSums(to, row_floats), depth, i > 0)


@inner
def _finish_band(x, weight, begin, end, whole, sums, y):
    """Add up the partial sums of a band's rows, and the terms behind the last whole vector."""
    for n in range(len(x)):
        for o in range(begin, end):
            value = horizontal_sum(load(address(sums), ((o - begin) * sums.shape[1] + n) * LANES))
            # the features behind the last whole vector, fewer than LANES
            for i in range(whole, x.shape[1]):
                value += weight[o, i] * x[n, i]
            y[n, o] = value


@inner
def _forward_tasks(thread, counter, x, weight, inputs, y):
    """Do the tasks of one thread, each a band of rows."""
    # (BAND, images, LANES): a thread's own, used again for each of its bands
    sums, whole = np.empty((BAND, len(inputs) * DOT_COLUMNS, LANES), np.float32), inputs.shape[1] * LANES
    tasks = (len(weight) + BAND - 1) // BAND
    task = take(counter, thread, tasks)
    while task < tasks:
        begin, end = task * BAND, min(task * BAND + BAND, len(weight))
        for i in range(0, whole, CHUNK):
            _add_chunk(weight, begin, end, i, inputs, sums)
        _finish_band(x, weight, begin, end, whole, sums, y)
        task = take(counter, thread, tasks)


@kernel(writes(1, int64), reads(2), reads(2), writes(4), writes(2))
def _forward(counter, x, weight, inputs, y):
    parallel_for(_interleave, inputs.shape[1], (x, inputs))
    parallel_for(_forward_tasks, len(counter), (counter, x, weight, inputs, y))


@inner
def _add_rows(dy, weight, o, depth, begin, vectors, sums):
    """Add ``depth`` rows of the weight from o on, times dy, to the sums of some columns from ``begin`` on.

    The sums of VECTORS vectors of an image lie one behind the other, then those of the next image.  Columns that
    follow, or the first of the rows that do, are prefetched meanwhile, by all groups of images in turns.
    """
    images, rows, features = dy.shape[0], dy.shape[1], weight.shape[1]
    for v in range(0, vectors, VECTORS):
        # near the end of the columns the prefetch goes on at the start of the next DEPTH rows
        row, ahead = (o, v + AHEAD) if v + AHEAD < vectors else (o + DEPTH, v + AHEAD - vectors)
        prefetched = row * features + begin + ahead * LANES
        # weight[o : o + depth, columns v ... of this part] is B
        b = Panel(float_pointer(weight, o * features + begin + v * LANES), features)
        for n in range(0, images, ROWS):
            # dy[n : n + ROWS, o : o + depth] is A: element (n, i) lies n rows + i floats on
            a = Strided(float_pointer(dy, n * rows + o), rows, 1)
            # C: the VECTORS vectors of sums from v on, of images n ... n + ROWS - 1
            c = Panel(offset(sums, (v * images + n * VECTORS) * LANES), VECTORS * LANES)
            # of the DEPTH rows to prefetch each group of images takes its share
            for r in range(n // ROWS, DEPTH, images // ROWS):
                for i in range(0, VECTORS * LANES, LINE_FLOATS):
                    prefetch(address(weight), prefetched + r * features + i)
            # the number of vectors is fixed in a micro-kernel, whose sums are registers: one for each remainder
            if vectors - v == 1:
                gemm_micro_1(a, b, c, depth, o > 0)
            elif vectors - v == 2:
                gemm_micro_2(a, b, c, depth, o > 0)
            else:
                gemm_micro_3(a, b, c, depth, o > 0)


@inner
def _write(sums, images, begin, vectors, dx):
    """Copy the sums of some columns from ``begin`` on to dx."""
    for n in range(len(dx)):
        for v in range(vectors):
            # where _add_rows left vector v of image n: (panels, images, VECTORS, LANES)
            vector = (v // VECTORS * images + n) * VECTORS + v % VECTORS
            store(address(dx), n * dx.shape[1] + begin + v * LANES, load(sums, vector * LANES))


@inner
def _input_grad_tasks(thread, counter, dy, weight, dx):
    """Do the tasks of one thread: parts of the columns, of whole vectors, so that the last begins earlier."""
    rows, features = weight.shape
    vectors = (features + LANES - 1) // LANES
    # of VECTORS vectors each, in the largest part
    panels = (vectors + PARTS * VECTORS - 1) // (PARTS * VECTORS)
    buffer = np.empty(panels * VECTORS * len(dy) * LANES + LINE_FLOATS, np.float32)
    # on a cache line, so that no vector lies in two of them
    sums = (address(buffer) + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE
    part = take(counter, thread, PARTS)
    while part < PARTS:
        count = vectors * (part + 1) // PARTS - vectors * part // PARTS
        # all parts have whole vectors: the last ends at the last feature, and computes a few of the part before
        # again, to the same bits
        begin = min(vectors * part // PARTS * LANES, features - count * LANES)
        for o in range(0, rows, DEPTH):
            _add_rows(dy, weight, o, min(DEPTH, rows - o), begin, count, sums)
        _write(sums, len(dy), begin, count, dx)
        part = take(counter, thread, PARTS)
    keep_alive((buffer,))


@kernel(writes(1, int64), reads(2), reads(2), writes(2))
def _input_grad(counter, dy, weight, dx):
    parallel_for(_input_grad_tasks, len(counter), (counter, dy, weight, dx))
