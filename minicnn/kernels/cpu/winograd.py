"""Convolution by 3x3 kernels with stride 1, by Winograd's F(4x4, 3x3): 36 multiplications for 16 outputs, not 144.

    M[f] = U[f] V[f]    for each of 36 elements f of a tile: U (K, C) of weights, V (C, T) of tiles, M (K, T)

Tiles are numbered over images, rows and columns, and products take at most ``WIDTH`` of them at a time, so that
what lies between the three transforms stays in a core's cache.  Where maps are large, a thread takes some tiles
through all three; where they are small and deep, it takes some output channels, with their weights, over all tiles.

The input gradient is the convolution of dy by the flipped kernels, channels exchanged, with padding 2 - padding.

Source: Lavin, Gray 2015, "Fast Algorithms for Convolutional Neural Networks".
"""

import numpy as np
from numba import boolean, float32, int64, njit, prange

from minicnn.kernels.cpu.arrays import dense
from minicnn.kernels.cpu.epilogue import Epilogue, Prologue, finish, prepare
from minicnn.kernels.cpu.kernel import kernel, reads, writes
from minicnn.kernels.cpu.simd import LANES, ROWS, address, product_of_1, product_of_2, product_of_3
from minicnn.kernels.cpu.threads import num_threads
from minicnn.kernels.cpu.winograd_transforms import input_tiles, output_tiles, weight_tile

__all__ = ["forward", "input_grad"]

WIDTH = 3 * LANES  # tiles of one product
DEPTH = 128  # input channels up to which their tiles, WIDTH of each, stay in cache beside the rest
SPAN = 32  # output channels whose products are kept at a time
TILES = 1 << 21  # floats of transformed inputs that are kept at a time, of deep maps


def workspace(shape):
    return np.empty(shape, np.float32)


def forward(x, weight, epilogue, padding):
    """Convolution with its epilogue.

    Parameters
    ----------
    x : float32 array of shape (N, C, H, W)
    weight : float32 array of shape (K, C, 3, 3)
    epilogue : ``Epilogue``; its mask, where there is one, is filled
    padding : ((top, bottom), (left, right))

    Returns
    -------
    y : array of shape (N, K, H + top + bottom - 2, W + left + right - 2)

    """
    (top, bottom), (left, right) = padding
    n, _, height, width = x.shape
    y = np.empty((n, len(weight), height + top + bottom - 2, width + left + right - 2), np.float32)
    _convolve(x, Prologue(np.ones(x.shape[1], np.float32)), weight, False, (top, left), epilogue, y)
    return y


def input_grad(dy, weight, prologue, input_size, padding):
    """Gradient with respect to the input: dx[c] = sum_k dy[k] * flip(weight[k, c]), dy through the prologue.

    Parameters
    ----------
    dy : float32 array of shape (N, K, P, Q)
    weight : float32 array of shape (K, C, 3, 3)
    prologue : ``Prologue``
    input_size : (H, W)
    padding : ((top, bottom), (left, right)), of the forward

    Returns
    -------
    dx : array of shape (N, C, H, W)

    """
    (top, _), (left, _) = padding
    c = weight.shape[1]
    dx = np.empty((len(dy), c, *input_size), np.float32)
    plain = Epilogue(np.ones(c, np.float32), np.zeros(c, np.float32))
    _convolve(dy, prologue, weight, True, (2 - top, 2 - left), plain, dx)
    return dx


def _convolve(x, prologue, weight, flipped, corner, epilogue, y):
    """Fill y; ``corner`` is how far above and left of x its first window begins."""
    x, weight = dense(x), dense(weight)
    geometry = np.array([*corner, -(-y.shape[2] // 4), -(-y.shape[3] // 4)])
    tiles = len(x) * int(geometry[2] * geometry[3])
    if not tiles:
        return
    before = x, _mask(prologue.mask), prologue.scale, prologue.only_positive
    after = y, _mask(epilogue.mask), epilogue.scale, epilogue.shift, epilogue.least, epilogue.most
    line = 4 * (_whole(geometry[3], LANES) + LANES)
    parts = num_threads()
    if x.shape[1] <= DEPTH and tiles >= 8 * WIDTH * parts:
        u = workspace(
            (36, weight.shape[0], _whole(weight.shape[1], LANES))
            if not flipped
            else (36, weight.shape[0], _whole(weight.shape[1], LANES))
        )
        _weights(weight, flipped, u)
        work = workspace((parts, 36 * x.shape[1] * (WIDTH + LANES)))
        _by_tiles(*before, u, flipped, *after, geometry, line, work)
        return
    most = max(WIDTH, TILES // (36 * x.shape[1]) // WIDTH * WIDTH)
    v = workspace((36, x.shape[1], _whole(min(tiles, most), LANES) + LANES))
    for first in range(0, tiles, most):
        last = min(tiles, first + most)
        _inputs(*before, geometry, line, first, last, v)
        _by_channels(v, weight, flipped, *after, geometry, line, first, last, parts)


def _whole(count, multiple):
    return -(-int(count) // multiple) * multiple


def _mask(mask):
    return np.empty((0, 0, 0, 0), bool) if mask is None else dense(mask)


@njit
def _read(x, mask, scale, only_positive, c, first, last, geometry, rows, tiles, apart):
    """Transform the tiles from ``first`` to ``last`` of channel c into 36 runs."""
    top, left, down, across = geometry
    height, width = x.shape[2], x.shape[3]
    none = mask.reshape(-1)[:0]
    t = first
    while t < last:
        q = t % across
        p, n = t // across % down, t // across // down
        count = min(across - q, last - t)
        begin, length = 4 * q - left, 4 * count + 2
        low = min(length, max(0, -begin))
        high = max(low, min(length, width - begin))
        for i in range(6):
            h, row = 4 * p - top + i, rows[i]
            if 0 <= h < height and low < high:
                row[:low] = 0
                row[high:length] = 0
                at = slice(begin + low, begin + high)
                prepare(
                    x[n, c, h, at],
                    scale[c],
                    mask[n, c, h, at] if mask.size else none,
                    only_positive,
                    row[low:high],
                )
            else:
                row[:length] = 0
        size = rows.shape[1]
        input_tiles(address(rows), size, count, address(rows[6:]), tiles + 4 * (t - first), apart)
        t += count


@njit
def _write(tiles, apart, k, first, last, y, mask, scale, shift, least, most, geometry, rows):
    """Transform 36 runs of products into the tiles from ``first`` to ``last`` of channel k."""
    _, _, down, across = geometry
    none = mask.reshape(-1)[:0]
    t = first
    while t < last:
        q = t % across
        p, n = t // across % down, t // across // down
        count = min(across - q, last - t)
        output_tiles(tiles + 4 * (t - first), apart, count, address(rows), rows.shape[1])
        begin, end = 4 * q, min(4 * (q + count), y.shape[3])
        for i in range(min(4, y.shape[2] - 4 * p)):
            h = 4 * p + i
            part = mask[n, k, h, begin:end] if mask.size else none
            finish(rows[i, : end - begin], scale[k], shift[k], least, most, y[n, k, h, begin:end], part)
        t += count


@njit
def _multiply(u, u_apart, row, step, v, v_apart, width, count, span, depth, m):
    """M[f, k, t] = sum_c U[f, k, c] V[f, c, t], for ``span`` channels k and ``count`` tiles t."""
    for f in range(36):
        b = v + 4 * f * v_apart
        for k in range(0, span, ROWS):
            a = u + 4 * (f * u_apart + k * row)
            c = m + 4 * (f * SPAN + k) * WIDTH
            if count > 2 * LANES:
                product_of_3(a, row, step, b, width, c, WIDTH, depth)
            elif count > LANES:
                product_of_2(a, row, step, b, width, c, WIDTH, depth)
            else:
                product_of_1(a, row, step, b, width, c, WIDTH, depth)


@njit
def _transform(weight, k_first, k_last, c_first, c_last, flipped, u, u_apart, width, buffer):
    """Transform kernels: U[f, k - k_first, c - c_first], whose rows k lie ``width`` floats apart."""
    inputs, kernels = weight.shape[1], weight.shape[0] * weight.shape[1]
    flat = weight.reshape(-1)
    for k in range(k_first, k_last):
        for c in range(c_first, c_last, LANES):
            at, tile = k * inputs + c, u + 4 * ((k - k_first) * width + c - c_first)
            if at + LANES <= kernels:
                weight_tile(address(weight), 9 * at, flipped, tile, u_apart)
            else:
                buffer[: 9 * (kernels - at)] = flat[9 * at :]
                weight_tile(address(buffer), 0, flipped, tile, u_apart)


@kernel(reads(4), boolean, writes(3))
def _weights(weight, flipped, u):
    for k in prange(len(weight)):
        buffer = np.zeros(9 * LANES, np.float32)
        at = address(u) + 4 * k * u.shape[2]
        apart = u.shape[1] * u.shape[2]
        _transform(weight, k, k + 1, 0, weight.shape[1], flipped, at, apart, u.shape[2], buffer)


@njit
def _some_tiles(
    x,
    x_mask,
    x_scale,
    only_positive,
    u,
    flipped,
    y,
    mask,
    scale,
    shift,
    least,
    most,
    geometry,
    rows,
    first,
    last,
    v,
    m,
):
    depth, width = x.shape[1], WIDTH + LANES
    for c in range(depth):
        at = address(v) + 4 * c * width
        _read(x, x_mask, x_scale, only_positive, c, first, last, geometry, rows, at, depth * width)
    row, step = (1, u.shape[2]) if flipped else (u.shape[2], 1)
    for k in range(0, y.shape[1], SPAN):
        span = min(SPAN, y.shape[1] - k)
        _multiply(
            address(u) + 4 * k * row,
            u.shape[1] * u.shape[2],
            row,
            step,
            address(v),
            depth * width,
            width,
            last - first,
            span,
            depth,
            address(m),
        )
        for j in range(span):
            at = address(m) + 4 * j * WIDTH
            _write(at, SPAN * WIDTH, k + j, first, last, y, mask, scale, shift, least, most, geometry, rows)


@kernel(
    reads(4),
    reads(4, boolean),
    reads(1),
    boolean,
    reads(3),
    boolean,
    writes(4),
    writes(4, boolean),
    reads(1),
    reads(1),
    float32,
    float32,
    reads(1, int64),
    int64,
    writes(2),
)
def _by_tiles(
    x, x_mask, x_scale, only_positive, u, flipped, y, mask, scale, shift, least, most, geometry, line, work
):
    tiles = x.shape[0] * geometry[2] * geometry[3]
    for part in prange(len(work)):
        rows, m = np.empty((12, line), np.float32), np.empty(36 * SPAN * WIDTH + LANES, np.float32)
        for block in range(part, (tiles + WIDTH - 1) // WIDTH, len(work)):
            first = block * WIDTH
            last = min(first + WIDTH, tiles)
            _some_tiles(
                x,
                x_mask,
                x_scale,
                only_positive,
                u,
                flipped,
                y,
                mask,
                scale,
                shift,
                least,
                most,
                geometry,
                rows,
                first,
                last,
                work[part],
                m,
            )


@kernel(reads(4), reads(4, boolean), reads(1), boolean, reads(1, int64), int64, int64, int64, writes(3))
def _inputs(x, mask, scale, only_positive, geometry, line, first, last, v):
    for c in prange(x.shape[1]):
        rows = np.empty((12, line), np.float32)
        at = address(v) + 4 * c * v.shape[2]
        _read(x, mask, scale, only_positive, c, first, last, geometry, rows, at, v.shape[1] * v.shape[2])


@njit
def _some_channels(
    v, weight, flipped, y, mask, scale, shift, least, most, geometry, rows, first, last, k, span, u, m, buffer
):
    depth, width = v.shape[1], v.shape[2]
    if flipped:
        row, step, apart = 1, SPAN, depth * SPAN
        _transform(weight, 0, depth, k, k + span, True, address(u), apart, SPAN, buffer)
    else:
        row, step = (depth + LANES - 1) // LANES * LANES, 1
        apart = SPAN * row
        _transform(weight, k, k + span, 0, depth, False, address(u), apart, row, buffer)
    vectors = (last - first + LANES - 1) // LANES
    blocks = (vectors + 2) // 3
    for block in range(blocks):
        begin = vectors * block // blocks * LANES
        end = min(vectors * (block + 1) // blocks * LANES, last - first)
        _multiply(
            address(u),
            apart,
            row,
            step,
            address(v) + 4 * begin,
            depth * width,
            width,
            end - begin,
            span,
            depth,
            address(m),
        )
        for j in range(span):
            at = address(m) + 4 * j * WIDTH
            _write(
                at,
                SPAN * WIDTH,
                k + j,
                first + begin,
                first + end,
                y,
                mask,
                scale,
                shift,
                least,
                most,
                geometry,
                rows,
            )


@kernel(
    reads(3),
    reads(4),
    boolean,
    writes(4),
    writes(4, boolean),
    reads(1),
    reads(1),
    float32,
    float32,
    reads(1, int64),
    int64,
    int64,
    int64,
    int64,
)
def _by_channels(v, weight, flipped, y, mask, scale, shift, least, most, geometry, line, first, last, parts):
    for part in prange(parts):
        rows, m = np.empty((12, line), np.float32), np.empty(36 * SPAN * WIDTH + LANES, np.float32)
        u = np.empty(36 * SPAN * (v.shape[1] + LANES), np.float32)
        buffer = np.zeros(9 * LANES, np.float32)
        for block in range(part, (y.shape[1] + SPAN - 1) // SPAN, parts):
            span = min(SPAN, y.shape[1] - block * SPAN)
            _some_channels(
                v,
                weight,
                flipped,
                y,
                mask,
                scale,
                shift,
                least,
                most,
                geometry,
                rows,
                first,
                last,
                block * SPAN,
                span,
                u,
                m,
                buffer,
            )
