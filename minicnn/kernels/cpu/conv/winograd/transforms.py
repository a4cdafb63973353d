"""The three transforms of Winograd's F(4x4, 3x3), on vectors of tiles or of channels.

    y = A' [ (G g G') . (B' d B) ] A

for one tile: d of 6x6 inputs, g of 3x3 weights, y of 4x4 outputs, "." by element.  The matrices are those of the
points 0, 1, -1, 2, -2 and infinity:

         4  0 -5  0  1  0           1/4    0    0
         0 -4 -4  1  1  0          -1/6 -1/6 -1/6           1  1  1  1  1  0
    B' = 0  4 -4 -1  1  0     G =  -1/6  1/6 -1/6      A' = 0  1 -1  2 -2  0
         0 -2 -1  2  1  0          1/24 1/12  1/6           0  1  1  4  4  0
         0  2 -1 -2  1  0          1/24 -1/12 1/6           0  1 -1  8 -8  1
         0  4  0 -5  0  1             0    0    1

A weight gradient is F(3x3, 4x4), of the same points: four gradients take the place of three weights, and three
taps that of four outputs.

Arrays are passed by address, since a vector may lie across the end of a row; the caller holds them, and says how
far from each other their parts lie, in floats: the stride of a run, of a row or of a vector.  Sums are written out
line by line, since they stay in registers only where nothing is indexed by a variable.

Source: Lavin, Gray 2015, "Fast Algorithms for Convolutional Neural Networks", section 4.3.
"""

import numpy as np

from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.epilogue import scale_shift_clip_vector
from minicnn.kernels.cpu.simd.pointers import offset
from minicnn.kernels.cpu.simd.vector import (
    LANES,
    broadcast,
    fma,
    load,
    load_deinterleave4,
    shift_in,
    store,
    store_interleave4,
)

__all__ = [
    "load_9",
    "transform_gradients",
    "transform_input_columns",
    "transform_input_rows",
    "transform_kernels",
    "transform_products",
    "transform_tap_products",
]


@inner
def _load_6(start, at, stride):
    """Load six vectors."""
    return (
        load(start, at),
        load(start, at + stride),
        load(start, at + 2 * stride),
        load(start, at + 3 * stride),
        load(start, at + 4 * stride),
        load(start, at + 5 * stride),
    )


@inner
def load_9(start, at, stride):
    """Load nine vectors."""
    return (
        *_load_6(start, at, stride),
        load(start, at + 6 * stride),
        load(start, at + 7 * stride),
        load(start, at + 8 * stride),
    )


@inner
def _store_6(line, start, at, stride):
    """Store six vectors."""
    store(start, at, line[0])
    store(start, at + stride, line[1])
    store(start, at + 2 * stride, line[2])
    store(start, at + 3 * stride, line[3])
    store(start, at + 4 * stride, line[4])
    store(start, at + 5 * stride, line[5])


@inner
def _input_line(a, b, c, d, e, f):
    """Return B' times one column of six."""
    two, four, five = broadcast(np.float32(2)), broadcast(np.float32(4)), broadcast(np.float32(5))
    # rows 1 and 2 of B' differ in the sign of their odd part only, and so do rows 3 and 4: opposite points
    even, odd = e - four * c, d - four * b
    near_even, near_odd = e - c, two * (d - b)
    return (
        fma(four, a, e) - five * c,
        even + odd,
        even - odd,
        near_even + near_odd,
        near_even - near_odd,
        fma(four, b, f) - five * d,
    )


@inner
def _output_line(a, b, c, d, e, f):
    """Return A' times one column of six."""
    two, four, eight = broadcast(np.float32(2)), broadcast(np.float32(4)), broadcast(np.float32(8))
    # columns of A' of opposite points are equal but for the signs of odd powers: near are 1 and -1, far 2 and -2
    near, near_odd, far, far_odd = b + c, b - c, d + e, d - e
    return a + near + far, fma(two, far_odd, near_odd), fma(four, far, near), fma(eight, far_odd, near_odd) + f


@inner
def _kernel_line(a, b, c):
    """Return G times one column of three."""
    quarter, sixth = broadcast(np.float32(1 / 4)), broadcast(np.float32(1 / 6))
    twelfth, twentyfourth = broadcast(np.float32(1 / 12)), broadcast(np.float32(1 / 24))
    # rows of G for 1 and -1: -(a + c) / 6 -+ b / 6; for 2 and -2: a / 24 + c / 6 +- b / 12
    outer, half = sixth * (a + c), sixth * b
    far = fma(twentyfourth, a, sixth * c)
    zero = broadcast(np.float32(0))
    return quarter * a, zero - outer - half, half - outer, fma(twelfth, b, far), far - twelfth * b, c


@inner
def transform_input_columns(rows, row_stride, count, columns):
    """Transform 6 rows of ``count`` inputs down their columns, in whole vectors, to 6 rows of ``columns``."""
    # B' d: lanes are columns of the map, and rows are combined as they were loaded
    for i in range(0, count, LANES):
        _store_6(_input_line(*_load_6(rows, i, row_stride)), columns, i, row_stride)


@inner
def transform_input_rows(columns, row_stride, count, beyond, tiles, run_stride):
    """Transform the rows of ``count`` tiles side by side: 6 transformed rows become 36 runs of tiles.

    columns : address of the rows: the first four columns of each tile; its last two are ``beyond`` floats further
    tiles : address of the first run; runs are written in whole vectors
    """
    for t in range(0, count, LANES):
        for r in range(6):
            # (B' d) B: a to f are the six columns of row r, and lanes are tiles
            at = r * row_stride + 4 * t
            a, b, c, d = load_deinterleave4(columns, at)
            if beyond == 4:  # the next tile's first columns, which are at hand but for the last tile's
                e, f = shift_in(a, load(columns, at + 4 * LANES)), shift_in(b, load(columns, at + 4 * LANES + 1))
            else:
                e, f, _, _ = load_deinterleave4(columns, at + beyond)
            _store_6(_input_line(a, b, c, d, e, f), tiles, 6 * r * run_stride + t, run_stride)


@inner
def _output_column(products, at, run_stride):
    return _output_line(*_load_6(products, at, 6 * run_stride))


@inner
def _store_outputs(line, factor, summand, clip_min, clip_max, rows, at):
    """Put the vectors of the four outputs of LANES tiles' rows through the epilogue, and write them as one row."""
    a = scale_shift_clip_vector(line[0], factor, summand, clip_min, clip_max)
    b = scale_shift_clip_vector(line[1], factor, summand, clip_min, clip_max)
    c = scale_shift_clip_vector(line[2], factor, summand, clip_min, clip_max)
    d = scale_shift_clip_vector(line[3], factor, summand, clip_min, clip_max)
    store_interleave4(rows, at, a, b, c, d)


@inner
def transform_products(products, run_stride, count, epilogue, rows, row_stride):
    """Transform ``count`` tiles side by side: 36 runs of products become 4 rows of outputs, in whole vectors.

    epilogue : ``ChannelEpilogue``
    """
    vectors = broadcast(epilogue.scale), broadcast(epilogue.shift), epilogue.clip_min, epilogue.clip_max
    for t in range(0, count, LANES):
        # A' M: column s of M has the elements s, 6 + s, ..., 30 + s
        a = _output_column(products, t, run_stride)
        b = _output_column(products, t + run_stride, run_stride)
        c = _output_column(products, t + 2 * run_stride, run_stride)
        d = _output_column(products, t + 3 * run_stride, run_stride)
        e = _output_column(products, t + 4 * run_stride, run_stride)
        f = _output_column(products, t + 5 * run_stride, run_stride)
        # (A' M) A: row by row, four outputs a tile, which interleave to a row of pixels
        _store_outputs(_output_line(a[0], b[0], c[0], d[0], e[0], f[0]), *vectors, rows, 4 * t)
        _store_outputs(_output_line(a[1], b[1], c[1], d[1], e[1], f[1]), *vectors, rows, 4 * t + row_stride)
        _store_outputs(_output_line(a[2], b[2], c[2], d[2], e[2], f[2]), *vectors, rows, 4 * t + 2 * row_stride)
        _store_outputs(_output_line(a[3], b[3], c[3], d[3], e[3], f[3]), *vectors, rows, 4 * t + 3 * row_stride)


@inner
def _transform_kernel_row(a, b, c, tile, at, stride):
    _store_6(_kernel_line(a, b, c), tile, at, stride)


@inner
def transform_kernels(taps, tile, stride):
    """Transform LANES kernels: nine vectors become 36, from the address ``tile`` on."""
    # G g, column by column; then (G g) G', of which each row is six elements of the tile
    a, b, c, d, e, f, g, h, i = taps
    left, middle, right = _kernel_line(a, d, g), _kernel_line(b, e, h), _kernel_line(c, f, i)
    _transform_kernel_row(left[0], middle[0], right[0], tile, 0, stride)
    _transform_kernel_row(left[1], middle[1], right[1], tile, 6 * stride, stride)
    _transform_kernel_row(left[2], middle[2], right[2], tile, 12 * stride, stride)
    _transform_kernel_row(left[3], middle[3], right[3], tile, 18 * stride, stride)
    _transform_kernel_row(left[4], middle[4], right[4], tile, 24 * stride, stride)
    _transform_kernel_row(left[5], middle[5], right[5], tile, 30 * stride, stride)


@inner
def _gradient_line(a, b, c, d):
    """Return G times one column of four: the gradients of 4 outputs take the place of the weights."""
    quarter, sixth, third = (
        broadcast(np.float32(1 / 4)),
        broadcast(np.float32(1 / 6)),
        broadcast(np.float32(1 / 3)),
    )
    twelfth, twentyfourth = broadcast(np.float32(1 / 12)), broadcast(np.float32(1 / 24))
    # G with a column more, for a third power: opposite points differ in the sign of b and d
    even, odd = sixth * (a + c), sixth * (b + d)
    far, far_odd = fma(twentyfourth, a, sixth * c), fma(twelfth, b, third * d)
    zero = broadcast(np.float32(0))
    return quarter * a, zero - even - odd, odd - even, far + far_odd, far - far_odd, d


@inner
def _tap_line(a, b, c, d, e, f):
    """Return A' times one column of six, for three taps."""
    two, four = broadcast(np.float32(2)), broadcast(np.float32(4))
    # the first three rows of A'; the point at infinity, f, is now in the third
    near, near_odd, far, far_odd = b + c, b - c, d + e, d - e
    return a + near + far, fma(two, far_odd, near_odd), fma(four, far, near) + f


@inner
def transform_gradients(rows, row_stride, count, tiles, run_stride):
    """Transform ``count`` tiles of dy side by side: 4 rows become 36 runs of tiles, in whole vectors.

    rows : address of 10 rows, the last 6 for what lies between
    """
    columns = offset(rows, 4 * row_stride)
    # G dy down the columns, of which there are four a tile; then G' along the rows
    for i in range(0, 4 * count, LANES):
        a, b = load(rows, i), load(rows, i + row_stride)
        c, d = load(rows, i + 2 * row_stride), load(rows, i + 3 * row_stride)
        _store_6(_gradient_line(a, b, c, d), columns, i, row_stride)
    for t in range(0, count, LANES):
        for r in range(6):
            a, b, c, d = load_deinterleave4(columns, r * row_stride + 4 * t)
            # element (r, s) of a tile goes to run 6 r + s
            _store_6(_gradient_line(a, b, c, d), tiles, 6 * r * run_stride + t, run_stride)


@inner
def _tap_column(products, at, stride):
    return _tap_line(*_load_6(products, at, 6 * stride))


@inner
def transform_tap_products(products, stride, taps):
    """Transform 36 vectors of products into 9 vectors, one behind the other: the taps of LANES kernels."""
    # A' M, column by column; then (A' M) A, of which row r is three taps
    a, b, c = (
        _tap_column(products, 0, stride),
        _tap_column(products, stride, stride),
        _tap_column(products, 2 * stride, stride),
    )
    d, e, f = (
        _tap_column(products, 3 * stride, stride),
        _tap_column(products, 4 * stride, stride),
        _tap_column(products, 5 * stride, stride),
    )
    for r in range(3):
        line = _tap_line(a[r], b[r], c[r], d[r], e[r], f[r])
        store(taps, 3 * r * LANES, line[0])
        store(taps, (3 * r + 1) * LANES, line[1])
        store(taps, (3 * r + 2) * LANES, line[2])
