"""Planes: maps of one channel with their padding, whose columns are deinterleaved by the stride.

    plane[row, phase, i] = padded map[row, i stride_w + phase]

so that, whatever the stride, a tap of a convolution reads consecutive values: vectors.  A phase is a remainder
modulo the stride.  The pixels of an input gradient that share a phase, of rows and of columns, are sums over a
plane of dy, by the taps that reach them.

A plane is a copy, written once and read by each of the R S taps from a core's cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.epilogue import scale_and_mask_vector
from minicnn.kernels.cpu.simd.pointers import mask_offset, offset
from minicnn.kernels.cpu.simd.vector import (
    LANES,
    address,
    broadcast,
    keep_first,
    load,
    load_byte,
    load_deinterleave2,
    load_scalar,
    store,
    store_scalar,
)

__all__ = [
    "AdjointTaps",
    "MapPrologue",
    "SourceMap",
    "adjoint_taps",
    "deinterleave",
    "first_row_and_column",
    "map_prologue",
    "phase_columns",
    "source_map",
    "tap_places",
    "zero_plane",
]


SOURCE, TARGET, COUNT = range(3)  # rows of ``phase_columns``


class SourceMap(NamedTuple):
    """A map (H, W) to be copied into a plane.

    Attributes
    ----------
    pixels : address of its first pixel
    available : floats from there to the end of the array, beyond which no vector may read
    height, width : int

    """

    pixels: int
    available: int
    height: int
    width: int


class MapPrologue(NamedTuple):
    """A prologue's numbers for one map: scale, address of the map's mask or 0, and the deconvnet's rule."""

    scale: float
    mask: int
    only_positive: bool


class AdjointTaps(NamedTuple):
    """For each phase of dx, of rows and of columns together, the taps that reach its pixels.

    Attributes
    ----------
    count : array of how many taps there are
    tap : array (phases, R S) of which they are
    place : array (phases, R S) of where in a plane of dy each reads for the first pixel

    """

    count: np.ndarray
    tap: np.ndarray
    place: np.ndarray


@inner
def zero_plane(rows, stride_w, columns):
    """Plane (rows, stride_w, columns) of zeros, with room behind it for vectors."""
    # the room behind is in the buffer but not in the array: a last vector may write there
    count = rows * stride_w * columns
    return np.zeros(count + 4 * LANES, np.float32)[:count].reshape(rows, stride_w, columns)


@inner
def phase_columns(stride_w, padding_left, width, columns):
    """Which columns of a map of ``width`` a plane of ``columns`` a phase has: array (3, stride_w).

    Row SOURCE has the first column of the map for each phase, TARGET where it goes in the plane's row, and COUNT
    how many there are.
    """
    chosen = np.empty((3, stride_w), np.int64)
    for phase in range(stride_w):
        # the columns w of the map with (w + padding_left) % stride_w == phase
        first = (phase - padding_left) % stride_w
        # negative padding cuts columns off: the first that is left has w >= -padding_left
        first += max(0, (-padding_left - first + stride_w - 1) // stride_w) * stride_w
        # w lies at padded column w + padding_left = i stride_w + phase: i is the quotient
        target = min((first + padding_left) // stride_w, columns)
        chosen[SOURCE, phase], chosen[TARGET, phase] = first, target
        # as many as the map has from there on, but no more than the plane has room for
        chosen[COUNT, phase] = max(0, min((width - first + stride_w - 1) // stride_w, columns - target))
    return chosen


@inner
def source_map(x, index):
    """Map of ``Maps`` whose first pixel is element ``index``."""
    available = x.images * x.channels * x.height * x.width - index
    return SourceMap(offset(x.address, index), available, x.height, x.width)


@inner
def map_prologue(prologue, k, index):
    """Return a ``MapPrologue`` for a map of channel k, whose first pixel is element ``index``."""
    return MapPrologue(load_scalar(prologue.scale, k), mask_offset(prologue.mask, index), prologue.only_positive)


@inner
def deinterleave(x, prologue, padding_top, columns, plane):
    """Copy a map into a plane, one phase's columns behind the other's.

    x : ``SourceMap``
    prologue : ``MapPrologue``, of a plane with one phase, or None; Numba compiles what None leaves of this
    padding_top : row i of the plane is row i - padding_top of the map; rows that are none are left as they are
    columns : ``phase_columns``

    What vectors write beyond the end of a row are zeros, so that the padding stays as it is, whatever was copied
    before.
    """
    rows, stride_w, width = plane.shape
    to = address(plane)
    for row in range(max(0, padding_top), min(rows, padding_top + x.height)):
        for phase in range(stride_w):
            count = columns[COUNT, phase]
            # element of the plane, and of the map, where the phase's part of this row begins
            line = (row * stride_w + phase) * width + columns[TARGET, phase]
            begin = (row - padding_top) * x.width + columns[SOURCE, phase]
            i = 0
            # vectors read on beyond the end of a row, but not of the array
            while stride_w <= 2 and i < count and begin + stride_w * (i + LANES) <= x.available:
                if stride_w == 1:
                    v = load(x.pixels, begin + i)
                    if prologue is not None:
                        factor = broadcast(prologue.scale)
                        v = scale_and_mask_vector(v, factor, prologue.mask, prologue.only_positive, begin + i)
                else:
                    # of every two columns this phase has the first: ``begin`` is the phase's own first column
                    v = load_deinterleave2(x.pixels, begin + 2 * i)[0]
                # zeros beyond ``count`` fall on padding, or on what a later phase or row overwrites
                store(to, line + i, keep_first(v, count - i))
                i += LANES
            # larger strides, and what is too close to the end of the array for a vector
            for j in range(i, count):
                at = begin + j * stride_w
                pixel = load_scalar(x.pixels, at)
                if prologue is not None:
                    passed = (prologue.mask == 0 or load_byte(prologue.mask, at) != 0) and (
                        pixel > 0 or not prologue.only_positive
                    )
                    pixel = prologue.scale * pixel if passed else np.float32(0)
                store_scalar(to, line + j, pixel)


@inner
def tap_places(channels, kernel_size, geometry, plane):
    """Where in the planes of ``channels``, one behind the other, each tap (c, r, s) of the first output is."""
    height, width = kernel_size
    stride_w, columns = plane.shape[1], plane.shape[2]
    places = np.empty(channels * height * width, np.int64)
    for i in range(len(places)):
        c, r, s = i // (height * width), i // width % height, i % width
        # padded column w of output 0 lies in phase w % stride_w, at w // stride_w
        w = s * geometry.dilation_w
        # which of the plane's lines (row, phase)
        line = r * geometry.dilation_h * stride_w + w % stride_w
        # plane c, line (row, phase), column: the float that tap (c, r, s) reads for output (0, 0)
        places[i] = c * plane.size + line * columns + w // stride_w
    return places


@inner
def first_row_and_column(kernel_size, geometry):
    """First row and column of dy that dx depends on."""
    # dx[h] has terms dy[p], p stride = h + padding - r dilation: least for h = 0 and the last tap r
    top = geometry.padding_top - (kernel_size[0] - 1) * geometry.dilation_h
    left = geometry.padding_left - (kernel_size[1] - 1) * geometry.dilation_w
    return top // geometry.stride_h, left // geometry.stride_w


@inner
def adjoint_taps(kernel_size, geometry, origin, columns):
    """Taps that reach each phase of dx.

    origin : ``first_row_and_column`` of dy, which is the plane's
    columns : of the plane, which has one phase
    """
    height, width = kernel_size
    phases = geometry.stride_h * geometry.stride_w
    counts = np.zeros(phases, np.int64)
    taps, places = np.empty((phases, height * width), np.int64), np.empty((phases, height * width), np.int64)
    for phase in range(phases):
        for tap in range(height * width):
            # the first pixel of this phase is (phase // stride_w, phase % stride_w)
            p = phase // geometry.stride_w + geometry.padding_top - tap // width * geometry.dilation_h
            q = phase % geometry.stride_w + geometry.padding_left - tap % width * geometry.dilation_w
            # only taps whose p and q are whole numbers reach this phase, for all of its pixels alike
            if p % geometry.stride_h == 0 and q % geometry.stride_w == 0:
                row, column = p // geometry.stride_h - origin[0], q // geometry.stride_w - origin[1]
                taps[phase, counts[phase]], places[phase, counts[phase]] = tap, row * columns + column
                counts[phase] += 1
    return AdjointTaps(counts, taps, places)
