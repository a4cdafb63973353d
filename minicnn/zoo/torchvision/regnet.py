"""RegNets X and Y (Radosavovic et al. 2020), torchvision's names."""

from __future__ import annotations

import math
from itertools import groupby

from minicnn.layers import Conv2d, Linear, ReLU, Residual, Sigmoid
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.initialisation import he_draw
from minicnn.zoo.inputs import torchvision_preprocess
from minicnn.zoo.torchvision.units import conv_norm, global_mean, round_channels, squeeze_excite

__all__ = ["SIZES", "regnet"]

# depth d; initial width w_0, slope w_a, step w_m of the widths; channels of a group
SIZES: dict[str, tuple[int, int, float, float, int]] = {
    "x_400mf": (22, 24, 24.48, 2.54, 16),
    "x_800mf": (16, 56, 35.73, 2.28, 16),
    "x_1_6gf": (18, 80, 34.01, 2.25, 24),
    "x_3_2gf": (25, 88, 26.31, 2.25, 48),
    "x_8gf": (23, 80, 49.56, 2.88, 120),
    "x_16gf": (22, 216, 55.59, 2.1, 128),
    "x_32gf": (23, 320, 69.86, 2.0, 168),
    "y_400mf": (16, 48, 27.89, 2.09, 8),
    "y_800mf": (14, 56, 38.84, 2.4, 16),
    "y_1_6gf": (27, 48, 20.71, 2.65, 24),
    "y_3_2gf": (21, 80, 42.63, 2.66, 24),
    "y_8gf": (17, 192, 76.82, 2.19, 56),
    "y_16gf": (18, 200, 106.23, 2.48, 112),
    "y_32gf": (20, 232, 115.89, 2.53, 232),
    "y_128gf": (27, 456, 160.83, 2.52, 264),
}


def regnet(size: str, num_classes: int = 1000) -> Architecture:
    """RegNet of a size such as "x_400mf": a stem, four stages of grouped bottlenecks, global mean, one full layer.

    Y has what X has, and squeeze-and-excitation after each 3 x 3 convolution, to a quarter of the block's inputs.
    Convolutions are drawn by He's rule over the outputs, the full layer with deviation 0.01, biases 0.
    """
    depth, initial, slope, step, group_width = SIZES[size]
    layers = conv_norm("stem.", Conv2d(3, 32, 3, stride=2, padding=1, bias=False), ReLU())
    channels = 32
    for stage, (width, blocks) in enumerate(_stages(depth, initial, slope, step), start=1):
        # a width that the groups don't divide is rounded to one that they do
        per_group = min(group_width, width)
        out = round_channels(width, per_group)
        groups = out // per_group
        for block in range(blocks):
            name = f"trunk_output.block{stage}.block{stage}-{block}"
            stride = 2 if block == 0 else 1
            shortcut = (
                [] if channels == out and stride == 1 else conv_norm("proj.", _conv(channels, out, 1, stride))
            )
            squeezed = round(channels / 4) if size.startswith("y") else 0
            layers += [(name, Residual(_bottleneck(channels, out, stride, groups, squeezed), shortcut))]
            layers += [(f"{name}.activation", ReLU())]
            channels = out
    layers += [*global_mean(), ("fc", Linear(channels, num_classes))]
    return Architecture(layers, (3, 224, 224), torchvision_preprocess(), he_draw(0.01))


def _stages(depth: int, initial: float, slope: float, step: float) -> list[tuple[int, int]]:
    """Width and depth of each stage: equations 2 to 4 of the paper, rounded to multiples of 8."""
    widths = []
    for block in range(depth):
        power = round(math.log((initial + slope * block) / initial) / math.log(step))
        widths.append(round(initial * step**power / 8) * 8)
    return [(width, len(list(blocks))) for width, blocks in groupby(widths)]


def _bottleneck(channels: int, out: int, stride: int, groups: int, squeezed: int) -> NamedLayers:
    """1 x 1, grouped 3 x 3, 1 x 1, all as wide as the stage."""
    gated = squeeze_excite("f.se", "f.b.2", (out, squeezed), ReLU(), Sigmoid()) if squeezed else []
    return [
        *conv_norm("f.a.", _conv(channels, out, 1), ReLU()),
        *conv_norm("f.b.", _conv(out, out, 3, stride, groups), ReLU()),
        *gated,
        *conv_norm("f.c.", _conv(out, out, 1)),
    ]


def _conv(channels: int, out: int, kernel_size: int, stride: int = 1, groups: int = 1) -> Conv2d:
    padding = kernel_size // 2
    return Conv2d(channels, out, kernel_size, stride=stride, padding=padding, groups=groups, bias=False)
