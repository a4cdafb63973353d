"""Convolution of a network's first layer: of an image with at most three channels, straight from its rows.

    y[k, p, q] = sum_i W[k, i] x[place[i] + p row + q]    over the taps i = (c, r, s), C R S of them

Schedule: the work is cut into bands, some rows of the outputs of one image.  For each, rows of the image become
planes (``planes``), from which each tap reads whole vectors; ROWS filters at a time are multiplied with them, and
go through the epilogue while their sums are in registers.  The input gradient goes the same way: the pixels of a
row with one remainder modulo the stride are such sums over planes of dy, by the taps that reach them, for all
channels at once.

Memory: a band's planes, half a megabyte at most, which stay in a core's cache.

Gain: a product of weights and columns would write each pixel R S times before it reads it, and Winograd's
transforms cost more than they save where so few channels share them.
Reference: ``reference.conv2d`` and ``reference.conv2d_input_grad``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import int64

from minicnn.kernels.cpu.conv.geometry import GEOMETRY, Geometry, ceil_div
from minicnn.kernels.cpu.runtime.allocator import empty
from minicnn.kernels.cpu.runtime.jit import inner, kernel, reads, writes
from minicnn.kernels.cpu.runtime.parallel_for import parallel_for
from minicnn.kernels.cpu.simd.epilogue import EPILOGUE, PROLOGUE, Epilogue, Prologue, view_epilogue, view_prologue
from minicnn.kernels.cpu.simd.gemm import RowEpilogue, gemm_epilogue_1, gemm_epilogue_2, gemm_epilogue_3
from minicnn.kernels.cpu.simd.gemm_micro import ROWS, Gathered, Panel, Strided, make_gemm_micro
from minicnn.kernels.cpu.simd.planes import (
    adjoint_taps,
    deinterleave,
    first_row_and_column,
    map_prologue,
    phase_columns,
    source_map,
    tap_places,
    zero_plane,
)
from minicnn.kernels.cpu.simd.pointers import (
    INDEX_BYTES,
    float_pointer,
    keep_alive,
    mask_offset,
    offset,
    view_maps,
)
from minicnn.kernels.cpu.simd.vector import (
    LANES,
    address,
    load,
    load_index,
    load_scalar,
    store_interleave2,
    store_scalar,
)

__all__ = ["MAX_CHANNELS", "forward", "input_grad", "is_applicable"]

MAX_CHANNELS = 3
BANDS = 16  # of rows, into which the images are cut at least
PLANE_FLOATS = 1 << 17  # that stay in a core's cache

# products of all channels by one vector of pixels, and by as many as leave no register empty
WIDE = 4 if LANES == 16 else 3
_gemm_narrow, _gemm_wide = (make_gemm_micro(columns, MAX_CHANNELS) for columns in (1, WIDE))


def is_applicable(
    size: tuple[int, int], weight_shape: tuple[int, ...], geometry: Geometry, out: tuple[int, int]
) -> bool:
    """Whether channels are few, a row has room for a vector, and every pixel is reached by a tap."""
    filters, channels, height, width = weight_shape
    dense = geometry.groups == geometry.dilation_h == geometry.dilation_w == 1
    # a phase of dx that no tap reaches would be a product of depth 0, which the micro-kernels don't take
    dense = dense and height >= geometry.stride_h and width >= geometry.stride_w
    return (
        dense
        and channels <= MAX_CHANNELS
        and filters >= ROWS
        # vectors are written whole: a row of y, and one phase of a row of dx, must have room for one
        and min(out[1], size[1] // geometry.stride_w) >= LANES
    )


def forward(x: np.ndarray, weight: np.ndarray, epilogue: Epilogue, geometry: Geometry, y: np.ndarray) -> None:
    """Fill y (N, K, P, Q) and the epilogue's mask."""
    # floats that one more row of outputs adds to the planes: stride_h rows of each channel
    line = x.shape[1] * geometry.stride_h * (x.shape[3] + weight.shape[3])
    band = _band_rows(len(x), y.shape[2], line, weight.shape[2] // geometry.stride_h)
    _forward(x, weight, tuple(geometry), epilogue.as_arguments(), band, y)


def input_grad(dy: np.ndarray, weight: np.ndarray, prologue: Prologue, geometry: Geometry, dx: np.ndarray) -> None:
    """Fill dx (N, C, H, W)."""
    rows, phases = -(-dx.shape[2] // geometry.stride_h), geometry.stride_h * geometry.stride_w
    line = len(weight) * (dy.shape[3] + weight.shape[3])
    band = _band_rows(len(dy), rows, line, weight.shape[2] // geometry.stride_h)
    # taps in the order of the phases that they reach, for ``_arrange_filter`` to fill
    weights = empty((phases, MAX_CHANNELS, weight[:, 0].size))
    places = empty((phases, weight[:, 0].size), np.int64)
    _input_grad(dy, weight, tuple(geometry), prologue.as_arguments(), band, weights, places, dx)


def _band_rows(images, rows, line, more):
    """Return the rows of a band, whose planes have ``line`` floats a row, and ``more`` rows than it."""
    # BANDS of them at least over all images, and more where a band's planes would outgrow the cache
    return max(1, min(-(-rows // max(1, BANDS // max(1, images))), PLANE_FLOATS // line - more))


@inner
def _read_map(source, prologue, padding_top, columns, plane):
    """Fill a plane with the rows of a map that it wants, and zeros where there are none."""
    above, below = min(len(plane), max(0, padding_top)), max(0, min(len(plane), padding_top + source.height))
    for row in range(len(plane)):
        if row < above or row >= below:
            plane[row] = 0
    deinterleave(source, prologue, padding_top, columns, plane)


@inner
def _read_image(x, n, padding_top, lines, geometry, width):
    """Planes of image n's channels, one behind the other: ``lines`` rows of each, ``width`` columns a phase."""
    channels, image = x.shape[1], view_maps(x)
    # (C lines, stride_w, width): zeros where the padding is
    planes = zero_plane(channels * lines, geometry.stride_w, width)
    columns = phase_columns(geometry.stride_w, geometry.padding_left, image.width, width)
    for c in range(channels):
        source = source_map(image, (n * channels + c) * image.height * image.width)
        _read_map(source, None, padding_top, columns, planes[c * lines : (c + 1) * lines])
    return planes


@inner
def _forward_band(task, x, weight, geometry, epilogue, band, y):
    """One image, some rows of outputs."""
    filters, rows, columns = y.shape[1:]
    bands = ceil_div(rows, band)
    n, begin = task // bands, task % bands * band
    end = min(rows, begin + band)
    # rows of the padded image that the band's outputs read
    lines = (end - begin - 1) * geometry.stride_h + weight.shape[2]
    # planes begin with row begin * stride_h of the padded image, where negative padding lies inside of the image
    padding_top = geometry.padding_top - begin * geometry.stride_h
    width = columns + (weight.shape[3] - 1) // geometry.stride_w
    planes = _read_image(x, n, padding_top, lines, geometry, width)
    # ``planes[:lines]`` is the plane of channel 0, whose size is the step to the next channel
    places = tap_places(x.shape[1], weight.shape[2:], geometry, planes[:lines])
    # floats between what one row of outputs and the next begin to read
    step = geometry.stride_h * planes.shape[1] * planes.shape[2]
    # filters outside, rows inside: the weights of ROWS filters are used for the whole band
    for panel in range(0, filters, ROWS):
        k = min(panel, filters - ROWS)  # the last panel begins earlier
        for p in range(begin, end):
            plane = float_pointer(planes, (p - begin) * step)
            _multiply_row(weight, k, plane, places, epilogue, y, ((n * filters + k) * rows + p) * columns)
    keep_alive((planes, places))


@inner
def _multiply_row(weight, k, plane, places, epilogue, y, at):
    """ROWS filters from k on, one row of outputs, from element ``at`` of y on; ``plane`` is an address."""
    columns, area, depth = y.shape[3], y.shape[2] * y.shape[3], len(places)
    # A (ROWS, C R S) is some rows of W; B is not written out: its row i is read in the planes, from places[i] on
    a, table = Strided(float_pointer(weight, k * depth), depth, 1), address(places)
    scale, shift = offset(epilogue.scale, k), offset(epilogue.shift, k)
    row_epilogue = RowEpilogue(scale, shift, epilogue.clip_min, epilogue.clip_max)
    # blocks of three vectors or fewer, of nearly the same width; no wider than a row has room for
    vectors = ceil_div(columns, LANES)
    blocks = ceil_div(vectors, min(3, columns // LANES))
    for block in range(blocks):
        first = vectors * block // blocks
        count = vectors * (block + 1) // blocks - first
        q = min(first * LANES, columns - count * LANES)  # the last block begins earlier
        # filters' outputs lie a map of P Q floats apart
        b, to = Gathered(offset(plane, q), table), Panel(float_pointer(y, at + q), area)
        mask = mask_offset(epilogue.mask, at + q)
        if count == 3:
            gemm_epilogue_3(a, b, depth, row_epilogue, to, mask)
        elif count == 2:
            gemm_epilogue_2(a, b, depth, row_epilogue, to, mask)
        else:
            gemm_epilogue_1(a, b, depth, row_epilogue, to, mask)


@kernel(reads(4), reads(4), GEOMETRY, EPILOGUE, int64, writes(4))
def _forward(x, weight, geometry, epilogue, band, y):
    arguments = x, weight, Geometry(*geometry), view_epilogue(epilogue), band, y
    parallel_for(_forward_band, len(x) * ceil_div(y.shape[2], band), arguments)


class _Adjoint(NamedTuple):
    """The input gradient as products, one for each phase: weights (C, K taps) by values of dy (K taps, pixels).

    Attributes
    ----------
    geometry : ``Geometry``
    origin : first row and column of dy that dx depends on
    band : rows of pixels of one phase that a task computes
    plane_size : rows and columns of a plane of dy that these depend on
    filters : K
    taps : K R S
    counts : address of how many taps of a filter reach each phase
    weights : address of an array (phases, MAX_CHANNELS, K R S); channels that there are none of repeat the last
    places : address of an array (phases, K R S) of where in the planes of dy each is multiplied

    """

    geometry: Geometry
    origin: tuple[int, int]
    band: int
    plane_size: tuple[int, int]
    filters: int
    taps: int
    counts: int
    weights: int
    places: int


@inner
def _arrange_filter(k, weight, taps, plane_floats, weights, places):
    """For each phase: the weights of filter k that reach its pixels, and where in the planes of dy, too."""
    for phase in range(len(weights)):
        for i in range(taps.count[phase]):
            # taps of filter k follow those of filter k - 1: row i of the product's B is one (filter, tap) pair
            to, tap = k * taps.count[phase] + i, taps.tap[phase, i]
            places[phase, to] = k * plane_floats + taps.place[phase, i]
            for c in range(MAX_CHANNELS):
                # the product has MAX_CHANNELS rows whatever C is; those beyond it are computed and never stored
                kernel = weight[k, min(c, weight.shape[1] - 1)]
                weights[phase, c, to] = kernel[tap // weight.shape[3], tap % weight.shape[3]]


@inner
def _read_cotangents(dy, n, adjoint, prologue, begin):
    """Planes of dy of image n, through the prologue, for the pixels of a band that begins with row ``begin``."""
    filters, maps = dy.shape[1], view_maps(dy)
    rows, plane_width = adjoint.plane_size
    planes = zero_plane(filters * rows, 1, plane_width)
    columns = phase_columns(1, -adjoint.origin[1], maps.width, plane_width)
    for k in range(filters):
        at = (n * filters + k) * maps.height * maps.width
        source, channel = source_map(maps, at), map_prologue(prologue, k, at)
        # row 0 of the plane is row origin[0] + begin of dy; where there is none, it is a row of zeros
        _read_map(source, channel, -adjoint.origin[0] - begin, columns, planes[k * rows : (k + 1) * rows])
    return planes


@inner
def _sum_pixels(adjoint, phase, plane, width, to, row_stride):
    """Compute ``width`` pixels of a row, LANES of them or more, of MAX_CHANNELS channels; plane, to: addresses."""
    # A (MAX_CHANNELS, K taps) and the places of this phase
    a = Strided(offset(adjoint.weights, phase * MAX_CHANNELS * adjoint.taps), adjoint.taps, 1)
    places = adjoint.places + INDEX_BYTES * phase * adjoint.taps
    depth, i = adjoint.filters * load_index(adjoint.counts, phase), 0
    while i < width:
        # wide products as long as they fit, single vectors for the rest
        if width - i >= WIDE * LANES:
            b, c = Gathered(offset(plane, i), places), Panel(offset(to, i), row_stride)
            _gemm_wide(a, b, c, depth, False)
            i += WIDE * LANES
        else:
            i = min(i, width - LANES)  # the last vector begins earlier
            b, c = Gathered(offset(plane, i), places), Panel(offset(to, i), row_stride)
            _gemm_narrow(a, b, c, depth, False)
            i += LANES


@inner
def _interleave(phases, line, width, stride_w, to):
    """Write a row of pixels from those of each phase, which lie ``line`` floats from one another; addresses."""
    pairs = width // stride_w if stride_w == 2 else 0
    for start in range(0, pairs, LANES):
        i = min(start, pairs - LANES)  # the last vectors begin earlier
        store_interleave2(to, 2 * i, load(phases, i), load(phases, line + i))
    # the last pixel of an odd row; all pixels where the stride is not 2
    for w in range(2 * pairs, width):
        store_scalar(to, w, load_scalar(phases, w % stride_w * line + w // stride_w))


@inner
def _input_grad_band(task, dy, adjoint, prologue, dx):
    """One image, some rows of pixels."""
    (channels, height, width), band = dx.shape[1:], adjoint.band
    stride_h, stride_w = adjoint.geometry.stride_h, adjoint.geometry.stride_w
    bands = ceil_div(ceil_div(height, stride_h), band)
    n, begin = task // bands, task % bands * band
    planes = _read_cotangents(dy, n, adjoint, prologue, begin)
    # the first phase of a row is the longest
    line = ceil_div(width, stride_w) + LANES
    pixels = np.empty((MAX_CHANNELS, stride_w, line), np.float32)
    for h in range(begin * stride_h, min(height, (begin + band) * stride_h)):
        # rows h with the same h // stride_h start at the same row of dy; they differ in which taps reach them
        plane = float_pointer(planes, (h // stride_h - begin) * planes.shape[2])
        for phase_w in range(stride_w):
            phase, count = h % stride_h * stride_w + phase_w, ceil_div(width - phase_w, stride_w)
            _sum_pixels(adjoint, phase, plane, count, float_pointer(pixels, phase_w * line), stride_w * line)
        for c in range(channels):
            to = float_pointer(dx, ((n * channels + c) * height + h) * width)
            _interleave(address(pixels[c]), line, width, stride_w, to)
    keep_alive((planes, pixels))


@kernel(reads(4), reads(4), GEOMETRY, PROLOGUE, int64, writes(3), writes(2, int64), writes(4))
def _input_grad(dy, weight, geometry, prologue, band, weights, places, dx):
    geometry, kernel_size, (height, width) = Geometry(*geometry), weight.shape[2:], dx.shape[2:]
    origin = first_row_and_column(kernel_size, geometry)
    # pixel h depends on dy up to row (h + padding_top) // stride_h: those of a band's last row, counted from the
    # first row that the band depends on
    rows = (geometry.stride_h - 1 + geometry.padding_top) // geometry.stride_h - origin[0] + band
    columns = (width - 1 + geometry.padding_left) // geometry.stride_w - origin[1] + 1
    taps = adjoint_taps(kernel_size, geometry, origin, columns)
    # weights are arranged by phases once, and used by every band
    parallel_for(_arrange_filter, len(weight), (weight, taps, rows * columns, weights, places))
    sizes, addresses = (len(weight), places.shape[1]), (address(taps.count), address(weights), address(places))
    adjoint = _Adjoint(geometry, origin, band, (rows, columns), *sizes, *addresses)
    tasks = len(dy) * ceil_div(ceil_div(height, geometry.stride_h), band)
    parallel_for(_input_grad_band, tasks, (dy, adjoint, view_prologue(prologue), dx))
    keep_alive(taps)
