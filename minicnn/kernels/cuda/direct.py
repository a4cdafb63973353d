"""Convolution where a group has too few filters to share a tile: a thread has one pixel of all of them.

Depthwise convolution above all, and the gradient of a net's first layer.  Little is used twice by one block, and
the cache holds the window's rows; a value that was gathered serves every filter of the group.  Forward, the
geometry and the taps are those of ``product``; backward, a tap asks once whether a window leads back, for all
filters.
"""

from __future__ import annotations

from collections import namedtuple

from numba import cuda, float32, float64, int32, uint32

from minicnn.kernels.cuda.gemm.gather_gemm import BIAS
from minicnn.kernels.cuda.launch import divided
from minicnn.kernels.cuda.reduction import WIDTH, add_up
from minicnn.kernels.reference.windows import Windows

__all__ = ["FEW", "back_through", "direct", "direct_back", "direct_weight"]

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


Back = namedtuple("Back", "groups filters rows columns height width r s step_y step_x top left far_y far_x wide")


def back_through(k: int, windows: Windows, groups: int) -> Back:
    """Return the numbers of ``direct_back``: k filters of all groups, maps dy (rows x columns) and dx, the window.

    ``wide`` is how many columns of dx lie a stride apart.
    """
    (top, _), (left, _) = windows.padding
    numbers = *windows.output_size, *windows.size, *windows.kernel_size, *windows.stride, top, left
    return Back(groups, k // groups, *numbers, *windows.dilation, -(-windows.size[1] // windows.stride[1]))


def _back_kernel(channels: int):
    @cuda.jit
    def direct_back(dy, weight, shift, dx, b, shifted, size):
        """One pixel of a group a thread, dx[n, c, h, w] = shift[c] + sum_krs weight[k, c, r, s] dy[n, k, p, q].

        Neighbouring threads have columns a stride apart, which the same taps reach.
        """
        i = cuda.grid(1)
        if i < size:
            rest, j = divided(i, b.wide)
            rest, phase = divided(rest, b.step_x)
            rest, h = divided(rest, b.height)
            image, group = divided(rest, b.groups)
            w = j * b.step_x + phase
            total = cuda.local.array(channels, dx.dtype)
            for c in range(channels):
                total[c] = shift[group * channels + c] if shifted else dx.dtype.type(0)
            area, taps = uint32(b.rows * b.columns), uint32(b.r * b.s)
            maps = (image * b.groups + group) * b.filters * b.rows * b.columns
            for r in range(b.r):
                p, over = divided(
                    h + b.top - r * b.far_y, b.step_y
                )  # where that is negative, p is beyond all rows
                if p < b.rows and over == 0:
                    for s in range(b.s):
                        q, over = divided(w + b.left - s * b.far_x, b.step_x)
                        if q < b.columns and over == 0:
                            at = uint32(maps + p * b.columns + q)
                            tap = uint32((group * b.filters * channels * b.r + r) * b.s + s)
                            for _ in range(int32(b.filters)):
                                value = dy[at]
                                at = uint32(at + area)
                                for c in range(channels):
                                    total[c] += weight[tap] * value
                                    tap = uint32(tap + taps)
            if w < b.width:
                for c in range(channels):
                    place = (image * b.groups + group) * channels + c
                    dx[(place * b.height + h) * b.width + w] = total[c]

    return direct_back


direct_back = {channels: _back_kernel(channels) for channels in range(1, FEW)}


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
