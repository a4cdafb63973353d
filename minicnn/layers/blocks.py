"""Blocks: layers made of layers."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.errors import ShapeError
from minicnn.layers import chain
from minicnn.layers.base import Keep, Layer
from minicnn.rules import GRADIENT

__all__ = ["Block", "Residual", "Sequential"]


@dataclass(frozen=True, eq=False, repr=False)
class Block(Layer):
    """A layer whose parameters are those of the chains it is made of, named ``child.parameter``."""

    def branches(self) -> list[chain.Chain]:
        """Return the chains that the block is made of."""
        raise NotImplementedError

    def with_branches(self, branches: list[chain.Chain]) -> Block:
        """Return the same block made of other chains."""
        return type(self)(*branches)

    def parameter_shapes(self):
        return {key: s for branch in self.branches() for key, s in chain.parameter_shapes(branch).items()}

    def multiply_adds(self, shape):
        parts = (part for branch in self.branches() for part in chain.shapes(branch, shape))
        return sum(layer.multiply_adds(s) for _, layer, s, _ in parts)

    def state(self):
        return {key: array for branch in self.branches() for key, array in chain.state(branch).items()}

    def with_state(self, state):
        return self.with_branches([chain.with_state(branch, state) for branch in self.branches()])

    def initialised(self, rng):
        return self.with_branches([chain.initialised(branch, rng) for branch in self.branches()])

    def astype(self, dtype):
        return self.with_branches([chain.astype(branch, dtype) for branch in self.branches()])


@dataclass(frozen=True, eq=False, repr=False)
class Sequential(Block):
    """Layers one after the other.

    Parameters
    ----------
    layers : list of layers, or of (name, layer) pairs

    """

    layers: list

    def __post_init__(self):
        object.__setattr__(self, "layers", chain.named(self.layers))

    def branches(self):
        return [self.layers]

    def output_shape(self, shape):
        return chain.output_shape(self.layers, shape)

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        return chain.forward(self.layers, x, kernels, keep, rng)

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        return chain.backward(self.layers, dy, saved, kernels, rule, weights)


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
        object.__setattr__(self, "body", chain.named(self.body, "body."))
        object.__setattr__(self, "shortcut", chain.named(self.shortcut, "shortcut."))

    def branches(self):
        return [self.body, self.shortcut]

    def output_shape(self, shape):
        body, shortcut = (chain.output_shape(branch, shape) for branch in self.branches())
        if body != shortcut:
            raise ShapeError(f"Residual: the body gives {body}, the shortcut {shortcut}; they must agree")
        return body

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        y, body_tape = chain.forward(self.body, x, kernels, keep, rng)
        other, shortcut_tape = chain.forward(self.shortcut, x, kernels, keep, rng)
        return kernels.add(y, other), (body_tape, shortcut_tape)

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        body_tape, shortcut_tape = saved
        dbody, dshortcut = kernels.add_input_grad(dy)
        dx, gradients = chain.backward(self.body, dbody, body_tape, kernels, rule, weights)
        other, more = chain.backward(self.shortcut, dshortcut, shortcut_tape, kernels, rule, weights)
        return kernels.add(dx, other), gradients | more
