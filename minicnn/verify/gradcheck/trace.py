"""What passes through every layer: its input on the way forward, its cotangent on the way back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from minicnn.layers import Keep, Layer
from minicnn.rules import GRADIENT

__all__ = ["Recorded"]


@dataclass
class Recorded:
    """Inputs and cotangents by dotted name, in the order of the computation."""

    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    cotangents: dict[str, np.ndarray] = field(default_factory=dict)

    def around(self, name: str, layer: Layer) -> Layer:
        """Return the layer with a recorder around it."""
        return _Recorder(layer, name, self)


@dataclass(frozen=True, eq=False, repr=False)
class _Recorder(Layer):
    layer: Layer
    name: str
    record: Recorded

    def forward(self, x, kernels, keep=Keep.NOTHING, rng=None):
        self.record.inputs[self.name] = x
        return self.layer.forward(x, kernels, keep, rng)

    def backward(self, dy, saved, kernels, rule=GRADIENT, weights=False):
        self.record.cotangents[self.name] = dy
        return self.layer.backward(dy, saved, kernels, rule, weights)
