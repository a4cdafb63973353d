"""Blocks: layers made of layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import MinicnnError, ShapeError
from minicnn.layers import sequence
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, NamedLayers, Rng, Shape
from minicnn.rules import GRADIENT, Rule

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from typing_extensions import Self

__all__ = ["Block", "Concat", "Residual", "Sequential"]


@dataclass(frozen=True, eq=False, repr=False)
class Block(Layer):
    """A layer whose parameters are those of the layers it is made of, named ``child.parameter``."""

    def branches(self) -> list[NamedLayers]:
        """Return the lists of layers that the block is made of."""
        raise NotImplementedError

    def with_branches(self, branches: Sequence[NamedLayers]) -> Self:
        """Return the same block made of other layers."""
        # a block's constructor takes its branches, one an argument
        make: Any = type(self)
        return make(*branches)

    def map_branches(self, function: Callable[[NamedLayers], NamedLayers]) -> Self:
        return self.with_branches([function(branch) for branch in self.branches()]).reading(*self.inputs)

    @property
    def kind(self) -> Kind:
        """The kind of its parts' composition."""
        return Kind.compose(layer.kind for branch in self.branches() for _, layer in branch)

    def parameter_shapes(self) -> dict[str, Shape]:
        return {key: s for branch in self.branches() for key, s in sequence.parameter_shapes(branch).items()}

    def multiply_adds(self, shape: Shape) -> int:
        parts = (part for branch in self.branches() for part in sequence.shapes(branch, shape))
        return sum(layer.multiply_adds(s) for _, layer, s, _ in parts)

    def state(self) -> dict[str, np.ndarray]:
        return {key: array for branch in self.branches() for key, array in sequence.state_dict(branch).items()}

    def with_state(self, state: Mapping[str, np.ndarray]) -> Self:
        return self.map_branches(lambda branch: sequence.with_state_dict(branch, state))

    def initialise(self, rng: np.random.Generator) -> Self:
        return self.map_branches(lambda branch: sequence.initialise(branch, rng))

    def astype(self, dtype: DTypeLike) -> Self:
        return self.map_branches(lambda branch: sequence.astype(branch, dtype))


@dataclass(frozen=True, eq=False, repr=False)
class Sequential(Block, capturable=True):
    """Layers one after the other.

    Parameters
    ----------
    layers : list of layers, or of (name, layer) pairs

    See Also
    --------
    torch.nn.Sequential : the same block

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> stem = layers.Sequential([("conv", layers.Conv2d(3, 8, 3)), ("relu", layers.ReLU())])
    >>> net = Network([("stem", stem), layers.Flatten()])
    >>> list(net.state_dict())
    ['stem.conv.weight', 'stem.conv.bias']
    >>> net["stem.relu"]
    ReLU()

    """

    layers: Any  # given as a list of layers, kept as (name, layer) pairs

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", sequence.name_layers(self.layers))

    def branches(self) -> list[NamedLayers]:
        return [self.layers]

    def output_shape(self, shape: Shape) -> Shape:
        return sequence.output_shape(self.layers, shape)

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        return sequence.forward(self.layers, x, kernels, keep, rng)

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return sequence.backward(self.layers, dy, saved, kernels, rule, weights)


@dataclass(frozen=True, eq=False, repr=False)
class Residual(Block, capturable=True):
    """Residual connection y = body(x) + shortcut(x).

    Parameters
    ----------
    body, shortcut : lists of layers, or of (name, layer) pairs
        Unnamed ones are called "body.0", ..., "shortcut.0", ...; an empty shortcut is the identity.

    Raises
    ------
    ShapeError
        From ``output_shape``, if the two outputs differ in shape.

    See Also
    --------
    Concat : branches side by side instead of added

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> block = layers.Residual([layers.ReLU()])
    >>> Network([block])(np.array([[-1.0, 2.0]])).tolist()
    [[-1.0, 4.0]]

    Source: He et al. 2016, equations 1 and 2.

    """

    body: Any  # given as a list of layers, kept as (name, layer) pairs; the shortcut too
    shortcut: Any = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "body", sequence.name_layers(self.body, "body."))
        object.__setattr__(self, "shortcut", sequence.name_layers(self.shortcut, "shortcut."))

    def branches(self) -> list[NamedLayers]:
        return [self.body, self.shortcut]

    def output_shape(self, shape: Shape) -> Shape:
        body, shortcut = (sequence.output_shape(branch, shape) for branch in self.branches())
        if body != shortcut:
            raise ShapeError(f"Residual: the body gives {body}, the shortcut {shortcut}; they must agree")
        return body

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        y, body_tape = sequence.forward(self.body, x, kernels, keep, rng)
        other, shortcut_tape = sequence.forward(self.shortcut, x, kernels, keep, rng)
        return kernels.add(y, other), (body_tape, shortcut_tape)

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        body_tape, shortcut_tape = saved
        # the sum hands dy to both branches, and x, which both read, gets the sum of what they send back
        dbody, dshortcut = kernels.add_input_grad(dy, dy.shape, dy.shape)
        dx, gradients = sequence.backward(self.body, dbody, body_tape, kernels, rule, weights)
        other, more = sequence.backward(self.shortcut, dshortcut, shortcut_tape, kernels, rule, weights)
        return kernels.add(dx, other), gradients | more


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Concat(Block, capturable=True):
    """Branches side by side on one input, their outputs one after the other along the channels.

    Parameters
    ----------
    *parts : lists of layers, or of (name, layer) pairs
        Unnamed ones are called "0.0", "0.1", ..., "1.0", ...; an empty list passes x on.

    Raises
    ------
    MinicnnError
        If there is no part, or names are not distinct.
    ShapeError
        From ``output_shape``, if the outputs differ in more than the channels.

    See Also
    --------
    torch.cat : with ``dim=1``
    Residual : adds its branches

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Concat([layers.ReLU()], [])])(np.array([[-1.0, 2.0]])).tolist()
    [[0.0, 2.0, -1.0, 2.0]]

    Source: Szegedy et al. 2015, figure 2.

    """

    parts: list[NamedLayers]

    def __init__(self, *parts: Sequence[Any], inputs: tuple[str, ...] = ()):
        if not parts:
            raise MinicnnError("Concat: expected at least one list of layers")
        named = [sequence.name_layers(part, f"{i}.") for i, part in enumerate(parts)]
        sequence.name_layers([pair for part in named for pair in part])  # names differ across the parts too
        object.__setattr__(self, "parts", named)
        object.__setattr__(self, "inputs", inputs)

    def branches(self) -> list[NamedLayers]:
        return self.parts

    def output_shape(self, shape: Shape) -> Shape:
        shapes = [sequence.output_shape(part, shape) for part in self.parts]
        if len({len(s) for s in shapes}) > 1 or len({s[1:] for s in shapes}) > 1:
            raise ShapeError(f"Concat: the parts give {shapes}; they must agree in all but the channels")
        return sum(s[0] for s in shapes), *shapes[0][1:]

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        outputs, tapes = zip(*(sequence.forward(part, x, kernels, keep, rng) for part in self.parts), strict=True)
        # how many channels each part gave is where backward cuts dy
        return kernels.concatenate(outputs), ([y.shape[1] for y in outputs], tapes)

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        channels, tapes = saved
        pieces = kernels.concatenate_input_grad(dy, channels)
        # every part read all of x, so that their gradients are added; the first one starts the sum
        dx, gradients = sequence.backward(self.parts[0], pieces[0], tapes[0], kernels, rule, weights)
        for part, piece, tape in zip(self.parts[1:], pieces[1:], tapes[1:], strict=True):
            other, more = sequence.backward(part, piece, tape, kernels, rule, weights)
            dx, gradients = kernels.add(dx, other), gradients | more
        return dx, gradients
