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
from minicnn.kernels.cpu.simd.pointers import offset
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
    "PhaseColumns",
    "SourceMap",
    "adjoint_taps",
    "deinterleave",
    "first_row_and_column",
    "phase_columns",
    "plain_source",
    "tap_places",
    "zero_plane",
]


class SourceMap(NamedTuple):
    """A map (H, W) to be copied into a plane, and the prologue that its values go through.

    Attributes
    ----------
    pixels : address of its first pixel
    available : floats from there to the end of the array, beyond which no vector may read
    height, width : int
    mask : address of its mask's first byte, 0 for no mask; there is none where there is a stride
    only_positive : whether negative values count as 0
    scale : float32

    """

    pixels: int
    available: int
    height: int
    width: int
    mask: int
    only_positive: bool
    scale: float


class PhaseColumns(NamedTuple):
    """For each phase, which columns of a map a plane has.

    Attributes
    ----------
    source : array of the first column of the map
    target : array of where it goes in the plane's row of that phase
    count : array of how many there are

    """

    source: np.ndarray
    target: np.ndarray
    count: np.ndarray


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
    count = rows * stride_w * columns
    return np.zeros(count + 4 * LANES, np.float32)[:count].reshape(rows, stride_w, columns)


@inner
def plain_source(x, index, height, width):
    """Map of x whose first pixel is element ``index``, with no prologue."""
    return SourceMap(offset(address(x), index), x.size - index, height, width, 0, False, np.float32(1))


@inner
def phase_columns(stride_w, padding_left, width, columns):
    """Columns of a map of ``width`` that a plane of ``columns`` a phase has."""
    source, target, count = (
        np.empty(stride_w, np.int64),
        np.empty(stride_w, np.int64),
        np.empty(stride_w, np.int64),
    )
    for phase in range(stride_w):
        # the columns w of the map with (w + padding_left) % stride_w == phase
        first = (phase - padding_left) % stride_w
        first += max(0, (-padding_left - first + stride_w - 1) // stride_w) * stride_w
        source[phase], target[phase] = first, min((first + padding_left) // stride_w, columns)
        count[phase] = max(0, min((width - first + stride_w - 1) // stride_w, columns - target[phase]))
    return PhaseColumns(source, target, count)


@inner
def deinterleave(x, padding_top, columns, plane):
    """Copy a map into a plane, through its prologue, one phase's columns behind the other's.

    x : ``SourceMap``
    padding_top : row i of the plane is row i - padding_top of the map; rows that are none are left as they are
    columns : ``PhaseColumns``

    What vectors write beyond the end of a row are zeros, so that the padding stays as it is, whatever was copied
    before.
    """
    rows, stride_w, width = plane.shape
    to, factor = address(plane), broadcast(np.float32(x.scale))
    for row in range(max(0, padding_top), min(rows, padding_top + x.height)):
        for phase in range(stride_w):
            count = columns.count[phase]
            line = (row * stride_w + phase) * width + columns.target[phase]
            begin = (row - padding_top) * x.width + columns.source[phase]
            i = 0
            # vectors read on beyond the end of a row, but not of the array
            while stride_w <= 2 and i < count and begin + stride_w * (i + LANES) <= x.available:
                if stride_w == 1:
                    v = load(x.pixels, begin + i)
                    v = scale_and_mask_vector(v, factor, x.mask, x.only_positive, begin + i)
                else:
                    v = factor * load_deinterleave2(x.pixels, begin + 2 * i)[0]
                store(to, line + i, keep_first(v, count - i))
                i += LANES
            for j in range(i, count):
                at = begin + j * stride_w
                v = load_scalar(x.pixels, at)
                passed = (x.mask == 0 or load_byte(x.mask, at) != 0) and (v > 0 or not x.only_positive)
                store_scalar(to, line + j, x.scale * v if passed else np.float32(0))


@inner
def tap_places(channels, kernel_size, geometry, plane):
    """Where in the planes of ``channels``, one behind the other, each tap (c, r, s) of the first output is."""
    height, width = kernel_size
    stride_w, columns = plane.shape[1], plane.shape[2]
    places = np.empty(channels * height * width, np.int64)
    for i in range(len(places)):
        c, r, s = i // (height * width), i // width % height, i % width
        w = s * geometry.dilation_w
        line = r * geometry.dilation_h * stride_w + w % stride_w
        places[i] = c * plane.size + line * columns + w // stride_w
    return places


@inner
def first_row_and_column(kernel_size, geometry):
    """First row and column of dy that dx depends on."""
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
            p = phase // geometry.stride_w + geometry.padding_top - tap // width * geometry.dilation_h
            q = phase % geometry.stride_w + geometry.padding_left - tap % width * geometry.dilation_w
            if p % geometry.stride_h == 0 and q % geometry.stride_w == 0:
                row, column = p // geometry.stride_h - origin[0], q // geometry.stride_w - origin[1]
                taps[phase, counts[phase]], places[phase, counts[phase]] = tap, row * columns + column
                counts[phase] += 1
    return AdjointTaps(counts, taps, places)
