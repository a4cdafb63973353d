"""The linear model that the scores of a piecewise linear network are around an input: S = W x + b."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.kernels import reference
from minicnn.layers import Keep, Kind, Layer, sequence
from minicnn.layers.kinks import affine_piece
from minicnn.layers.transforms.pack import with_one_input
from minicnn.network.network import Network

__all__ = ["is_piecewise_linear", "piecewise_linear_layers", "scores_at_zero", "scores_chain"]


def scores_chain(net: Network) -> sequence.NamedLayers:
    """Return the layers up to the scores, in float64."""
    return sequence.astype(sequence.before_softmax(net.named_layers), np.float64)


def is_piecewise_linear(net: Network) -> bool:
    """Return whether the scores are linear between kinks: no layer is curved, or of a kind that is not known."""
    layers = sequence.before_softmax(net.named_layers)
    return all(layer.kind < Kind.SMOOTH for _, layer in sequence.walk(layers))


def piecewise_linear_layers(net: Network, task: str) -> sequence.NamedLayers:
    """Return the layers up to the scores, in float64, if the scores are linear between kinks.

    Raises
    ------
    MinicnnError
        Naming the layer that is curved; the message starts with the ``task`` that needs the layers.

    """
    layers = scores_chain(net)
    for name, layer in sequence.walk(layers):
        if layer.kind >= Kind.SMOOTH:
            kind = layer.kind.name.lower()
            raise MinicnnError(
                f"{task}: layer {name!r} of {net.name} is {kind} ({type(layer).__name__}); its scores are nowhere "
                "linear"
            )
    return layers


@dataclass(frozen=True, eq=False, repr=False)
class _AffinePiece(Layer):
    """A layer on pairs (x, z), stacked along the batch axis: z goes through the affine piece around x."""

    layer: Layer

    def forward(
        self, xz: np.ndarray, kernels: ModuleType, keep: Keep = Keep.NOTHING, rng: Any = None
    ) -> tuple[np.ndarray, None]:
        if self.layer.kind <= Kind.AFFINE:
            return self.layer.forward(xz, kernels)[0], None
        layer, xz = with_one_input(self.layer, xz)
        x, z = np.split(xz, 2)
        y, piece = layer.forward(x, kernels)[0], affine_piece(layer, x, z)
        return np.concatenate([y, piece.astype(y.dtype, copy=False)]), None


def scores_at_zero(
    layers: sequence.NamedLayers, x: np.ndarray, kernels: ModuleType = reference
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of x, and those of the zero input by the affine piece around x: all the biases, carried forward.

    Parameters
    ----------
    layers : up to the scores, each linear between kinks
    x : array of shape (N, C, H, W)
    kernels : a device's operations, on arrays of the host

    Returns
    -------
    scores, constants : arrays of shape (N, K), S and b of S = W x + b

    Examples
    --------
    >>> from minicnn.layers import Linear, ReLU
    >>> full = Linear(1, 1, weight=np.array([[2.0]]), bias=np.array([3.0]))
    >>> chain = sequence.name_layers([full, ReLU()])
    >>> [scores_at_zero(chain, np.array([[x]]))[1].item() for x in (5.0, -5.0)]  # slope 2, and 0
    [3.0, 0.0]

    """
    pairs = sequence.map_layers(layers, lambda name, layer: _AffinePiece(layer))
    y, _ = sequence.forward(pairs, np.concatenate([x, np.zeros_like(x)]), kernels)
    scores, constants = np.split(y, 2)
    return scores, constants
