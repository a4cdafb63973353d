"""Dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.layers.base import Backward, Forward, Keep, Kernels, Kind, Layer, Rng
from minicnn.rules import GRADIENT, Rule

__all__ = ["Dropout"]


@dataclass(frozen=True, eq=False, repr=False)
class Dropout(Layer, capturable=True):
    """Dropout: the identity, unless a forward pass is given a random generator (training).

    Then each value is 0 with probability p and x / (1 - p) otherwise, so that its mean stays x.

    Parameters
    ----------
    p : float
        Probability that a value is dropped, in [0, 1).

    Raises
    ------
    MinicnnError
        If p is not in [0, 1).

    See Also
    --------
    torch.nn.Dropout : the same layer; there ``train()`` and ``eval()`` switch it
    minicnn.Network.loss_gradient : takes the generator

    Examples
    --------
    >>> from minicnn import Network, layers
    >>> Network([layers.Dropout(0.5)])(np.array([[1.0, 2.0]])).tolist()
    [[1.0, 2.0]]
    >>> from minicnn.kernels import reference
    >>> y, _ = layers.Dropout(0.5).forward(np.ones((1, 4)), reference, rng=np.random.default_rng(0))
    >>> sorted(set(y.ravel().tolist()))
    [0.0, 2.0]

    Source: Srivastava et al. 2014.

    """

    p: float = 0.5

    kind = Kind.LINEAR

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise MinicnnError(f"Dropout: p: expected a probability in [0, 1), got {self.p!r}")

    def forward(self, x: np.ndarray, kernels: Kernels, keep: Keep = Keep.NOTHING, rng: Rng = None) -> Forward:
        # nothing on the tape tells backward that this was inference
        return (x, None) if rng is None else kernels.dropout(x, self.p, rng)

    def backward(
        self, dy: np.ndarray, saved: Any, kernels: Kernels, rule: Rule = GRADIENT, weights: bool = False
    ) -> Backward:
        return dy if saved is None else kernels.dropout_input_grad(dy, saved, self.p), {}
