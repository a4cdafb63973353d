"""A small net for handwritten digits, with the layer names of the package digit-recognizer-py."""

from __future__ import annotations

from minicnn.images import Preprocess
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from minicnn.zoo.architecture import Architecture

__all__ = ["digits"]


def digits(num_classes: int = 10) -> Architecture:
    """conv3x3(32)-pool-conv3x3(64)-pool-conv3x3(128)-pool-full256-full10 on 28 x 28 grey images.

    White strokes on black, as MNIST has them; an image with a light border is inverted first.  The three
    convolutions pad by one, the three pools halve (28, 14, 7, 3).
    """
    layers = [
        ("conv_layers.0", Conv2d(1, 32, 3, padding=1)),
        ("conv_layers.1", ReLU()),
        ("conv_layers.2", MaxPool2d(2)),
        ("conv_layers.3", Conv2d(32, 64, 3, padding=1)),
        ("conv_layers.4", ReLU()),
        ("conv_layers.5", MaxPool2d(2)),
        ("conv_layers.6", Conv2d(64, 128, 3, padding=1)),
        ("conv_layers.7", ReLU()),
        ("conv_layers.8", MaxPool2d(2)),
        ("flatten", Flatten()),
        ("fc_layers.0", Linear(1152, 256)),
        ("fc_layers.1", ReLU()),
        ("fc_layers.2", Linear(256, num_classes)),
    ]
    preprocess = Preprocess((28, 28), channels="L", mean=(0.1307,), std=(0.3081,), invert="auto", mirror=False)
    return Architecture(layers, (1, 28, 28), preprocess)
