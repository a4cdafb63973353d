"""The constants that an ONNX graph computes: shapes read, cut and joined, weights reshaped, all before any input.

Where the file leaves a dimension of the input open (the batch, most often), a stand-in takes its place: a prime
that no shape holds by itself.  Beside every array goes a mask of the elements that come from such a dimension;
they may say where the batch goes, but nothing else may depend on them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import prod
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.containers.protobuf import Message
from minicnn.formats.onnx.budget import Budget
from minicnn.formats.onnx.model import Node
from minicnn.formats.onnx.tensors import KINDS, Folder, Tensor

__all__ = ["FOLDED", "Constant", "fold", "shape_of"]


class Constant(NamedTuple):
    """An array, and where it depends on a dimension that the file leaves open (None: nowhere)."""

    array: np.ndarray
    open: np.ndarray | None = None


def shape_of(node: Node, shape: tuple[int, ...], mask: tuple[bool, ...]) -> Constant:
    """Return the result of Shape: of ``shape``, whose entries are stand-ins where ``mask`` says so."""
    cut = slice(node.integer("start", 0), node.integer("end", len(shape)))
    return Constant(np.array(shape[cut], np.int64), np.array(mask[cut], bool))


def fold(node: Node, inputs: list[Constant | None], opset: int, budget: Budget, folder: Folder) -> Constant:
    """Return the value of a node whose inputs are constants.

    Raises
    ------
    WeightsError
        If the operator is not among ``FOLDED``, its result is too large, or its arguments do not fit.

    """
    call = _Call(node, [None if c is None else c.array for c in inputs], opset, budget, folder)
    masks = [c.open for c in inputs if c is not None and c.open is not None and c.open.any()]
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(FOLDED[node.op](call))
            return Constant(value, _mask(call, inputs, value) if masks else None)
    except WeightsError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise node.error(f"its constant inputs do not fit ({escape(str(error))})") from None


def _mask(call: _Call, inputs: list[Constant | None], value: np.ndarray) -> np.ndarray:
    """Return which elements of the result are open: moved along by what moves elements, else all of them."""
    if call.node.op == "Shape":  # the shape of a constant is known, whatever it holds
        return np.zeros(value.shape, bool)
    if call.node.op not in _MOVES:
        return np.ones(value.shape, bool)
    moved = len(inputs) if call.node.op == "Concat" else 1
    closed = [np.zeros(c.array.shape, bool) if c.open is None else c.open for c in inputs[:moved]]
    arrays = [*closed, *(None if c is None else c.array for c in inputs[moved:])]
    return np.asarray(FOLDED[call.node.op](call._replace(inputs=arrays))).astype(bool)


class _Call(NamedTuple):
    node: Node
    inputs: list[np.ndarray | None]
    opset: int
    budget: Budget
    folder: Folder

    def __getitem__(self, place: int) -> np.ndarray:
        array = self.get(place)
        if array is None:
            raise ValueError(f"input {place} is missing")
        return array

    def get(self, place: int) -> np.ndarray | None:
        return self.inputs[place] if place < len(self.inputs) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.node.attributes.get(name, default)

    def list(self, name: str, place: int) -> list[int] | None:
        """Whole numbers that older operators keep in an attribute and newer ones in an input."""
        given = self.get(place)
        return self.attribute(name) if given is None else [int(v) for v in given.reshape(-1)]

    def take(self, count: int, itemsize: int = 8) -> None:
        self.budget.take(self.node, count, itemsize)


def _constant(call):
    attributes = call.node.attributes
    if "value" in attributes:
        return _tensor(call)
    for name, dtype in (("value_int", np.int64), ("value_float", np.float32)):
        if name in attributes:
            return np.array(attributes[name], dtype)
        if f"{name}s" in attributes:
            return np.array(attributes[f"{name}s"], dtype)
    raise ValueError("it holds no number or tensor")


def _tensor(call):
    if not isinstance(call.attribute("value"), Message):
        raise ValueError("its value is no tensor")
    return Tensor(call.attribute("value"), call.folder).array


def _constant_of_shape(call):
    value = _tensor(call) if "value" in call.node.attributes else np.zeros(1, np.float32)
    return _spread(call, value.reshape(()), call[0])


def _expand(call):
    return _spread(call, call[0], call[1])


def _spread(call, array, target):
    shape = np.broadcast_shapes(array.shape, tuple(int(n) for n in target))
    call.take(prod(shape), array.itemsize)
    return np.broadcast_to(array, shape)


def _range(call):
    start, limit, step = (call[i].reshape(()) for i in range(3))
    count = max(int(np.ceil((limit - start) / step)), 0)
    call.take(count)
    return start + np.arange(count).astype(start.dtype) * step


def _gather(call):
    data, indices, axis = call[0], call[1].astype(np.int64), call.attribute("axis", 0)
    call.take(data.size // max(data.shape[axis], 1) * indices.size, data.itemsize)
    return np.take(data, indices, axis)


def _concat(call):
    parts = [call[i] for i in range(len(call.inputs))]
    call.take(sum(p.size for p in parts), parts[0].itemsize)
    return np.concatenate(parts, call.node.attributes["axis"])


def _slice(call):
    data, starts, ends = call[0], call.list("starts", 1), call.list("ends", 2)
    axes = call.list("axes", 3) or list(range(len(starts)))
    steps = call.list("steps", 4) or [1] * len(starts)
    cut = [slice(None)] * data.ndim
    for axis, *bounds in zip(axes, starts, ends, steps, strict=True):
        cut[axis] = slice(*bounds)
    return data[tuple(cut)]


def _unsqueeze(call):
    axes = call.list("axes", 1)
    ndim = call[0].ndim + len(axes)
    return np.expand_dims(call[0], tuple(range(ndim)[axis] for axis in axes))


def _squeeze(call):
    axes = call.list("axes", 1)
    return np.squeeze(call[0], None if axes is None else tuple(axes))


def _reshape(call):
    data, target = call[0], call.list("shape", 1)
    if not call.attribute("allowzero", 0):
        target = [data.shape[i] if n == 0 else n for i, n in enumerate(target)]
    return _reshaped(call, target)


def _reshaped(call, target):
    if not call[0].flags.c_contiguous:
        call.take(call[0].size, call[0].itemsize)
    return call[0].reshape(target)


def _flatten(call):
    axis = call.attribute("axis", 1)
    axis += call[0].ndim * (axis < 0)
    return _reshaped(call, (prod(call[0].shape[:axis]), prod(call[0].shape[axis:])))


def _transpose(call):
    return call[0].transpose(call.attribute("perm"))


def _cast(call):
    code = KINDS[call.attribute("to")].code
    dtype = np.dtype("f4" if code == "bf16" else code)
    if dtype != call[0].dtype:
        call.take(call[0].size, dtype.itemsize)
    return call[0].astype(dtype, copy=False)


def _elementwise(function: Callable) -> Callable:
    def folded(call):
        arrays = [call[i] for i in range(len(call.inputs))]
        call.take(prod(np.broadcast_shapes(*(a.shape for a in arrays))), arrays[0].itemsize)
        return function(*arrays)

    return folded


def _divided(a, b):
    if a.dtype.kind == "f":
        return a / b
    quotient = a // b  # towards minus infinity, where ONNX wants towards zero
    return quotient + ((quotient < 0) & (quotient * b != a))


def _product(call):
    axes = call.list("axes", 1)
    keepdims = bool(call.attribute("keepdims", 1))
    return np.prod(call[0], None if axes is None else tuple(axes), dtype=call[0].dtype, keepdims=keepdims)


FOLDED = {
    "Abs": _elementwise(np.abs),
    "Add": _elementwise(np.add),
    "Cast": _cast,
    "Ceil": _elementwise(np.ceil),
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _elementwise(_divided),
    "Equal": _elementwise(np.equal),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _elementwise(np.floor),
    "Gather": _gather,
    "Identity": lambda call: call[0],
    "Max": _elementwise(lambda *arrays: reduce(np.maximum, arrays)),
    "Min": _elementwise(lambda *arrays: reduce(np.minimum, arrays)),
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "Range": _range,
    "Reciprocal": _elementwise(lambda x: (1 / x).astype(x.dtype)),
    "ReduceProd": _product,
    "Reshape": _reshape,
    "Shape": lambda call: shape_of(call.node, call[0].shape, (False,) * call[0].ndim).array,
    "Slice": _slice,
    "Sqrt": _elementwise(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _elementwise(np.where),
}

# operators that only move the elements of their first input (Concat: of all)
_MOVES = ("Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose")
_MOVES += ("Unsqueeze",)
