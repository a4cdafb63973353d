"""Blocks: layers made of layers."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.errors import MinicnnError, ShapeError
from minicnn.layers import sequence
from minicnn.layers.base import Keep, Kind, Layer
from minicnn.rules import GRADIENT

__all__ = ["Block", "Concat", "Residual", "Sequential"]


@dataclass(frozen=True, eq=False, repr=False)
class Block(Layer):
    """A layer whose parameters are those of the chains it is made of, named ``child.parameter``."""

    def branches(self) -> list[sequence.NamedLayers]:
        """Return the chains that the block is made of."""
        raise NotImplementedError

    def with_branches(self, branches: list[sequence.NamedLayers]) -> Block:
        """Return the same block made of other chains."""
        return type(self)(*branches)

    def map_branches(self, function):
        return self.with_branches([function(branch) for branch in self.branches()])

    @property
    def kind(self):
        """The kind of its parts' composition."""
        return Kind.compose(layer.kind for branch in self.branches() for _, layer in branch)

    def parameter_shapes(self):
        return {key: s for branch in self.branches() for key, s in sequence.parameter_shapes(branch).items()}

    def multiply_adds(self, shape):
        parts = (part for branch in self.branches() for part in sequence.shapes(branch, shape))
        return sum(layer.multiply_adds(s) for _, layer, s, _ in parts)

    def state(self):
        return {key: array for branch in self.branches() for key, array in sequence.state_dict(branch).items()}

    def with_state(self, state):
        return self.map_branches(lambda branch: sequence.with_state_dict(branch, state))

    def initialised(self, rng):
        return self.map_branches(lambda branch: sequence.initialise(branch, rng))

    def astype(self, dtype):
        return self.map_branches(lambda branch: sequence.astype(branch, dtype))


@dataclass(frozen=True, eq=False, repr=False)
class Sequential(Block):
    """Layers one after the other.

    Parameters
    ----------
    layers : list of layers, or of (name, layer) pairs

    """

    layers: list

    def __post_init__(self):
        object.__setattr__(self, "layers", sequence.name_layers(self.layers))

    def branches(self):
        return [self.layers]

    def output_shape(self, shape):
        return sequence.output_shape(self.layers, shape)

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return sequence.forward(self.layers, x, kernels, keep, rng)

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return sequence.backward(self.layers, dy, saved, kernels, rule, weights)


@dataclass(frozen=True, eq=False, repr=False)
class Residual(Block):
    """Residual connection y = body(x) + shortcut(x).

    Parameters
    ----------
    body, shortcut : lists of layers, or of (name, layer) pairs; an empty shortcut is the identity

    Source: He et al. 2016, equations 1 and 2.

    """

    body: list
    shortcut: list = ()

    def __post_init__(self):
        object.__setattr__(self, "body", sequence.name_layers(self.body, "body."))
        object.__setattr__(self, "shortcut", sequence.name_layers(self.shortcut, "shortcut."))

    def branches(self):
        return [self.body, self.shortcut]

    def output_shape(self, shape):
        body, shortcut = (sequence.output_shape(branch, shape) for branch in self.branches())
        if body != shortcut:
            raise ShapeError(f"Residual: the body gives {body}, the shortcut {shortcut}; they must agree")
        return body

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y, body_tape = sequence.forward(self.body, x, kernels, keep, rng)
        other, shortcut_tape = sequence.forward(self.shortcut, x, kernels, keep, rng)
        return kernels.add(y, other), (body_tape, shortcut_tape)

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        body_tape, shortcut_tape = saved
        dbody, dshortcut = kernels.add_input_grad(dy)
        dx, gradients = sequence.backward(self.body, dbody, body_tape, kernels, rule, weights)
        other, more = sequence.backward(self.shortcut, dshortcut, shortcut_tape, kernels, rule, weights)
        return kernels.add(dx, other), gradients | more


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Concat(Block):
    """Parts side by side on one input, their outputs one after the other along the channels.

    Parameters
    ----------
    *parts : lists of layers, or of (name, layer) pairs; an empty one passes x on

    Source: Szegedy et al. 2015, figure 2.

    """

    parts: list

    def __init__(self, *parts):
        if not parts:
            raise MinicnnError("Concat: expected at least one list of layers")
        chains = [sequence.name_layers(part, f"{i}.") for i, part in enumerate(parts)]
        sequence.name_layers([pair for part in chains for pair in part])  # names differ across the parts too
        object.__setattr__(self, "parts", chains)

    def branches(self):
        return self.parts

    def output_shape(self, shape):
        shapes = [sequence.output_shape(part, shape) for part in self.parts]
        if len({len(s) for s in shapes}) > 1 or len({s[1:] for s in shapes}) > 1:
            raise ShapeError(f"Concat: the parts give {shapes}; they must agree in all but the channels")
        return sum(s[0] for s in shapes), *shapes[0][1:]

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        outputs, tapes = zip(*(sequence.forward(part, x, kernels, keep, rng) for part in self.parts), strict=True)
        return kernels.concatenate(outputs), ([y.shape[1] for y in outputs], tapes)

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        channels, tapes = saved
        pieces = kernels.concatenate_input_grad(dy, channels)
        dx, gradients = None, {}
        for part, piece, tape in zip(self.parts, pieces, tapes, strict=True):
            own, more = sequence.backward(part, piece, tape, kernels, rule, weights)
            dx, gradients = own if dx is None else kernels.add(dx, own), gradients | more
        return dx, gradients
