"""What joins several arrays; see ``minicnn.kernels.reference.joins``.

One thread a value of the result.  Along an axis where an array is repeated it is read in steps of 0, and its
gradient is summed afterwards.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numba import cuda, float32

from minicnn.kernels.cuda.arrays import empty, on_device
from minicnn.kernels.cuda.launch import divmod_u32, launch_per_value
from minicnn.kernels.cuda.reduction import larger, sum_lines

__all__ = [
    "add",
    "add_input_grad",
    "concatenate",
    "concatenate_input_grad",
    "divide",
    "divide_input_grad",
    "maximum",
    "maximum_input_grad",
    "minimum",
    "minimum_input_grad",
    "multiply",
    "multiply_input_grad",
    "subtract",
    "subtract_input_grad",
]

_device = cuda.jit(device=True)


class _Layout(NamedTuple):
    """Lengths of the result's axes, and how far apart neighbours along each lie in the two arrays; 0: repeated."""

    lengths: tuple[int, ...]
    x_steps: tuple[int, ...]
    other_steps: tuple[int, ...]


@_device
def _sum(a, b):
    return a + b


@_device
def _difference(a, b):
    return a - b


@_device
def _negative(a, b):
    return -a


@_device
def _product(a, b):
    return a * b


@_device
def _product_slopes(dy, a, b):
    return dy * b, dy * a


@_device
def _quotient(a, b):
    return a / b


@_device
def _quotient_slopes(dy, a, b):
    return dy / b, -dy / b * (a / b)


@_device
def _smaller(a, b):
    return a if a < b or a != a else b


@_device
def _if_larger(dy, a, b):
    # numbers in float32 leave what they meet in its type
    return dy if a > b else float32(0) if a < b else dy * float32(0.5)


@_device
def _maximum_slopes(dy, a, b):
    return _if_larger(dy, a, b), _if_larger(dy, b, a)


@_device
def _minimum_slopes(dy, a, b):
    return _if_larger(dy, b, a), _if_larger(dy, a, b)


@_device
def _places(i, layout):
    """Where value i of the result has its two operands."""
    left, right = 0, 0
    for axis in range(len(layout.lengths) - 1, -1, -1):
        i, place = divmod_u32(i, layout.lengths[axis])
        left += place * layout.x_steps[axis]
        right += place * layout.other_steps[axis]
    return left, right


def _make_join(function):
    @cuda.jit
    def join(x, other, y, layout, size):
        i = cuda.grid(1)
        if i < size:
            left, right = _places(i, layout)
            y[i] = function(x[left], other[right])

    return join


def _make_join_grad(function):
    @cuda.jit
    def join_grad(dy, x, other, dx, dother, layout, size):
        i = cuda.grid(1)
        if i < size:
            left, right = _places(i, layout)
            dx[i], dother[i] = function(dy[i], x[left], other[right])

    return join_grad


_JOINS = {f: _make_join(f) for f in (_sum, _difference, _negative, _product, _quotient, larger, _smaller)}
_GRADIENTS = {f: _make_join_grad(f) for f in (_product_slopes, _quotient_slopes, _maximum_slopes, _minimum_slopes)}


def _layout(x_shape, other_shape):
    """Return the ``_Layout``, axes merged where both arrays are read alike."""
    axes = [(max(a, b), a >= b, b >= a) for a, b in zip(x_shape, other_shape, strict=True)]
    merged = [(math.prod(n for n, *_ in group), own) for own, group in groupby(axes, lambda axis: axis[1:])]
    lengths = tuple(n for n, _ in merged)
    return _Layout(lengths, *(_steps(lengths, [own[which] for _, own in merged]) for which in (0, 1)))


def _steps(lengths, own):
    """Distance of an array's neighbours along each axis; 0 along those that are not its ``own``."""
    stored = [n if has else 1 for n, has in zip(lengths, own, strict=True)]
    return tuple(math.prod(stored[i + 1 :]) if has else 0 for i, has in enumerate(own))


def _join(function, x, other):
    y = empty(np.broadcast_shapes(x.shape, other.shape), x.dtype)
    launch_per_value(_JOINS[function], y.size, x.memory, other.memory, y.memory, _layout(x.shape, other.shape))
    return y


def _gradients(function, dy, x, other):
    dx, dother = empty(dy.shape, dy.dtype), empty(dy.shape, dy.dtype)
    arrays = [a.memory for a in (dy, x, other, dx, dother)]
    launch_per_value(_GRADIENTS[function], dy.size, *arrays, _layout(x.shape, other.shape))
    return _sum_to(dx, x.shape), _sum_to(dother, other.shape)


def _sum_to(dy, shape):
    """Sum of dy over the axes along which an array of ``shape`` was repeated, in that shape."""
    total, whole = dy, dy.shape
    runs = [(repeated, list(axes)) for repeated, axes in groupby(range(dy.ndim), lambda i: shape[i] < whole[i])]
    # the last axes first: those before them are still whole
    for repeated, (first, *others) in reversed(runs):
        behind = first + len(others) + 1
        if repeated:
            view = math.prod(whole[:first]), math.prod(whole[first:behind]), math.prod(shape[behind:])
            total = sum_lines(total, view)
    return total.reshape(tuple(shape))


@on_device
def add(x, other):
    """Sum of two arrays: ``reference.add``."""
    return _join(_sum, x, other)


@on_device
def add_input_grad(dy, x_shape, other_shape):
    """Gradients with respect to both terms of a sum: ``reference.add_input_grad``."""
    return _sum_to(dy, x_shape), _sum_to(dy, other_shape)


@on_device
def subtract(x, other):
    """Difference of two arrays: ``reference.subtract``."""
    return _join(_difference, x, other)


@on_device
def subtract_input_grad(dy, x_shape, other_shape):
    """Gradients with respect to both terms of a difference: ``reference.subtract_input_grad``."""
    dother = _sum_to(dy, other_shape)
    return _sum_to(dy, x_shape), _join(_negative, dother, dother)


@on_device
def multiply(x, other):
    """Product of two arrays: ``reference.multiply``."""
    return _join(_product, x, other)


@on_device
def multiply_input_grad(dy, x, other):
    """Gradients with respect to both factors of a product: ``reference.multiply_input_grad``."""
    return _gradients(_product_slopes, dy, x, other)


@on_device
def divide(x, other):
    """Quotient of two arrays: ``reference.divide``."""
    return _join(_quotient, x, other)


@on_device
def divide_input_grad(dy, x, other):
    """Gradients with respect to both terms of a quotient: ``reference.divide_input_grad``."""
    return _gradients(_quotient_slopes, dy, x, other)


@on_device
def maximum(x, other):
    """Larger of two arrays, value by value: ``reference.maximum``."""
    return _join(larger, x, other)


@on_device
def maximum_input_grad(dy, x, other):
    """Gradients with respect to both arrays: ``reference.maximum_input_grad``."""
    return _gradients(_maximum_slopes, dy, x, other)


@on_device
def minimum(x, other):
    """Smaller of two arrays, value by value: ``reference.minimum``."""
    return _join(_smaller, x, other)


@on_device
def minimum_input_grad(dy, x, other):
    """Gradients with respect to both arrays: ``reference.minimum_input_grad``."""
    return _gradients(_minimum_slopes, dy, x, other)


@cuda.jit
def _copy_rows(x, y, x_length, x_start, y_length, y_start, length, size):
    """Row by row, y[y_start + j] = x[x_start + j] for ``length`` values j."""
    i = cuda.grid(1)
    if i < size:
        row, j = divmod_u32(i, length)
        y[row * y_length + y_start + j] = x[row * x_length + x_start + j]


@on_device
def concatenate(arrays, axis=1):
    """Several arrays one after the other along an axis: ``reference.concatenate``."""
    before, behind = arrays[0].shape[:axis], arrays[0].shape[axis + 1 :]
    y = empty((*before, sum(x.shape[axis] for x in arrays), *behind), arrays[0].dtype)
    # a row of x, its axes from this one on, is a run of ``length`` values in a row of y, from ``start`` on
    start, row_length = 0, math.prod(y.shape[axis:])
    for x in arrays:
        length = math.prod(x.shape[axis:])
        launch_per_value(_copy_rows, x.size, x.memory, y.memory, length, 0, row_length, start, length)
        start += length
    return y


@on_device
def concatenate_input_grad(dy, sizes, axis=1):
    """Gradients with respect to the arrays of a concatenation: ``reference.concatenate_input_grad``."""
    before, behind = dy.shape[:axis], dy.shape[axis + 1 :]
    pieces, start, row_length = [], 0, math.prod(dy.shape[axis:])
    for count in sizes:
        piece = empty((*before, count, *behind), dy.dtype)
        length = math.prod(piece.shape[axis:])
        launch_per_value(_copy_rows, piece.size, dy.memory, piece.memory, row_length, start, length, 0, length)
        pieces.append(piece)
        start += length
    return tuple(pieces)
