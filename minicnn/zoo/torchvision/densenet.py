"""DenseNets of 121, 161, 169 and 201 layers (Huang et al. 2017), torchvision's names."""

from __future__ import annotations

import numpy as np

from minicnn.layers import AvgPool2d, BatchNorm2d, Concat, Conv2d, Linear, MaxPool2d, ReLU
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.initialisation import normal, parameters
from minicnn.zoo.inputs import torchvision_preprocess
from minicnn.zoo.torchvision.units import global_mean

__all__ = ["densenet"]

# channels that a layer adds, channels of the stem, layers of the four blocks
SIZES = {
    121: (32, 64, (6, 12, 24, 16)),
    161: (48, 96, (6, 12, 36, 24)),
    169: (32, 64, (6, 12, 32, 32)),
    201: (32, 64, (6, 12, 48, 32)),
}
# of 2017, which the published files still have: denselayer1.norm.1
OLD_NAMES = ((r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)", r"\1"),)


def densenet(depth: int, num_classes: int = 1000) -> Architecture:
    """DenseNet: each layer of a block reads the maps of all before it and adds a few to them.

    Between blocks a 1 x 1 convolution halves the channels and a mean pool the maps.  Convolutions are drawn by
    He's rule over the inputs, the full layer as torch draws it but for its biases, which are 0.
    """
    growth, channels, blocks = SIZES[depth]
    layers: NamedLayers = [
        ("features.conv0", Conv2d(3, channels, 7, stride=2, padding=3, bias=False)),
        ("features.norm0", BatchNorm2d(channels)),
        ("features.relu0", ReLU()),
        ("features.pool0", MaxPool2d(3, stride=2, padding=1)),
    ]
    for block, repeats in enumerate(blocks, start=1):
        for layer in range(1, repeats + 1):
            # the empty part hands on what the layer read
            dense = Concat([], _dense_layer(channels, growth))
            layers.append((f"features.denseblock{block}.denselayer{layer}", dense))
            channels += growth
        if block < len(blocks):
            layers += _transition(f"features.transition{block}", channels)
            channels //= 2
    layers += [("features.norm5", BatchNorm2d(channels)), ("relu", ReLU()), *global_mean()]
    layers.append(("classifier", Linear(channels, num_classes)))
    return Architecture(layers, (3, 224, 224), torchvision_preprocess(), _draw, renamed=OLD_NAMES)


def _dense_layer(channels: int, growth: int) -> NamedLayers:
    """Normalise and rectify before each convolution: 1 x 1 to four times the growth, then 3 x 3."""
    return [
        ("norm1", BatchNorm2d(channels)),
        ("relu1", ReLU()),
        ("conv1", Conv2d(channels, 4 * growth, 1, bias=False)),
        ("norm2", BatchNorm2d(4 * growth)),
        ("relu2", ReLU()),
        ("conv2", Conv2d(4 * growth, growth, 3, padding=1, bias=False)),
    ]


def _transition(name: str, channels: int) -> NamedLayers:
    return [
        (f"{name}.norm", BatchNorm2d(channels)),
        (f"{name}.relu", ReLU()),
        (f"{name}.conv", Conv2d(channels, channels // 2, 1, bias=False)),
        (f"{name}.pool", AvgPool2d(2)),
    ]


def _draw(name: str, layer: Conv2d | Linear, rng: np.random.Generator) -> dict[str, np.ndarray]:
    if isinstance(layer, Linear):
        return parameters(layer, layer.initialise(rng).state()["weight"])
    inputs = np.prod(layer.parameter_shapes()["weight"][1:])
    return parameters(layer, normal(layer, rng, np.sqrt(2 / inputs)))
