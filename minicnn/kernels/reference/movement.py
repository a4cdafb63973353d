"""What only moves, adds or drops values: padding, flatten, permutation, concatenation, addition, dropout."""

import numpy as np

from minicnn.shapes import sides

__all__ = [
    "add",
    "add_input_grad",
    "concatenate",
    "concatenate_input_grad",
    "dropout",
    "dropout_input_grad",
    "flatten",
    "flatten_input_grad",
    "permute",
    "permute_input_grad",
    "reshape",
    "reshape_input_grad",
    "zero_pad2d",
    "zero_pad2d_input_grad",
]


def zero_pad2d(x, padding):
    """Zeros around each map: (N, C, H, W) to (N, C, top + H + bottom, left + W + right)."""
    return np.pad(x, ((0, 0), (0, 0), *sides(padding)))


def zero_pad2d_input_grad(dy, padding):
    """Gradient with respect to the input of a zero padding: the middle of dy."""
    (top, bottom), (left, right) = sides(padding)
    return dy[:, :, top : dy.shape[2] - bottom, left : dy.shape[3] - right].copy()


def flatten(x):
    """All axes but the first in one, in row order: (N, C, H, W) to (N, C H W)."""
    return x.reshape(len(x), -1)


def flatten_input_grad(dy, input_shape):
    """Gradient with respect to the input of a flatten: dy in the input's shape (N, C, H, W)."""
    return dy.reshape(input_shape)


def reshape(x, shape):
    """Values of each image in another shape, in row order: (N, ...) to (N, *shape)."""
    return x.reshape(len(x), *shape)


def reshape_input_grad(dy, input_shape):
    """Gradient with respect to the input of a change of shape: dy in the input's shape."""
    return dy.reshape(input_shape)


def permute(x, axes):
    """Axes of each image in another order: axis i of an image becomes what ``axes[i]`` was, 0 the first."""
    return np.ascontiguousarray(x.transpose(0, *(axis + 1 for axis in axes)))


def permute_input_grad(dy, axes):
    """Gradient with respect to the input of a permutation: the inverse permutation of dy."""
    return permute(dy, tuple(int(axis) for axis in np.argsort(axes)))


def concatenate(arrays):
    """Channels of several arrays (N, C_i, H, W) one after the other: (N, sum C_i, H, W)."""
    return np.concatenate(arrays, axis=1)


def concatenate_input_grad(dy, channels):
    """Gradients with respect to the arrays of a concatenation: dy in pieces of ``channels`` = (C_1, C_2, ...)."""
    return tuple(piece.copy() for piece in np.split(dy, np.cumsum(channels)[:-1], axis=1))


def add(x, other):
    """Sum of two arrays of one shape: the residual connection (He et al. 2016, equation 1)."""
    return x + other


def add_input_grad(dy):
    """Gradients with respect to both terms of a sum: dy and dy."""
    return dy, dy


def dropout(x, p, rng):
    """Dropout in training: each value is dropped with probability p, the others are divided by 1 - p.

    Parameters
    ----------
    x : array of any shape
    p : float in [0, 1)
    rng : numpy.random.Generator

    Returns
    -------
    y : array of that shape
    mask : bool array of that shape, True where a value was kept

    Source: Srivastava et al. 2014; "inverted", so that inference is the identity.

    """
    mask = rng.random(x.shape, np.float32) >= p
    return dropout_input_grad(x, mask, p), mask


def dropout_input_grad(dy, mask, p):
    """Gradient with respect to the input of a dropout: dy / (1 - p) where a value was kept, else 0."""
    return np.where(mask, dy / dy.dtype.type(1 - p), 0)
