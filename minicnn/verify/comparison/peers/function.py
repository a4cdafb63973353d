"""A function of an array as a peer; if it computes in JAX, with JAX's gradient."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.probe import Value

__all__ = ["from_function"]


def from_function(function: Callable[[np.ndarray], Any]) -> Peer:
    """Return the peer of a function of x, (N, C, H, W), that returns scores, (N, K).

    Its gradient is its attribute ``gradient``, a function of (x, class), or else what ``jax.grad`` says.
    """
    name = getattr(function, "__name__", type(function).__name__)

    def values(x: np.ndarray) -> list[Value]:
        y = function(x)
        # a tensor of torch that can be differentiated does not become an array by itself
        array = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
        if array.dtype.kind not in "fiub":
            raise MinicnnError(f"function {name!r}: returns {type(y).__name__}; expected scores, an array (N, K)")
        return [Value("scores", "", array)]

    def gradient(x: np.ndarray, target: int) -> dict[str, np.ndarray]:
        own = getattr(function, "gradient", None)
        if own is not None:
            return {"input": np.asarray(own(x, target))}
        jax: Any = sys.modules.get("jax")  # a function that computes in JAX has imported it
        if jax is None or not isinstance(y := function(x), jax.Array):
            return {}
        dx = jax.grad(lambda x: function(x).reshape(len(y), -1)[:, target].sum())(x)
        return {"input": np.asarray(dx)}

    return Peer(f"function {name!r}", values, gradient)
