"""Convolution, affine map and rectifier in one pass over the maps; see ``minicnn.kernels.reference.fused``."""

from __future__ import annotations

import numpy as np
from numba import cuda

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.convolution import convolve, convolve_input_grad
from minicnn.kernels.cuda.launch import channel_index, launch_per_value, optional
from minicnn.kernels.reference.windows import Windows

__all__ = ["conv2d_relu", "conv2d_relu_input_grad"]


@cuda.jit
def _scaled_rectify_grad(dy, mask, scale, dx, rule, channels, area, size):
    i = cuda.grid(1)
    if i < size:
        zero = dy.dtype.type(0)
        value = dy[i]
        where_input, where_cotangent = rule
        # the rule of the rectifier, as in ``activation``
        kept = (mask[i] or not where_input) and (value > zero or not where_cotangent)
        # selected, not multiplied by the mask: 0 times an infinite cotangent is NaN
        value = value if kept else zero
        dx[i] = value * scale.values[channel_index(i, area, channels)] if scale.given else value


@on_device
def conv2d_relu(
    x, weight, scale, shift, *, clip_max=None, stride=1, padding=0, dilation=1, groups=1, keep_mask=True
):
    """Rectified convolution and its mask, written once: ``reference.conv2d_relu``."""
    windows = Windows.over(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    # one kernel for ReLU and ReLU6: no value lies above infinity
    ceiling = np.inf if clip_max is None else clip_max
    y, mask = convolve(x, weight, windows, groups, scale, shift, rectify=True, clip_max=ceiling)
    return y, mask if keep_mask else None


@on_device
def conv2d_relu_input_grad(
    dy, mask, rule, weight, scale, input_size, *, stride=1, padding=0, dilation=1, groups=1
):
    """Gradient with respect to the input: ``reference.conv2d_relu_input_grad``."""
    windows = Windows.over(tuple(input_size), weight.shape[2:], stride, padding, dilation)
    # dy behind the rectifier and the scale, (N, K, P, Q)
    through, area = empty(dy.shape, dy.dtype), dy.shape[2] * dy.shape[3]
    where = int(rule.where_input_positive), int(rule.where_cotangent_positive)
    arrays = dy.memory, mask.memory, optional(scale, dy), through.memory
    launch_per_value(_scaled_rectify_grad, dy.size, *arrays, where, dy.shape[1], area)
    return convolve_input_grad(through, weight, windows, groups)
