"""Local response normalisation where a graph spells it out, as PyTorch's exporters do.

x / (k + alpha mean_window(x^2))^beta: the squares get a leading axis, zeros around the channels, an average pool
along them; the axis is removed; a product, a sum, a power and a quotient follow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.onnx.node import BoundNode
from minicnn.layers import LocalResponseNorm
from minicnn.layers.base import Shape

__all__ = ["SHAPE_OPERATORS", "Squares", "advance", "check_shape", "squares_shape", "to_layer", "unknown_use"]

SHAPE_OPERATORS = ("Identity", "Reshape", "Squeeze", "Unsqueeze")


class Squares(NamedTuple):
    """How far a value is on its way from x^2 to (k + alpha mean(x^2))^beta; ``shape`` is that of x.

    ``pads`` are the zeros before and after the channels, ``size`` the window's channels; None for what has not
    been read yet.
    """

    source: str
    shape: Shape
    pads: tuple[int, int] = (0, 0)
    size: int | None = None
    alpha: float | None = None
    k: float | None = None
    beta: float | None = None


def advance(op: BoundNode, squares: Squares) -> Squares:
    """Return the squares after one more node; WeightsError if it leads elsewhere than to a normalisation."""
    op_type, keeps_shape = op.node.op_type, op.shape == squares.shape
    has_extra_axis = len(op.shape) == len(squares.shape) + 1
    if op_type == "Pad" and has_extra_axis and squares.size is None and squares.pads == (0, 0):
        return squares._replace(pads=_read_pads(op))
    if op_type == "AveragePool" and has_extra_axis and squares.size is None:
        return squares._replace(size=_read_window(op))
    if op_type == "Mul" and keeps_shape and squares.size is not None and squares.alpha is None:
        return squares._replace(alpha=_read_number(op))
    if op_type == "Add" and keeps_shape and squares.alpha is not None and squares.k is None:
        return squares._replace(k=_read_number(op))
    if op_type == "Pow" and keeps_shape and op.data == 0 and squares.k is not None and squares.beta is None:
        return squares._replace(beta=_read_number(op))
    raise unknown_use(op)


def check_shape(op: BoundNode, squares: Squares, shape: Shape) -> Squares:
    """Return the squares after a change of shape, which may only add or remove the leading axis."""
    if shape not in (squares.shape, (1, *squares.shape)):
        raise unknown_use(op)
    return squares


def squares_shape(squares: Squares, shape: Shape) -> Shape:
    """Return the shape of squares, from their shape before, after zeros or a window around the channels."""
    # a window without padding takes size - 1 from the axis of the channels
    channels = squares.shape[0] + sum(squares.pads) - (0 if squares.size is None else squares.size - 1)
    return shape if shape == squares.shape else (1, channels, *shape[2:])


def to_layer(op: BoundNode, squares: Squares) -> LocalResponseNorm:
    """Return the layer, at the node that divides the source by the power."""
    size, alpha, k, beta = squares.size, squares.alpha, squares.k, squares.beta
    if size is None or alpha is None or k is None or beta is None or op.shape != squares.shape:
        raise unknown_use(op)
    # the layer's window: size
    # 2 channels before, (size - 1)
    # 2 after
    if squares.pads != (size // 2, (size - 1) // 2):
        raise unknown_use(op)
    return LocalResponseNorm(size, alpha=alpha, beta=beta, k=k)


def unknown_use(op: BoundNode) -> WeightsError:
    """Return the error for a node that does something else with squares."""
    return op.error("works on the squares of a value, which is known as local response normalisation only")


def _read_number(op: BoundNode) -> float:
    # the shortest decimal that gives this float32: 0.0001, not 0.0000999999974
    return float(str(np.float32(op.number(1 - op.data, 0.0))))


def _read_pads(op: BoundNode) -> tuple[int, int]:
    """Return the zeros before and after the channels, the second axis of an image that has one more in front."""
    pads, rank = op.numbers("pads", 1), op.rank
    with_zeros = op.node.text("mode", "constant") == "constant" and op.number(2, op.node.real("value", 0.0)) == 0
    if not with_zeros or op.array(3) is not None or pads is None or len(pads) != 2 * rank or min(pads) < 0:
        raise unknown_use(op)
    # pads list all beginnings and then all ends; on both sides the channels are axis 2 of N x 1 x C x H x W
    if any(n for i, n in enumerate(pads) if i % rank != 2):
        raise unknown_use(op)
    return pads[2], pads[rank + 2]


def _read_window(op: BoundNode) -> int:
    """Return how many channels an average pool with step 1 and no padding takes together."""
    node, axes = op.node, len(op.shape) - 1
    kernel, ones = node.integers("kernel_shape", []), [1] * axes
    # flags of what lies beyond the edges, where a dense window without padding never is
    _ = node.flag("ceil_mode"), node.flag("count_include_pad")
    dense = node.integers("strides", ones) == ones and node.integers("dilations", ones) == ones
    padded = any(node.integers("pads", [])) or node.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    if len(kernel) != axes or kernel[1:] != ones[1:] or not dense or padded or not 1 <= kernel[0] <= op.shape[1]:
        raise unknown_use(op)
    return kernel[0]
