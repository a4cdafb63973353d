"""What passes through every layer: its input on the way forward, its cotangent on the way back."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from minicnn._utils.raised import describe_error
from minicnn.errors import MinicnnError
from minicnn.layers import Keep, Layer
from minicnn.rules import GRADIENT, Rule

__all__ = ["Trace", "run_forward"]


def run_forward(
    name: str, layer: Layer, x: Any, kernels: ModuleType, keep: Keep = Keep.NOTHING, rng: Any = None
) -> tuple[np.ndarray, Any]:
    """Return what a layer's forward gives; MinicnnError where it raises something or gives something else."""
    where = f"layer {name!r} ({type(layer).__name__}): forward"
    try:
        result = layer.forward(x, kernels, keep, rng)
    except MinicnnError:
        raise
    except Exception as error:  # of somebody's own layer
        raise MinicnnError(f"{where} raised {describe_error(error)}") from error
    if not isinstance(result, tuple) or len(result) != 2:
        raise MinicnnError(f"{where} gives {type(result).__name__}, expected (y, what backward needs)")
    return result


@dataclass
class Trace:
    """Inputs and cotangents by dotted name, in the order of the computation."""

    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    cotangents: dict[str, np.ndarray] = field(default_factory=dict)

    def attach(self, name: str, layer: Layer) -> Layer:
        """Return the layer with a recorder around it, as ``sequence.map_layers`` takes it."""
        return _Recorder(layer, name, self)


@dataclass(frozen=True, eq=False, repr=False)
class _Recorder(Layer):
    layer: Layer
    name: str
    trace: Trace

    def forward(
        self, x: np.ndarray, kernels: ModuleType, keep: Keep = Keep.NOTHING, rng: Any = None
    ) -> tuple[np.ndarray, Any]:
        self.trace.inputs[self.name] = x
        return run_forward(self.name, self.layer, x, kernels, keep, rng)

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: ModuleType, rule: Rule = GRADIENT, weights: bool = False
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        self.trace.cotangents[self.name] = dy
        return self.layer.backward(dy, saved, kernels, rule, weights)
