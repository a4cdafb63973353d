"""The three transforms of Winograd's F(4x4, 3x3), on vectors of tiles or of channels.

    y = A' [ (G g G') . (B' d B) ] A

for one tile: d of 6x6 inputs, g of 3x3 weights, y of 4x4 outputs, "." by element.  The matrices are those of the
points 0, 1, -1, 2, -2 and infinity (Lavin, Gray 2015, section 4.3).  Arrays are passed by address, since a vector
may lie across the end of a row; the caller holds them, and says how far apart their parts lie.
"""

import numpy as np

from minicnn.kernels.cpu.runtime.jit import inner
from minicnn.kernels.cpu.simd.epilogue import scale_shift_clip_vector as clamp
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
    "gradient_tile",
    "gradient_tiles",
    "input_columns",
    "input_tiles",
    "nine",
    "output_tiles",
    "weight_tile",
]


@inner
def _six(start, at, apart):
    """Load six vectors that lie ``apart`` floats apart."""
    return (
        load(start, at),
        load(start, at + apart),
        load(start, at + 2 * apart),
        load(start, at + 3 * apart),
        load(start, at + 4 * apart),
        load(start, at + 5 * apart),
    )


@inner
def _store_six(line, start, at, apart):
    """Store six vectors ``apart`` floats apart."""
    store(start, at, line[0])
    store(start, at + apart, line[1])
    store(start, at + 2 * apart, line[2])
    store(start, at + 3 * apart, line[3])
    store(start, at + 4 * apart, line[4])
    store(start, at + 5 * apart, line[5])


@inner
def _input_line(a, b, c, d, e, f):
    """Return B' times one column of six."""
    two, four, five = broadcast(np.float32(2)), broadcast(np.float32(4)), broadcast(np.float32(5))
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
    near, near_odd, far, far_odd = b + c, b - c, d + e, d - e
    return a + near + far, fma(two, far_odd, near_odd), fma(four, far, near), fma(eight, far_odd, near_odd) + f


@inner
def _weight_line(a, b, c):
    """Return G times one column of three."""
    quarter, sixth = broadcast(np.float32(1 / 4)), broadcast(np.float32(1 / 6))
    twelfth, twentyfourth = broadcast(np.float32(1 / 12)), broadcast(np.float32(1 / 24))
    outer, half = sixth * (a + c), sixth * b
    far = fma(twentyfourth, a, sixth * c)
    zero = broadcast(np.float32(0))
    return quarter * a, zero - outer - half, half - outer, fma(twelfth, b, far), far - twelfth * b, c


@inner
def input_columns(rows, length, count, columns):
    """Transform 6 rows of ``count`` inputs, ``length`` apart, down their columns, in whole vectors."""
    for i in range(0, count, LANES):
        _store_six(_input_line(*_six(rows, i, length)), columns, i, length)


@inner
def input_tiles(columns, length, count, beyond, tiles, apart):
    """Transform the rows of ``count`` tiles side by side: 6 rows of ``input_columns`` become 36 runs of tiles.

    columns : address of 6 rows of ``length`` floats: the first four columns of each tile, its last two ``beyond``
    tiles : address of the first run; the runs lie ``apart`` floats apart, and are written in whole vectors
    """
    for t in range(0, count, LANES):
        for r in range(6):
            at = r * length + 4 * t
            a, b, c, d = load_deinterleave4(columns, at)
            if beyond == 4:  # the next tile's first columns
                e, f = shift_in(a, load(columns, at + 4 * LANES)), shift_in(b, load(columns, at + 4 * LANES + 1))
            else:
                e, f, _, _ = load_deinterleave4(columns, at + beyond)
            _store_six(_input_line(a, b, c, d, e, f), tiles, 6 * r * apart + t, apart)


@inner
def _output_column(tiles, at, apart):
    return _output_line(*_six(tiles, at, 6 * apart))


@inner
def _finish_fours(line, scale, shift, least, most, rows, at):
    a, b = clamp(line[0], scale, shift, least, most), clamp(line[1], scale, shift, least, most)
    c, d = clamp(line[2], scale, shift, least, most), clamp(line[3], scale, shift, least, most)
    store_interleave4(rows, at, a, b, c, d)


@inner
def output_tiles(tiles, apart, count, scale, shift, least, most, rows, length):
    """Transform ``count`` tiles side by side: 36 runs of tiles become 4 rows of finished outputs, in vectors."""
    by, plus = broadcast(scale), broadcast(shift)
    for t in range(0, count, LANES):
        a, b, c = (
            _output_column(tiles, t, apart),
            _output_column(tiles, t + apart, apart),
            _output_column(tiles, t + 2 * apart, apart),
        )
        d, e, f = (
            _output_column(tiles, t + 3 * apart, apart),
            _output_column(tiles, t + 4 * apart, apart),
            _output_column(tiles, t + 5 * apart, apart),
        )
        line = _output_line(a[0], b[0], c[0], d[0], e[0], f[0])
        _finish_fours(line, by, plus, least, most, rows, 4 * t)
        line = _output_line(a[1], b[1], c[1], d[1], e[1], f[1])
        _finish_fours(line, by, plus, least, most, rows, 4 * t + length)
        line = _output_line(a[2], b[2], c[2], d[2], e[2], f[2])
        _finish_fours(line, by, plus, least, most, rows, 4 * t + 2 * length)
        line = _output_line(a[3], b[3], c[3], d[3], e[3], f[3])
        _finish_fours(line, by, plus, least, most, rows, 4 * t + 3 * length)


@inner
def _weight_row(a, b, c, tile, at, apart):
    _store_six(_weight_line(a, b, c), tile, at, apart)


@inner
def nine(start, at, apart):
    """Load nine vectors that lie ``apart`` floats apart."""
    return (
        *_six(start, at, apart),
        load(start, at + 6 * apart),
        load(start, at + 7 * apart),
        load(start, at + 8 * apart),
    )


@inner
def weight_tile(taps, tile, apart):
    """Transform LANES kernels: nine vectors become 36, ``apart`` floats apart."""
    a, b, c, d, e, f, g, h, i = taps
    left, middle, right = _weight_line(a, d, g), _weight_line(b, e, h), _weight_line(c, f, i)
    _weight_row(left[0], middle[0], right[0], tile, 0, apart)
    _weight_row(left[1], middle[1], right[1], tile, 6 * apart, apart)
    _weight_row(left[2], middle[2], right[2], tile, 12 * apart, apart)
    _weight_row(left[3], middle[3], right[3], tile, 18 * apart, apart)
    _weight_row(left[4], middle[4], right[4], tile, 24 * apart, apart)
    _weight_row(left[5], middle[5], right[5], tile, 30 * apart, apart)


@inner
def _four_line(a, b, c, d):
    """Return G times one column of four: the gradient of 4 outputs takes the place of the weights."""
    quarter, sixth, third = (
        broadcast(np.float32(1 / 4)),
        broadcast(np.float32(1 / 6)),
        broadcast(np.float32(1 / 3)),
    )
    twelfth, twentyfourth = broadcast(np.float32(1 / 12)), broadcast(np.float32(1 / 24))
    even, odd = sixth * (a + c), sixth * (b + d)
    far, far_odd = fma(twentyfourth, a, sixth * c), fma(twelfth, b, third * d)
    zero = broadcast(np.float32(0))
    return quarter * a, zero - even - odd, odd - even, far + far_odd, far - far_odd, d


@inner
def _three_line(a, b, c, d, e, f):
    """Return A' times one column of six, for three outputs."""
    two, four = broadcast(np.float32(2)), broadcast(np.float32(4))
    near, near_odd, far, far_odd = b + c, b - c, d + e, d - e
    return a + near + far, fma(two, far_odd, near_odd), fma(four, far, near) + f


@inner
def gradient_tiles(rows, length, count, tiles, apart):
    """Transform ``count`` tiles of dy side by side: 4 rows become 36 runs of tiles; see ``input_tiles``.

    rows : address of 10 rows of ``length`` floats, the last 6 for what lies between
    """
    columns = rows + 16 * length
    for i in range(0, 4 * count, LANES):
        line = _four_line(
            load(rows, i), load(rows, i + length), load(rows, i + 2 * length), load(rows, i + 3 * length)
        )
        _store_six(line, columns, i, length)
    for t in range(0, count, LANES):
        for r in range(6):
            a, b, c, d = load_deinterleave4(columns, r * length + 4 * t)
            _store_six(_four_line(a, b, c, d), tiles, 6 * r * apart + t, apart)


@inner
def _three_column(tiles, at, apart):
    return _three_line(*_six(tiles, at, 6 * apart))


@inner
def gradient_tile(products, apart, taps):
    """Transform 36 vectors of products, ``apart``, into 9 vectors: the taps of LANES kernels."""
    a, b, c = (
        _three_column(products, 0, apart),
        _three_column(products, apart, apart),
        _three_column(products, 2 * apart, apart),
    )
    d, e, f = (
        _three_column(products, 3 * apart, apart),
        _three_column(products, 4 * apart, apart),
        _three_column(products, 5 * apart, apart),
    )
    for r in range(3):
        line = _three_line(a[r], b[r], c[r], d[r], e[r], f[r])
        store(taps, 3 * r * LANES, line[0])
        store(taps, (3 * r + 1) * LANES, line[1])
        store(taps, (3 * r + 2) * LANES, line[2])
