"""A pair of functions as a layer: what a backward pass is written as before it becomes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Layer, Rng
from minicnn.rules import GRADIENT, Rule

__all__ = ["FunctionPair", "Functions", "as_layer"]

Functions: TypeAlias = tuple[Callable[..., Any], Callable[..., Any]]


@dataclass(frozen=True, eq=False, repr=False)
class FunctionPair(Layer):
    """y = function(x), or (y, saved) = function(x); dx = gradient(dy, x), or gradient(dy, saved).

    Of several inputs, function(a, b) and gradient(dy, a, b) -> (da, db).
    """

    function: Callable[..., Any]
    gradient: Callable[..., Any]

    def forward(self, x: Any, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        """Return y, and what ``gradient`` takes behind dy."""
        inputs = x if isinstance(x, tuple) else (x,)
        y = self.function(*inputs)
        y, saved = (y[0], (y[1],)) if isinstance(y, tuple) and len(y) == 2 else (y, inputs)
        return np.asarray(y), saved

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        """Return what ``gradient`` gives; functions have no parameters."""
        dx = self.gradient(dy, *saved)
        several: Any = isinstance(dx, tuple | list)
        return dx if several else np.asarray(dx), {}

    def __repr__(self) -> str:
        """Both names, of which a lambda has none."""
        names = (getattr(f, "__name__", type(f).__name__) for f in (self.function, self.gradient))
        return " and ".join(names)


def as_layer(functions: Any) -> FunctionPair:
    """Return a pair of functions as a layer; MinicnnError if it is none."""
    if not (isinstance(functions, tuple | list) and len(functions) == 2 and all(map(callable, functions))):
        raise MinicnnError(
            "gradients: expected a Network, a layer or a pair of functions (forward, backward), got "
            f"{type(functions).__name__}"
        )
    return FunctionPair(*functions)
