"""Networks: named layers run forward and backward on a device."""

from minicnn.network.network import Network, Tape

__all__ = ["Network", "Tape"]
