"""The operators of an ONNX graph that are computed when the file is read: all their inputs are constants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import Any, TypeAlias

import numpy as np

from minicnn.formats.containers.protobuf import Message
from minicnn.formats.onnx.budget import Budget
from minicnn.formats.onnx.model import Node
from minicnn.formats.onnx.tensors import KINDS, Folder, Tensor

__all__ = ["FOLDED", "MOVING", "ConstantOperation", "cut_shape"]


def cut_shape(node: Node, rank: int) -> slice:
    """Return which part of a shape the operator Shape gives."""
    return slice(node.integer("start", 0), node.integer("end", rank))


@dataclass(frozen=True)
class ConstantOperation:
    """A node whose inputs are all constants, or omitted (None)."""

    node: Node
    inputs: list[np.ndarray | None]
    opset: int
    budget: Budget
    folder: Folder

    def __getitem__(self, index: int) -> np.ndarray:
        """Return an input that must be given."""
        array = self.get(index)
        if array is None:
            raise ValueError(f"input {index} is missing")
        return array

    def get(self, index: int) -> np.ndarray | None:
        """Return an input, None where it is omitted."""
        return self.inputs[index] if index < len(self.inputs) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        value = self.node.attributes.get(name, default)
        if value is None and name in self.node.attributes:
            raise ValueError(f"{name} is of an unknown type")
        return value

    def optional_integers(self, name: str, index: int) -> list[int] | None:
        """Return whole numbers that older operators keep in an attribute and newer ones in an input."""
        given = self.get(index)
        return self.attribute(name) if given is None else [int(v) for v in given.reshape(-1)]

    def integers(self, name: str, index: int) -> list[int]:
        """Return whole numbers that must be given."""
        given = self.optional_integers(name, index)
        if given is None:
            raise ValueError(f"{name} is missing")
        return given

    def take(self, count: int, itemsize: int = 8) -> None:
        """Count what is made, before it is."""
        self.budget.take(self.node, count, itemsize)


_Fold: TypeAlias = Callable[[ConstantOperation], np.ndarray]


def _constant(op: ConstantOperation) -> np.ndarray:
    attributes = op.node.attributes
    if "value" in attributes:
        return _tensor(op)
    for name, dtype in (("value_int", np.int64), ("value_float", np.float32)):
        if name in attributes:
            return np.array(attributes[name], dtype)
        if f"{name}s" in attributes:
            return np.array(attributes[f"{name}s"], dtype)
    raise ValueError("it holds no number or tensor")


def _tensor(op: ConstantOperation) -> np.ndarray:
    if not isinstance(op.attribute("value"), Message):
        raise ValueError("its value is no tensor")
    return Tensor(op.attribute("value"), op.folder).array


def _constant_of_shape(op: ConstantOperation) -> np.ndarray:
    value = _tensor(op) if "value" in op.node.attributes else np.zeros(1, np.float32)
    return _broadcast(op, value.reshape(()), op[0])


def _expand(op: ConstantOperation) -> np.ndarray:
    return _broadcast(op, op[0], op[1])


def _broadcast(op: ConstantOperation, array: np.ndarray, target: Iterable[int]) -> np.ndarray:
    shape = np.broadcast_shapes(array.shape, tuple(int(n) for n in target))
    op.take(prod(shape), array.itemsize)
    return np.broadcast_to(array, shape)


def _range(op: ConstantOperation) -> np.ndarray:
    start, limit, step = (op[i].reshape(()) for i in range(3))
    count = max(int(np.ceil((limit - start) / step)), 0)
    op.take(count)
    return start + np.arange(count).astype(start.dtype) * step


def _gather(op: ConstantOperation) -> np.ndarray:
    data, indices, axis = op[0], op[1].astype(np.int64), op.attribute("axis", 0)
    op.take(data.size // max(data.shape[axis], 1) * indices.size, data.itemsize)
    return np.take(data, indices, axis)


def _concat(op: ConstantOperation) -> np.ndarray:
    arrays = [op[i] for i in range(len(op.inputs))]
    op.take(sum(p.size for p in arrays), arrays[0].itemsize)
    return np.concatenate(arrays, op.node.attributes["axis"])


def _slice(op: ConstantOperation) -> np.ndarray:
    data, starts, ends = op[0], op.integers("starts", 1), op.integers("ends", 2)
    axes = op.optional_integers("axes", 3) or list(range(len(starts)))
    steps = op.optional_integers("steps", 4) or [1] * len(starts)
    cut = [slice(None)] * data.ndim
    for axis, *bounds in zip(axes, starts, ends, steps, strict=True):
        cut[axis] = slice(*bounds)
    return data[tuple(cut)]


def _unsqueeze(op: ConstantOperation) -> np.ndarray:
    axes = op.integers("axes", 1)
    ndim = op[0].ndim + len(axes)
    # range(ndim)[axis] counts negative axes from the end and refuses those beyond
    return np.expand_dims(op[0], tuple(range(ndim)[axis] for axis in axes))


def _squeeze(op: ConstantOperation) -> np.ndarray:
    axes = op.optional_integers("axes", 1)
    return np.squeeze(op[0], None if axes is None else tuple(axes))


def _reshape(op: ConstantOperation) -> np.ndarray:
    data, target = op[0], op.integers("shape", 1)
    if not op.attribute("allowzero", 0):
        target = [data.shape[i] if n == 0 else n for i, n in enumerate(target)]
    return _reshape_to(op, target)


def _reshape_to(op: ConstantOperation, target: Sequence[int]) -> np.ndarray:
    # only a reshape of what is not contiguous copies
    if not op[0].flags.c_contiguous:
        op.take(op[0].size, op[0].itemsize)
    return op[0].reshape(target)


def _flatten(op: ConstantOperation) -> np.ndarray:
    axis = op.attribute("axis", 1)
    axis += op[0].ndim * (axis < 0)
    return _reshape_to(op, (prod(op[0].shape[:axis]), prod(op[0].shape[axis:])))


def _transpose(op: ConstantOperation) -> np.ndarray:
    return op[0].transpose(op.attribute("perm"))


def _tile(op: ConstantOperation) -> np.ndarray:
    repeats = [int(n) for n in op[1]]
    op.take(op[0].size * prod(max(n, 0) for n in repeats), op[0].itemsize)
    return np.tile(op[0], repeats)


def _cast(op: ConstantOperation) -> np.ndarray:
    code = KINDS[op.attribute("to")].code
    dtype = np.dtype("f4" if code == "bf16" else code)
    if dtype != op[0].dtype:
        op.take(op[0].size, dtype.itemsize)
    return op[0].astype(dtype, copy=False)


def _elementwise(function: Callable[..., np.ndarray]) -> _Fold:
    def fold_operation(op: ConstantOperation) -> np.ndarray:
        arrays = [op[i] for i in range(len(op.inputs))]
        # charged before it is computed: broadcasting can make much of little
        op.take(prod(np.broadcast_shapes(*(a.shape for a in arrays))), arrays[0].itemsize)
        return function(*arrays)

    return fold_operation


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind == "f":
        return a / b
    quotient = a // b  # towards minus infinity, where ONNX wants towards zero
    # one more where a negative quotient was rounded
    return quotient + ((quotient < 0) & (quotient * b != a))


def _reduce(function: Callable[..., np.ndarray]) -> _Fold:
    def fold_operation(op: ConstantOperation) -> np.ndarray:
        axes, keepdims = op.optional_integers("axes", 1), bool(op.attribute("keepdims", 1))
        noop = op.attribute("noop_with_empty_axes", 0)
        if not axes and noop:
            return op[0]
        return function(op[0], axis=tuple(axes) if axes else None, keepdims=keepdims).astype(op[0].dtype)

    return fold_operation


def _batch_norm(op: ConstantOperation) -> np.ndarray:
    """Normalise weights, as weight standardisation does: by their own statistics in training mode."""
    data, scale, shift, mean, variance = (op[i] for i in range(5))
    op.take(data.size, data.itemsize)
    axes = tuple(axis for axis in range(data.ndim) if axis != 1)
    # before opset 14 more outputs than one mean training
    trained = op.attribute("training_mode", 0) if op.opset >= 14 else len(op.node.outputs) > 1
    if op.attribute("spatial", 1) != 1 or (op.opset < 7 and not op.attribute("is_test", 0)):
        raise ValueError("not spatial, or in training mode")
    exact = data.astype(np.float64)
    if trained:
        mean, variance = exact.mean(axes), exact.var(axes)
    by_channel = [a.astype(np.float64).reshape(-1, *[1] * (data.ndim - 2)) for a in (scale, shift, mean, variance)]
    scale, shift, mean, variance = by_channel
    eps = op.node.real("epsilon", 1e-5)
    return ((exact - mean) / np.sqrt(variance + eps) * scale + shift).astype(data.dtype)


def _matmul(op: ConstantOperation) -> np.ndarray:
    op.take(op[0].size // max(op[0].shape[-1], 1) * op[1].size // max(op[1].shape[-2 if op[1].ndim > 1 else 0], 1))
    return np.matmul(op[0], op[1])


def _clip(op: ConstantOperation) -> np.ndarray:
    # bounds are attributes in old files
    low, high = (
        op.attribute(name) if op.get(i) is None else op[i].reshape(()) for i, name in ((1, "min"), (2, "max"))
    )
    op.take(op[0].size, op[0].itemsize)
    return np.clip(op[0], low, high).astype(op[0].dtype)


def _mod(op: ConstantOperation) -> np.ndarray:
    # fmod has the dividend's sign, the other the divisor's
    return _elementwise(np.fmod if op.attribute("fmod", 0) else np.mod)(op)


FOLDED: dict[str, _Fold] = {
    "Abs": _elementwise(np.abs),
    "Add": _elementwise(np.add),
    "And": _elementwise(np.logical_and),
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Ceil": _elementwise(np.ceil),
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _elementwise(_divide),
    "Equal": _elementwise(np.equal),
    "Exp": _elementwise(np.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _elementwise(np.floor),
    "Gather": _gather,
    "Greater": _elementwise(np.greater),
    "GreaterOrEqual": _elementwise(np.greater_equal),
    "Identity": lambda op: op[0],
    "Less": _elementwise(np.less),
    "LessOrEqual": _elementwise(np.less_equal),
    "Log": _elementwise(np.log),
    "MatMul": _matmul,
    "Max": _elementwise(lambda *arrays: reduce(np.maximum, arrays)),
    "Min": _elementwise(lambda *arrays: reduce(np.minimum, arrays)),
    "Mod": _mod,
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "Not": _elementwise(np.logical_not),
    "Or": _elementwise(np.logical_or),
    "Pow": _elementwise(lambda x, y: np.power(x, y).astype(x.dtype)),
    "Range": _range,
    "Reciprocal": _elementwise(lambda x: (1 / x).astype(x.dtype)),
    "ReduceL2": _reduce(lambda x, **axes: np.sqrt(np.sum(x * x, **axes))),
    "ReduceMean": _reduce(np.mean),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "Reshape": _reshape,
    "Relu": _elementwise(lambda x: np.maximum(x, 0)),
    "Shape": lambda op: np.array(op[0].shape[cut_shape(op.node, op[0].ndim)], np.int64),
    "Slice": _slice,
    "Sigmoid": _elementwise(lambda x: (1 / (1 + np.exp(-x))).astype(x.dtype)),
    "Sign": _elementwise(np.sign),
    "Sqrt": _elementwise(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract),
    "Tanh": _elementwise(np.tanh),
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _elementwise(np.where),
}

# operators that only move the elements of their first input (Concat: of all)
MOVING: tuple[str, ...] = (
    "Cast",
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
)
MOVING += ("Unsqueeze",)
