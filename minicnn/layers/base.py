"""What every layer has: parameters by name, shapes, a forward that returns what its backward needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from inspect import signature
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from minicnn._utils.types import Shape
from minicnn.errors import ShapeError
from minicnn.rules import GRADIENT, Rule

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from typing_extensions import Self

__all__ = [
    "Backward",
    "Forward",
    "IntOrPair",
    "Keep",
    "Kernels",
    "Kind",
    "Layer",
    "NamedLayers",
    "Parameter",
    "Rng",
    "Shape",
    "check_maps",
]

Kernels: TypeAlias = ModuleType  # a device's operations, see minicnn.kernels.on
Rng: TypeAlias = "np.random.Generator | None"  # turns on what is random in training; quoted: slow to import
Forward: TypeAlias = tuple[np.ndarray, Any]  # y, and what backward needs
Backward: TypeAlias = tuple[np.ndarray, dict[str, np.ndarray]]  # dx, and {parameter's name: gradient}
# Any, since a layer takes more than it keeps, and a type can only say one of both:
IntOrPair: TypeAlias = Any  # given as an int or a pair, kept as a pair
Parameter: TypeAlias = Any  # an array; until it is drawn None, or, for a bias, True


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
        # kinks of the one, curvature of the other; otherwise the kinds are ordered, each holding those below it
        if kinds >= {cls.PIECEWISE_LINEAR, cls.SMOOTH}:
            return cls.NONLINEAR
        return max(kinds, default=cls.LINEAR)  # the identity


@dataclass(frozen=True, eq=False, repr=False)
class Layer:
    """One step of a network: immutable, shared freely between networks and threads.

    A parameter that is neither given nor switched off is unset (None for a weight, True for a bias) until a
    ``Network`` draws it.

    A layer of your own needs ``forward`` and ``backward``; ``output_shape`` where it changes the shape, and
    ``parameter_shapes`` where it has parameters.  It may also say what ``kind`` of function it is.

    Parameters
    ----------
    capturable : bool, in the class statement
        ``class ReLU(Layer, capturable=True)`` promises that forward and backward leave all their computing to
        the operations of ``kernels``, so that a device may record the calls once and replay them.  The promise is
        not inherited: what a subclass computes is for it to say.
    inputs : tuple of str, by keyword
        Names of what it reads: layers before it in its list, or "input", what the list is applied to.  Without
        any it reads the layer before it.  A layer of several inputs is a ``minicnn.layers.joins.Join``.

    Examples
    --------
    >>> from minicnn import Network
    >>> class Square(Layer):
    ...     kind = Kind.SMOOTH
    ...
    ...     def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
    ...         return x * x, x
    ...
    ...     def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
    ...         return 2 * saved * dy, {}
    >>> net = Network([Square()])
    >>> net.input_gradient(np.array([[1.0, 3.0]]), 1).tolist()
    [[0.0, 6.0]]

    """

    inputs: tuple[str, ...] = field(default=(), kw_only=True)

    input_count: ClassVar[int] = 1  # how many values it reads; 0 for two or more
    is_posterior: ClassVar[bool] = False  # as a network's last layer it is outside of the scores: a softmax
    _only_calls_kernels: ClassVar[bool] = False
    # parameters, which ``config`` leaves out; a bias is in it as True or False
    _arrays: ClassVar[tuple[str, ...]] = ("weight", "running_mean", "running_var")

    def __init_subclass__(cls, *, capturable: bool = False, **kwargs: Any) -> None:
        """Note whether the class promises to be capturable."""
        super().__init_subclass__(**kwargs)
        # set anew for each class, so that a subclass without the keyword does not inherit the promise
        cls._only_calls_kernels = capturable

    @property
    def kind(self) -> Kind:
        """What kind of function the layer is; nothing is assumed of a class that does not say so."""
        return Kind.NONLINEAR

    @property
    def capturable(self) -> bool:
        """Whether the layer, and all that it is made of, only calls kernels: what was recorded can be replayed."""
        parts = (layer for branch in self.branches() for _, layer in branch)
        return self._only_calls_kernels and all(layer.capturable for layer in parts)

    def reading(self, *inputs: str) -> Self:
        """Return the same layer with other ``inputs``; none is the layer before it.

        Examples
        --------
        >>> from minicnn.layers import ReLU
        >>> ReLU().reading("conv1")
        ReLU(inputs=('conv1',))

        """
        if inputs == self.inputs:
            return self
        layer = copy(self)
        object.__setattr__(layer, "inputs", inputs)  # not ``replace``: a constructor may take other arguments
        return layer

    def branches(self) -> list[NamedLayers]:
        """Return the lists of layers that this one is made of; none, unless it is a block."""
        return []

    def map_branches(self, function: Callable[[NamedLayers], NamedLayers]) -> Self:
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

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        """Output y, and what ``backward`` needs (None unless ``keep`` asks for it).

        Parameters
        ----------
        x : array of shape (N, ...), float32 or float64
        kernels : the device's operations, see ``minicnn.kernels.on``
        keep : Keep
        rng : numpy.random.Generator, optional
            Turns on what is random in training.

        """
        raise NotImplementedError

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        """Gradient dx with respect to the input, and {name: gradient} of the parameters if ``weights``.

        Parameters
        ----------
        dy : array of the shape of y, the gradient with respect to the output
        saved : what ``forward`` left
        kernels : the device's operations
        rule : Rule, what rectifiers do backward, see ``minicnn.rules``
        weights : bool

        """
        raise NotImplementedError

    def parameter_gradients(self, dy: np.ndarray, saved: Any, kernels: Kernels) -> dict[str, np.ndarray]:
        """Gradients of the parameters alone, by name, for the first layer that has some: no dx is wanted there."""
        return self.backward(dy, saved, kernels, weights=True)[1]

    def state(self) -> dict[str, np.ndarray]:
        """Parameters by name."""
        return {name: getattr(self, name) for name in self.parameter_shapes()}

    def with_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Return the same layer with other parameters."""
        changes: dict[str, Any] = dict(state)
        if not changes or _is_dataclass(type(self)):
            return replace(self, **changes) if changes else self
        # a class with a constructor of its own may take other arguments
        layer = copy(self)
        for name, value in changes.items():
            object.__setattr__(layer, name, value)
        return layer

    def initialise(self, rng: np.random.Generator) -> Self:
        """Return the layer with its unset parameters drawn as torch draws them."""
        shapes = self.parameter_shapes()
        # what is not drawn yet is None, or True for a bias
        unset = [name for name, value in self.state().items() if not isinstance(value, np.ndarray)]
        return self.with_state({name: self._draw(name, shapes[name], rng) for name in unset})

    def _draw(self, name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """Draw one parameter: uniform within 1 / sqrt(fan-in), torch's rule for weights and biases."""
        # the fan-in is how many inputs one output sums: all axes of the weight but the first, for the bias too
        bound = 1 / np.sqrt(np.prod(self.parameter_shapes()["weight"][1:]))
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    def astype(self, dtype: DTypeLike) -> Self:
        """Return the layer with parameters of ``dtype``; itself where they are already."""
        state = {name: a.astype(dtype) for name, a in self.state().items() if a.dtype != dtype}
        return self.with_state(state)

    def config(self) -> dict[str, Any]:
        """Arguments that make this layer again, but for its parameters and ``inputs``: numbers, strings, tuples.

        Examples
        --------
        >>> from minicnn.layers import LeakyReLU
        >>> LeakyReLU(0.2).config()
        {'negative_slope': 0.2}

        """
        # a class with a constructor of its own keeps its arguments under their names, or writes its own ``config``
        names = [f.name for f in fields(self)] if _is_dataclass(type(self)) else signature(type(self)).parameters
        arguments = {name: getattr(self, name) for name in names if hasattr(self, name)}
        parameters = self.parameter_shapes()
        # as an argument a bias is a yes or no, or ``affine`` says it; as a field it may be the array
        if "affine" in arguments:
            arguments.pop("bias", None)
        elif "bias" in arguments:
            arguments["bias"] = "bias" in parameters
        arrays = {"inputs", *self._arrays, *parameters} - {"bias"}
        return {name: value for name, value in arguments.items() if name not in arrays}

    def __repr__(self) -> str:
        """Class, arguments and inputs, without the parameters' values."""
        arguments = self.config() | ({"inputs": self.inputs} if self.inputs else {})
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"


def _is_dataclass(kind: type) -> bool:
    """Return whether a class is one itself, and not by its base alone: then its fields are its arguments."""
    return "__dataclass_fields__" in vars(kind)


NamedLayers: TypeAlias = list[tuple[str, Layer]]


def check_maps(shape: Shape, layer: str, channels: int | None = None) -> Shape:
    """Return ``shape`` if it is (C, H, W), with that many channels; ShapeError in the layer's name otherwise."""
    if len(shape) != 3:
        raise ShapeError(f"{layer}: expected maps of shape (C, H, W) for each image, got {shape}")
    if channels is not None and shape[0] != channels:
        raise ShapeError(f"{layer}: expected {channels} channels, got {shape[0]} (input {shape})")
    return shape
