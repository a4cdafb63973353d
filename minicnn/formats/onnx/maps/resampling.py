"""Operators of an ONNX graph that resize maps or take parts of them, as layers; the batch stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import layers as nn
from minicnn.formats.onnx import norms
from minicnn.formats.onnx.node import BoundNode, reshape_layers
from minicnn.layers import Layer
from minicnn.layers.base import Shape
from minicnn.layers.resampling.coordinates import COORDINATES, ROUNDINGS
from minicnn.shapes import IntPair

__all__ = [
    "depth_to_space",
    "expand",
    "gather",
    "resize",
    "slice_axes",
    "space_to_depth",
    "split_axis",
    "tile",
    "where",
]

FAR = 1 << 31  # numbers beyond it mean the end of an axis


def resize(op: BoundNode) -> list[Layer]:
    """Resize, and Upsample before it: maps alone, and neither batch nor channels."""
    if len(op.shape) not in (2, 3):
        raise op.error(f"resizes N x {op.shape}; there is a layer for maps of one or two axes")
    scales, size = _scales(op), _size(op)
    if (scales is None) == (size is None):
        raise op.error("has neither scales nor sizes, or both")
    layer = nn.Upsample(size, scales, **_convention(op))
    _check_corners(op, layer)
    if len(op.shape) == 3:
        return [_like_torch(layer, op)]
    # maps of one axis have a height of 1
    maps = (op.shape[0], 1, op.shape[1])
    out = layer.output_shape(maps)
    return [
        *reshape_layers(op, op.shape, maps),
        _like_torch(layer, op._replace(shape=maps, other=maps)),
        *reshape_layers(op, out, (out[0], out[2])),
    ]


def _check_corners(op: BoundNode, layer: nn.Upsample) -> None:
    """Raise where corners are aligned in maps of a size that is no whole number before it is rounded."""
    if layer.coordinates == "align_corners" and layer.scale_factor is not None:
        sizes = zip(op.shape[:0:-1], layer.scale_factor[::-1], strict=False)  # width first, the only axis of some
        if any(scale % 1 and (op.open_size or n * scale % 1) for n, scale in sizes):
            raise op.error(
                "aligns corners by scales that give no whole size, which implementations read differently"
            )


def _convention(op: BoundNode) -> dict[str, Any]:
    """Return mode, coordinates and rounding; before opset 11 they are those of TensorFlow 1."""
    node = op.node
    modes = {"nearest": "nearest", "linear": "bilinear", "bilinear": "bilinear", "cubic": "bicubic"}
    mode = node.text("mode", "nearest")
    if mode not in modes:
        raise op.error(f"mode {mode!r}; expected nearest, linear or cubic")
    if node.flag("antialias"):
        raise op.error(
            "smooths before it makes maps smaller (antialias), by filters that versions define differently"
        )
    old = op.opset < 11 or node.op_type == "Upsample"
    coordinates = node.text("coordinate_transformation_mode", "asymmetric" if old else "half_pixel")
    rounding = node.text("nearest_mode", "floor" if old else "round_prefer_floor")
    if coordinates not in COORDINATES or rounding not in ROUNDINGS:
        raise op.error(
            f"coordinates {coordinates!r}, rounding {rounding!r}; expected one of {', '.join(COORDINATES)}"
        )
    convention: dict[str, Any] = {"mode": modes[mode], "coordinates": coordinates}
    if mode == "nearest":
        convention["rounding"] = rounding
    outside = node.flag("exclude_outside")
    if mode == "cubic":
        convention |= {"cubic_coeff_a": node.real("cubic_coeff_a", -0.75), "exclude_outside": outside}
    elif outside and mode == "linear":
        raise op.error("leaves out what lies outside of the map (exclude_outside), in mode 'linear'")
    return convention


_TORCH_NEAREST = {"nearest": ("asymmetric", "floor"), "nearest-exact": ("half_pixel", "round_prefer_ceil")}


def _like_torch(layer: nn.Upsample, op: BoundNode) -> nn.Upsample:
    """Return the layer in torch's words where they say the same."""
    arguments = layer.config()
    out = layer.output_shape(op.shape)[1:]
    place, rounding = layer.coordinates, layer.rounding
    # of one output pixel alone it says something else
    if place == "pytorch_half_pixel" and not op.open_size and min(out) > 1:
        place = "half_pixel"
    if layer.mode == "nearest":
        for mode, words in _TORCH_NEAREST.items():
            if (place, rounding) == words:
                return nn.Upsample(**arguments | {"mode": mode, "coordinates": None, "rounding": None})
    elif place in ("half_pixel", "align_corners"):
        return nn.Upsample(**arguments | {"coordinates": None, "align_corners": place == "align_corners"})
    return layer


def _scales(op: BoundNode) -> tuple[float, float] | None:
    """Return the factors of height and width."""
    index = 1 if op.opset < 11 or op.node.op_type == "Upsample" else 2
    given = op.array(index)
    if given is None and op.node.op_type == "Upsample" and "scales" in op.node.attributes:
        given = np.array(op.node.reals("scales"), np.float32)
    if given is None or given.size == 0:
        return None
    if given.dtype.kind != "f":
        raise op.error(f"scales of {given.dtype}; expected floating-point numbers")
    # the shortest decimal: 0.7 rather than 0.699999988, whose product with 10 is not 7
    values = [float(str(v)) for v in given.astype(np.float32).reshape(-1)]
    axes = _axes(op, len(values))
    fixed = [value for axis, value in zip(axes, values, strict=True) if axis < 2]
    if any(value != 1 for value in fixed):
        raise op.error(f"scales {values}, batch or channels too; there is a layer for height and width")
    return _by_axis(op, dict(zip(axes, values, strict=True)), 1.0)


def _size(op: BoundNode) -> IntPair | None:
    """Return the height and width that the node asks for."""
    constant = op.constant(3)
    if op.opset < 11 or constant is None or constant.array.size == 0:
        return None
    values = [int(v) for v in constant.array.reshape(-1)]
    axes = _axes(op, len(values))
    is_open = constant.mask.reshape(-1)
    if any(is_open[i] for i, axis in enumerate(axes) if axis > 0):
        op.array(3)  # which refuses what depends on the input's size
    full = (op.batch, *op.shape)
    if any(value != full[axis] for axis, value in zip(axes, values, strict=True) if axis < 2):
        raise op.error(f"sizes {values}, batch or channels too; there is a layer for height and width")
    policy = op.node.text("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        raise op.error(f"keep_aspect_ratio_policy {policy!r}; expected 'stretch'")
    wanted = {axis: value for axis, value in zip(axes, values, strict=True) if axis >= 2}
    # an axis that is not named keeps its size
    missing = op.sized() if len(wanted) < len(op.shape) - 1 else op.shape
    sizes = [wanted.get(axis, missing[axis - 1]) for axis in range(2, op.rank)]
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def _axes(op: BoundNode, count: int) -> list[int]:
    given = op.node.integers("axes")
    axes = list(range(op.rank)) if given is None else [op.axis(a) for a in given]
    if len(axes) != count or len(set(axes)) != count:
        raise op.error(f"{count} numbers for the axes {axes}")
    return axes


def _by_axis(op: BoundNode, values: dict[int, float], default: float) -> tuple[float, float]:
    """Return the values of height and width; maps of one axis have a height that stays."""
    both = [values.get(axis, default) for axis in range(2, op.rank)]
    return (default, both[0]) if len(both) == 1 else (both[0], both[1])


def depth_to_space(op: BoundNode) -> list[Layer]:
    """DepthToSpace, channels or blocks first."""
    mode = op.node.text("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise op.error(f"mode {mode!r}; expected DCR or CRD")
    return [nn.PixelShuffle(op.node.integer("blocksize", 0), depth_first=mode == "DCR")]


def space_to_depth(op: BoundNode) -> list[Layer]:
    """SpaceToDepth, whose channels are those of each place of a block in turn."""
    return [nn.PixelUnshuffle(op.node.integer("blocksize", 0), depth_first=True)]


def slice_axes(op: BoundNode) -> list[Layer]:
    """Slice of axes after the batch, a layer for each."""
    starts, ends = op.numbers("starts", 1), op.numbers("ends", 2)
    axes, steps = op.numbers("axes", 3), op.numbers("steps", 4)
    if starts is None or ends is None or len(starts) != len(ends):
        raise op.error("has no starts and ends, or not as many of both")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if len(axes) != len(starts) or len(steps) != len(starts) or 0 in steps:
        raise op.error(f"{len(starts)} starts, axes {axes}, steps {steps}")
    layers: list[Layer] = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis = op.axis(axis)
        whole = start == 0 and end >= FAR - 1 and step == 1
        if axis == 0 and not whole and (start, step) != (0, 1):
            raise op.error("takes part of the batch")
        if axis == 0 and not whole and end != op.batch:
            raise op.error("takes part of the batch")
        if axis and not whole:
            layers.append(nn.Slice(axis, _near(start), _near(end), step))
    return layers


def _near(place: int) -> int | None:
    """Return a place; None for one so far away that it means the end of the axis."""
    return place if abs(place) < FAR - 1 else None


def split_axis(op: BoundNode, count: int) -> tuple[int, list[int]]:
    """Return the axis of a Split and the lengths of its ``count`` parts."""
    axis, lengths = op.axis(op.node.integer("axis", 0)), op.numbers("split", 1)
    if axis == 0:
        raise op.error("splits the batch")
    size = op.shape[axis - 1]
    if size != op.other[axis - 1]:
        op.sized()
    if op.node.integer("num_outputs", count) != count:
        raise op.error(f"num_outputs other than its {count} outputs")
    if lengths is None:
        # equal parts, the last of them shorter where need be
        part = -(-size // count)
        lengths = [part] * (count - 1) + [size - part * (count - 1)]
    if len(lengths) != count or min(lengths) < 1 or sum(lengths) != size:
        raise op.error(f"splits an axis of {size} into parts of {lengths}")
    return axis, lengths


def gather(op: BoundNode) -> list[Layer]:
    """Gather by constant places along one axis after the batch, whose place the axes of the places take."""
    if op.data != 0:
        raise op.error("looks up rows of a table by computed numbers; inputs are floating-point numbers here")
    index, axis = op.array(1), op.axis(op.node.integer("axis", 0))
    if index is None or index.dtype.kind not in "iu" or axis == 0:
        raise op.error("expected constant places along an axis after the batch")
    before, size, after = op.shape[: axis - 1], op.shape[axis - 1], op.shape[axis:]
    places = tuple(index.reshape(-1).tolist())
    whole = places == tuple(range(size)) and size == op.other[axis - 1]
    layers: list[Layer] = [] if whole else [nn.IndexSelect(axis, places)]
    if index.ndim == 1:
        return layers
    return [*layers, *reshape_layers(op, (*before, len(places), *after), (*before, *index.shape, *after))]


def where(op: BoundNode) -> list[Layer]:
    """Where by a constant condition, and a constant in the other places: a product with 1 and 0, and a sum."""
    condition, other = op.array(0), op.array(3 - op.data) if op.data else None
    if condition is None or other is None:
        raise op.error("chooses by something that is not constant, or there is no layer for its constants")
    other = op.parameter(other)
    kept = np.array(condition, bool) == (op.data == 1)
    kept, rest = np.broadcast_arrays(kept, np.where(kept, np.zeros((), other.dtype), other))
    return norms.scale(op, kept.astype(other.dtype), rest if rest.any() else None)


def expand(op: BoundNode) -> list[Layer]:
    """Expand: repeats axes of length 1, all but the batch's."""
    constant = op.constant(1)
    if constant is None:
        raise op.error("has no constant shape")
    target, is_open = [int(n) for n in constant.array.reshape(-1)], constant.mask.reshape(-1)
    if is_open[1:].any() or len(target) > op.rank:
        op.array(1)
        raise op.error(f"gives N x {op.shape} more axes: {target}")
    # broadcasting aligns the last axes
    full = [1] * (op.rank - len(target)) + target
    if full[0] not in (1, op.batch):
        raise op.error("repeats the batch")
    wanted: Shape = tuple(full[1:])
    shape = tuple(-1 if n in (1, old) else n for n, old in zip(wanted, op.shape, strict=True))
    return [] if set(shape) == {-1} else [nn.Expand(shape)]


def tile(op: BoundNode) -> list[Layer]:
    """Tile: the whole of an axis after the batch again and again."""
    repeats = op.numbers("repeats", 1)
    if repeats is None or len(repeats) != op.rank or repeats[0] != 1 or min(repeats) < 1:
        raise op.error(f"repeats {repeats} of N x {op.shape}; expected a number for each axis, 1 for the batch")
    layers: list[Layer] = []
    for axis, (count, size) in enumerate(zip(repeats[1:], op.shape, strict=True), start=1):
        if count > 1:
            size = size if size == op.other[axis - 1] else op.sized()[axis - 1]
            if count * size > 1 << 16:
                raise op.error(f"repeats an axis of {size} {count} times")
            layers.append(nn.IndexSelect(axis, tuple(range(size)) * count))
    return layers
