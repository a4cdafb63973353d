"""What every layer has: parameters by name, shapes, a forward that returns what its backward needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.rules import GRADIENT

__all__ = ["Keep", "Kind", "Layer", "feature_maps"]

Shape = tuple[int, ...]


class Keep(IntEnum):
    """How much a forward pass leaves on the tape."""

    NOTHING = 0  # scores only
    MASKS = 1  # for the gradient with respect to the input: masks and switches
    INPUTS = 2  # for the gradients with respect to the parameters too: the layers' inputs


class Kind(IntEnum):
    """What kind of function of its input a layer is, its parameters and the running statistics held fixed.

    It decides how far a derivative can be trusted.  A difference quotient of a piecewise linear function is exact,
    whatever its step, as long as no kink lies in between; of a linear or affine one there is no kink to avoid.  A
    smooth function has no kinks, but its difference quotient is exact only in the limit, so that its derivative is
    taken by a complex step.
    """

    LINEAR = 0  # y = A x: convolutions without a bias, average pools, padding, what only moves values
    AFFINE = 1  # y = A x + b: convolutions and full layers with a bias, batch normalisation in inference
    PIECEWISE_LINEAR = 2  # affine between kinks: rectifiers (kinks at 0, or 6), max-pools (where two taps tie)
    SMOOTH = 3  # differentiable everywhere, and curved: Tanh, Softmax, LogSoftmax, LocalResponseNorm
    NONLINEAR = 4  # curved and with kinks, or not known

    @classmethod
    def compose(cls, kinds: Iterable[Kind]) -> Kind:
        """Kind of functions of these kinds applied one after another, added or concatenated.

        Examples
        --------
        >>> Kind.compose([Kind.AFFINE, Kind.PIECEWISE_LINEAR]).name
        'PIECEWISE_LINEAR'
        >>> Kind.compose([Kind.PIECEWISE_LINEAR, Kind.SMOOTH]).name
        'NONLINEAR'

        """
        kinds = set(kinds)
        if kinds >= {cls.PIECEWISE_LINEAR, cls.SMOOTH}:
            return cls.NONLINEAR
        return max(kinds, default=cls.LINEAR)  # the identity


@dataclass(frozen=True, eq=False, repr=False)
class Layer:
    """One step of a network: immutable, shared freely between networks and threads.

    A parameter that is neither given nor switched off is unset (None for a weight, True for a bias) until a
    ``Network`` draws it.
    """

    @property
    def kind(self) -> Kind:
        """What kind of function the layer is; nothing is assumed of a class that does not say so."""
        return Kind.NONLINEAR

    def branches(self) -> list:
        """Return the chains of layers that this one is made of; none, unless it is a block."""
        return []

    def map_branches(self, function: Callable) -> Layer:
        """Return the layer with ``function`` applied to each of its branches; itself, unless it is a block."""
        return self

    def parameter_shapes(self) -> dict[str, Shape]:
        """Shapes of the parameters that this layer has, by name, in torch's order."""
        return {}

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of the output for one input of ``shape``, without the batch axis; ShapeError if it can't be."""
        return shape

    def multiply_adds(self, shape: Shape) -> int:
        """Multiplications with an addition for one input of ``shape``; 0 where they are not the work."""
        return 0

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        """Output y, and what ``backward`` needs (None unless ``keep`` asks for it).

        ``rng``, a NumPy generator, turns on what is random in training.
        """
        raise NotImplementedError

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        """Gradient dx with respect to the input, and {name: gradient} of the parameters if ``weights``."""
        raise NotImplementedError

    def parameter_gradients(self, dy, saved, kernels) -> dict[str, np.ndarray]:
        """Gradients of the parameters alone, by name, for the first layer that has some: no dx is wanted there."""
        return self.backward(dy, saved, kernels, weights=True)[1]

    def state(self) -> dict[str, np.ndarray]:
        """Parameters by name."""
        return {name: getattr(self, name) for name in self.parameter_shapes()}

    def with_state(self, state: Mapping[str, np.ndarray]) -> Layer:
        """Return the same layer with other parameters."""
        return replace(self, **state) if state else self

    def initialised(self, rng: np.random.Generator) -> Layer:
        """Return the layer with its unset parameters drawn as torch draws them."""
        shapes = self.parameter_shapes()
        unset = [name for name in shapes if not isinstance(getattr(self, name), np.ndarray)]
        return self.with_state({name: self._draw(name, shapes[name], rng) for name in unset})

    def _draw(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Draw one parameter: uniform within 1 / sqrt(fan-in), torch's rule for weights and biases."""
        bound = 1 / np.sqrt(np.prod(self.parameter_shapes()["weight"][1:]))
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    def astype(self, dtype) -> Layer:
        """Return the layer with parameters of ``dtype``; itself where they are already."""
        state = {name: a.astype(dtype) for name, a in self.state().items() if a.dtype != dtype}
        return self.with_state(state)

    def config(self) -> dict[str, Any]:
        """Arguments that make this layer again, its parameters aside: plain numbers, strings and tuples."""
        shapes = self.parameter_shapes()
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        if "bias" in found:
            found["bias"] = "bias" in shapes
        return {name: value for name, value in found.items() if name == "bias" or name not in self._arrays}

    _arrays = ("weight", "running_mean", "running_var")

    def __repr__(self) -> str:
        """Class and arguments, without the parameters' values."""
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"


def feature_maps(shape: Shape, layer: str, channels: int | None = None) -> Shape:
    """Return ``shape`` if it is (C, H, W), with that many channels; ShapeError in the layer's name otherwise."""
    if len(shape) != 3:
        raise ShapeError(f"{layer}: expected maps of shape (C, H, W) for each image, got {shape}")
    if channels is not None and shape[0] != channels:
        raise ShapeError(f"{layer}: expected {channels} channels, got {shape[0]} (input {shape})")
    return shape
