"""Geometry of windows: how large an output is, where padding goes, what a valid argument looks like."""

from __future__ import annotations

from numbers import Integral
from typing import Any, TypeAlias

import numpy as np

from minicnn.errors import ShapeError

__all__ = [
    "IntPair",
    "Sides",
    "adaptive_windows",
    "check_array",
    "output_size",
    "pair",
    "same_padding",
    "sides",
    "span",
    "transposed_size",
]

IntPair: TypeAlias = tuple[int, int]  # (vertical, horizontal)
Sides: TypeAlias = tuple[IntPair, IntPair]  # ((top, bottom), (left, right))
MAX_BORDER = 1 << 16  # of a padding that may be below 0


def pair(value: Any, name: str, minimum: int = 1) -> IntPair:
    """Return ``value`` as (vertical, horizontal).

    Parameters
    ----------
    value : int, or a pair of them
    name : what the message calls it
    minimum : int

    Raises
    ------
    ShapeError
        Unless it is made of whole numbers of at least ``minimum``.

    Examples
    --------
    >>> pair(3, "kernel_size"), pair([3, 5], "kernel_size")
    ((3, 3), (3, 5))

    """
    if type(value) is tuple and [*map(type, value)] == [int, int] and min(value) >= minimum:
        return value  # what layers pass, at once: asking an abstract class is slow
    values: Any = (value, value) if isinstance(value, Integral) else value
    is_pair = isinstance(values, tuple | list) and len(values) == 2
    if not is_pair or not all(isinstance(v, Integral) and int(v) >= minimum for v in values):
        raise ShapeError(f"{name}: expected a whole number >= {minimum} or a pair of them, got {value!r}")
    return int(values[0]), int(values[1])


def sides(padding: Any, signed: bool = False) -> Sides:
    """Return padding as ((top, bottom), (left, right)): from one number, (vertical, horizontal), or four sides.

    ``signed`` allows numbers below 0, which take rows and columns away.

    Examples
    --------
    >>> sides(1), sides((1, 2)), sides(((0, 1), (2, 3)))
    (((1, 1), (1, 1)), ((1, 1), (2, 2)), ((0, 1), (2, 3)))

    """
    minimum = -MAX_BORDER if signed else 0
    nested = isinstance(padding, tuple | list) and len(padding) == 2 and not isinstance(padding[0], Integral)
    if nested:
        return pair(padding[0], "padding", minimum), pair(padding[1], "padding", minimum)
    vertical, horizontal = pair(padding, "padding", minimum)
    return (vertical, vertical), (horizontal, horizontal)


def span(kernel: int, dilation: int) -> int:
    """Pixels from the first to the last tap of a dilated kernel: dilation (kernel - 1) + 1.

    Examples
    --------
    >>> span(3, 2)
    5

    """
    return dilation * (kernel - 1) + 1


def output_size(
    size: IntPair,
    kernel_size: IntPair,
    stride: IntPair,
    padding: Sides,
    dilation: IntPair,
    ceil_mode: bool = False,
) -> IntPair:
    """Output height and width of a sliding window, torch's rule.

    P = floor((H + top + bottom - dilation (R - 1) - 1) / stride) + 1, the same for Q; with ``ceil_mode`` the
    quotient is rounded up, but a last window that would start beyond the input and its leading padding is
    dropped.

    Parameters
    ----------
    size : (H, W)
    kernel_size, stride, dilation : pairs
    padding : ((top, bottom), (left, right))
    ceil_mode : bool

    Returns
    -------
    size : (P, Q)

    Raises
    ------
    ShapeError
        If no window fits.

    See Also
    --------
    transposed_size : the other way

    Examples
    --------
    >>> output_size((224, 224), (11, 11), (4, 4), ((2, 2), (2, 2)), (1, 1))
    (55, 55)
    >>> output_size((6, 6), (3, 3), (2, 2), ((0, 0), (0, 0)), (1, 1), ceil_mode=True)
    (3, 3)

    """
    out = []
    for n, k, s, (before, after), d in zip(size, kernel_size, stride, padding, dilation, strict=True):
        free = n + before + after - span(k, d)  # how far the window can move
        if free < 0:
            raise ShapeError(
                f"a window of {kernel_size} with dilation {dilation} does not fit into an input of {size} "
                f"with padding {padding}; use a larger input or a smaller window"
            )
        count = (-(-free // s) if ceil_mode else free // s) + 1
        if ceil_mode and (count - 1) * s >= n + before:
            count -= 1
        out.append(count)
    return out[0], out[1]


def transposed_size(
    size: IntPair,
    kernel_size: IntPair,
    stride: IntPair,
    padding: Sides,
    output_padding: IntPair,
    dilation: IntPair,
) -> IntPair:
    """Output height and width of a transposed convolution.

    P = (H - 1) stride - top - bottom + dilation (R - 1) + 1 + output_padding, the same for Q.

    Raises
    ------
    ShapeError
        If nothing is left.

    Examples
    --------
    >>> transposed_size((55, 55), (11, 11), (4, 4), ((2, 2), (2, 2)), (1, 1), (1, 1))
    (224, 224)

    """
    height, width = (
        (n - 1) * s - before - after + span(k, d) + extra
        for n, k, s, (before, after), extra, d in zip(
            size, kernel_size, stride, padding, output_padding, dilation, strict=True
        )
    )
    if height < 1 or width < 1:
        raise ShapeError(f"conv_transpose2d: an input of {size} leaves no output ({height} x {width})")
    return height, width


def adaptive_windows(size: int, out: int) -> list[tuple[int, int]]:
    """Return start and end of each window of an adaptive pool: floor(p size / out), ceil((p + 1) size / out).

    Examples
    --------
    >>> adaptive_windows(5, 3)
    [(0, 2), (1, 4), (3, 5)]

    """
    return [(p * size // out, -(-(p + 1) * size // out)) for p in range(out)]


def same_padding(size: IntPair, kernel_size: IntPair, stride: IntPair, dilation: IntPair) -> Sides:
    """Zero padding that makes the output ceil(size / stride), the smaller half first.

    With stride 1 it is torch's ``padding="same"``; with larger strides TensorFlow's ``SAME``, whose sides
    depend on the input's size: pad = max((ceil(n / stride) - 1) stride + span - n, 0).

    Examples
    --------
    >>> same_padding((224, 224), (3, 3), (2, 2), (1, 1))
    ((0, 1), (0, 1))

    """
    totals = [
        max((-(-n // s) - 1) * s + span(k, d) - n, 0)
        for n, k, s, d in zip(size, kernel_size, stride, dilation, strict=True)
    ]
    (vertical, horizontal) = totals
    return (vertical // 2, vertical - vertical // 2), (horizontal // 2, horizontal - horizontal // 2)


def check_array(x: object, what: str, ndim: int | None = None) -> None:
    """Raise ShapeError unless ``x`` is a NumPy array of float32 or float64, of ``ndim`` axes where that is given.

    Examples
    --------
    >>> check_array(np.zeros((3, 224, 224)), "input x", ndim=4)
    Traceback (most recent call last):
    minicnn.errors.ShapeError: input x: expected 4 axes, got shape (3, 224, 224); add a batch axis with x[None]

    """
    if not isinstance(x, np.ndarray):
        raise ShapeError(f"{what}: expected a NumPy array, got {type(x).__name__}")
    if x.dtype not in (np.float32, np.float64):
        raise ShapeError(f"{what}: expected dtype float32 or float64, got {x.dtype}; use x.astype('float32')")
    if ndim is not None and x.ndim != ndim:
        hint = "; add a batch axis with x[None]" if x.ndim == ndim - 1 else ""
        raise ShapeError(f"{what}: expected {ndim} axes, got shape {x.shape}{hint}")
