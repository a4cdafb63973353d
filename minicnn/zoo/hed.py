"""The trunk of HED, an edge detector (Xie, Tu 2015): the convolutions of VGG-16, names as in Keras."""

from __future__ import annotations

import numpy as np

from minicnn.layers import Conv2d, Linear, MaxPool2d, ReLU
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.initialisation import he_normal, parameters
from minicnn.zoo.inputs import CAFFE_MEAN, caffe_preprocess
from minicnn.zoo.vgg import DEPTHS, WIDTHS

__all__ = ["hed_trunk"]


def hed_trunk() -> Architecture:
    """VGG-16's thirteen convolutions, trained for edges, not for ImageNet's classes; output (N, 512, 14, 14).

    What HED adds is left out: five 1 x 1 convolutions, one on each stage's last maps, and one that fuses their
    enlarged outputs.  The trunk ends with the last rectifier; ``forward(x, upto="block3_conv3_relu")`` gives
    another stage's maps.
    """
    layers: NamedLayers = []
    channels = 3
    for stage, (width, repeats) in enumerate(zip(WIDTHS, DEPTHS[16], strict=True), start=1):
        if stage > 1:
            layers.append((f"block{stage}_pool", MaxPool2d(2)))
        for i in range(1, repeats + 1):
            name = f"block{stage}_conv{i}"
            layers += [(name, Conv2d(channels, width, 3, padding=1)), (f"{name}_relu", ReLU())]
            channels = width
    unused = ("conv2d", *(f"conv2d_{i}" for i in range(1, 6)))
    return Architecture(layers, (3, 224, 224), caffe_preprocess(224, CAFFE_MEAN), _draw, unused)


def _draw(name: str, layer: Conv2d | Linear, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return parameters(layer, he_normal(layer, rng))
