"""Planes: maps of one channel with their padding, columns sorted by their remainder modulo the stride.

Whatever the stride, a tap of a convolution then reads consecutive values: vectors.  The pixels of an input
gradient with one remainder, of rows and of columns, are sums over a plane of dy, by the taps that reach them.
"""

import numpy as np

from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.epilogue import prepared_vector
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

__all__ = ["adjoint_taps", "columns_of", "spread", "zeros"]


@inner
def zeros(rows, across, columns):
    """Plane (rows, across, columns) of zeros, with room behind it for vectors."""
    count = rows * across * columns
    return np.zeros(count + 4 * LANES, np.float32)[:count].reshape(rows, across, columns)


@inner
def columns_of(across, left, width, columns):
    """For each remainder: the first column of x that the plane has, where it goes, and how many there are."""
    found = np.empty((across, 3), np.int64)
    for phase in range(across):
        # the columns w of x with (w + left) % across == phase
        start = (phase - left) % across
        start += max(0, (-left - start + across - 1) // across) * across
        at = min((start + left) // across, columns)
        # one by one: a row set to a tuple takes a second and more to compile
        found[phase, 0], found[phase, 1] = start, at
        found[phase, 2] = max(0, min((width - start + across - 1) // across, columns - at))
    return found


@inner
def spread(x, room, size, mask, only_positive, scale, top, chosen, plane):
    """Copy x, of ``size`` (H, W), into the plane, through the prologue, columns sorted by remainder.

    x and mask are addresses, 0 for no mask, and there is none with a stride; ``room`` is the number of values from
    there to the end of memory.  Row i of the plane is row i - ``top`` of x; rows that are none are left as they
    are.  What vectors write beyond the end of a row are zeros, so that the padding stays as it is, whatever was
    copied before.
    """
    (rows, across, columns), (height, width) = plane.shape, size
    to, factor = address(plane), broadcast(np.float32(scale))
    for row in range(max(0, top), min(rows, top + height)):
        for phase in range(across):
            start, at, count = chosen[phase, 0], chosen[phase, 1], chosen[phase, 2]
            line, begin = (row * across + phase) * columns + at, (row - top) * width + start
            i = 0
            # vectors read on beyond the end of a row, but not of memory
            while across <= 2 and i < count and begin + across * (i + LANES) <= room:
                if across == 1:
                    v = prepared_vector(load(x, begin + i), factor, mask, only_positive, begin + i)
                else:
                    v = factor * load_deinterleave2(x, begin + 2 * i)[0]
                store(to, line + i, keep_first(v, count - i))
                i += LANES
            for j in range(i, count):
                at_x = begin + j * across
                passed = (mask == 0 or load_byte(mask, at_x) != 0) and (
                    load_scalar(x, at_x) > 0 or not only_positive
                )
                store_scalar(to, line + j, scale * load_scalar(x, at_x) if passed else np.float32(0))


@inner
def adjoint_taps(kernel_size, geometry, offset, columns):
    """For each remainder of a row and of a column of dx: how many taps reach it, which, and where in the plane."""
    (height, width), (down, across, top, left, apart, aside) = kernel_size, geometry[:6]
    counts = np.zeros(down * across, np.int64)
    taps = np.empty((2, down * across, height * width), np.int64)
    for phase in range(down * across):
        for tap in range(height * width):
            p, q = phase // across + top - tap // width * apart, phase % across + left - tap % width * aside
            if p % down == 0 and q % across == 0:
                taps[0, phase, counts[phase]] = tap
                taps[1, phase, counts[phase]] = (p // down - offset[0]) * columns + q // across - offset[1]
                counts[phase] += 1
    return counts, taps
