"""Largest values over axes, and over the unequal windows of an adaptive pool, with where they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from minicnn._utils.types import Shape
from minicnn.shapes import adaptive_windows

__all__ = ["adaptive_max_pool2d", "adaptive_max_pool2d_input_grad", "amax", "amax_input_grad"]


def amax(x: np.ndarray, axes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Largest value over some axes of each image, 0 the first, which stay with length 1; and where it was.

    Returns
    -------
    y : array of shape (N, ...)
    switches : int64 array of that shape, the place among the values compared, in row order; the first of equals

    See Also
    --------
    amax_input_grad : its gradient
    torch.amax : the same in PyTorch, where equals share the gradient

    Examples
    --------
    >>> y, switches = amax(np.array([[[1.0, 5.0], [5.0, 2.0]]]), (0, 1))
    >>> y.tolist(), switches.tolist()
    ([[[5.0]]], [[[1]]])

    """
    values = _rows(x, axes)
    switches = values.argmax(axis=-1)
    y = np.take_along_axis(values, switches[..., None], axis=-1)
    shape = tuple(1 if axis - 1 in axes else n for axis, n in enumerate(x.shape))
    return y.reshape(shape), switches.reshape(shape)


def amax_input_grad(dy: np.ndarray, switches: np.ndarray, axes: Sequence[int], input_shape: Shape) -> np.ndarray:
    """Gradient with respect to the input of a maximum over axes: dy where the maximum was, else 0.

    Examples
    --------
    >>> amax_input_grad(np.array([[[7.0]]]), np.array([[[1]]]), (0, 1), (1, 2, 2)).tolist()
    [[[0.0, 7.0], [0.0, 0.0]]]

    """
    dx = np.zeros(input_shape, dy.dtype)
    rows = _rows(dx, axes)
    kept = rows.shape[:-1]
    np.put_along_axis(rows, switches.reshape(*kept, 1), dy.reshape(*kept, 1), axis=-1)
    # rows is a copy: the axes go back to where they were
    moved = _last(dx, axes)
    moved[...] = rows.reshape(moved.shape)
    return dx


def _last(x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Return a view with these axes of each image last."""
    return np.moveaxis(x, [axis + 1 for axis in axes], range(-len(axes), 0))


def _rows(x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Return the values over these axes as one last axis."""
    moved = _last(x, axes)
    return moved.reshape(*moved.shape[: x.ndim - len(axes)], -1)


def adaptive_max_pool2d(x: np.ndarray, output_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Max-pool over as many windows as wanted: (N, C, H, W) to (N, C, P, Q).

    Window p has the rows floor(p H / P) to ceil((p + 1) H / P) - 1, and likewise for columns.

    Returns
    -------
    y : array of shape (N, C, P, Q)
    switches : int64 array of that shape, the place in the window in row order; the first of equals

    See Also
    --------
    adaptive_max_pool2d_input_grad : its gradient
    torch.nn.functional.adaptive_max_pool2d : the same in PyTorch; its indices count pixels of the map

    Examples
    --------
    >>> y, switches = adaptive_max_pool2d(np.array([[[[3.0, 1.0, 2.0]]]]), (1, 2))
    >>> y.tolist(), switches.tolist()
    ([[[[3.0, 2.0]]]], [[[[0, 1]]]])

    """
    y = np.empty(x.shape[:2] + tuple(output_size), x.dtype)
    switches = np.empty(y.shape, np.int64)
    for p, q, window in _windows(x, output_size):
        values = window.reshape(*x.shape[:2], -1)
        switches[:, :, p, q] = values.argmax(axis=-1)
        y[:, :, p, q] = np.take_along_axis(values, switches[:, :, p, q, None], axis=-1)[..., 0]
    return y, switches


def adaptive_max_pool2d_input_grad(
    dy: np.ndarray, switches: np.ndarray, input_size: tuple[int, int], output_size: tuple[int, int]
) -> np.ndarray:
    """Gradient with respect to the input of an adaptive max-pool: dy goes to the switch; overlaps add.

    Examples
    --------
    >>> dy, switches = np.array([[[[7.0, 8.0]]]]), np.array([[[[0, 1]]]])
    >>> adaptive_max_pool2d_input_grad(dy, switches, (1, 3), (1, 2)).tolist()
    [[[[7.0, 0.0, 8.0]]]]

    """
    dx = np.zeros(dy.shape[:2] + tuple(input_size), dy.dtype)
    for p, q, window in _windows(dx, output_size):
        places = np.arange(window.shape[2] * window.shape[3])
        hit = switches[:, :, p, q, None] == places
        window += np.where(hit, dy[:, :, p, q, None], 0).reshape(window.shape)
    return dx


def _windows(x: np.ndarray, output_size: tuple[int, int]) -> Iterator[tuple[int, int, np.ndarray]]:
    """(p, q, view of the window) for every output, in row order."""
    rows, columns = (adaptive_windows(n, out) for n, out in zip(x.shape[2:], output_size, strict=True))
    for p, (top, bottom) in enumerate(rows):
        for q, (left, right) in enumerate(columns):
            yield p, q, x[:, :, top:bottom, left:right]
