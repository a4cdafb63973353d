"""What only moves or drops values: padding, flatten, permutation, dropout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn._utils.types import Padding, Shape
from minicnn.shapes import Sides, sides

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


def constant_pad2d(x: np.ndarray, padding: Padding, *, value: float = 0.0) -> np.ndarray:
    """Borders of one value around each map: (N, C, H, W) to (N, C, top + H + bottom, left + W + right).

    A side below 0 takes rows or columns away.

    See Also
    --------
    constant_pad2d_input_grad : its gradient
    torch.nn.functional.pad : the same in PyTorch

    Examples
    --------
    >>> constant_pad2d(np.array([[[[1.0, 2.0]]]]), ((0, 1), (2, -1))).tolist()
    [[[[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]]]

    """
    borders = sides(padding, signed=True)
    kept = _crop(x, borders)
    added = [(max(before, 0), max(after, 0)) for before, after in borders]
    # np.pad copies, also where there is nothing to add
    return np.pad(kept, ((0, 0), (0, 0), *added), constant_values=value)


def constant_pad2d_input_grad(dy: np.ndarray, padding: Padding) -> np.ndarray:
    """Gradient with respect to the input of a padding: dy without its border; 0 where the input was cut.

    Examples
    --------
    >>> dy = np.array([[[[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]]]])
    >>> constant_pad2d_input_grad(dy, ((0, 1), (2, -1))).tolist()
    [[[[3.0, 0.0]]]]

    """
    (top, bottom), (left, right) = sides(padding, signed=True)
    return constant_pad2d(dy, ((-top, -bottom), (-left, -right)))


def _crop(x: np.ndarray, borders: Sides) -> np.ndarray:
    """Return the view that is left where sides are below 0."""
    rows, columns = (
        slice(max(-before, 0), n - max(-after, 0)) for n, (before, after) in zip(x.shape[2:], borders, strict=True)
    )
    return x[:, :, rows, columns]


def flatten(x: np.ndarray) -> np.ndarray:
    """All axes but the first in one, in row order: (N, C, H, W) to (N, C H W).

    See Also
    --------
    flatten_input_grad : its gradient
    torch.flatten : the same in PyTorch, with start_dim=1

    Examples
    --------
    >>> flatten(np.array([[[[1.0, 2.0]], [[3.0, 4.0]]]])).tolist()
    [[1.0, 2.0, 3.0, 4.0]]

    """
    return x.reshape(len(x), -1)


def flatten_input_grad(dy: np.ndarray, input_shape: Shape) -> np.ndarray:
    """Gradient with respect to the input of a flatten: dy in the input's shape (N, C, H, W).

    Examples
    --------
    >>> flatten_input_grad(np.array([[1.0, 2.0, 3.0, 4.0]]), (1, 2, 1, 2)).tolist()
    [[[[1.0, 2.0]], [[3.0, 4.0]]]]

    """
    return dy.reshape(input_shape)


def reshape(x: np.ndarray, shape: Shape) -> np.ndarray:
    """Values of each image in another shape, in row order: (N, ...) to (N,) + shape.

    See Also
    --------
    reshape_input_grad : its gradient
    torch.reshape : the same in PyTorch

    Examples
    --------
    >>> reshape(np.array([[1.0, 2.0, 3.0, 4.0]]), (2, 2)).tolist()
    [[[1.0, 2.0], [3.0, 4.0]]]

    """
    return x.reshape(len(x), *shape)


def reshape_input_grad(dy: np.ndarray, input_shape: Shape) -> np.ndarray:
    """Gradient with respect to the input of a change of shape: dy in the input's shape.

    Examples
    --------
    >>> reshape_input_grad(np.array([[[1.0, 2.0], [3.0, 4.0]]]), (1, 4)).tolist()
    [[1.0, 2.0, 3.0, 4.0]]

    """
    return dy.reshape(input_shape)


def permute(x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Axes of each image in another order: axis i of an image becomes what ``axes[i]`` was, 0 the first.

    See Also
    --------
    permute_input_grad : its gradient
    torch.permute : the same in PyTorch, which counts the batch axis

    Examples
    --------
    >>> permute(np.array([[[1.0, 2.0], [3.0, 4.0]]]), (1, 0)).tolist()
    [[[1.0, 3.0], [2.0, 4.0]]]

    """
    # the batch axis stays first, so the axes of an image are one further
    return np.ascontiguousarray(x.transpose(0, *(axis + 1 for axis in axes)))


def permute_input_grad(dy: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Gradient with respect to the input of a permutation: the inverse permutation of dy.

    Examples
    --------
    >>> permute_input_grad(np.array([[[1.0, 3.0], [2.0, 4.0]]]), (1, 0)).tolist()
    [[[1.0, 2.0], [3.0, 4.0]]]

    """
    # argsort inverts a permutation
    return permute(dy, tuple(int(axis) for axis in np.argsort(axes)))


def dropout(x: np.ndarray, p: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
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

    See Also
    --------
    dropout_input_grad : its gradient
    torch.nn.functional.dropout : the same in PyTorch, with training=True

    References
    ----------
    Srivastava et al. 2014; "inverted", so that inference is the identity.

    Examples
    --------
    >>> y, mask = dropout(np.array([[3.0, 3.0, 3.0, 3.0]]), 0.25, np.random.default_rng(2))
    >>> y.tolist(), mask.tolist()
    ([[4.0, 4.0, 0.0, 4.0]], [[True, True, False, True]])

    """
    # random() lies in [0, 1), so p = 0 keeps every value
    mask = rng.random(x.shape, np.float32) >= p
    return dropout_input_grad(x, mask, p), mask


def dropout_input_grad(dy: np.ndarray, mask: np.ndarray, p: float) -> np.ndarray:
    """Gradient with respect to the input of a dropout: dy / (1 - p) where a value was kept, else 0.

    Examples
    --------
    >>> dropout_input_grad(np.array([[3.0, 3.0]]), np.array([[True, False]]), 0.25).tolist()
    [[4.0, 0.0]]

    """
    # where, not multiplication by the mask: 0 times an infinite value is NaN
    return np.where(mask, dy / dy.dtype.type(1 - p), 0)
