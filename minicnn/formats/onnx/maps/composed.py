"""Operators that are several layers: constants beside a computed value, smooth and hard extremes over axes."""

from __future__ import annotations

import numpy as np

from minicnn import layers as nn
from minicnn.formats.onnx.node import BoundNode
from minicnn.layers import Layer

__all__ = ["concat_constants", "log_sum_exp", "minimum"]

MAX_WEIGHTS = 1 << 24


def concat_constants(op: BoundNode) -> list[Layer]:
    """Concat of one computed value with constants, along its channels.

    The value goes through a 1 x 1 convolution, or a full layer, whose filters copy it; the bias is what the
    constants add to what is 0.
    """
    if len(op.node.inputs) == 1:
        op.node.integer("axis", 1)  # of one value
        return []
    axis, shape = op.axis(op.node.integer("axis", 1)), op.shape
    arrays = [op.array(i) for i in range(len(op.node.inputs)) if i != op.data]
    fits = all(a is not None and a.ndim == op.rank and _is_repeated(a) for a in arrays)
    sizes = {a.shape[2:] for a in arrays if a is not None}
    alike = fits and sizes <= {shape[1:]} and (not op.open_size or shape[1:] == op.other[1:])
    if axis != 1 or len(shape) not in (1, 3) or not alike:
        raise op.error("joins a computed value with a constant; that is read along channels, of its size")
    kind = np.result_type(*(op.parameter(a) for a in arrays if a is not None))
    parts = [None if i == op.data else op.array(i) for i in range(len(op.node.inputs))]
    starts = np.cumsum([0, *(shape[0] if a is None else a.shape[1] for a in parts)])
    total, first = int(starts[-1]), int(starts[op.data])
    if total * shape[0] > MAX_WEIGHTS:
        raise op.error(f"joins {shape[0]} computed channels with constants, too many to be copied")
    copies = np.eye(total, dtype=kind)[:, first : first + shape[0]]
    added = np.zeros((total, *shape[1:]), kind)
    for array, start in zip(parts, starts[:-1], strict=True):
        if array is not None:
            added[start : start + array.shape[1]] = op.parameter(array)[0]
    if len(shape) == 1:
        return [nn.Linear(shape[0], total, weight=np.ascontiguousarray(copies), bias=added)]
    weight = np.ascontiguousarray(copies)[..., None, None]
    bias = added[:, 0, 0].copy()
    if (added == bias[:, None, None]).all():
        return [nn.Conv2d(shape[0], total, 1, weight=weight, bias=bias)]
    copy = nn.Conv2d(shape[0], total, 1, weight=weight, bias=False)
    return [copy, nn.Scale(added.shape, weight=np.ones_like(added), bias=added)]


def _is_repeated(array: np.ndarray) -> bool:
    """Return whether an array is the same for each image."""
    return np.array_equal(np.broadcast_to(array[:1], array.shape), array, equal_nan=array.dtype.kind == "f")


def minimum(op: BoundNode, dims: tuple[int, ...], keep: bool) -> list[Layer]:
    """ReduceMin, the negated maximum of what is negated."""
    negated = [nn.Scale((), False, weight=np.array(-1, np.float32)) for _ in range(2)]
    return [negated[0], nn.Amax(dims, keep), negated[1]]


def log_sum_exp(op: BoundNode, dims: tuple[int, ...], keep: bool) -> list[Layer]:
    """ReduceLogSumExp, which is x - log softmax(x), the same at each place: finite where exponentials are not."""
    negated = nn.Scale((), False, weight=np.array(-1, np.float32))
    alike = nn.Residual([nn.LogSoftmax(), negated])
    if dims == (1,):
        return [alike, nn.Mean(dims, keep)]
    if op.open_size:
        raise op.error(f"over the axes {dims} of an input of open size; export the model with a fixed size")
    reduced = [dim - 1 for dim in dims]
    rest = [axis for axis in range(len(op.shape)) if axis not in reduced]
    sizes = [op.shape[axis] for axis in rest]
    target = tuple(1 if axis in reduced else n for axis, n in enumerate(op.shape)) if keep else tuple(sizes)
    if not target:
        raise op.error("over all axes leaves none for an image; use keepdims")
    count = int(np.prod([op.shape[axis] for axis in reduced]))
    first = [nn.Permute(tuple(reduced + rest)), nn.Reshape((count, *sizes)), alike]
    return [*first, nn.Mean((1,), True), nn.Reshape(target)]
