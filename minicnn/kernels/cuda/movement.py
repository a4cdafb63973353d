"""What only moves or drops values; see ``minicnn.kernels.reference.movement``.

Every copy is one gather: thread i writes value i of the result.
"""

from __future__ import annotations

import numpy as np
from numba import cuda

from minicnn.kernels.cuda.arrays import empty, on_device, upload
from minicnn.kernels.cuda.launch import divmod_u32, launch_per_value, scalar_like
from minicnn.shapes import sides

__all__ = [
    "constant_pad2d",
    "constant_pad2d_input_grad",
    "dropout",
    "dropout_input_grad",
    "flatten",
    "flatten_input_grad",
    "permute",
    "permute_input_grad",
    "reshape",
    "reshape_input_grad",
]


@cuda.jit
def _shift(x, y, x_size, y_size, offset, value, size):
    """y[.., h, w] = x[.., h - top, w - left], ``value`` outside of x; sizes are (H, W), the offset (top, left)."""
    i = cuda.grid(1)
    if i < size:
        (height, width), (out_height, out_width), (top, left) = x_size, y_size, offset
        # output pixel (h, w) of map ``plane``, then its place in x
        rest, w = divmod_u32(i, out_width)
        plane, h = divmod_u32(rest, out_height)
        h, w = h - top, w - left
        inside = h >= 0 and h < height and w >= 0 and w < width
        y[i] = x[(plane * height + h) * width + w] if inside else value


@cuda.jit
def _permute(x, y, lengths, steps, size):
    i = cuda.grid(1)
    if i < size:
        rest, at = i, 0
        # index of each axis of y, last axis first, times the step of that axis in x
        for axis in range(len(lengths) - 1, -1, -1):
            rest, place = divmod_u32(rest, lengths[axis])
            at += place * steps[axis]
        y[i] = x[at]


@cuda.jit
def _keep(x, mask, y, divisor, size):
    i = cuda.grid(1)
    if i < size:
        # selected, not multiplied by the mask: 0 times an infinite value is NaN
        y[i] = x[i] / divisor if mask[i] else x.dtype.type(0)


@on_device
def constant_pad2d(x, padding, *, value=0.0):
    """Borders of one value around each map: ``reference.constant_pad2d``."""
    (top, bottom), (left, right) = sides(padding, signed=True)
    height, width = top + x.shape[2] + bottom, left + x.shape[3] + right
    y = empty((*x.shape[:2], height, width), x.dtype)
    where = x.shape[2:], (height, width), (top, left)
    launch_per_value(_shift, y.size, x.memory, y.memory, *where, scalar_like(x, value))
    return y


def constant_pad2d_input_grad(dy, padding):
    """Gradient with respect to the input of a padding: ``reference.constant_pad2d_input_grad``."""
    (top, bottom), (left, right) = sides(padding, signed=True)
    # cropping is padding by a negative border
    return constant_pad2d(dy, ((-top, -bottom), (-left, -right)))


@on_device
def flatten(x):
    """All axes but the first in one, no copy: ``reference.flatten``."""
    return x.reshape(len(x), -1)


@on_device
def flatten_input_grad(dy, input_shape):
    """Gradient with respect to the input of a flatten, no copy: ``reference.flatten_input_grad``."""
    return dy.reshape(input_shape)


@on_device
def reshape(x, shape):
    """Values of each image in another shape, no copy: ``reference.reshape``."""
    return x.reshape(len(x), *shape)


@on_device
def reshape_input_grad(dy, input_shape):
    """Gradient with respect to the input of a change of shape: ``reference.reshape_input_grad``."""
    return dy.reshape(input_shape)


@on_device
def permute(x, axes):
    """Axes of each image in another order: ``reference.permute``."""
    order = (0, *(axis + 1 for axis in axes))
    shape = tuple(x.shape[axis] for axis in order)
    # distance in x of neighbours along each axis of y
    steps = tuple(int(np.prod(x.shape[axis + 1 :], dtype=np.int64)) for axis in order)
    y = empty(shape, x.dtype)
    launch_per_value(_permute, x.size, x.memory, y.memory, shape, steps)
    return y


def permute_input_grad(dy, axes):
    """Gradient with respect to the input of a permutation: ``reference.permute_input_grad``."""
    return permute(dy, tuple(int(axis) for axis in np.argsort(axes)))


@on_device
def dropout(x, p, rng):
    """Dropout in training, its mask drawn by NumPy and sent: ``reference.dropout``."""
    # drawn on the host by the same generator: the same values are dropped on every device
    mask = upload(rng.random(x.shape, np.float32) >= p)
    return dropout_input_grad(x, mask, p), mask


@on_device
def dropout_input_grad(dy, mask, p):
    """Gradient with respect to the input of a dropout: ``reference.dropout_input_grad``."""
    dx = empty(dy.shape, dy.dtype)
    launch_per_value(_keep, dy.size, dy.memory, mask.memory, dx.memory, scalar_like(dy, 1 - p))
    return dx
