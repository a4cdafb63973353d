"""Operators of an ONNX graph that only move values, as layers; none may mix the images of a batch."""

from __future__ import annotations

from math import prod

from minicnn.formats.onnx.node import Call, reshaped
from minicnn.layers import Layer, Permute, ZeroPad2d

__all__ = ["flatten", "pad", "reshape", "squeeze", "transpose", "unsqueeze"]


def flatten(call: Call) -> list[Layer]:
    """Flatten, from the first axis after the batch."""
    axis = call.node.integer("axis", 1)
    if axis != call.rank and call.axis(axis) != 1:
        raise call.error(f"flattens from axis {axis}, which mixes the images of a batch; expected axis 1")
    if axis == call.rank != 1:
        raise call.error("makes a column of all values")
    return reshaped(call, call.shape, (prod(call.shape),))


def reshape(call: Call) -> list[Layer]:
    """Reshape that keeps the batch first: a Flatten, a Reshape, or nothing."""
    target, first_open = _target(call)
    keep_zero = call.node.flag("allowzero")
    full = (call.batch, *call.shape)
    if not target or len(target) < 2:
        raise call.error(f"reshapes to {target}: no axis is left for the batch, or none for an image")
    rest = [full[i] if n == 0 and not keep_zero and i < len(full) else n for i, n in enumerate(target)][1:]
    if rest.count(-1) == 1 and target[0] != -1:
        known = prod(n for n in rest if n != -1)
        rest[rest.index(-1)] = prod(call.shape) // known if known else 0
    keeps_batch = target[0] in (-1, call.batch) or (target[0] == 0 and not keep_zero) or first_open
    if not keeps_batch or min(rest) < 1 or prod(rest) != prod(call.shape):
        raise call.error(
            f"reshapes N x {call.shape} to {target}, which mixes the images of a batch or does not fit"
        )
    return reshaped(call, call.shape, tuple(rest))


def _target(call: Call) -> tuple[list[int], bool]:
    """Return the target of a Reshape, and whether its first number is the batch that the file leaves open."""
    constant = call.constant(1)
    if constant is None:
        return call.node.integers("shape", []), False
    array, marks = constant
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise call.error(f"its shape should be a row of whole numbers, is {array.dtype} of shape {array.shape}")
    if marks is not None and marks[1:].any() and len(array) != 2:
        call.array(1)
    is_batch = marks is not None and bool(marks[:1].any()) and int(array[0]) == call.batch
    if marks is not None and marks[:1].any() and not is_batch:
        call.array(1)
    return [int(n) for n in array], is_batch


def squeeze(call: Call) -> list[Layer]:
    """Squeeze of axes after the batch."""
    axes = call.numbers("axes", 1)
    if axes is None:
        axes = [i for i, n in enumerate((call.batch, *call.sized())) if n == 1]
    gone = {call.axis(axis) for axis in axes}
    if 0 in gone or any(call.shape[axis - 1] != 1 for axis in gone):
        raise call.error(
            f"takes away axes {sorted(gone)} of N x {call.shape}; expected axes of length 1, not the batch"
        )
    return reshaped(call, call.shape, tuple(n for i, n in enumerate(call.shape, 1) if i not in gone))


def unsqueeze(call: Call) -> list[Layer]:
    """Unsqueeze after the batch."""
    axes = call.numbers("axes", 1) or []
    rank = call.rank + len(axes)
    new = {axis % rank for axis in axes}
    if 0 in new or len(new) != len(axes) or any(not -rank <= axis < rank for axis in axes):
        raise call.error(f"adds axes {axes} to N x {call.shape}; expected new axes after the batch")
    rest = iter(call.shape)
    return reshaped(call, call.shape, tuple(1 if i in new else next(rest) for i in range(1, rank)))


def transpose(call: Call) -> list[Layer]:
    """Transpose that keeps the batch first."""
    order = call.node.integers("perm", list(range(call.rank))[::-1])
    if sorted(order) != list(range(call.rank)) or order[0] != 0:
        raise call.error(f"orders axes as {order}, which moves the batch; expected 0 first")
    axes = tuple(axis - 1 for axis in order[1:])
    return [] if axes == tuple(range(len(axes))) else [Permute(axes)]


def pad(call: Call) -> list[Layer]:
    """Pad with zeros around maps."""
    pads, mode = call.numbers("pads", 1), call.node.text("mode", "constant")
    value = call.number(2, call.node.real("value", 0.0))
    if mode != "constant" or value != 0:
        raise call.error(f"pads in mode {mode!r} with {value}; there is a layer for zeros")
    axes = call.array(3)
    axes = range(call.rank) if axes is None else [call.axis(int(a)) for a in axes.reshape(-1)]
    if pads is None or len(pads) != 2 * len(axes):
        raise call.error(f"pads {pads}: expected two numbers for each of {len(axes)} axes")
    sides = dict(zip(axes, zip(pads[: len(axes)], pads[len(axes) :], strict=True), strict=True))
    if not any(any(both) for both in sides.values()):
        return []
    rows, columns = sides.pop(2, (0, 0)), sides.pop(3, (0, 0))
    if any(any(both) for both in sides.values()) or min(*rows, *columns) < 0 or len(call.shape) != 3:
        raise call.error(f"pads {pads} on N x {call.shape}; expected zeros around the height and width of maps")
    return [ZeroPad2d((*columns, *rows))]
