"""Convolution with one thread an output: what is left where a group has too few filters to share a tile.

Depthwise convolution above all: nothing is used twice by one block, so it is bound by memory, and the cache holds
the window's rows.  The geometry and the taps are those of ``product``.
"""

from __future__ import annotations

from numba import cuda, float32, float64, int32

from minicnn.kernels.cuda.launch import divided
from minicnn.kernels.cuda.reduction import WIDTH, add_up

__all__ = ["direct", "direct_weight"]


@cuda.jit
def direct(weight, x, taps, scale, shift, y, mask, g, groups, scaled, shifted, rectified, most, size):
    """One output a thread, y[n, k, pixel] = epilogue(sum_d weight[k, d] x[n, pixel + tap d])."""
    i = cuda.grid(1)
    if i < size:
        zero = x.dtype.type(0)
        rest, column = divided(i, g.columns)
        rest, row = divided(rest, g.rows)
        image, k = divided(rest, g.total_filters)
        group, _ = divided(k, g.filters)
        h, w = row * g.step_y + g.corner_y, column * g.step_x + g.corner_x
        source = (image * g.channels + group * (g.channels // groups)) * g.height * g.width + h * g.width + w
        weights = k * g.deep
        total = zero
        for d in range(g.deep):
            place = taps[d] >> 32
            at_h, at_w = h + (place >> 16), w + ((place & 65535) - 32768)
            if at_h >= 0 and at_h < g.height and at_w >= 0 and at_w < g.width:
                total += weight[weights + d] * x[source + int32(taps[d])]
        if scaled:
            total *= scale[k]
        if shifted:
            total += shift[k]
        at = (image * g.total_filters + k) * g.out_height + row * g.out_step_y + g.out_y
        at = at * g.out_width + column * g.out_step_x + g.out_x
        if rectified:
            mask[at] = total > zero and total < most
            total = zero if total < zero else (most if total > most else total)
        y[at] = total


def _weight_kernel(real):
    @cuda.jit
    def direct_weight(dy, x, pixels, taps, dweight, filters, columns, area, groups, images, height, width, source):
        """One weight a block, dweight[k, (c, r, s)] = sum of dy[n, k, pixel] x[n, c, pixel + tap]."""
        shares = cuda.shared.array(WIDTH, real)
        k, c, t = cuda.blockIdx.x // columns, cuda.blockIdx.x % columns, cuda.threadIdx.x
        group = k // filters
        place = taps[c] >> 32
        tap_row, tap_column = place >> 16, (place & 65535) - 32768
        total = real(0)
        for i in range(t, images * area, WIDTH):
            image, pixel = divided(i, area)
            row, column = pixels[pixel] >> 32, (pixels[pixel] & 0xFFFFFFFF) - 2147483648
            h, w = row + tap_row, column + tap_column
            if h >= 0 and h < height and w >= 0 and w < width:
                value = x[(image * groups + group) * source + row * width + column + int32(taps[c])]
                total += dy[(image * groups * filters + k) * area + pixel] * value
        shares[t] = total
        add_up(shares, t)
        if t == 0:
            dweight[k * columns + c] = shares[0]

    return direct_weight


direct_weight = {"float32": _weight_kernel(float32), "float64": _weight_kernel(float64)}
