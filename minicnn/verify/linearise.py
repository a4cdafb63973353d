"""A network in forward mode: directional derivatives, and the step to the nearest kink of any unit.

Tangents v are carried forward layer by layer, on pairs (x, v) stacked along the batch axis, so that blocks carry
them without knowing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from minicnn.kernels import reference
from minicnn.layers import Keep, Kind, Layer, sequence
from minicnn.layers.kinks import distance_to_kink, parameter_tangent, tangent
from minicnn.layers.transforms.pack import with_one_input

__all__ = ["Linearisation", "linearise"]


@dataclass
class Linearisation:
    """What a pass in forward mode gives.

    Attributes
    ----------
    ahead : whether kinks count at steps t > 0 only
    y : the output at x
    distances : for each layer the step to each output's nearest kink, or infinity for a layer without kinks
    tangents : for each layer the directional derivative of its input
    curved : whether a layer is, between its kinks

    """

    ahead: bool = False
    y: np.ndarray = field(default_factory=lambda: np.empty(0))
    distances: dict[str, np.ndarray | float] = field(default_factory=dict)
    tangents: dict[str, np.ndarray] = field(default_factory=dict)
    curved: bool = False

    @property
    def units(self) -> dict[str, np.ndarray]:
        """The distances of the layers that have kinks."""
        return {name: t for name, t in self.distances.items() if isinstance(t, np.ndarray)}

    def all_distances(self) -> np.ndarray:
        """Return the distances of all units that can have a kink, in one array."""
        return np.concatenate([t.ravel() for t in self.units.values()] or [np.empty(0)])

    def nearest(self) -> float:
        """Return the step to the nearest kink of all.

        A unit with no influence counts too: when it crosses its kink it may become the maximum of a pool.
        """
        return float(self.all_distances().min(initial=np.inf))


@dataclass(frozen=True, eq=False, repr=False)
class _ForwardMode(Layer):
    """A layer on pairs (x, v): returns (y, J v + the parameters' share) and keeps the step to the nearest kink."""

    layer: Layer
    name: str
    result: Linearisation
    moves: Mapping[str, np.ndarray]

    def forward(
        self, xv: np.ndarray, kernels: ModuleType, keep: Keep = Keep.NOTHING, rng: Any = None
    ) -> tuple[np.ndarray, None]:
        # (2 N, ...): x in the first half of the batch, v in the second
        layer, xv = with_one_input(self.layer, xv)
        x, v = np.split(xv, 2)
        # "block.conv.weight" belongs to the layer "block.conv"
        split = ((name.rpartition("."), array) for name, array in self.moves.items())
        own = {key: array for (owner, _, key), array in split if owner == self.name}
        self.result.distances[self.name] = distance_to_kink(layer, x, v, self.result.ahead)
        self.result.tangents[self.name] = v
        self.result.curved |= layer.kind >= Kind.SMOOTH
        # w = (dy/dx) v + (dy/dparameters) moves
        w = tangent(layer, x, v) + parameter_tangent(layer, x, own)
        y, _ = layer.forward(x, kernels)
        return np.concatenate([y, w]), None


def linearise(
    layers: sequence.NamedLayers,
    x: np.ndarray,
    v: np.ndarray,
    moves: Mapping[str, np.ndarray] | None = None,
    ahead: bool = False,
) -> Linearisation:
    """Run the layers at x with a tangent v of the input.

    Parameters
    ----------
    layers : in float64
    x, v : arrays of shape (N, ...)
    moves : directions of parameters by dotted name, which are added
    ahead : whether kinks count at steps t > 0 only

    """
    result = Linearisation(ahead)
    pairs = sequence.map_layers(layers, lambda name, layer: _ForwardMode(layer, name, result, moves or {}))
    yw, _ = sequence.forward(pairs, np.concatenate([x, v]), reference)
    result.y = np.split(yw, 2)[0]
    return result
