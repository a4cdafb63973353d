"""A function of an array as a peer; if it computes in JAX, with JAX's gradient."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.verify.comparison.peers import dump
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.probe import Value

__all__ = ["from_function"]


def from_function(function: Callable[[np.ndarray], Any]) -> Peer:
    """Return the peer of a function of x, (N, C, H, W), that returns scores, (N, K).

    It may return a mapping of more values by their names, or "name@kind", in the order of the computation and the
    scores last, as dumps hold them.
    Its gradient is its attribute ``gradient``, a function of (x, class), or else what ``jax.grad`` says.
    """
    name = getattr(function, "__name__", type(function).__name__)

    def values(x: np.ndarray) -> list[Value]:
        y = function(x)
        if isinstance(y, Mapping):
            return dump.from_arrays({key: _to_array(a, name) for key, a in y.items()}, f"function {name!r}").run(x)
        return [Value("scores", "", _to_array(y, name))]

    def gradient(x: np.ndarray, target: int) -> dict[str, np.ndarray]:
        own = getattr(function, "gradient", None)
        if own is not None:
            return {"input": np.asarray(own(x, target))}
        jax: Any = sys.modules.get("jax")  # a function that computes in JAX has imported it
        if jax is None or not isinstance(y := _last(function(x)), jax.Array):
            return {}
        dx = jax.grad(lambda x: _last(function(x)).reshape(len(y), -1)[:, target].sum())(x)
        return {"input": np.asarray(dx)}

    return Peer(f"function {name!r}", values, gradient)


def _last(y: Any) -> Any:
    return list(y.values())[-1] if isinstance(y, Mapping) else y


def _to_array(y: Any, name: str) -> np.ndarray:
    # a tensor of torch that can be differentiated does not become an array by itself
    array = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    if array.dtype.kind not in "fiub":
        raise MinicnnError(f"function {name!r}: returns {type(y).__name__}; expected scores, an array (N, K)")
    return array
