"""SqueezeNet 1.0 and 1.1 (Iandola et al. 2016), torchvision's names."""

from __future__ import annotations

import numpy as np

from minicnn.layers import Concat, Conv2d, Dropout, Flatten, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from minicnn.layers.sequence import NamedLayers
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.initialisation import he_uniform, normal, parameters
from minicnn.zoo.inputs import torchvision_preprocess

__all__ = ["squeezenet"]

STEMS = {"1.0": (96, 7), "1.1": (64, 3)}  # filters, kernel size
# squeezed channels of each fire module, a pool where None stands; each half of the output has four times as many
STAGES = {
    "1.0": (None, 16, 16, 32, None, 32, 48, 48, 64, None, 64),
    "1.1": (None, 16, 16, None, 32, 32, None, 48, 48, 64, 64),
}


def squeezenet(version: str, num_classes: int = 1000) -> Architecture:
    """SqueezeNet "1.0" or "1.1": fire modules between pools, class scores as the means of 1 x 1 convolutions.

    A fire module narrows by 1 x 1, then widens by 1 x 1 and by 3 x 3 filters side by side.  Weights are drawn as
    torchvision draws them: He's uniform rule over the inputs, deviation 0.01 in the last layer, biases 0.
    """
    channels, kernel_size = STEMS[version]
    layers = [("features.0", Conv2d(3, channels, kernel_size, stride=2)), ("features.1", ReLU())]
    for i, squeezed in enumerate(STAGES[version], start=2):
        if squeezed is None:
            layers.append((f"features.{i}", MaxPool2d(3, stride=2, ceil_mode=True)))
        else:
            layers += _fire(f"features.{i}", channels, squeezed)
            # two halves of 4 x squeezed maps each
            channels = 8 * squeezed
    layers += [
        ("classifier.0", Dropout()),
        ("classifier.1", Conv2d(512, num_classes, 1)),
        ("classifier.2", ReLU()),
        ("classifier.3", GlobalAvgPool2d()),
        ("flatten", Flatten()),
    ]
    return Architecture(layers, (3, 224, 224), torchvision_preprocess(), _draw)


def _fire(name: str, channels: int, squeezed: int) -> NamedLayers:
    expand = {
        "expand1x1": Conv2d(squeezed, 4 * squeezed, 1),
        "expand3x3": Conv2d(squeezed, 4 * squeezed, 3, padding=1),
    }
    return [
        (f"{name}.squeeze", Conv2d(channels, squeezed, 1)),
        (f"{name}.squeeze_activation", ReLU()),
        (name, Concat(*([(n, conv), (f"{n}_activation", ReLU())] for n, conv in expand.items()))),
    ]


def _draw(name: str, layer: Conv2d | Linear, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return parameters(layer, normal(layer, rng, 0.01) if name == "classifier.1" else he_uniform(layer, rng))
