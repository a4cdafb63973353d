"""VGG networks of 11, 13, 16 and 19 layers (Simonyan, Zisserman 2014), torchvision's names."""

from __future__ import annotations

import numpy as np

from minicnn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from minicnn.zoo.architecture import Architecture
from minicnn.zoo.initialisation import he_normal, normal, parameters
from minicnn.zoo.inputs import torchvision_preprocess

__all__ = ["vgg"]

WIDTHS = (64, 128, 256, 512, 512)
# 3 x 3 convolutions between two pools
DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg(depth: int, batch_norm: bool, num_classes: int = 1000) -> Architecture:
    """VGG-11, 13, 16 or 19 (configurations A, B, D, E), optionally with batch normalisation.

    Five stages of 3 x 3 convolutions, each ended by a 2 x 2 pool, then full4096-full4096-full1000.  Weights are
    drawn as torchvision draws them: He's Gaussian over the outputs for convolutions, deviation 0.01 for full
    layers, biases 0.  (The authors drew A with variance 0.01 and started the deeper ones from it trained.)
    """
    layers, channels = [], 3
    for width, repeats in zip(WIDTHS, DEPTHS[depth], strict=True):
        for _ in range(repeats):
            norm = [BatchNorm2d(width)] if batch_norm else []
            layers += [Conv2d(channels, width, 3, padding=1), *norm, ReLU()]
            channels = width
        layers.append(MaxPool2d(2))
    classifier = [
        *(Linear(512 * 7 * 7, 4096), ReLU(), Dropout()),
        *(Linear(4096, 4096), ReLU(), Dropout()),
        Linear(4096, num_classes),
    ]
    named = [(f"features.{i}", layer) for i, layer in enumerate(layers)]
    named += [("flatten", Flatten()), *((f"classifier.{i}", layer) for i, layer in enumerate(classifier))]
    return Architecture(named, (3, 224, 224), torchvision_preprocess(), _draw)


def _draw(name: str, layer: Conv2d | Linear, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return parameters(layer, he_normal(layer, rng) if isinstance(layer, Conv2d) else normal(layer, rng, 0.01))
