"""The constants that an ONNX graph computes: shapes read, cut and joined, weights reshaped, all before any input.

Where the file leaves a dimension of the input open (usually the batch), a stand-in takes its place: a prime
that no shape holds by itself.  Beside every array goes a mask of the elements that come from such a dimension;
they may say where the batch goes, but nothing else may depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.containers.protobuf import Message
from minicnn.formats.onnx.budget import Budget
from minicnn.formats.onnx.model import Node
from minicnn.formats.onnx.tensors import KINDS, Folder, Tensor

__all__ = ["FOLDED", "Constant", "fold", "shape_constant"]


class Constant(NamedTuple):
    """An array, and where it depends on a dimension that the file leaves open (None: nowhere)."""

    array: np.ndarray
    open: np.ndarray | None = None

    @property
    def mask(self) -> np.ndarray:
        """Where it is open, an array of bool in its shape."""
        return np.zeros(self.array.shape, bool) if self.open is None else self.open

    @property
    def is_open(self) -> bool:
        """Whether anything in it depends on such a dimension."""
        return self.open is not None and bool(self.open.any())


def shape_constant(node: Node, shape: tuple[int, ...], mask: tuple[bool, ...]) -> Constant:
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
    op = _ConstantOperation(node, [None if c is None else c.array for c in inputs], opset, budget, folder)
    is_open = any(c is not None and c.is_open for c in inputs)
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(FOLDED[node.op_type](op))
            return Constant(value, _open_mask(op, inputs, value) if is_open else None)
    except WeightsError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise node.error(f"its constant inputs do not fit ({escape(str(error))})") from None


def _open_mask(op: _ConstantOperation, inputs: list[Constant | None], value: np.ndarray) -> np.ndarray:
    """Return which elements of the result are open: moved along by what moves elements, else all of them."""
    if op.node.op_type == "Shape":  # the shape of a constant is known, whatever it holds
        return np.zeros(value.shape, bool)
    if op.node.op_type not in _MOVING:
        return np.ones(value.shape, bool)
    count = len(inputs) if op.node.op_type == "Concat" else 1
    if any(c is not None and c.is_open for c in inputs[count:]):  # where it moves to is open
        return np.ones(value.shape, bool)
    # the operator runs again on the masks of what it moves; indices and shapes stay as they are
    arrays = [None if c is None else c.mask if i < count else c.array for i, c in enumerate(inputs)]
    return np.asarray(FOLDED[op.node.op_type](replace(op, inputs=arrays))).astype(bool)


@dataclass(frozen=True)
class _ConstantOperation:
    """A node whose inputs are all constants, or omitted (None)."""

    node: Node
    inputs: list[np.ndarray | None]
    opset: int
    budget: Budget
    folder: Folder

    def __getitem__(self, index: int) -> np.ndarray:
        array = self.get(index)
        if array is None:
            raise ValueError(f"input {index} is missing")
        return array

    def get(self, index: int) -> np.ndarray | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def attribute(self, name: str, default: Any = None) -> Any:
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
        self.budget.take(self.node, count, itemsize)


_Fold: TypeAlias = Callable[[_ConstantOperation], np.ndarray]


def _constant(op: _ConstantOperation) -> np.ndarray:
    attributes = op.node.attributes
    if "value" in attributes:
        return _tensor(op)
    for name, dtype in (("value_int", np.int64), ("value_float", np.float32)):
        if name in attributes:
            return np.array(attributes[name], dtype)
        if f"{name}s" in attributes:
            return np.array(attributes[f"{name}s"], dtype)
    raise ValueError("it holds no number or tensor")


def _tensor(op: _ConstantOperation) -> np.ndarray:
    if not isinstance(op.attribute("value"), Message):
        raise ValueError("its value is no tensor")
    return Tensor(op.attribute("value"), op.folder).array


def _constant_of_shape(op: _ConstantOperation) -> np.ndarray:
    value = _tensor(op) if "value" in op.node.attributes else np.zeros(1, np.float32)
    return _broadcast(op, value.reshape(()), op[0])


def _expand(op: _ConstantOperation) -> np.ndarray:
    return _broadcast(op, op[0], op[1])


def _broadcast(op: _ConstantOperation, array: np.ndarray, target: Iterable[int]) -> np.ndarray:
    shape = np.broadcast_shapes(array.shape, tuple(int(n) for n in target))
    op.take(prod(shape), array.itemsize)
    return np.broadcast_to(array, shape)


def _range(op: _ConstantOperation) -> np.ndarray:
    start, limit, step = (op[i].reshape(()) for i in range(3))
    count = max(int(np.ceil((limit - start) / step)), 0)
    op.take(count)
    return start + np.arange(count).astype(start.dtype) * step


def _gather(op: _ConstantOperation) -> np.ndarray:
    data, indices, axis = op[0], op[1].astype(np.int64), op.attribute("axis", 0)
    op.take(data.size // max(data.shape[axis], 1) * indices.size, data.itemsize)
    return np.take(data, indices, axis)


def _concat(op: _ConstantOperation) -> np.ndarray:
    arrays = [op[i] for i in range(len(op.inputs))]
    op.take(sum(p.size for p in arrays), arrays[0].itemsize)
    return np.concatenate(arrays, op.node.attributes["axis"])


def _slice(op: _ConstantOperation) -> np.ndarray:
    data, starts, ends = op[0], op.integers("starts", 1), op.integers("ends", 2)
    axes = op.optional_integers("axes", 3) or list(range(len(starts)))
    steps = op.optional_integers("steps", 4) or [1] * len(starts)
    cut = [slice(None)] * data.ndim
    for axis, *bounds in zip(axes, starts, ends, steps, strict=True):
        cut[axis] = slice(*bounds)
    return data[tuple(cut)]


def _unsqueeze(op: _ConstantOperation) -> np.ndarray:
    axes = op.integers("axes", 1)
    ndim = op[0].ndim + len(axes)
    # range(ndim)[axis] counts negative axes from the end and refuses those beyond
    return np.expand_dims(op[0], tuple(range(ndim)[axis] for axis in axes))


def _squeeze(op: _ConstantOperation) -> np.ndarray:
    axes = op.optional_integers("axes", 1)
    return np.squeeze(op[0], None if axes is None else tuple(axes))


def _reshape(op: _ConstantOperation) -> np.ndarray:
    data, target = op[0], op.integers("shape", 1)
    if not op.attribute("allowzero", 0):
        target = [data.shape[i] if n == 0 else n for i, n in enumerate(target)]
    return _reshape_to(op, target)


def _reshape_to(op: _ConstantOperation, target: Sequence[int]) -> np.ndarray:
    # only a reshape of what is not contiguous copies
    if not op[0].flags.c_contiguous:
        op.take(op[0].size, op[0].itemsize)
    return op[0].reshape(target)


def _flatten(op: _ConstantOperation) -> np.ndarray:
    axis = op.attribute("axis", 1)
    axis += op[0].ndim * (axis < 0)
    return _reshape_to(op, (prod(op[0].shape[:axis]), prod(op[0].shape[axis:])))


def _transpose(op: _ConstantOperation) -> np.ndarray:
    return op[0].transpose(op.attribute("perm"))


def _cast(op: _ConstantOperation) -> np.ndarray:
    code = KINDS[op.attribute("to")].code
    dtype = np.dtype("f4" if code == "bf16" else code)
    if dtype != op[0].dtype:
        op.take(op[0].size, dtype.itemsize)
    return op[0].astype(dtype, copy=False)


def _elementwise(function: Callable[..., np.ndarray]) -> _Fold:
    def fold_operation(op: _ConstantOperation) -> np.ndarray:
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
    def fold_operation(op: _ConstantOperation) -> np.ndarray:
        axes, keepdims = op.optional_integers("axes", 1), bool(op.attribute("keepdims", 1))
        noop = op.attribute("noop_with_empty_axes", 0)
        if not axes and noop:
            return op[0]
        return function(op[0], axis=tuple(axes) if axes else None, keepdims=keepdims).astype(op[0].dtype)

    return fold_operation


def _clip(op: _ConstantOperation) -> np.ndarray:
    # bounds are attributes in old files
    low, high = (
        op.attribute(name) if op.get(i) is None else op[i].reshape(()) for i, name in ((1, "min"), (2, "max"))
    )
    op.take(op[0].size, op[0].itemsize)
    return np.clip(op[0], low, high).astype(op[0].dtype)


def _mod(op: _ConstantOperation) -> np.ndarray:
    # fmod has the dividend's sign, the other the divisor's
    return _elementwise(np.fmod if op.attribute("fmod", 0) else np.mod)(op)


FOLDED: dict[str, _Fold] = {
    "Abs": _elementwise(np.abs),
    "Add": _elementwise(np.add),
    "Cast": _cast,
    "Ceil": _elementwise(np.ceil),
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _elementwise(_divide),
    "Equal": _elementwise(np.equal),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _elementwise(np.floor),
    "Gather": _gather,
    "Greater": _elementwise(np.greater),
    "Identity": lambda op: op[0],
    "Less": _elementwise(np.less),
    "Max": _elementwise(lambda *arrays: reduce(np.maximum, arrays)),
    "Min": _elementwise(lambda *arrays: reduce(np.minimum, arrays)),
    "Mod": _mod,
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "Pow": _elementwise(lambda x, y: np.power(x, y).astype(x.dtype)),
    "Range": _range,
    "Reciprocal": _elementwise(lambda x: (1 / x).astype(x.dtype)),
    "ReduceMean": _reduce(np.mean),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "Reshape": _reshape,
    "Shape": lambda op: shape_constant(op.node, op[0].shape, (False,) * op[0].ndim).array,
    "Slice": _slice,
    "Sqrt": _elementwise(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _elementwise(np.where),
}

# operators that only move the elements of their first input (Concat: of all)
_MOVING: tuple[str, ...] = (
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
_MOVING += ("Unsqueeze",)
