"""Ties and exact zeros: what is a convention, not a derivative, checked by construction.

ReLU'(0) = 0, ReLU6'(0) = ReLU6'(6) = 0, a leaky rectifier has its slope at 0, and of several equal maxima the
first in row order has the gradient, overlapping windows adding.  What is expected is written out as loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minicnn.kernels.reference.windows import Windows
from minicnn.layers import Keep, Layer, LeakyReLU, MaxPool2d, PReLU, ReLU, ReLU6
from minicnn.layers.transforms.own import is_own
from minicnn.shapes import span
from minicnn.verify.gradcheck.layer import LayerCase
from minicnn.verify.gradcheck.report import Row, RowLabel
from minicnn.verify.rounding import unit

__all__ = ["check_conventions"]

KINKS = (-1.0, -0.0, 0.0, 6.0, 7.0, 3.0)


class _Example(NamedTuple):
    """An input, a cotangent, and the input's gradient that must come of them."""

    x: np.ndarray
    dy: np.ndarray
    dx: np.ndarray


def check_conventions(cases: Iterable[LayerCase], kernels: ModuleType, dtype: DTypeLike) -> Iterator[Row]:
    """Yield one row for each rectifier and each different max-pool."""
    # layers that are alike would only repeat a row
    seen: set[str] = set()
    for case in cases:
        key = repr(case.layer)
        if is_own(case.layer):  # its conventions are its own
            continue
        if isinstance(case.layer, ReLU | ReLU6 | LeakyReLU | PReLU | MaxPool2d) and key not in seen:
            seen.add(key)
            yield _check(case.name, case.own, kernels, dtype)


def _check(name: str, layer: Layer, kernels: ModuleType, dtype: DTypeLike) -> Row:
    example = _pool_example(layer) if isinstance(layer, MaxPool2d) else _rectifier_example(layer)
    _, saved = layer.forward(example.x.astype(dtype), kernels, Keep.MASKS)
    dx, _ = layer.backward(example.dy.astype(dtype), saved, kernels)
    error = np.abs(dx - example.dx)
    largest = np.abs(example.dx).max().astype(dtype)
    worst = np.unravel_index(error.argmax(), error.shape)
    return Row(
        *RowLabel(name, type(layer).__name__, "convention", "by construction"),
        probes=example.dx.size,
        every_entry=True,
        error=float(error[worst]),
        tolerance=4 * unit(dtype) * float(largest),  # a slope is rounded, and its product
        ulps=float(error[worst] / np.spacing(largest)),
        where=str(tuple(map(int, worst))) if error[worst] else "",
    )


def _rectifier_example(layer: Layer) -> _Example:
    """Return inputs at and beside the kinks, (1, C, n, 1)."""
    channels = layer.num_parameters if isinstance(layer, PReLU) else 1
    x = np.tile(np.array(KINKS)[:, None], (1, channels, 1, 1))
    dy = 1.0 + np.arange(x.size).reshape(x.shape)
    slopes = np.zeros(channels)
    if isinstance(layer, LeakyReLU):
        slopes += layer.negative_slope
    elif isinstance(layer, PReLU):
        slopes += layer.state()["weight"]
    dx = dy * slopes[:, None, None]
    # one entry after another in Python: the rule as it is stated, and not as any kernel has it
    for index in np.ndindex(x.shape):
        if x[index] > 0 and not (isinstance(layer, ReLU6) and x[index] >= 6):
            dx[index] = dy[index]
    return _Example(x, dy, dx)


def _pool_example(layer: MaxPool2d) -> _Example:
    """Return two maps of few different values, a constant one among them."""
    config = layer.config()
    axes = zip(config["kernel_size"], config["stride"], config["dilation"], strict=True)
    # at least three windows along each axis
    height, width = (span(k, d) + 2 * s + 1 for k, s, d in axes)
    size = height, width
    windows = Windows.over(size, **config)
    row, column = np.indices(size)
    # few values make ties; the constant map is all ties, and below 0: padding with 0 would win
    x = np.stack([(row * 7 + column * 3) % 4 - 2.0, np.zeros(size) - 1])[None]
    p, q = windows.output_size
    dy = 1.0 + np.arange(2 * p * q).reshape(1, 2, p, q)
    dx = np.zeros_like(x)
    for c, p, q in np.ndindex(dy.shape[1:]):
        position = _first_maximum(windows, x[0, c], p, q)
        if position is not None:
            h, w = position
            # windows overlap: one input may be the maximum of several
            dx[0, c, h, w] += dy[0, c, p, q]
    return _Example(x, dy, dx)


def _first_maximum(windows: Windows, x: np.ndarray, p: int, q: int) -> tuple[int, int] | None:
    """Return row and column of the first maximum of window (p, q); None where it lies on padding alone."""
    (top, _), (left, _) = windows.padding
    largest, position = -np.inf, None
    for r, s in np.ndindex(windows.kernel_size):
        # row and column of tap (r, s) of window (p, q) in the unpadded map
        h = p * windows.stride[0] + r * windows.dilation[0] - top
        w = q * windows.stride[1] + s * windows.dilation[1] - left
        # larger and not as large: of equal taps the first stays
        if 0 <= h < x.shape[0] and 0 <= w < x.shape[1] and x[h, w] > largest:
            largest, position = x[h, w], (h, w)
    return position
