"""Caffe's layers of several inputs or outputs as ours: sums and the like, concatenations, slices and crops."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from minicnn import layers as nn
from minicnn.formats.caffe.bound import BoundLayer, Branch
from minicnn.formats.containers.files import escape
from minicnn.layers import Layer

__all__ = ["JOINS"]


def _concat(bound: BoundLayer) -> list[Layer]:
    axis = bound.axis(bound.layer.param("concat_param"), 1, "axis", "concat_dim")
    # of one value it is the value itself
    return [nn.Cat(axis)] if len(bound.shapes) > 1 else []


def _combine(bound: BoundLayer) -> list[Layer] | Branch:
    """Return the layers of an Eltwise: a product, a maximum, or a sum with coefficients."""
    fields, shapes = bound.layer.param("eltwise_param"), bound.shapes
    operation, factors = fields.choice("operation", ("PROD", "SUM", "MAX"), "SUM"), fields.reals("coeff")
    if len(set(shapes)) > 1 or len(shapes) < 2:
        raise bound.error(f"joins {shapes}; expected two values or more of one shape")
    if factors and len(factors) != len(shapes):
        raise bound.error(
            f"{len(factors)} coefficients for {len(shapes)} inputs; Caffe takes one for each, or none"
        )
    if operation != "SUM" and not factors:
        return [nn.Multiply() if operation == "PROD" else nn.Maximum()]
    if operation == "SUM" and set(factors) <= {1.0}:
        return [nn.Add()]
    if operation == "SUM" and factors == [1.0, -1.0] and len(shapes) == 2:
        return [nn.Subtract()]
    if operation == "SUM" and len(set(factors)) == 1:
        return [nn.Add(), _times(factors[0])]
    if operation == "SUM" and len(factors) == 2 and factors[0]:
        # a x + b y = a (x + b / a y)
        after = [] if factors[0] == 1 else [_times(factors[0])]
        return Branch([_times(factors[1] / factors[0])], nn.Add(), after, source=1)
    raise bound.error(f"{operation} with coefficients {factors}; expected those of a sum of two, or equal ones")


def _times(factor: float) -> Layer:
    return nn.Scale((), bias=False, weight=np.array(factor, np.float32))


def _crop(bound: BoundLayer) -> list[Layer]:
    """Return the layers that cut the first input to the size of the second."""
    if len(bound.shapes) != 2:
        raise bound.error(f"{len(bound.shapes)} inputs; expected two")
    fields, (shape, reference) = bound.layer.param("crop_param"), bound.shapes
    axes, offsets = range(bound.axis(fields, 2), len(shape) + 1), fields.integers("offset") or [0]
    if len(reference) != len(shape) or len(offsets) not in (1, len(axes)):
        raise bound.error(f"cuts {shape} to {reference} from {escape(offsets)} on")
    # one offset is that of all axes
    offsets = offsets * len(axes) if len(offsets) == 1 else offsets
    layers: list[Layer] = []
    for dim, offset in zip(axes, offsets, strict=True):
        size, wanted = shape[dim - 1], reference[dim - 1]
        if not 0 <= offset <= size - wanted:
            raise bound.error(f"{wanted} places from {offset} on of an axis of {size}")
        if size != wanted:
            layers.append(nn.Slice(dim, offset, offset + wanted))
    return layers


def _slice(bound: BoundLayer) -> list[Layer]:
    fields, count = bound.layer.param("slice_param"), len(bound.layer.tops)
    axis = bound.axis(fields, 1, "axis", "slice_dim")
    size, points = bound.shape[axis - 1], fields.integers("slice_point")
    if not points and size % count == 0:
        points = [size // count * i for i in range(1, count)]
    edges = [0, *points, size]
    if len(points) != count - 1 or any(a >= b for a, b in pairwise(edges)):
        raise bound.error(f"cuts an axis of {size} into {count} parts at {escape(points)}")
    return [nn.Slice(axis, edges[bound.part], edges[bound.part + 1])] if count > 1 else []


JOINS: dict[str, Callable[[BoundLayer], list[Layer] | Branch]] = {
    "Concat": _concat,
    "Crop": _crop,
    "Eltwise": _combine,
    "Slice": _slice,
    "Split": lambda bound: [],
}
