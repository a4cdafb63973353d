"""Convolution where a group has too few filters to share a tile: a thread has one pixel of all of them.

Depthwise convolution above all, and the gradient of a net's first layer.  Little is used twice by one block, and
the cache holds the window's rows; a value that was gathered serves every filter of the group.  Forward, the
geometry and the taps are those of ``gather_gemm``; backward, a tap asks once whether a window leads back, for all
filters.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import cuda, float32, float64, int32, uint32

from minicnn.kernels.cuda.epilogue import clip_with_mask
from minicnn.kernels.cuda.gemm.gather_gemm import BIAS
from minicnn.kernels.cuda.launch import divmod_u32
from minicnn.kernels.cuda.reduction import WARPS, WIDTH, block_sum
from minicnn.kernels.reference.windows import Windows

__all__ = ["FEW", "direct", "direct_input_grad", "direct_weight", "input_grad_geometry"]

FEW = 8  # filters of a group below which a tile would be mostly empty


def _make_direct(filters: int):
    @cuda.jit
    def direct(weight, x, taps, y, g, groups, epilogue, size):
        """One pixel of a group a thread, y[n, k, pixel] = epilogue(sum_d weight[k, d] x[n, pixel + tap d])."""
        i = cuda.grid(1)
        if i < size:
            zero = x.dtype.type(0)
            # one sum for each filter, in registers: filters is a constant of the kernel
            total = cuda.local.array(filters, x.dtype)
            for f in range(filters):
                total[f] = zero
            # thread i is pixel (i, j) of a group of an image, columns fastest: neighbours read side by side
            rest, j = divmod_u32(i, g.columns)
            rest, i = divmod_u32(rest, g.rows)
            image, group = divmod_u32(rest, groups)
            # corner of the window in the source, negative in the padding
            h, w = int32(i * g.stride_y + g.corner_y), int32(j * g.stride_x + g.corner_x)
            # the group's first map of the image
            maps = x[(image * g.channels + group * (g.channels // groups)) * g.height * g.width :]
            corner, height, width = int32(h * g.width + w), uint32(g.height), uint32(g.width)
            # the tap's column is biased
            w = int32(w - BIAS)
            k = group * filters
            for d in range(int32(g.depth)):
                tap = taps[uint32(d)]
                # row and biased column of the tap; unsigned comparisons reject what is negative too
                place = int32(tap >> 32)
                if uint32(h + (place >> 16)) < height and uint32(w + (place & 65535)) < width:
                    value = maps[uint32(corner + int32(tap))]
                    # one gathered value serves all filters of the group
                    for f in range(filters):
                        total[f] += weight[uint32((k + f) * g.depth + d)] * value
            # pixel in the output's map, strided for a phase of the input gradient
            place = (i * g.out_stride_y + g.out_y) * g.out_width + j * g.out_stride_x + g.out_x
            for f in range(filters):
                value = total[f]
                value = value * epilogue.scale.values[k + f] if epilogue.scale.given else value
                value = value + epilogue.shift.values[k + f] if epilogue.shift.given else value
                at = (image * g.total_filters + k + f) * g.out_height * g.out_width + place
                if epilogue.mask.given:
                    value = clip_with_mask(value, zero, at, epilogue)
                y[at] = value

    return direct


direct = {filters: _make_direct(filters) for filters in range(1, FEW)}


class InputGradGeometry(NamedTuple):
    """Sizes of ``direct_input_grad``: dy is rows x columns, dx height x width, the window r x s.

    ``phase_width`` is how many columns of dx lie a stride apart.
    """

    groups: int
    filters: int
    rows: int
    columns: int
    height: int
    width: int
    r: int
    s: int
    stride_y: int
    stride_x: int
    top: int
    left: int
    dilation_y: int
    dilation_x: int
    phase_width: int


def input_grad_geometry(k: int, windows: Windows, groups: int) -> InputGradGeometry:
    """Return the geometry of ``direct_input_grad`` for k filters of all groups."""
    (top, _), (left, _) = windows.padding
    numbers = *windows.output_size, *windows.size, *windows.kernel_size, *windows.stride, top, left
    return InputGradGeometry(
        groups, k // groups, *numbers, *windows.dilation, -(-windows.size[1] // windows.stride[1])
    )


def _make_direct_input_grad(channels: int):
    @cuda.jit
    def direct_input_grad(dy, weight, shift, dx, b, size):
        """One pixel of a group a thread, dx[n, c, h, w] = shift[c] + sum_krs weight[k, c, r, s] dy[n, k, p, q].

        Neighbouring threads have columns a stride apart, which the same taps reach.
        """
        i = cuda.grid(1)
        if i < size:
            # thread i is column j of a phase: w = j stride + phase, so neighbours mostly branch alike below
            rest, j = divmod_u32(i, b.phase_width)
            rest, phase = divmod_u32(rest, b.stride_x)
            rest, h = divmod_u32(rest, b.height)
            image, group = divmod_u32(rest, b.groups)
            w = j * b.stride_x + phase
            total = cuda.local.array(channels, dx.dtype)
            for c in range(channels):
                total[c] = shift.values[group * channels + c] if shift.given else dx.dtype.type(0)
            # distances of the maps of dy, and of the kernels of the weight
            area, taps = uint32(b.rows * b.columns), uint32(b.r * b.s)
            maps = (image * b.groups + group) * b.filters * b.rows * b.columns
            for r in range(b.r):
                # where the dividend is negative, p is beyond all rows
                p, remainder = divmod_u32(h + b.top - r * b.dilation_y, b.stride_y)
                if p < b.rows and remainder == 0:
                    for s in range(b.s):
                        q, remainder = divmod_u32(w + b.left - s * b.dilation_x, b.stride_x)
                        if q < b.columns and remainder == 0:
                            # pixel (p, q) of the group's first map of dy, and tap (r, s) of its first kernel
                            at = uint32(maps + p * b.columns + q)
                            tap = uint32((group * b.filters * channels * b.r + r) * b.s + s)
                            # kernels lie channel after channel in a filter, filter after filter in the group
                            for _ in range(int32(b.filters)):
                                value = dy[at]
                                at = uint32(at + area)
                                for c in range(channels):
                                    total[c] += weight[tap] * value
                                    tap = uint32(tap + taps)
            # the last columns of a phase may lie behind the map
            if w < b.width:
                for c in range(channels):
                    place = (image * b.groups + group) * channels + c
                    dx[(place * b.height + h) * b.width + w] = total[c]

    return direct_input_grad


direct_input_grad = {channels: _make_direct_input_grad(channels) for channels in range(1, FEW)}


def _make_direct_weight(real):
    @cuda.jit
    def direct_weight(dy, x, pixels, taps, dweight, g):
        """One weight a block, dweight[k, (c, r, s)] = sum of dy[n, k, pixel] x[n, c, pixel + tap]."""
        partials = cuda.shared.array(WARPS, real)
        # block (k, c): filter k and the column c = (channel, r, s) of its group
        k, c, t = cuda.blockIdx.x // g.columns, cuda.blockIdx.x % g.columns, cuda.threadIdx.x
        # the first map of k's group within an image of x
        maps = k // g.filters * (g.x_image // g.groups)
        # row and biased column of the block's tap, as in ``gather_gemm``
        place = taps[c] >> 32
        tap_row, tap_column = place >> 16, (place & 65535) - 32768
        total = real(0)
        # the threads stride through the pixels of all images together
        for i in range(t, g.images * g.area, WIDTH):
            image, pixel = divmod_u32(i, g.area)
            # where the pixel's window starts in x, its column biased by 2^31
            row, column = pixels[pixel] >> 32, (pixels[pixel] & 0xFFFFFFFF) - 2147483648
            h, w = row + tap_row, column + tap_column
            if h >= 0 and h < g.height and w >= 0 and w < g.width:
                # the table's offset counts from the window's corner
                value = x[maps + image * g.x_image + row * g.width + column + int32(taps[c])]
                total += dy[image * g.dy_image + k * g.area + pixel] * value
        total = block_sum(total, partials)
        if t == 0:
            dweight[k * g.columns + c] = total

    return direct_weight


direct_weight = {"float32": _make_direct_weight(float32), "float64": _make_direct_weight(float64)}
