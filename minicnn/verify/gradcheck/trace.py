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

__all__ = ["Trace"]


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
        try:
            return self.layer.forward(x, kernels, keep, rng)
        except MinicnnError:
            raise
        except Exception as error:  # of somebody's own layer
            kind = type(self.layer).__name__
            raise MinicnnError(f"layer {self.name!r} ({kind}): forward raised {describe_error(error)}") from error

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: ModuleType, rule: Rule = GRADIENT, weights: bool = False
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        self.trace.cotangents[self.name] = dy
        return self.layer.backward(dy, saved, kernels, rule, weights)
