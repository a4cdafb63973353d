"""What a network accepts as its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from minicnn._utils.types import Shape
from minicnn.errors import ShapeError
from minicnn.network.check_weights import check_weights
from minicnn.shapes import check_array

__all__ = ["check_input"]


def check_input(
    x: np.ndarray,
    input_shape: Shape | None,
    allow_nonfinite: bool,
    weights: Callable[[], Mapping[str, np.ndarray]] = dict,
) -> None:
    """Raise ShapeError unless x, of shape (N, ...), is fit for a network that expects ``input_shape``.

    Where x holds NaN or infinity, they may come from the ``weights``, and then the sentence says so.

    Examples
    --------
    >>> check_input(np.zeros((1, 28, 28)), (1, 28, 28), allow_nonfinite=False)
    Traceback (most recent call last):
    minicnn.errors.ShapeError: input x: expected 4 axes, got shape (1, 28, 28); add a batch axis with x[None]

    """
    check_array(x, "input x", None if input_shape is None else len(input_shape) + 1)
    if input_shape is not None and x.shape[1:] != input_shape:
        expected = ("N", *input_shape)
        raise ShapeError(f"input x: expected shape ({', '.join(map(str, expected))}), got {x.shape}")
    if not allow_nonfinite and not np.isfinite(x).all():
        check_weights(weights())
        # the first place that is NaN or infinite
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise ShapeError(
            f"input x: holds {x[where]} at {where}; clean it, or pass allow_nonfinite=True to let it through"
        )
