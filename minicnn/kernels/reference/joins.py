"""What joins several arrays: sums, products and the like, value by value, and concatenation.

Value by value, axes of size 1 are repeated, as NumPy broadcasts; a gradient is summed over what was repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn._utils.types import Shape

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


def _sum_to(dy: np.ndarray, shape: Shape) -> np.ndarray:
    """Sum of dy over the axes along which an array of ``shape`` was repeated, in that shape."""
    if shape == dy.shape:
        return dy
    axes = tuple(axis for axis, size in enumerate(shape) if size < dy.shape[axis])
    return dy.sum(axis=axes, keepdims=True) if axes else dy


def add(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Sum of two arrays: the residual connection (He et al. 2016, equation 1).

    See Also
    --------
    add_input_grad : its gradients

    Examples
    --------
    >>> add(np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])).tolist()
    [[11.0, 22.0]]

    """
    return x + other


def add_input_grad(dy: np.ndarray, x_shape: Shape, other_shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Gradients with respect to both terms of a sum: dy and dy, in their shapes.

    Examples
    --------
    >>> [dx.tolist() for dx in add_input_grad(np.array([[1.0, 2.0]]), (1, 2), (1, 1))]
    [[[1.0, 2.0]], [[3.0]]]

    """
    return _sum_to(dy, x_shape), _sum_to(dy, other_shape)


def subtract(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Difference x - other.

    See Also
    --------
    subtract_input_grad : its gradients

    Examples
    --------
    >>> subtract(np.array([[1.0, 2.0]]), np.array([[1.0]])).tolist()
    [[0.0, 1.0]]

    """
    return x - other


def subtract_input_grad(dy: np.ndarray, x_shape: Shape, other_shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Gradients with respect to both terms of a difference: dy and -dy, in their shapes.

    Examples
    --------
    >>> [dx.tolist() for dx in subtract_input_grad(np.array([[1.0, 2.0]]), (1, 2), (1, 1))]
    [[[1.0, 2.0]], [[-3.0]]]

    """
    return _sum_to(dy, x_shape), -_sum_to(dy, other_shape)


def multiply(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Product of two arrays, value by value.

    See Also
    --------
    multiply_input_grad : its gradients

    Examples
    --------
    >>> multiply(np.array([[1.0, 2.0]]), np.array([[3.0]])).tolist()
    [[3.0, 6.0]]

    """
    return x * other


def multiply_input_grad(dy: np.ndarray, x: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients with respect to both factors of a product: dy other and dy x, in their shapes.

    Examples
    --------
    >>> dy, x, other = np.array([[1.0, 1.0]]), np.array([[1.0, 2.0]]), np.array([[3.0]])
    >>> [dx.tolist() for dx in multiply_input_grad(dy, x, other)]
    [[[3.0, 3.0]], [[3.0]]]

    """
    return _sum_to(dy * other, x.shape), _sum_to(dy * x, other.shape)


def divide(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Quotient x / other, value by value; infinite or NaN where ``other`` is 0, without a warning.

    See Also
    --------
    divide_input_grad : its gradients

    Examples
    --------
    >>> divide(np.array([[1.0, 2.0]]), np.array([[4.0]])).tolist()
    [[0.25, 0.5]]

    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return x / other


def divide_input_grad(dy: np.ndarray, x: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients with respect to both terms of a quotient: dy / other and -dy x / other^2, in their shapes.

    Examples
    --------
    >>> dy, x, other = np.array([[1.0, 1.0]]), np.array([[1.0, 2.0]]), np.array([[0.5]])
    >>> [dx.tolist() for dx in divide_input_grad(dy, x, other)]
    [[[2.0, 2.0]], [[-12.0]]]

    """
    with np.errstate(divide="ignore", invalid="ignore"):
        dx = dy / other
        return _sum_to(dx, x.shape), _sum_to(-dx * (x / other), other.shape)


def maximum(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Larger of two arrays, value by value; NaN where one is.

    See Also
    --------
    maximum_input_grad : its gradients

    Examples
    --------
    >>> maximum(np.array([[1.0, 4.0]]), np.array([[3.0]])).tolist()
    [[3.0, 4.0]]

    """
    return np.maximum(x, other)


def maximum_input_grad(dy: np.ndarray, x: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients with respect to both arrays: dy where one is the larger, half of it where they are equal.

    Examples
    --------
    >>> dy, x, other = np.array([[1.0, 1.0]]), np.array([[1.0, 3.0]]), np.array([[3.0]])
    >>> [dx.tolist() for dx in maximum_input_grad(dy, x, other)]
    [[[0.0, 0.5]], [[1.5]]]

    """
    return _select(dy, x > other, x < other, x, other)


def minimum(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Smaller of two arrays, value by value; NaN where one is.

    See Also
    --------
    minimum_input_grad : its gradients

    Examples
    --------
    >>> minimum(np.array([[1.0, 4.0]]), np.array([[3.0]])).tolist()
    [[1.0, 3.0]]

    """
    return np.minimum(x, other)


def minimum_input_grad(dy: np.ndarray, x: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients with respect to both arrays: dy where one is the smaller, half of it where they are equal.

    Examples
    --------
    >>> dy, x, other = np.array([[1.0, 1.0]]), np.array([[1.0, 3.0]]), np.array([[3.0]])
    >>> [dx.tolist() for dx in minimum_input_grad(dy, x, other)]
    [[[1.0, 0.5]], [[0.5]]]

    """
    return _select(dy, x < other, x > other, x, other)


def _select(
    dy: np.ndarray, first: np.ndarray, second: np.ndarray, x: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return dy where the ``first`` or the ``second`` wins, and its half where neither does, in the shapes."""
    half = dy * dy.dtype.type(0.5)
    dx, dother = (
        np.where(wins, dy, np.where(loses, 0, half)) for wins, loses in ((first, second), (second, first))
    )
    return _sum_to(dx, x.shape), _sum_to(dother, other.shape)


def concatenate(arrays: Sequence[np.ndarray], axis: int = 1) -> np.ndarray:
    """Several arrays one after the other along an axis: by default (N, C_i, H, W) to (N, sum C_i, H, W).

    See Also
    --------
    concatenate_input_grad : its gradients
    torch.cat : the same in PyTorch

    Examples
    --------
    >>> concatenate([np.array([[1.0]]), np.array([[2.0, 3.0]])]).tolist()
    [[1.0, 2.0, 3.0]]

    """
    return np.concatenate(arrays, axis=axis)


def concatenate_input_grad(dy: np.ndarray, sizes: Sequence[int], axis: int = 1) -> tuple[np.ndarray, ...]:
    """Gradients with respect to the arrays of a concatenation: dy in pieces of ``sizes`` = (C_1, C_2, ...).

    Examples
    --------
    >>> [piece.tolist() for piece in concatenate_input_grad(np.array([[1.0, 2.0, 3.0]]), (1, 2))]
    [[[1.0]], [[2.0, 3.0]]]

    """
    # copies, as np.split gives views of dy
    return tuple(piece.copy() for piece in np.split(dy, np.cumsum(sizes)[:-1], axis=axis))
