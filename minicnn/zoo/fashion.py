"""A classical net for the clothes of Fashion-MNIST: convolutions, ReLU, max-pools and two full layers."""

from __future__ import annotations

from minicnn.images import Preprocess
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.initialisation import he_draw

__all__ = ["fashion"]

STAGES = ((32, 32), (64, 64), (128, 128))  # the filters of 3 x 3 convolutions between two pools


def fashion(num_classes: int = 10) -> Architecture:
    """Three stages of two 3 x 3 convolutions, 32, 64 and 128 filters, and full256-full10 on 28 x 28 grey images.

    VGG's stages, each convolution normalised.  Light clothes on black, as Fashion-MNIST has them; an image with a
    light border is inverted first.  The pools halve (28, 14, 7, 3), and dropout comes before either full layer.
    Convolutions are drawn from He's Gaussian, full layers as torch draws them.
    """
    layers: NamedLayers = []
    channels, side = 1, 28
    for stage, widths in enumerate(STAGES, 1):
        for number, width in enumerate(widths, 1):
            name = f"{stage}_{number}"
            layers += [
                (f"conv{name}", Conv2d(channels, width, 3, padding=1, bias=False)),
                (f"norm{name}", BatchNorm2d(width)),
                (f"relu{name}", ReLU()),
            ]
            channels = width
        layers.append((f"pool{stage}", MaxPool2d(2)))
        side //= 2
    layers += [
        ("flatten", Flatten()),
        ("drop4", Dropout(0.3)),
        ("fc4", Linear(channels * side * side, 256)),
        ("relu4", ReLU()),
        ("drop5", Dropout(0.3)),
        ("fc5", Linear(256, num_classes)),
    ]
    preprocess = Preprocess((28, 28), channels="L", mean=(0.286,), std=(0.353,), invert="auto")
    return Architecture(layers, (1, 28, 28), preprocess, he_draw())
