"""Convolution where a group has too few filters to share a tile: a thread has one pixel of all of them.

Depthwise convolution above all, and the gradient of a net's first layer.  Little is used twice by one block, and
the cache holds the window's rows; a value that was gathered serves every filter of the group.  The geometry and
the taps are those of ``product``.
"""

from __future__ import annotations

from numba import cuda, float32, float64, int32, uint32

from minicnn.kernels.cuda.launch import divided
from minicnn.kernels.cuda.product import BIAS
from minicnn.kernels.cuda.reduction import WIDTH, add_up

__all__ = ["FEW", "direct", "direct_weight"]

FEW = 8  # filters of a group below which a tile would be mostly empty


def _kernel(filters: int):
    @cuda.jit
    def direct(weight, x, taps, scale, shift, y, mask, g, groups, scaled, shifted, rectified, most, size):
        """One pixel of a group a thread, y[n, k, pixel] = epilogue(sum_d weight[k, d] x[n, pixel + tap d])."""
        i = cuda.grid(1)
        if i < size:
            zero = x.dtype.type(0)
            total = cuda.local.array(filters, x.dtype)
            for f in range(filters):
                total[f] = zero
            rest, j = divided(i, g.columns)
            rest, i = divided(rest, g.rows)
            image, group = divided(rest, groups)
            h, w = int32(i * g.step_y + g.corner_y), int32(j * g.step_x + g.corner_x)
            maps = x[(image * g.channels + group * (g.channels // groups)) * g.height * g.width :]
            corner, height, width = int32(h * g.width + w), uint32(g.height), uint32(g.width)
            w = int32(w - BIAS)
            k = group * filters
            for d in range(int32(g.deep)):
                tap = taps[uint32(d)]
                place = int32(tap >> 32)
                if uint32(h + (place >> 16)) < height and uint32(w + (place & 65535)) < width:
                    value = maps[uint32(corner + int32(tap))]
                    for f in range(filters):
                        total[f] += weight[uint32((k + f) * g.deep + d)] * value
            place = (i * g.out_step_y + g.out_y) * g.out_width + j * g.out_step_x + g.out_x
            for f in range(filters):
                value = total[f]
                value = value * scale[k + f] if scaled else value
                value = value + shift[k + f] if shifted else value
                at = (image * g.total_filters + k + f) * g.out_height * g.out_width + place
                if rectified:
                    mask[at] = value > zero and value < most
                    value = zero if value < zero else (most if value > most else value)
                y[at] = value

    return direct


direct = {filters: _kernel(filters) for filters in range(1, FEW)}


def _weight_kernel(real):
    @cuda.jit
    def direct_weight(
        dy, x, pixels, taps, dweight, filters, columns, area, groups, images, height, width, x_image, dy_image
    ):
        """One weight a block, dweight[k, (c, r, s)] = sum of dy[n, k, pixel] x[n, c, pixel + tap]."""
        shares = cuda.shared.array(WIDTH, real)
        k, c, t = cuda.blockIdx.x // columns, cuda.blockIdx.x % columns, cuda.threadIdx.x
        maps = k // filters * (x_image // groups)
        place = taps[c] >> 32
        tap_row, tap_column = place >> 16, (place & 65535) - 32768
        total = real(0)
        for i in range(t, images * area, WIDTH):
            image, pixel = divided(i, area)
            row, column = pixels[pixel] >> 32, (pixels[pixel] & 0xFFFFFFFF) - 2147483648
            h, w = row + tap_row, column + tap_column
            if h >= 0 and h < height and w >= 0 and w < width:
                value = x[maps + image * x_image + row * width + column + int32(taps[c])]
                total += dy[image * dy_image + k * area + pixel] * value
        shares[t] = total
        add_up(shares, t)
        if t == 0:
            dweight[k * columns + c] = shares[0]

    return direct_weight


direct_weight = {"float32": _weight_kernel(float32), "float64": _weight_kernel(float64)}
