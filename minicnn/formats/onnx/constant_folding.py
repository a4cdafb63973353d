"""The constants that an ONNX graph computes: shapes read, cut and joined, weights reshaped, all before any input.

Where the file leaves a dimension of the input open (usually the batch), a stand-in takes its place: a prime
that no shape holds by itself.  Beside every array goes a mask of the elements that come from such a dimension;
they may say where the batch goes, but nothing else may depend on them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape
from minicnn.formats.onnx.budget import Budget
from minicnn.formats.onnx.constant_operators import FOLDED, MOVING, ConstantOperation, cut_shape
from minicnn.formats.onnx.model import Node
from minicnn.formats.onnx.tensors import Folder

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
    cut = cut_shape(node, len(shape))
    return Constant(np.array(shape[cut], np.int64), np.array(mask[cut], bool))


def fold(node: Node, inputs: list[Constant | None], opset: int, budget: Budget, folder: Folder) -> Constant:
    """Return the value of a node whose inputs are constants.

    Raises
    ------
    WeightsError
        If the operator is not among ``FOLDED``, its result is too large, or its arguments do not fit.

    """
    op = ConstantOperation(node, [None if c is None else c.array for c in inputs], opset, budget, folder)
    is_open = any(c is not None and c.is_open for c in inputs)
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(FOLDED[node.op_type](op))
            return Constant(value, _open_mask(op, inputs, value) if is_open else None)
    except WeightsError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise node.error(f"its constant inputs do not fit ({escape(str(error))})") from None


def _open_mask(op: ConstantOperation, inputs: list[Constant | None], value: np.ndarray) -> np.ndarray:
    """Return which elements of the result are open: moved along by what moves elements, else all of them."""
    if op.node.op_type == "Shape":  # the shape of a constant is known, whatever it holds
        return np.zeros(value.shape, bool)
    if op.node.op_type not in MOVING:
        return np.ones(value.shape, bool)
    count = len(inputs) if op.node.op_type == "Concat" else 1
    if any(c is not None and c.is_open for c in inputs[count:]):  # where it moves to is open
        return np.ones(value.shape, bool)
    # the operator runs again on the masks of what it moves; indices and shapes stay as they are
    arrays = [None if c is None else c.mask if i < count else c.array for i, c in enumerate(inputs)]
    return np.asarray(FOLDED[op.node.op_type](replace(op, inputs=arrays))).astype(bool)
