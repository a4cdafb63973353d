"""Convolution, affine map and rectifier in one pass over the maps; see ``minicnn.kernels.reference.fused``."""

from __future__ import annotations

import numpy as np
from numba import cuda

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.convolution import convolved, convolved_back
from minicnn.kernels.cuda.launch import channel, each
from minicnn.kernels.reference.windows import Windows

__all__ = ["conv2d_relu", "conv2d_relu_input_grad"]


@cuda.jit
def _scaled_rectify_grad(dy, mask, scale, dx, where_input, where_cotangent, scaled, channels, area, size):
    i = cuda.grid(1)
    if i < size:
        zero = dy.dtype.type(0)
        value = dy[i]
        kept = (mask[i] or not where_input) and (value > zero or not where_cotangent)
        value = value if kept else zero
        dx[i] = value * scale[channel(i, area, channels)] if scaled else value


@on_device
def conv2d_relu(
    x, weight, scale, shift, *, clip_max=None, stride=1, padding=0, dilation=1, groups=1, keep_mask=True
):
    """Rectified convolution and its mask, written once: ``reference.conv2d_relu``."""
    windows = Windows.over(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    most = np.inf if clip_max is None else clip_max
    y, mask = convolved(x, weight, windows, groups, scale, shift, rectified=True, most=most)
    return y, mask if keep_mask else None


@on_device
def conv2d_relu_input_grad(
    dy, mask, rule, weight, scale, input_size, *, stride=1, padding=0, dilation=1, groups=1
):
    """Gradient with respect to the input: ``reference.conv2d_relu_input_grad``."""
    windows = Windows.over(tuple(input_size), weight.shape[2:], stride, padding, dilation)
    inner, area = empty(dy.shape, dy.dtype), dy.shape[2] * dy.shape[3]
    flags = int(rule.where_input_positive), int(rule.where_cotangent_positive), int(scale is not None)
    arrays = dy.memory, mask.memory, (dy if scale is None else scale).memory, inner.memory
    each(_scaled_rectify_grad, dy.size, *arrays, *flags, dy.shape[1], area)
    return convolved_back(inner, weight, windows, groups)
