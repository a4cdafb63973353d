"""Operators of an ONNX graph that only move values, as layers; none may mix the images of a batch."""

from __future__ import annotations

from math import prod

from minicnn import layers as nn
from minicnn.formats.onnx.node import BoundNode, reshape_layers, wrap_reshape
from minicnn.layers import Layer

__all__ = ["flatten", "pad", "reshape", "squeeze", "transpose", "unsqueeze"]


def flatten(op: BoundNode) -> list[Layer]:
    """Flatten, from the first axis after the batch."""
    axis = op.node.integer("axis", 1)
    if axis != op.rank and op.axis(axis) != 1:
        raise op.error(f"flattens from axis {axis}, which mixes the images of a batch; expected axis 1")
    if axis == op.rank != 1:
        raise op.error("makes a column of all values")
    return reshape_layers(op, op.shape, (prod(op.shape),))


def reshape(op: BoundNode) -> list[Layer]:
    """Reshape that keeps the batch first: a Flatten, a Reshape, or nothing."""
    target, first_open = _target(op)
    keep_zero = op.node.flag("allowzero")
    full = (op.batch, *op.shape)
    if not target or len(target) < 2:
        raise op.error(f"reshapes to {target}: no axis is left for the batch, or none for an image")
    # 0 copies the input's axis, unless allowzero makes it a length
    rest = [full[i] if n == 0 and not keep_zero and i < len(full) else n for i, n in enumerate(target)][1:]
    # one -1 behind the batch is what is left of an image's values
    if rest.count(-1) == 1 and target[0] != -1:
        known = prod(n for n in rest if n != -1)
        rest[rest.index(-1)] = prod(op.shape) // known if known else 0
    # the batch may be inferred, given as it is, copied, or read from the input's own shape
    keeps_batch = target[0] in (-1, op.batch) or (target[0] == 0 and not keep_zero) or first_open
    if not keeps_batch or min(rest) < 1 or prod(rest) != prod(op.shape):
        raise op.error(f"reshapes N x {op.shape} to {target}, which mixes the images of a batch or does not fit")
    return reshape_layers(op, op.shape, tuple(rest))


def _target(op: BoundNode) -> tuple[list[int], bool]:
    """Return the target of a Reshape, and whether its first number is the batch that the file leaves open."""
    constant = op.constant(1)
    if constant is None:
        return op.node.integers("shape", []), False
    array, marks = constant
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise op.error(f"its shape should be a row of whole numbers, is {array.dtype} of shape {array.shape}")
    if marks is not None and marks[1:].any() and len(array) != 2:
        op.array(1)
    is_batch = marks is not None and bool(marks[:1].any()) and int(array[0]) == op.batch
    if marks is not None and marks[:1].any() and not is_batch:
        op.array(1)
    return [int(n) for n in array], is_batch


def squeeze(op: BoundNode) -> list[Layer]:
    """Squeeze of axes after the batch."""
    axes = op.numbers("axes", 1)
    if axes is None:
        axes = [i for i, n in enumerate((op.batch, *op.sized())) if n == 1]
    removed = {op.axis(axis) for axis in axes}
    if 0 in removed or any(op.shape[axis - 1] != 1 for axis in removed):
        raise op.error(
            f"takes away axes {sorted(removed)} of N x {op.shape}; expected axes of length 1, not the batch"
        )
    return reshape_layers(op, op.shape, tuple(n for i, n in enumerate(op.shape, 1) if i not in removed))


def unsqueeze(op: BoundNode) -> list[Layer]:
    """Unsqueeze after the batch."""
    axes = op.numbers("axes", 1) or []
    rank = op.rank + len(axes)
    new = {axis % rank for axis in axes}
    if 0 in new or len(new) != len(axes) or any(not -rank <= axis < rank for axis in axes):
        raise op.error(f"adds axes {axes} to N x {op.shape}; expected new axes after the batch")
    # new axes have length 1, the old ones fill the other places in order
    rest = iter(op.shape)
    return reshape_layers(op, op.shape, tuple(1 if i in new else next(rest) for i in range(1, rank)))


def transpose(op: BoundNode) -> list[Layer]:
    """Transpose that keeps the batch first."""
    order = op.node.integers("perm", list(range(op.rank))[::-1])
    if sorted(order) != list(range(op.rank)) or order[0] != 0:
        raise op.error(f"orders axes as {order}, which moves the batch; expected 0 first")
    axes = tuple(axis - 1 for axis in order[1:])
    return [] if axes == tuple(range(len(axes))) else [nn.Permute(axes)]


def pad(op: BoundNode) -> list[Layer]:
    """Pad: borders around maps of two axes or one, zeros around channels too."""
    mode, value = op.node.text("mode", "constant"), op.number(2, op.node.real("value", 0.0))
    sides = _pad_sides(op)
    if not any(any(both) for both in sides.values()):
        return []
    if any(sides.pop(0, (0, 0))) or len(op.shape) not in (2, 3):
        raise op.error(f"pads the batch, or N x {op.shape}; expected borders around maps")
    channels, (*height, width) = sides.get(1, (0, 0)), [sides.get(axis, (0, 0)) for axis in range(2, op.rank)]
    rows = height[0] if height else (0, 0)
    if any(channels):
        if mode != "constant" or value:
            raise op.error(f"pads channels in mode {mode!r} with {value}; there is a layer for zeros")
        layer: Layer = nn.ZeroPad3d((*width, *rows, *channels))
    else:
        layer = _border(op, mode, value, (*width, *rows))
    maps = op.shape if len(op.shape) == 3 else (op.shape[0], 1, op.shape[1])
    out = layer.output_shape(maps)
    return wrap_reshape(op, maps, [layer], out if len(op.shape) == 3 else (out[0], out[2]))


def _pad_sides(op: BoundNode) -> dict[int, tuple[int, int]]:
    """Return by axis what is added before and after it; below 0 is taken away."""
    pads, given = op.numbers("pads", 1), op.array(3)
    axes = list(range(op.rank)) if given is None else [op.axis(int(a)) for a in given.reshape(-1)]
    if pads is None or len(pads) != 2 * len(axes):
        raise op.error(f"pads {pads}: expected two numbers for each of {len(axes)} axes")
    # all beginnings, then all ends
    return dict(zip(axes, zip(pads[: len(axes)], pads[len(axes) :], strict=True), strict=True))


def _border(op: BoundNode, mode: str, value: float, padding: tuple[int, ...]) -> Layer:
    if mode == "constant":
        return nn.ConstantPad2d(padding, value) if value else nn.ZeroPad2d(padding)
    kinds = {"reflect": nn.ReflectionPad2d, "edge": nn.ReplicationPad2d, "wrap": nn.CircularPad2d}
    if mode not in kinds:
        raise op.error(f"pads in mode {mode!r}; expected constant, reflect, edge or wrap")
    if mode == "wrap" and min(padding) < 0:
        raise op.error("wraps around and takes away at once, whose order versions read differently")
    return kinds[mode](padding)
