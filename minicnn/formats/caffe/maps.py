"""Caffe's layers that resize, reorder and reduce maps, many of them from its forks, as ours."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from minicnn import layers as nn
from minicnn.formats.caffe.bound import BoundLayer
from minicnn.formats.containers.files import escape
from minicnn.layers import Layer

__all__ = ["MAPS"]

MAX_ZOOM = 1 << 10


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
    cut = [nn.ZeroPad2d((before, after, before, after))] if before or after else []
    return [*cut, nn.Upsample((height, width), mode="bilinear", align_corners=True)]


def _upsample(bound: BoundLayer) -> list[Layer]:
    bound.maps()
    scale = bound.layer.param("upsample_param").integer("scale", 2)
    if not 1 <= scale <= MAX_ZOOM:
        raise bound.error(f"scale {scale}; expected a whole number >= 1")
    return [nn.Upsample(scale_factor=scale)]


def _permute(bound: BoundLayer) -> list[Layer]:
    rank, order = len(bound.shape) + 1, bound.layer.param("permute_param").integers("order")
    # axes that are not named follow in their own order
    order = [*order, *(axis for axis in range(rank) if axis not in order)]
    if sorted(order) != list(range(rank)) or order[0] != 0:
        raise bound.error(f"order {escape(order)}; expected each of {rank} axes once, the batch first")
    return [nn.Permute(tuple(axis - 1 for axis in order[1:]))]


def _flatten(bound: BoundLayer) -> list[Layer]:
    fields, rank = bound.layer.param("flatten_param"), len(bound.shape) + 1
    first, last = bound.axis(fields, 1), bound.axis(fields, -1, "end_axis")
    if first > last:
        raise bound.error(f"axis {first} after end_axis {last}")
    shape = bound.shape[: first - 1], bound.shape[first - 1 : last], bound.shape[last:]
    if (first, last) == (1, rank - 1):
        return [nn.Flatten()] if rank > 2 else []
    return [nn.Reshape((*shape[0], prod(shape[1]), *shape[2]))] if first < last else []


def _reduction(bound: BoundLayer) -> list[Layer]:
    """Reduce all axes from one on."""
    fields = bound.layer.param("reduction_param")
    operation = fields.choice("operation", ("SUM", "ASUM", "SUMSQ", "MEAN"), "SUM")
    axis = bound.axis(fields, 0)
    if fields.real("coeff", 1.0) != 1:
        raise bound.error("coeff other than 1; put a Scale behind it")
    dims = tuple(range(axis, len(bound.shape) + 1))
    before: dict[str, list[Layer]] = {"ASUM": [nn.Abs()], "SUMSQ": [nn.Pow(2.0)]}
    return [*before.get(operation, []), nn.Mean(dims) if operation == "MEAN" else nn.Sum(dims)]


def _shuffle(bound: BoundLayer) -> list[Layer]:
    return [nn.ChannelShuffle(bound.layer.param("shuffle_channel_param").integer("group", 1))]


def _tile(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("tile_param")
    axis, tiles = bound.axis(fields, 1), fields.integer("tiles")
    if not 1 <= tiles * bound.shape[axis - 1] <= 1 << 16:
        raise bound.error(f"{tiles} tiles of an axis of {bound.shape[axis - 1]}")
    return [nn.IndexSelect(axis, tuple(range(bound.shape[axis - 1])) * tiles)]


def _reshape(bound: BoundLayer) -> list[Layer]:
    fields = bound.layer.param("reshape_param")
    dims = fields.message("shape").integers("dim")
    if fields.integer("axis", 0) == 1:
        # from axis 1 on the dims leave the batch out: put its 0 in front
        dims = [0, *dims]
    elif fields.integer("axis", 0) != 0:
        raise bound.error("axis other than 0 or 1")
    if fields.integer("num_axes", -1) != -1 or len(dims) < 2 or dims[0] != 0:
        raise bound.error("expected a shape that begins with dim: 0, the batch")
    rest = [bound.shape[i] if n == 0 and i < len(bound.shape) else n for i, n in enumerate(dims[1:])]
    # one -1 is what is left of an image's values
    if rest.count(-1) == 1:
        known = prod(n for n in rest if n != -1)
        rest[rest.index(-1)] = prod(bound.shape) // known if known > 0 else 0
    if min(rest) < 1 or prod(rest) != prod(bound.shape):
        raise bound.error(f"{bound.shape} does not become {rest}")
    return [nn.Flatten() if len(rest) == 1 else nn.Reshape(tuple(rest))]


MAPS: dict[str, Callable[[BoundLayer], list[Layer]]] = {
    "Flatten": _flatten,
    "Interp": _interp,
    "Permute": _permute,
    "Reduction": _reduction,
    "Reshape": _reshape,
    "ShuffleChannel": _shuffle,
    "Tile": _tile,
    "Upsample": _upsample,
}
