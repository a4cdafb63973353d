"""Max-pool with its switches, and average pool: row by row, tap by tap, a few maps to a thread.

Taps are visited in row order, as in the reference, so that equal maxima have the same switch and sums round the
same.  One row of a tap is one loop over the row's outputs, which the compiler turns into vector instructions.
"""

import numpy as np
from numba import int32, int64, uint8

from minicnn.kernels import reference
from minicnn.kernels.cpu.dtype import dense, float32_or
from minicnn.kernels.cpu.pool.max_pool_simd import max_pool, unpool, unpools
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.runtime.recorder import capturable, record_result
from minicnn.kernels.cpu.simd.vector import LANES, address
from minicnn.kernels.reference.windows import Windows

__all__ = [
    "avg_pool2d",
    "avg_pool2d_input_grad",
    "max_pool2d",
    "max_pool2d_input_grad",
]

# tap of a value that lies on padding: any other wins
PADDING = np.int32(1 << 20)


@capturable
@float32_or(reference.max_pool2d)
def max_pool2d(x, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Max-pool, as ``reference.max_pool2d``.

    Each row of windows is reduced first down its columns, then across them: R + S comparisons instead of R S, both
    on vectors, on two rows' buffers that stay in cache.
    """
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    windows = Windows.over(x.shape[2:], kernel_size, **geometry)
    if windows.kernel_size[0] * windows.kernel_size[1] > 256:  # their switches are uint16
        return record_result(reference.max_pool2d, x, kernel_size, **geometry)
    y = empty(x.shape[:2] + windows.output_size)
    switches = empty(y.shape, np.uint8)
    _max_pool(_maps(x), _maps(y), _maps(switches), _geometry(windows))
    return y, switches


@capturable
@float32_or(reference.max_pool2d_input_grad)
def max_pool2d_input_grad(
    dy, switches, input_size, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False
):
    """Gradient with respect to the input of a max-pool, as ``reference.max_pool2d_input_grad``.

    One visit to each window.  A map belongs to one thread, so that overlapping windows add in a fixed order.
    """
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    if switches.dtype != np.uint8:
        return record_result(reference.max_pool2d_input_grad, dy, switches, input_size, kernel_size, **geometry)
    windows = Windows.over(tuple(input_size), kernel_size, **geometry)
    dx = empty(dy.shape[:2] + windows.size)
    _max_pool_input_grad(_maps(dy), _maps(switches), _maps(dx), _geometry(windows))
    return dx


@capturable
@float32_or(reference.avg_pool2d)
def avg_pool2d(x, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Average pool, as ``reference.avg_pool2d``."""
    windows = Windows.over(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    y = empty(x.shape[:2] + windows.output_size)
    rows, columns = (_counts(windows, axis, count_include_pad) for axis in (0, 1))
    _avg_pool(_maps(x), _maps(y), rows, columns, _geometry(windows))
    return y


@float32_or(reference.avg_pool2d_input_grad)
def avg_pool2d_input_grad(
    dy, input_size, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True
):
    """Gradient with respect to the input of an average pool, as ``reference.avg_pool2d_input_grad``."""
    windows = Windows.over(tuple(input_size), kernel_size, stride, padding, 1, ceil_mode)
    dx = empty(dy.shape[:2] + windows.size)
    rows, columns = (_counts(windows, axis, count_include_pad) for axis in (0, 1))
    share = dy / (rows[:, None] * columns)
    _avg_pool_input_grad(_maps(share), _maps(dx), _geometry(windows))
    return dx


def _maps(array):
    """(N, C, H, W) as (N C, H, W)."""
    return dense(array).reshape(-1, *array.shape[2:])


def _geometry(windows):
    """R, S, vertical and horizontal stride, dilation and leading padding, in one array."""
    (top, _), (left, _) = windows.padding
    return np.array([*windows.kernel_size, *windows.stride, *windows.dilation, top, left])


def _positions(windows, axis):
    """Where tap r of window p reads, on the axis: p stride + r dilation - padding, of shape (P, R)."""
    p = np.arange(windows.output_size[axis])[:, None] * windows.stride[axis]
    r = np.arange(windows.kernel_size[axis]) * windows.dilation[axis]
    return p + r - windows.padding[axis][0]


def _counts(windows, axis, count_include_pad):
    """How many taps of each window count, on one axis; 1 for a window that lies on uncounted padding alone."""
    at, (before, after) = _positions(windows, axis), windows.padding[axis]
    low, high = (-before, windows.size[axis] + after) if count_include_pad else (0, windows.size[axis])
    return np.maximum(((at >= low) & (at < high)).sum(axis=1), 1).astype(np.float32)


@inner
def _start(row, best, taps, tap):
    """Begin a column maximum: ``row``, read by tap ``tap``."""
    for i in range(len(row)):
        best[i] = row[i]
        taps[i] = tap


@inner
def _down(row, best, taps, tap):
    """Let one more row compete, at every column."""
    for i in range(len(row)):
        v = row[i]
        better = (v > best[i]) | (v != v)
        best[i] = v if better else best[i]
        taps[i] = tap if better else taps[i]


@inner
def _across(column_best, column_taps, y, switches, width, stride, dilation):
    """Maximum along the columns of each window; of equal ones, and of NaNs, what row order would choose."""
    for q in range(len(y)):
        best, tap = column_best[q * stride], column_taps[q * stride]
        for s in range(1, width):
            at = q * stride + s * dilation
            v, other = column_best[at], int32(column_taps[at] + s)
            better = (v > best) | ((v == best) & (other < tap)) | ((v != v) & ((best == best) | (other > tap)))
            best = v if better else best
            tap = other if better else tap
        y[q] = best
        switches[q] = tap if tap < PADDING else 0


@inner
def _max_map(x, y, switches, geometry):
    taps_down, taps_across, down, across, dilation_down, dilation_across, top, left = geometry
    height, width = x.shape
    longest = max(left + width, (y.shape[1] - 1) * across + (taps_across - 1) * dilation_across + 1)
    padded_best, padded_taps = np.empty(longest, np.float32), np.empty(longest, np.int32)
    for i in range(longest):
        padded_best[i], padded_taps[i] = -np.inf, PADDING
    best, taps = padded_best[left:], padded_taps[left:]
    for p in range(y.shape[0]):
        started = False
        for r in range(taps_down):
            h = p * down + r * dilation_down - top
            if 0 <= h < height:
                if started:
                    _down(x[h], best, taps, int32(r * taps_across))
                else:
                    _start(x[h], best, taps, int32(r * taps_across))
                started = True
        if not started:
            for i in range(width):
                best[i], taps[i] = -np.inf, PADDING
        # constants let the compiler unroll the usual windows on padding
        if across == 2 and taps_across == 3 and dilation_across == 1:
            _across(padded_best, padded_taps, y[p], switches[p], 3, 2, 1)
        else:
            _across(padded_best, padded_taps, y[p], switches[p], taps_across, across, dilation_across)


@inner
def _together(y):
    """Return how many maps a thread takes: many, where a vector writes beyond the end of a map into the next."""
    return 64 if y.shape[2] < LANES else 1


@inner
def _some_max_pools(part, maps, x, y, switches, geometry):
    """Fill the maps of a part, by whole vectors where there is room behind them."""
    begin, end = part * maps, min(len(x), (part + 1) * maps)
    (count, height, width), size, area = x.shape, (y.shape[1], y.shape[2]), y.shape[1] * y.shape[2]
    taps_down, taps_across, down, across, apart, aside, top, left = geometry
    whole = top == left == 0 and across == 2 and (size[0] - 1) * down + (taps_down - 1) * apart < height
    whole = whole and (size[1] - 1) * across + (taps_across - 1) * aside < width
    for c in range(begin, end):
        free = (end - c - 1) * area >= LANES or size[1] >= LANES  # what a vector writes stays in these maps
        if whole and free and (count - c - 1) * height * width >= 2 * LANES:
            pixels = address(x) + 4 * c * height * width
            max_pool(pixels, width, geometry, size, address(y) + 4 * c * area, address(switches) + c * area)
        else:
            _max_map(x[c], y[c], switches[c], geometry)


@kernel(reads(3), writes(3), writes(3, uint8), reads(1, int64))
def _max_pool(x, y, switches, geometry):
    maps = _together(y)
    parallel_for(_some_max_pools, (len(x) + maps - 1) // maps, (maps, x, y, switches, geometry))


@inner
def _unpool_map(dy, switches, dx, geometry):
    taps_down, taps_across, down, across, dilation_down, dilation_across, top, left = geometry
    height, width = dx.shape
    rows, columns = np.empty(taps_down * taps_across, np.int64), np.empty(taps_down * taps_across, np.int64)
    for tap in range(len(rows)):  # once, since a division for each window is most of the time
        rows[tap] = tap // taps_across * dilation_down - top
        columns[tap] = tap % taps_across * dilation_across - left
    dx[:] = 0
    # windows in reverse: to each pixel of dx its taps then come in row order, as in the reference
    for p in range(dy.shape[0] - 1, -1, -1):
        for q in range(dy.shape[1] - 1, -1, -1):
            tap = switches[p, q]
            h, w = p * down + rows[tap], q * across + columns[tap]
            if 0 <= h < height and 0 <= w < width:
                dx[h, w] += dy[p, q]


@inner
def _some_max_pool_input_grads(part, maps, dy, switches, dx, geometry):
    """Fill the maps of a part, by whole vectors where windows lie side by side and there is room behind."""
    begin, end = part * maps, min(len(dx), (part + 1) * maps)
    (count, height, width), size, area = dx.shape, (dy.shape[1], dy.shape[2]), dy.shape[1] * dy.shape[2]
    vectors = unpools(geometry, size, (height, width))
    for c in range(begin, end):
        free = (end - c - 1) * height * width >= 2 * LANES or size[1] >= LANES
        if vectors and free and (count - c - 1) * area >= LANES:
            pixels = address(dx) + 4 * c * height * width
            unpool(address(dy) + 4 * c * area, address(switches) + c * area, size, width, pixels)
        else:
            _unpool_map(dy[c], switches[c], dx[c], geometry)


@kernel(reads(3), reads(3, uint8), writes(3), reads(1, int64))
def _max_pool_input_grad(dy, switches, dx, geometry):
    maps = _together(dy)
    parallel_for(_some_max_pool_input_grads, (len(dx) + maps - 1) // maps, (maps, dy, switches, dx, geometry))


@inner
def _inside(count, stride, offset, size):
    """Range of outputs q with 0 <= q stride + offset < size."""
    first = max(0, -(offset // stride))
    return first, max(first, min(count, (size - 1 - offset) // stride + 1))


@inner
def _sum_map(c, maps, sums, rows, columns, geometry):
    x, y = maps[c], sums[c]
    taps_down, taps_across, down, across, _, _, top, left = geometry
    for p in range(y.shape[0]):
        y[p] = 0
        for r in range(taps_down):
            h = p * down + r - top
            if 0 <= h < x.shape[0]:
                for s in range(taps_across):
                    first, last = _inside(y.shape[1], across, s - left, x.shape[1])
                    for q in range(first, last):
                        y[p, q] += x[h, q * across + s - left]
        for q in range(y.shape[1]):
            y[p, q] /= rows[p] * columns[q]


@kernel(reads(3), writes(3), reads(1), reads(1), reads(1, int64))
def _avg_pool(x, y, rows, columns, geometry):
    parallel_for(_sum_map, len(x), (x, y, rows, columns, geometry))


@inner
def _share_map(c, shares, maps, geometry):
    share, dx = shares[c], maps[c]
    taps_down, taps_across, down, across, _, _, top, left = geometry
    for h in range(dx.shape[0]):
        dx[h] = 0
        for r in range(taps_down):
            p, rest = divmod(h + top - r, down)
            if rest == 0 and 0 <= p < share.shape[0]:
                for s in range(taps_across):
                    first, last = _inside(share.shape[1], across, s - left, dx.shape[1])
                    for q in range(first, last):
                        dx[h, q * across + s - left] += share[p, q]


@kernel(reads(3), writes(3), reads(1, int64))
def _avg_pool_input_grad(share, dx, geometry):
    parallel_for(_share_map, len(dx), (share, dx, geometry))
