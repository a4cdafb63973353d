"""MobileNet-V3, small and large (Howard et al. 2019), torchvision's names."""

from __future__ import annotations

from typing import NamedTuple

from minicnn.layers import Conv2d, Dropout, Hardsigmoid, Hardswish, Linear, ReLU
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.initialisation import he_draw
from minicnn.zoo.inputs import torchvision_preprocess
from minicnn.zoo.torchvision.units import Bottleneck, conv_norm, global_mean, inverted_bottleneck, round_channels

__all__ = ["mobilenet_v3"]

EPS = 1e-3


class Block(NamedTuple):
    """Channels within and after, filters' size, stride, squeeze-and-excitation, and whether ReLU or hard swish."""

    wide: int
    out: int
    kernel_size: int = 3
    stride: int = 1
    gated: bool = False
    relu: bool = False


BLOCKS = {
    "small": (
        Block(16, 16, 3, 2, gated=True, relu=True),
        Block(72, 24, 3, 2, relu=True),
        Block(88, 24, relu=True),
        Block(96, 40, 5, 2, gated=True),
        *[Block(240, 40, 5, gated=True)] * 2,
        Block(120, 48, 5, gated=True),
        Block(144, 48, 5, gated=True),
        Block(288, 96, 5, 2, gated=True),
        *[Block(576, 96, 5, gated=True)] * 2,
    ),
    "large": (
        Block(16, 16, relu=True),
        Block(64, 24, 3, 2, relu=True),
        Block(72, 24, relu=True),
        Block(72, 40, 5, 2, gated=True, relu=True),
        *[Block(120, 40, 5, gated=True, relu=True)] * 2,
        Block(240, 80, 3, 2),
        Block(200, 80),
        *[Block(184, 80)] * 2,
        Block(480, 112, gated=True),
        Block(672, 112, gated=True),
        Block(672, 160, 5, 2, gated=True),
        *[Block(960, 160, 5, gated=True)] * 2,
    ),
}
HIDDEN = {"small": 1024, "large": 1280}


def mobilenet_v3(size: str, num_classes: int = 1000) -> Architecture:
    """MobileNet-V3 "small" or "large": inverted bottlenecks, some gated, a 1 x 1 head, mean, two full layers.

    Convolutions are drawn by He's rule over the outputs, full layers with deviation 0.01, biases 0.
    """
    stem = Conv2d(3, 16, 3, stride=2, padding=1, bias=False)
    layers = conv_norm("features.0.", stem, Hardswish(), EPS)
    channels = 16
    for number, block in enumerate(BLOCKS[size], start=1):
        wide, out, kernel_size, stride, gated, relu = block
        sizes = Bottleneck(channels, wide, out, kernel_size, stride, round_channels(wide // 4) if gated else 0)
        activation = ReLU() if relu else Hardswish()
        unit = inverted_bottleneck(sizes, activation, (ReLU(), Hardsigmoid()), EPS)
        layers.append((f"features.{number}", unit))
        channels = out
    last = f"features.{len(BLOCKS[size]) + 1}."
    layers += conv_norm(last, Conv2d(channels, 6 * channels, 1, bias=False), Hardswish(), EPS)
    layers += [
        *global_mean(),
        ("classifier.0", Linear(6 * channels, HIDDEN[size])),
        ("classifier.1", Hardswish()),
        ("classifier.2", Dropout(0.2)),
        ("classifier.3", Linear(HIDDEN[size], num_classes)),
    ]
    return Architecture(layers, (3, 224, 224), torchvision_preprocess(), he_draw(0.01))
