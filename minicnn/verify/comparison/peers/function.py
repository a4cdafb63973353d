"""A function of an array as a peer; if it computes in JAX, with JAX's gradient."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.verify.comparison.peers.base import Peer, message
from minicnn.verify.probe import Value

__all__ = ["from_function"]


def from_function(function: Callable[[np.ndarray], Any]) -> Peer:
    """Return the peer of a function of x, (N, C, H, W), that returns scores, (N, K).

    Its gradient is its attribute ``gradient``, a function of (x, class), or else what ``jax.grad`` says.
    """
    name = getattr(function, "__name__", type(function).__name__)

    def call(function: Callable[..., Any], x: np.ndarray, *arguments: Any) -> np.ndarray:
        try:
            return np.asarray(function(x, *arguments), np.result_type(np.float32, x.dtype))
        except Exception as error:  # of whatever kind: it is somebody else's program
            raise MinicnnError(f"function {name!r}: {type(error).__name__}: {message(error)}") from None

    def values(x: np.ndarray) -> list[Value]:
        return [Value("scores", "", call(function, x))]

    def gradient(x: np.ndarray, target: int) -> dict[str, np.ndarray]:
        own = getattr(function, "gradient", None)
        if own is not None:
            return {"input": call(own, x, target)}
        jax: Any = sys.modules.get("jax")  # a function that computes in JAX has imported it
        if jax is None or not isinstance(y := function(x), jax.Array):
            return {}
        dx = jax.grad(lambda x: function(x).reshape(len(y), -1)[:, target].sum())(x)
        return {"input": np.asarray(dx)}

    return Peer(f"function {name!r}", values, gradient)
