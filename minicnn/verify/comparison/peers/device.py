"""One of our own devices as a peer."""

from __future__ import annotations

import numpy as np

from minicnn.kernels import is_reference
from minicnn.network import Network
from minicnn.verify import probe
from minicnn.verify.comparison.peers.base import Peer
from minicnn.verify.probe import Value

__all__ = ["from_device", "rounding_factor"]


def from_device(net: Network, device: str) -> Peer:
    """Return the peer that runs ``net`` on a device, in float32."""

    def gradient(x: np.ndarray, target: int) -> dict[str, np.ndarray]:
        return probe.run(net, x, device=device, target=target).gradients

    def values(x: np.ndarray) -> list[Value]:
        return list(probe.run(net, x, device=device).values.values())

    return Peer(f"device {device!r}", values, gradient, rounding=rounding_factor(device), repeatable=True)


def rounding_factor(device: str) -> float:
    """Return how many times larger a device's rounding errors are than those of sums in order."""
    # Winograd's transforms add and subtract large values: four times the error of sums, as measured on VGG-16
    return 1.0 if is_reference(device) else 4.0
