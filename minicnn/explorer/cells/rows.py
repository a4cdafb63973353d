"""One output of a layer as a sum, a maximum or a function of inputs: which, and with what factors."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatch
from types import ModuleType
from typing import Any

import numpy as np

from minicnn.explorer.cells.windows import geometry_of
from minicnn.kernels import on, send
from minicnn.layers import (
    Add,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Kind,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Residual,
)
from minicnn.layers.joins import Join

__all__ = ["At", "Row", "row_of"]


@dataclass(frozen=True)
class At:
    """A layer with what passed it.

    Attributes
    ----------
    layer : Layer
    inputs : arrays that it read, without the batch axis
    output : array that it gave
    saved : what its backward needs
    device : str

    """

    layer: Layer
    inputs: list[np.ndarray]
    output: np.ndarray
    saved: Any
    device: str

    @property
    def kernels(self) -> ModuleType:
        """The device's operations."""
        return on(self.device)

    def pull(self, dy: np.ndarray) -> list[np.ndarray]:
        """Return what the layer's own backward makes of a cotangent of its output, for each input."""
        dx, _ = self.layer.backward(send(dy[None], self.device), self.saved, self.kernels)
        return [np.asarray(part)[0] for part in (dx if isinstance(dx, tuple) else (dx,))]


@dataclass
class Row:
    """What one output is made of.

    Attributes
    ----------
    form : "sum" (of factors times inputs, and a bias), "maximum", "normalisation" or "function" (of one value)
    source : ints (T,), which of the layer's inputs each term reads
    index : ints (T,), the place in that input, in row order; -1 in the padding
    x : floats (T,), the values there
    factor : floats (T,): of a sum the factors; else the derivatives
    bias : float, or None
    grid : (channels, rows, columns) of a window, so that terms can be shown where they lie
    facts : further numbers by name
    words : how the output comes about, in a formula

    """

    form: str
    source: np.ndarray
    index: np.ndarray
    x: np.ndarray
    factor: np.ndarray
    bias: float | None = None
    grid: tuple[int, int, int] | None = None
    facts: dict[str, float] = field(default_factory=dict)
    words: str = ""


@singledispatch
def row_of(layer: Layer, at: At, place: tuple[int, ...]) -> Row:
    """Return what the output at a place is made of; without a rule for its kind, by the layer's own backward."""
    one = np.zeros_like(at.output)
    one[place] = 1
    factors = at.pull(one)
    source = np.concatenate([np.full(np.count_nonzero(f), i) for i, f in enumerate(factors)])
    index = np.concatenate([np.flatnonzero(f) for f in factors])
    factor = np.concatenate([f.reshape(-1)[np.flatnonzero(f)] for f in factors])
    x = np.concatenate([v.reshape(-1)[np.flatnonzero(f)] for v, f in zip(at.inputs, factors, strict=True)])
    row = Row("sum", source, index, x, factor, words="y = sum of factor x")
    if layer.kind <= Kind.AFFINE:
        if layer.kind == Kind.AFFINE:
            zero = layer.forward(send(np.zeros_like(at.inputs[0])[None], at.device), at.kernels)[0]
            row.bias, row.words = float(np.asarray(zero)[0][place]), "y = sum of factor x + bias"
        return row
    row.form, row.words = "function", f"y = {type(layer).__name__}(x); factors are its derivatives"
    if not isinstance(layer, Join) and at.inputs[0].shape == at.output.shape and not len(index):
        # flat here: the value at its own place
        flat = np.array([np.ravel_multi_index(place, at.output.shape)])
        row.source, row.index, row.x, row.factor = np.zeros(1, int), flat, at.inputs[0][place][None], np.zeros(1)
    return row


@row_of.register
def _(layer: Conv2d, at: At, place: tuple[int, ...]) -> Row:
    k, p, q = place
    (x,), channels = at.inputs, layer.in_channels // layer.groups
    geometry = geometry_of(layer, (x.shape[1], x.shape[2]))
    first = k // (layer.out_channels // layer.groups) * channels
    index, values = _window(x, np.arange(first, first + channels), geometry.taps(p, q), geometry)
    row = Row("sum", np.zeros(index.size, int), index.ravel(), values.ravel(), layer.weight[k].ravel())
    row.grid, row.bias = index.shape, None if layer.bias is None else float(layer.bias[k])
    row.words = "y = sum over channels, rows and columns of weight x" + (" + bias" if row.bias is not None else "")
    return row


def _window(
    x: np.ndarray, channels: np.ndarray, taps: tuple[np.ndarray, np.ndarray], geometry: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return places (C, R, S) in row order, -1 in the padding, and values, 0 there."""
    rows, columns = taps
    _, height, width = x.shape
    flat = (channels[:, None, None] * height + rows[:, None]) * width + columns
    inside = np.broadcast_to(geometry.inside(rows, columns), flat.shape)
    index = np.where(inside, flat, -1)
    return index, np.where(inside, x.reshape(-1)[np.maximum(index, 0)], 0)


@row_of.register
def _(layer: Linear, at: At, place: tuple[int, ...]) -> Row:
    (x,), n = at.inputs, layer.in_features
    # of an input with more axes the last one is mapped at every place alike
    start = int(np.ravel_multi_index(place[:-1], x.shape[:-1])) * n if x.ndim > 1 else 0
    index = np.arange(start, start + n)
    row = Row("sum", np.zeros(n, int), index, x.reshape(-1)[index], layer.weight[place[-1]])
    row.bias = None if layer.bias is None else float(layer.bias[place[-1]])
    row.words = "y = sum over inputs of weight x" + (" + bias" if row.bias is not None else "")
    return row


@row_of.register
def _(layer: MaxPool2d, at: At, place: tuple[int, ...]) -> Row:
    c, p, q = place
    (x,) = at.inputs
    geometry = geometry_of(layer, (x.shape[1], x.shape[2]))
    index, values = _window(x, np.array([c]), geometry.taps(p, q), geometry)
    switch = int(np.asarray(at.saved[1])[0][place])
    row = Row("maximum", np.zeros(index.size, int), index.ravel(), values.ravel(), np.zeros(index.size))
    row.factor[switch] = 1
    row.grid, row.words = index.shape, "y = the largest x; the switch keeps where it was"
    row.facts = {"switch": switch}
    return row


@row_of.register
def _(layer: AvgPool2d, at: At, place: tuple[int, ...]) -> Row:
    c, p, q = place
    (x,) = at.inputs
    geometry = geometry_of(layer, (x.shape[1], x.shape[2]))
    index, values = _window(x, np.array([c]), geometry.taps(p, q), geometry)
    one = np.zeros_like(at.output)
    one[place] = 1
    # the layer's own backward says how many pixels count
    share = float(at.pull(one)[0].max())
    row = Row("sum", np.zeros(index.size, int), index.ravel(), values.ravel(), np.full(index.size, share))
    row.grid, row.words = index.shape, "y = mean of the window"
    row.facts = {"pixels": round(1 / share)} if share else {}
    return row


@row_of.register
def _(layer: BatchNorm2d, at: At, place: tuple[int, ...]) -> Row:
    scale, shift = layer.scale_and_shift()
    c, (x,) = place[0], at.inputs
    index = np.array([np.ravel_multi_index(place, x.shape)])
    row = Row("sum", np.zeros(1, int), index, x[place][None], scale[c][None], float(shift[c]))
    row.words = "y = scale x + shift, with scale = weight / sqrt(variance + eps), shift = bias - scale mean"
    row.facts = {"mean": float(layer.running_mean[c]), "variance": float(layer.running_var[c]), "eps": layer.eps}
    if layer.affine:
        row.facts |= {"weight": float(layer.weight[c]), "bias": float(layer.bias[c])}
    return row


@row_of.register
def _(layer: LocalResponseNorm, at: At, place: tuple[int, ...]) -> Row:
    c, p, q = place
    (x,), one = at.inputs, np.zeros_like(at.output)
    first = max(0, c - layer.size // 2)
    channels = np.arange(first, min(len(x), c + (layer.size - 1) // 2 + 1))
    one[place] = 1
    index = (channels * x.shape[1] + p) * x.shape[2] + q
    row = Row(
        "normalisation", np.zeros(len(index), int), index, x[channels, p, q], at.pull(one)[0][channels, p, q]
    )
    squares = float((row.x.astype(np.float64) ** 2).sum())
    base = layer.k + layer.alpha / layer.size * squares
    row.facts = {"sum of squares": squares, "base": base, "divisor": base**layer.beta, "x": float(x[place])}
    row.words = "y = x / (k + alpha / size sum of squares)^beta, over neighbouring channels"
    return row


@row_of.register
def _(layer: Residual, at: At, place: tuple[int, ...]) -> Row:
    return _copies(at, place, "y = body + shortcut")


@row_of.register
def _(layer: Add, at: At, place: tuple[int, ...]) -> Row:
    if any(x.shape != at.output.shape for x in at.inputs):
        return row_of.dispatch(Layer)(layer, at, place)
    return _copies(at, place, "y = sum of the inputs")


def _copies(at: At, place: tuple[int, ...], words: str) -> Row:
    index = np.full(len(at.inputs), np.ravel_multi_index(place, at.output.shape))
    x = np.array([x[place] for x in at.inputs])
    return Row("sum", np.arange(len(x)), index, x, np.ones(len(x)), words=words)


@row_of.register
def _(layer: Concat, at: At, place: tuple[int, ...]) -> Row:
    channel = place[0]
    for i, x in enumerate(at.inputs):
        if channel < len(x):
            own = (channel, *place[1:])
            index = np.array([np.ravel_multi_index(own, x.shape)])
            return Row(
                "sum", np.array([i]), index, x[own][None], np.ones(1), words=f"y = channel {channel} of part {i}"
            )
        channel -= len(x)
    raise IndexError(place)
