"""Caffe's layers that resize, cut, reorder and reduce maps, many of them from its forks, as ours."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod

from minicnn.formats.caffe.layers import BoundLayer
from minicnn.formats.containers.files import escape
from minicnn.layers import (
    Abs,
    ChannelShuffle,
    Flatten,
    IndexSelect,
    Layer,
    Mean,
    Permute,
    Pow,
    Reshape,
    Slice,
    Sum,
    Upsample,
    ZeroPad2d,
)
from minicnn.layers.base import Shape

__all__ = ["MAP_LAYERS", "crop", "slice_part"]

MAX_ZOOM = 1 << 10


def _axis(bound: BoundLayer, axis: int) -> int:
    """Return an axis counted from the first, the batch's; negative ones count from the last."""
    rank = len(bound.shape) + 1
    if not -rank <= axis < rank or axis % rank == 0:
        raise bound.error(f"axis {axis}; expected one after the batch of {rank}")
    return axis % rank


def _interp(bound: BoundLayer) -> list[Layer]:
    """Resize bilinearly with corners that keep their places; pads below 0 cut the border first."""
    fields, (_, h, w) = bound.layer.param("interp_param"), bound.maps()
    before, after = fields.integer("pad_beg", 0), fields.integer("pad_end", 0)
    if max(before, after) > 0 or min(h, w) + before + after < 1:
        raise bound.error(f"pad_beg {before}, pad_end {after}; expected at most 0, and something left")
    sizes = [n + before + after for n in (h, w)]
    given = fields.integer("height", 0), fields.integer("width", 0)
    shrink, zoom = fields.integer("shrink_factor", 1), fields.integer("zoom_factor", 1)
    if not 1 <= shrink <= MAX_ZOOM or not 1 <= zoom <= MAX_ZOOM or (any(given) and (shrink, zoom) != (1, 1)):
        raise bound.error(f"shrink_factor {shrink}, zoom_factor {zoom}, height and width {given}")
    # first one of ``shrink``, then ``zoom`` steps between two, with both ends
    sizes = [(n - 1) // shrink + 1 for n in sizes]
    height, width = given if any(given) else [(n - 1) * zoom + 1 for n in sizes]
    cut = [ZeroPad2d((before, after, before, after))] if before or after else []
    return [*cut, Upsample((height, width), mode="bilinear", align_corners=True)]


def _upsample(bound: BoundLayer) -> list[Layer]:
    bound.maps()
    scale = bound.layer.param("upsample_param").integer("scale", 2)
    if not 1 <= scale <= MAX_ZOOM:
        raise bound.error(f"scale {scale}; expected a whole number >= 1")
    return [Upsample(scale_factor=scale)]


def _permute(bound: BoundLayer) -> list[Layer]:
    rank, order = len(bound.shape) + 1, bound.layer.param("permute_param").integers("order")
    # axes that are not named follow in their own order
    order = [*order, *(axis for axis in range(rank) if axis not in order)]
    if sorted(order) != list(range(rank)) or order[0] != 0:
        raise bound.error(f"order {escape(order)}; expected each of {rank} axes once, the batch first")
    return [Permute(tuple(axis - 1 for axis in order[1:]))]


def _flatten(bound: BoundLayer) -> list[Layer]:
    fields, rank = bound.layer.param("flatten_param"), len(bound.shape) + 1
    first, last = _axis(bound, fields.integer("axis", 1)), _axis(bound, fields.integer("end_axis", -1))
    if first > last:
        raise bound.error(f"axis {first} after end_axis {last}")
    shape = bound.shape[: first - 1], bound.shape[first - 1 : last], bound.shape[last:]
    if (first, last) == (1, rank - 1):
        return [Flatten()] if rank > 2 else []
    return [Reshape((*shape[0], prod(shape[1]), *shape[2]))] if first < last else []


def _reduction(bound: BoundLayer) -> list[Layer]:
    """Reduce all axes from one on."""
    fields = bound.layer.param("reduction_param")
    operation = fields.choice("operation", ("SUM", "ASUM", "SUMSQ", "MEAN"), "SUM")
    axis = _axis(bound, fields.integer("axis", 0))
    if fields.real("coeff", 1.0) != 1:
        raise bound.error("coeff other than 1; put a Scale behind it")
    dims = tuple(range(axis, len(bound.shape) + 1))
    before: dict[str, list[Layer]] = {"ASUM": [Abs()], "SUMSQ": [Pow(2.0)]}
    return [*before.get(operation, []), Mean(dims) if operation == "MEAN" else Sum(dims)]


def _shuffle(bound: BoundLayer) -> list[Layer]:
    return [ChannelShuffle(bound.layer.param("shuffle_channel_param").integer("group", 1))]


def _tile(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("tile_param")
    axis, tiles = _axis(bound, fields.integer("axis", 1)), fields.integer("tiles")
    if not 1 <= tiles * bound.shape[axis - 1] <= 1 << 16:
        raise bound.error(f"{tiles} tiles of an axis of {bound.shape[axis - 1]}")
    return [IndexSelect(axis, tuple(range(bound.shape[axis - 1])) * tiles)]


def crop(bound: BoundLayer, reference: Shape) -> list[Layer]:
    """Return the layers of a Crop, which cuts its first input to the size of its second: ``reference``."""
    fields = bound.layer.param("crop_param")
    axis, offsets = _axis(bound, fields.integer("axis", 2)), fields.integers("offset") or [0]
    axes = range(axis, len(bound.shape) + 1)
    if len(reference) != len(bound.shape) or len(offsets) not in (1, len(axes)):
        raise bound.error(f"cuts {bound.shape} to {reference} from {escape(offsets)} on")
    # one offset is that of all axes
    offsets = offsets * len(axes) if len(offsets) == 1 else offsets
    layers: list[Layer] = []
    for dim, offset in zip(axes, offsets, strict=True):
        size, wanted = bound.shape[dim - 1], reference[dim - 1]
        if not 0 <= offset <= size - wanted:
            raise bound.error(f"{wanted} places from {offset} on of an axis of {size}")
        if size != wanted:
            layers.append(Slice(dim, offset, offset + wanted))
    return layers


def slice_part(bound: BoundLayer, part: int) -> list[Layer]:
    """Return the layer of one output of a Slice."""
    fields, count = bound.layer.param("slice_param"), len(bound.layer.tops)
    if "axis" in fields and "slice_dim" in fields:
        raise bound.error("has axis and slice_dim; expected one of them")
    axis = _axis(bound, fields.integer("axis", fields.integer("slice_dim", 1)))
    size, points = bound.shape[axis - 1], fields.integers("slice_point")
    if not points and size % count == 0:
        points = [size // count * i for i in range(1, count)]
    edges = [0, *points, size]
    if len(points) != count - 1 or any(a >= b for a, b in pairwise(edges)):
        raise bound.error(f"cuts an axis of {size} into {count} parts at {escape(points)}")
    return [Slice(axis, edges[part], edges[part + 1])] if count > 1 else []


MAP_LAYERS: dict[str, Callable[[BoundLayer], list[Layer]]] = {
    "Flatten": _flatten,
    "Interp": _interp,
    "Permute": _permute,
    "Reduction": _reduction,
    "ShuffleChannel": _shuffle,
    "Tile": _tile,
    "Upsample": _upsample,
}
