"""Local response normalisation where a graph spells it out, as PyTorch's exporters do.

x / (k + alpha mean_window(x^2))^beta: the squares get a leading axis, zeros around the channels, an average pool
along them; the axis goes again; a product, a sum, a power and a quotient follow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.formats.onnx.node import Call
from minicnn.layers import LocalResponseNorm
from minicnn.layers.base import Shape

__all__ = ["MOVES", "Squares", "advanced", "finished", "moved", "stranger", "widened"]

MOVES = ("Identity", "Reshape", "Squeeze", "Unsqueeze")


class Squares(NamedTuple):
    """How far a value is on its way from x^2 to (k + alpha mean(x^2))^beta; ``shape`` is that of x.

    ``pads`` are the zeros before and after the channels, ``size`` the window's channels; None for what has not
    come yet.
    """

    source: str
    shape: Shape
    pads: tuple[int, int] = (0, 0)
    size: int | None = None
    alpha: float | None = None
    k: float | None = None
    beta: float | None = None


def advanced(call: Call, squares: Squares) -> Squares:
    """Return where one more node leads; WeightsError if it leads elsewhere than to a response normalisation."""
    op, as_source = call.node.op, call.shape == squares.shape
    with_axis = len(call.shape) == len(squares.shape) + 1
    if op == "Pad" and with_axis and squares.size is None and squares.pads == (0, 0):
        return squares._replace(pads=_pads(call))
    if op == "AveragePool" and with_axis and squares.size is None:
        return squares._replace(size=_size(call))
    if op == "Mul" and as_source and squares.size is not None and squares.alpha is None:
        return squares._replace(alpha=_number(call))
    if op == "Add" and as_source and squares.alpha is not None and squares.k is None:
        return squares._replace(k=_number(call))
    if op == "Pow" and as_source and call.data == 0 and squares.k is not None and squares.beta is None:
        return squares._replace(beta=_number(call))
    raise stranger(call)


def moved(call: Call, squares: Squares, shape: Shape) -> Squares:
    """Return the same once its shape is changed: the leading axis comes or goes."""
    if shape not in (squares.shape, (1, *squares.shape)):
        raise stranger(call)
    return squares


def widened(squares: Squares, shape: Shape) -> Shape:
    """Return the shape of squares, from their shape before, once zeros or a window lie around the channels."""
    channels = squares.shape[0] + sum(squares.pads) - (0 if squares.size is None else squares.size - 1)
    return shape if shape == squares.shape else (1, channels, *shape[2:])


def finished(call: Call, squares: Squares) -> LocalResponseNorm:
    """Return the layer once the source is divided by the power."""
    whole = squares.beta is not None and call.shape == squares.shape
    if not whole or squares.pads != (squares.size // 2, (squares.size - 1) // 2):
        raise stranger(call)
    return LocalResponseNorm(squares.size, alpha=squares.alpha, beta=squares.beta, k=squares.k)


def stranger(call: Call) -> WeightsError:
    """Return the error for a node that does something else with squares."""
    return call.error("works on the squares of a value, which is known as local response normalisation only")


def _number(call: Call) -> float:
    return float(str(np.float32(call.number(1 - call.data, 0.0))))


def _pads(call: Call) -> tuple[int, int]:
    """Return the zeros before and after the channels, the second axis of an image that has one more in front."""
    pads, rank = call.numbers("pads", 1), call.rank
    plain = call.node.text("mode", "constant") == "constant" and call.number(2, call.node.real("value", 0.0)) == 0
    if not plain or call.array(3) is not None or pads is None or len(pads) != 2 * rank or min(pads) < 0:
        raise stranger(call)
    if any(n for i, n in enumerate(pads) if i % rank != 2):
        raise stranger(call)
    return pads[2], pads[rank + 2]


def _size(call: Call) -> int:
    """Return how many channels an average pool with step 1 and no padding takes together."""
    node, axes = call.node, len(call.shape) - 1
    kernel, ones = node.integers("kernel_shape", []), [1] * axes
    plain = node.integers("strides", ones) == ones and node.integers("dilations", ones) == ones
    padded = any(node.integers("pads", [])) or node.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    if len(kernel) != axes or kernel[1:] != ones[1:] or not plain or padded or not 1 <= kernel[0] <= call.shape[1]:
        raise stranger(call)
    return kernel[0]
