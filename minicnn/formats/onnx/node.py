"""One node as the operators see it: its attributes, the shape of its input, its constants."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.onnx.budget import Budget
from minicnn.formats.onnx.constant_folding import Constant
from minicnn.formats.onnx.model import Node
from minicnn.layers import Flatten, Layer, Reshape
from minicnn.layers.base import Shape

__all__ = ["BoundNode", "reshape_layers", "wrap_reshape"]


class BoundNode(NamedTuple):
    """A node with one computed input, at position ``data``; the others are constants, or omitted (None).

    ``shape`` is that input's, without the batch axis, whose length is ``batch``.  Where the file leaves height and
    width of the graph's input open, ``shape`` holds for stand-ins and ``other`` for other stand-ins: they are the
    same where nothing is open.
    """

    node: Node
    shape: Shape
    other: Shape
    batch: int
    data: int
    constants: list[Constant | None]
    opset: int
    budget: Budget

    def error(self, why: str) -> WeightsError:
        """Return an error that names the node."""
        return self.node.error(why)

    @property
    def open_size(self) -> bool:
        """Whether the input's shape depends on what the file leaves open."""
        return self.shape != self.other

    @property
    def rank(self) -> int:
        """The number of the input's axes, the batch's among them."""
        return len(self.shape) + 1

    def axis(self, axis: int) -> int:
        """Return an axis counted from the first; negative ones count from the last."""
        if not -self.rank <= axis < self.rank:
            raise self.error(f"axis {axis} of an input that has {self.rank}")
        return axis % self.rank

    def constant(self, index: int) -> Constant | None:
        """Return the constant at an input's position, None where it is omitted."""
        return self.constants[index] if index < len(self.constants) else None

    def array(self, index: int) -> np.ndarray | None:
        """Return a constant that does not depend on the input's size, None where it is omitted."""
        constant = self.constant(index)
        if constant is None:
            return None
        if constant.is_open:
            raise self.error("a number in it depends on the input's size; export the model with a fixed size")
        return constant.array

    def number(self, index: int, default: float) -> float:
        """Return a constant that is one number."""
        array = self.array(index)
        if array is None:
            return default
        if array.size != 1 or array.dtype.kind not in "fiub":
            raise self.error(f"input {index} should be one number, has shape {array.shape}")
        return float(array.reshape(()))

    def numbers(self, name: str, index: int) -> list[int] | None:
        """Return whole numbers that older operators keep in an attribute and newer ones in an input."""
        array = self.array(index)
        if array is None:
            return self.node.integers(name)
        if array.dtype.kind not in "iu":
            raise self.error(f"input {index} should be whole numbers, is {array.dtype}")
        return [int(n) for n in array.reshape(-1)]

    def weight(self, index: int) -> np.ndarray:
        """Return a parameter: float32, as which half precision comes too, or float64, in row order."""
        array = None if self.data == index else self.array(index)
        if array is None:
            raise self.error(f"input {index} should be a constant: weights that are computed have no layer")
        return self.parameter(array)

    def parameter(self, array: np.ndarray) -> np.ndarray:
        """Return an array as a layer keeps it, copied only where it must be."""
        if array.dtype.kind != "f":
            raise self.error(f"weights of {array.dtype}; expected floating-point numbers")
        dtype = np.float64 if array.dtype == np.float64 else np.float32
        # a copy is charged before it is made
        if array.dtype != dtype or not array.flags.c_contiguous:
            self.budget.take(self.node, array.size, np.dtype(dtype).itemsize)
        return np.ascontiguousarray(array, dtype)

    def maps(self, fewest: int = 2) -> Shape:
        """Return the input's shape as that of maps (C, H, W); an image must have at least ``fewest`` axes."""
        if len(self.shape) < fewest:
            raise self.error(f"expected N x C x H x W, got N x {self.shape}")
        return self.shape if len(self.shape) == 3 else (self.shape[0], prod(self.shape[1:]), 1)

    def sized(self) -> Shape:
        """Return the input's shape where a layer depends on it."""
        if self.open_size:
            raise self.error("needs the input's height and width; export the model with a fixed size")
        return self.shape


def reshape_layers(op: BoundNode, shape: Shape, target: Shape) -> list[Layer]:
    """Return what brings values of ``shape`` into ``target``: nothing, a Flatten, or a Reshape."""
    if shape == target:
        return []
    if len(target) == 1:
        return [Flatten()]
    if not target or 0 in target:
        raise op.error(f"gives no values for an image (shape {target})")
    if op.open_size:
        raise op.error("gives a shape that depends on the input's size; export the model with a fixed size")
    return [Reshape(target)]


def wrap_reshape(op: BoundNode, maps: Shape, layers: list[Layer], output: Shape | None = None) -> list[Layer]:
    """Return layers of maps for an input of another rank: a Reshape to ``maps`` before, to ``output`` after."""
    if op.shape == maps:
        return layers
    if not op.shape or prod(maps) != prod(op.shape):
        raise op.error(f"an input of shape {op.shape} for each image")
    return [
        *reshape_layers(op, op.shape, maps),
        *layers,
        *reshape_layers(op, (), op.shape if output is None else output),
    ]
