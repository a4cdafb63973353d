"""Which outputs of a layer one of its inputs has a part in, with what derivatives: a column of its Jacobian."""

from __future__ import annotations

from functools import singledispatch
from typing import NamedTuple

import numpy as np

from minicnn.explorer.cells.rows import At
from minicnn.explorer.cells.windows import geometry_of
from minicnn.kernels import send
from minicnn.layers import (
    Add,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    Kind,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Reshape,
    Residual,
)
from minicnn.layers.joins import Join
from minicnn.layers.kinks import linear_part

__all__ = ["Column", "column_of"]


class Column(NamedTuple):
    """The outputs that one input has a part in.

    Attributes
    ----------
    outputs : ints (T,), places in the output, in row order
    factor : floats (T,), derivatives
    words : what is added up
    is_whole : whether these are all; else the layer is not one that this page takes to pieces

    """

    outputs: np.ndarray
    factor: np.ndarray
    words: str
    is_whole: bool = True


@singledispatch
def column_of(layer: Layer, at: At, number: int, flat: int) -> Column:
    """Return the outputs that the input ``number`` has a part in with its value at the place ``flat``.

    A layer that has no rule here is asked by its own forward pass if it is linear or affine, and by its own
    backward if it is a function of each value by itself.
    """
    x = at.inputs[number]
    if isinstance(layer, Join):
        return Column(np.zeros(0, int), np.zeros(0), f"{type(layer).__name__}: not taken to pieces here", False)
    if layer.kind <= Kind.AFFINE:
        one = np.zeros_like(x)
        one.reshape(-1)[flat] = 1
        y = np.asarray(linear_part(layer).forward(send(one[None], at.device), at.kernels)[0])[0].reshape(-1)
        index = np.flatnonzero(y)
        return Column(index, y[index], "dx = sum of factor dy")
    if x.shape == at.output.shape and _is_of_each_value(layer):
        one = np.zeros_like(at.output)
        one.reshape(-1)[flat] = 1
        slope = at.pull(one)[0].reshape(-1)[flat]
        return Column(np.array([flat]), slope[None], "dx = slope dy")
    return Column(np.zeros(0, int), np.zeros(0), f"{type(layer).__name__}: not taken to pieces here", False)


def _is_of_each_value(layer: Layer) -> bool:
    """Return whether each output is a function of the input at its own place alone."""
    return type(layer).__module__.rpartition(".")[2] in ("activation", "elementary", "pointwise") and not (
        layer.is_posterior
    )


@column_of.register
def _(layer: Conv2d, at: At, number: int, flat: int) -> Column:
    x, (_, p, q) = at.inputs[0], at.output.shape
    c, h, w = (int(i) for i in np.unravel_index(flat, x.shape))
    channels, filters = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    first = c // channels * filters
    windows = geometry_of(layer, (x.shape[1], x.shape[2])).windows_with(h, w, (p, q))
    k = np.arange(first, first + filters)
    index = [(k * p + row) * q + column for row, column, _, _ in windows]
    factor = [layer.weight[first : first + filters, c % channels, r, s] for _, _, r, s in windows]
    return Column(
        np.concatenate([np.zeros(0, int), *index]),
        np.concatenate([np.zeros(0), *factor]),
        "dx = sum over filters, and over the windows that see this value, of weight dy",
    )


@column_of.register
def _(layer: Linear, at: At, number: int, flat: int) -> Column:
    start, i = divmod(flat, layer.in_features)
    index = start * layer.out_features + np.arange(layer.out_features)
    return Column(index, layer.weight[:, i], "dx = sum over outputs of weight dy")


@column_of.register(MaxPool2d)
@column_of.register(AvgPool2d)
def _(layer: MaxPool2d | AvgPool2d, at: At, number: int, flat: int) -> Column:
    x, (_, p, q) = at.inputs[0], at.output.shape
    c, h, w = (int(i) for i in np.unravel_index(flat, x.shape))
    windows = geometry_of(layer, (x.shape[1], x.shape[2])).windows_with(h, w, (p, q))
    index = np.array([(c * p + row) * q + column for row, column, _, _ in windows], int)
    if isinstance(layer, MaxPool2d):
        switches, width = np.asarray(at.saved[1])[0].reshape(-1), layer.kernel_size[1]
        taps = np.array([r * width + s for _, _, r, s in windows], int)
        factor = (switches[index] == taps).astype(np.float64)
        return Column(index, factor, "dx = sum of dy over the windows whose switch is this value")
    factor = np.array([_share(at, int(i), flat) for i in index])
    return Column(index, factor, "dx = sum of dy / pixels of the window")


def _share(at: At, out: int, flat: int) -> float:
    one = np.zeros_like(at.output)
    one.reshape(-1)[out] = 1
    return float(at.pull(one)[0].reshape(-1)[flat])


@column_of.register
def _(layer: LocalResponseNorm, at: At, number: int, flat: int) -> Column:
    (x,) = at.inputs
    c, h, w = (int(i) for i in np.unravel_index(flat, x.shape))
    # the outputs whose window of channels has this one
    channels = np.arange(max(0, c - (layer.size - 1) // 2), min(len(x), c + layer.size // 2 + 1))
    index = (channels * x.shape[1] + h) * x.shape[2] + w
    factor = np.array([_share(at, int(i), flat) for i in index])
    return Column(index, factor, "dx = sum over neighbouring channels of the exact derivative times dy")


@column_of.register
def _(layer: BatchNorm2d, at: At, number: int, flat: int) -> Column:
    c = int(np.unravel_index(flat, at.inputs[0].shape)[0])
    return Column(np.array([flat]), layer.scale_and_shift()[0][c][None], "dx = scale dy")


@column_of.register(Flatten)
@column_of.register(Reshape)
@column_of.register(Dropout)
def _(layer: Layer, at: At, number: int, flat: int) -> Column:
    return Column(np.array([flat]), np.ones(1), "dx = dy, at the same place in row order")


@column_of.register(Residual)
@column_of.register(Add)
def _(layer: Layer, at: At, number: int, flat: int) -> Column:
    is_plain = at.inputs[number].shape == at.output.shape
    return Column(np.array([flat]), np.ones(1), "dx = dy, to every part of the sum", is_plain)


@column_of.register
def _(layer: Concat, at: At, number: int, flat: int) -> Column:
    before = sum(x.size for x in at.inputs[:number])
    return Column(np.array([before + flat]), np.ones(1), "dx = dy of this part's channels")
