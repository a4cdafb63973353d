"""Ties and exact zeros: what is a convention, not a derivative, checked by construction.

ReLU'(0) = 0, ReLU6'(0) = ReLU6'(6) = 0, a leaky rectifier has its slope at 0, and of several equal maxima the
first in row order has the gradient, overlapping windows adding.  What is expected is written out in plain loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType

import numpy as np

from minicnn.layers import Keep, Layer, LeakyReLU, MaxPool2d, PReLU, ReLU, ReLU6
from minicnn.shapes import output_size, span
from minicnn.verify.gradcheck.report import Row
from minicnn.verify.rounding import unit

__all__ = ["convention_rows"]

KINKS = (-1.0, -0.0, 0.0, 6.0, 7.0, 3.0)


def convention_rows(leaves: Iterable, kernels: ModuleType, dtype) -> Iterator[Row]:
    """One row for each rectifier and each different pool among the leaves."""
    seen: set[str] = set()
    for leaf in leaves:
        key = f"{leaf.layer!r}"
        if isinstance(leaf.layer, ReLU | ReLU6 | LeakyReLU | PReLU | MaxPool2d) and key not in seen:
            seen.add(key)
            yield _row(leaf.name, leaf.own, kernels, dtype)


def _row(name: str, layer: Layer, kernels: ModuleType, dtype) -> Row:
    if isinstance(layer, MaxPool2d):
        x, dy, expected = _pool_case(layer)
    else:
        x, dy, expected = _rectifier_case(layer)
    _, saved = layer.forward(x.astype(dtype), kernels, Keep.MASKS)
    dx, _ = layer.backward(dy.astype(dtype), saved, kernels)
    error = np.abs(dx - expected)
    largest = np.abs(expected).max().astype(dtype)
    allowed = 4 * unit(dtype) * float(largest)  # a slope is rounded, and its product
    worst = np.unravel_index(error.argmax(), error.shape)
    where = str(tuple(map(int, worst))) if error[worst] else ""
    ulps = float(error[worst] / np.spacing(largest))
    names = name, type(layer).__name__, "convention", "by construction"
    return Row(*names, expected.size, True, float(error[worst]), allowed, ulps, where)


def _rectifier_case(layer: Layer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs at and beside the kinks, (1, C, n, 1), cotangents and what must come of them."""
    channels = layer.num_parameters if isinstance(layer, PReLU) else 1
    x = np.tile(np.array(KINKS)[:, None], (1, channels, 1, 1))
    dy = 1.0 + np.arange(x.size).reshape(x.shape)
    slopes = np.zeros(channels)
    if isinstance(layer, LeakyReLU):
        slopes += layer.negative_slope
    elif isinstance(layer, PReLU):
        slopes += layer.weight
    dx = dy * slopes[:, None, None]
    for index in np.ndindex(x.shape):
        if x[index] > 0 and not (isinstance(layer, ReLU6) and x[index] >= 6):
            dx[index] = dy[index]
    return x, dy, dx


def _pool_case(layer: MaxPool2d) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two maps of few different values, a constant one among them, and where each window's first maximum is."""
    size = tuple(
        span(k, d) + 2 * s + 1 for k, s, d in zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
    )
    row, column = np.indices(size)
    x = np.stack([(row * 7 + column * 3) % 4 - 2.0, np.zeros(size) - 1])[None]
    out = output_size(size, layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
    dy = 1.0 + np.arange(2 * out[0] * out[1]).reshape(1, 2, *out)
    dx = np.zeros_like(x)
    for c, p, q in np.ndindex(2, *out):
        where = _first_maximum(layer, x[0, c], p, q)
        if where is not None:
            dx[(0, c, *where)] += dy[0, c, p, q]
    return x, dy, dx


def _first_maximum(layer: MaxPool2d, x: np.ndarray, p: int, q: int) -> tuple[int, int] | None:
    (top, _), (left, _) = layer.padding
    best, where = -np.inf, None
    for r, s in np.ndindex(*layer.kernel_size):
        h = p * layer.stride[0] + r * layer.dilation[0] - top
        w = q * layer.stride[1] + s * layer.dilation[1] - left
        if 0 <= h < x.shape[0] and 0 <= w < x.shape[1] and x[h, w] > best:
            best, where = x[h, w], (h, w)
    return where
