"""Layers of several inputs: sums, products and the like of maps, and maps one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Rng, Shape
from minicnn.rules import GRADIENT, Rule

__all__ = ["Add", "Cat", "Divide", "Join", "Maximum", "Minimum", "Multiply", "Subtract"]


@dataclass(frozen=True, eq=False, repr=False)
class Join(Layer):
    """A layer that reads several values: ``forward`` takes a tuple of arrays, ``backward`` returns one.

    ``output_shape`` takes a tuple of shapes.
    """

    input_count = 0

    def output_shape(self, shape: Any) -> Shape:
        raise NotImplementedError


@dataclass(frozen=True, eq=False, repr=False)
class _Elementwise(Join):
    """An operation of two arrays, value by value; of more, from the left: (a op b) op c.

    Axes of size 1 are repeated, as NumPy broadcasts; the gradient is summed over what was repeated.
    """

    _operation: ClassVar[str]

    def output_shape(self, shape: Any) -> Shape:
        if len({len(s) for s in shape}) == 1:
            try:
                return np.broadcast_shapes(*shape)
            except ValueError:
                pass
        shapes = ", ".join(map(str, shape))
        raise ShapeError(f"{type(self).__name__}: the inputs are {shapes}; sizes must agree or be 1")

    def multiply_adds(self, shape: Any) -> int:
        return (len(shape) - 1) * prod(self.output_shape(shape)) if self.kind >= Kind.SMOOTH else 0

    def forward(self, x: Any, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        operation, results = getattr(kernels, self._operation), [x[0]]
        for other in x[1:]:
            results.append(operation(results[-1], other))
        return results[-1], self._save(results, x) if keep else None

    def _save(self, results: list[np.ndarray], x: tuple[np.ndarray, ...]) -> list[tuple[Any, Any]]:
        """Return what the gradient of each of the operations needs: here the arrays that it combined."""
        return list(zip(results, x[1:], strict=False))

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        input_grad, dx = getattr(kernels, f"{self._operation}_input_grad"), []
        for left, right in reversed(saved):
            dy, dother = input_grad(dy, left, right)
            dx.append(dother)
        return (dy, *reversed(dx)), {}  # type: ignore[return-value]  # of several inputs, several gradients


class _Linear(_Elementwise):
    """One whose gradient depends on the inputs' shapes alone."""

    kind = Kind.LINEAR

    def _save(self, results: list[np.ndarray], x: tuple[np.ndarray, ...]) -> list[tuple[Any, Any]]:
        return [(left.shape, right.shape) for left, right in zip(results, x[1:], strict=False)]


@dataclass(frozen=True, eq=False, repr=False)
class Add(_Linear, capturable=True):
    """Sum of two inputs or more.

    See Also
    --------
    Residual : the same as a block, of a chain of layers and its shortcut
    torch.add : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> net = Network([("relu", layers.ReLU()), ("sum", layers.Add(), ("relu", "input"))])
    >>> net(np.array([[-1.0, 2.0]])).tolist()
    [[-1.0, 4.0]]

    """

    _operation = "add"


@dataclass(frozen=True, eq=False, repr=False)
class Subtract(_Linear, capturable=True):
    """Difference of two inputs.

    See Also
    --------
    torch.sub : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> net = Network([("relu", layers.ReLU()), ("difference", layers.Subtract(), ("input", "relu"))])
    >>> net(np.array([[-1.0, 2.0]])).tolist()
    [[-1.0, 0.0]]

    """

    input_count = 2
    _operation = "subtract"


@dataclass(frozen=True, eq=False, repr=False)
class Multiply(_Elementwise, capturable=True):
    """Product of two inputs or more, as in squeeze-and-excitation: maps times one number for each channel.

    See Also
    --------
    torch.mul : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> net = Network([("pool", layers.GlobalAvgPool2d()), ("gate", layers.Multiply(), ("input", "pool"))])
    >>> net(np.array([[[[1.0, 3.0]], [[0.0, 1.0]]]])).tolist()
    [[[[2.0, 6.0]], [[0.0, 0.5]]]]

    Source: Hu et al. 2018, equation 4.

    """

    kind = Kind.SMOOTH
    _operation = "multiply"


@dataclass(frozen=True, eq=False, repr=False)
class Divide(_Elementwise, capturable=True):
    """Quotient of two inputs, the second without zeros.

    See Also
    --------
    torch.div : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> net = Network([("pool", layers.GlobalAvgPool2d()), ("ratio", layers.Divide(), ("input", "pool"))])
    >>> net(np.array([[[[1.0, 3.0]]]])).tolist()
    [[[[0.5, 1.5]]]]

    """

    kind = Kind.SMOOTH
    input_count = 2
    _operation = "divide"


@dataclass(frozen=True, eq=False, repr=False)
class Maximum(_Elementwise, capturable=True):
    """The larger of two inputs or more, value by value; where two are equal each gets half of the gradient.

    See Also
    --------
    torch.maximum : the same function, and the same gradient

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> net = Network([("tanh", layers.Tanh()), ("largest", layers.Maximum(), ("tanh", "input"))])
    >>> net(np.array([[-1.0, 2.0]])).round(4).tolist()
    [[-0.7616, 2.0]]

    Source: Goodfellow et al. 2013 (maxout).

    """

    kind = Kind.PIECEWISE_LINEAR
    _operation = "maximum"


@dataclass(frozen=True, eq=False, repr=False)
class Minimum(_Elementwise, capturable=True):
    """The smaller of two inputs or more, value by value; where two are equal each gets half of the gradient.

    See Also
    --------
    torch.minimum : the same function, and the same gradient

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> net = Network([("tanh", layers.Tanh()), ("least", layers.Minimum(), ("tanh", "input"))])
    >>> net(np.array([[-1.0, 2.0]])).round(4).tolist()
    [[-1.0, 0.964]]

    """

    kind = Kind.PIECEWISE_LINEAR
    _operation = "minimum"


@dataclass(frozen=True, eq=False, repr=False)
class Cat(Join, capturable=True):
    """Inputs one after the other along an axis, which they may differ in.

    Parameters
    ----------
    dim : int
        The axis, the batch's being 0: 1 for the channels.

    Raises
    ------
    ShapeError
        If ``dim`` is no axis behind the batch's.

    See Also
    --------
    Concat : the same as a block, of chains of layers on one input
    torch.cat : the same function

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> net = Network([("relu", layers.ReLU()), ("both", layers.Cat(), ("relu", "input"))])
    >>> net(np.array([[-1.0, 2.0]])).tolist()
    [[0.0, 2.0, -1.0, 2.0]]

    """

    dim: int = 1

    kind = Kind.LINEAR

    def __post_init__(self) -> None:
        if not isinstance(self.dim, int) or self.dim < 1:
            raise ShapeError(f"Cat: dim: expected an axis behind the batch's, such as 1, got {self.dim!r}")

    def output_shape(self, shape: Any) -> Shape:
        axis = self.dim - 1
        rest = {(*s[:axis], 0, *s[axis + 1 :]) for s in shape}
        if len(rest) > 1 or axis >= len(shape[0]):
            shapes = ", ".join(map(str, shape))
            raise ShapeError(f"Cat: the inputs are {shapes}; they must agree in all axes but {axis}")
        return (*shape[0][:axis], sum(s[axis] for s in shape), *shape[0][axis + 1 :])

    def forward(self, x: Any, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        # how much each input gave is where backward cuts dy
        return kernels.concatenate(x, self.dim), [part.shape[self.dim] for part in x]

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return kernels.concatenate_input_grad(dy, saved, self.dim), {}
