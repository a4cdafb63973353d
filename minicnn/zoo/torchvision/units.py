"""What the nets of this package are made of."""

from __future__ import annotations

from typing import NamedTuple

from minicnn.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Layer, Multiply, Residual, Sequential
from minicnn.layers.sequence import NamedLayers

__all__ = [
    "Bottleneck",
    "conv_norm",
    "depthwise",
    "global_mean",
    "inverted_bottleneck",
    "residual_if_same",
    "round_channels",
    "squeeze_excite",
]


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


def depthwise(channels: int, kernel_size: int = 3, stride: int = 1) -> Conv2d:
    """Return a convolution of one filter a channel, which keeps the maps' size but for its stride."""
    padding = kernel_size // 2
    return Conv2d(channels, channels, kernel_size, stride=stride, padding=padding, groups=channels, bias=False)


def residual_if_same(body: NamedLayers, channels: int, out: int, stride: int) -> Residual | Sequential:
    """Return a residual block where input and output have the same shape, else its body alone."""
    return Residual(body) if stride == 1 and channels == out else Sequential(body)


class Bottleneck(NamedTuple):
    """Channels before, within and after an inverted bottleneck, its filters, and to how many its gate squeezes."""

    before: int
    wide: int
    out: int
    kernel_size: int
    stride: int
    squeezed: int = 0  # no gate


def inverted_bottleneck(
    sizes: Bottleneck, activation: Layer, gate: tuple[Layer, Layer], eps: float
) -> Residual | Sequential:
    """Widen by 1 x 1, filter each channel, gate, narrow by a linear 1 x 1; a residual where the shapes agree."""
    before, wide, out, kernel_size, stride, squeezed = sizes
    body: NamedLayers = []
    if wide != before:
        body += conv_norm("block.0.", Conv2d(before, wide, 1, bias=False), activation, eps)
    part = len(body) // 3
    body += conv_norm(f"block.{part}.", depthwise(wide, kernel_size, stride), activation, eps)
    if squeezed:
        body += squeeze_excite(f"block.{part + 1}", f"block.{part}.2", (wide, squeezed), *gate)
        part += 1
    body += conv_norm(f"block.{part + 1}.", Conv2d(wide, out, 1, bias=False), eps=eps)
    return residual_if_same(body, before, out, stride)


def global_mean() -> NamedLayers:
    """Return the mean of each map, as a vector."""
    return [("avgpool", GlobalAvgPool2d()), ("flatten", Flatten())]


def round_channels(channels: float, divisor: int = 8) -> int:
    """Return the multiple of ``divisor`` nearest to that many channels, the next one if it were less than 90 %.

    Examples
    --------
    >>> round_channels(24 * 1.4), round_channels(10)
    (32, 16)

    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


def squeeze_excite(name: str, maps: str, channels: tuple[int, int], activation: Layer, gate: Layer) -> NamedLayers:
    """Each map times a factor that all maps' means decide (Hu et al. 2018).

    Parameters
    ----------
    name : str
        Of the block, and what the names of its layers begin with.
    maps : str
        The layer that gives the maps.
    channels : (number of maps, number of values that their means are squeezed into)
    activation, gate : layers
        After the first and the second 1 x 1 convolution.

    """
    wide, squeezed = channels
    return [
        (f"{name}.avgpool", GlobalAvgPool2d()),
        (f"{name}.fc1", Conv2d(wide, squeezed, 1)),
        (f"{name}.activation", activation),
        (f"{name}.fc2", Conv2d(squeezed, wide, 1)),
        (f"{name}.scale_activation", gate),
        (name, Multiply(inputs=(maps, f"{name}.scale_activation"))),
    ]
