"""What the nets of this package are made of: a convolution with its normalisation, and the end of a classifier."""

from __future__ import annotations

from minicnn.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Layer
from minicnn.layers.sequence import NamedLayers

__all__ = ["conv_norm", "global_mean", "round_channels"]


def conv_norm(
    prefix: str, conv: Conv2d, activation: Layer | None = None, eps: float = 1e-5, start: int = 0
) -> NamedLayers:
    """Convolution, batch normalisation and activation as ``nn.Sequential`` numbers them, from ``start``.

    Examples
    --------
    >>> from minicnn.layers import ReLU
    >>> [name for name, _ in conv_norm("stem.", Conv2d(3, 32, 3, bias=False), ReLU())]
    ['stem.0', 'stem.1', 'stem.2']

    """
    layers = [conv, BatchNorm2d(conv.out_channels, eps=eps), *([activation] if activation else [])]
    return [(f"{prefix}{i}", layer) for i, layer in enumerate(layers, start)]


def global_mean() -> NamedLayers:
    """Return the mean of each map, as a vector."""
    return [("avgpool", GlobalAvgPool2d()), ("flatten", Flatten())]


def round_channels(channels: float) -> int:
    """Return the multiple of 8 nearest to that many channels, the next one if it were less than 90 % of them.

    Examples
    --------
    >>> round_channels(24 * 1.4), round_channels(10)
    (32, 16)

    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
