"""Geometry of windows: how large an output is, where padding goes, what a valid argument looks like."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from minicnn.errors import ShapeError

__all__ = ["check_array", "output_size", "pair", "same_padding", "sides", "span", "transposed_size"]

Pair = tuple[int, int]
Sides = tuple[Pair, Pair]


def pair(value: int | Pair, name: str, least: int = 1) -> Pair:
    """``value`` as (vertical, horizontal); ShapeError unless whole numbers of at least ``least``."""
    if type(value) is tuple and [*map(type, value)] == [int, int] and min(value) >= least:
        return value  # what layers pass, at once: asking an abstract class is slow
    values = (value, value) if isinstance(value, Integral) else value
    whole = isinstance(values, tuple | list) and len(values) == 2
    if not whole or not all(isinstance(v, Integral) and v >= least for v in values):
        raise ShapeError(f"{name}: expected a whole number >= {least} or a pair of them, got {value!r}")
    return int(values[0]), int(values[1])


def sides(padding: int | Pair | Sides) -> Sides:
    """Return padding as ((top, bottom), (left, right)): from one number, (vertical, horizontal), or four sides."""
    nested = isinstance(padding, tuple | list) and len(padding) == 2 and not isinstance(padding[0], Integral)
    if nested:
        return pair(padding[0], "padding", least=0), pair(padding[1], "padding", least=0)
    vertical, horizontal = pair(padding, "padding", least=0)
    return (vertical, vertical), (horizontal, horizontal)


def span(kernel: int, dilation: int) -> int:
    """Pixels from the first to the last tap of a dilated kernel: dilation (kernel - 1) + 1."""
    return dilation * (kernel - 1) + 1


def output_size(
    size: Pair, kernel_size: Pair, stride: Pair, padding: Sides, dilation: Pair, ceil_mode: bool = False
) -> Pair:
    """Output height and width of a sliding window, torch's rule.

    P = floor((H + top + bottom - dilation (R - 1) - 1) / stride) + 1, the same for Q; with ``ceil_mode`` the
    quotient is rounded up, but a last window that would start beyond the input and its leading padding is
    dropped.

    Raises
    ------
    ShapeError
        If no window fits.

    """
    out = []
    for n, k, s, (before, after), d in zip(size, kernel_size, stride, padding, dilation, strict=True):
        room = n + before + after - span(k, d)
        if room < 0:
            raise ShapeError(
                f"a window of {kernel_size} with dilation {dilation} does not fit into an input of {size} "
                f"with padding {padding}; use a larger input or a smaller window"
            )
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= n + before:
            count -= 1
        out.append(count)
    return out[0], out[1]


def transposed_size(
    size: Pair, kernel_size: Pair, stride: Pair, padding: Sides, output_padding: Pair, dilation: Pair
) -> Pair:
    """Output height and width of a transposed convolution: (P - 1) stride - padding + span + output_padding."""
    height, width = (
        (n - 1) * s - before - after + span(k, d) + extra
        for n, k, s, (before, after), extra, d in zip(
            size, kernel_size, stride, padding, output_padding, dilation, strict=True
        )
    )
    if height < 1 or width < 1:
        raise ShapeError(f"conv_transpose2d: an input of {size} leaves no output ({height} x {width})")
    return height, width


def same_padding(size: Pair, kernel_size: Pair, stride: Pair, dilation: Pair) -> Sides:
    """Zero padding that makes the output ceil(size / stride), the smaller half first.

    With stride 1 it is torch's ``padding="same"``; with larger strides TensorFlow's ``SAME``, whose sides
    depend on the input's size: pad = max((ceil(n / stride) - 1) stride + span - n, 0).
    """
    totals = [
        max((-(-n // s) - 1) * s + span(k, d) - n, 0)
        for n, k, s, d in zip(size, kernel_size, stride, dilation, strict=True)
    ]
    (vertical, horizontal) = totals
    return (vertical // 2, vertical - vertical // 2), (horizontal // 2, horizontal - horizontal // 2)


def check_array(x: object, what: str, ndim: int | None = None) -> None:
    """ShapeError unless ``x`` is a NumPy array of float32 or float64, with ``ndim`` axes where that is given."""
    if not isinstance(x, np.ndarray):
        raise ShapeError(f"{what}: expected a NumPy array, got {type(x).__name__}")
    if x.dtype not in (np.float32, np.float64):
        raise ShapeError(f"{what}: expected dtype float32 or float64, got {x.dtype}; use x.astype('float32')")
    if ndim is not None and x.ndim != ndim:
        hint = "; add a batch axis with x[None]" if x.ndim == ndim - 1 else ""
        raise ShapeError(f"{what}: expected {ndim} axes, got shape {x.shape}{hint}")
